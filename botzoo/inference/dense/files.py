"""What was found, as files: pictures with boxes or masks on them, masks as PNG, boxes as COCO's JSON."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from botzoo.errors import ConfigError
from botzoo.inference.images import Named, read_image
from botzoo.inference.options import LEAST_SCORE
from botzoo.inference.predict import Model
from botzoo.inference.prediction import Prediction
from botzoo.pages.overlays import BoxMarks, MaskMarks, overlay
from botzoo.pages.palette import colour_of
from botzoo.util.files import write_text, written_whole
from botzoo.util.outgoing import as_json
from botzoo.util.text import counted

QUALITY = 92  # of JPEG


def marks_of(prediction: Prediction) -> BoxMarks | MaskMarks:
    """Return what is drawn of an answer; ``prediction.size`` is known."""
    if prediction.mask is not None:
        return MaskMarks(prediction.mask)
    assert prediction.size is not None
    corners = np.array([box.corners for box in prediction.boxes], np.float32).reshape(-1, 4)
    indices, scores = np.array(prediction.indices, np.int64), np.array(prediction.probabilities, np.float32)
    return BoxMarks(corners, indices, prediction.size, scores)


def stems(named: Sequence[Named]) -> list[Path]:
    """Return what the files of each image are called, without an ending: its path in the folder that was given.

    Where two differ by their ending alone, it stays: a.png and a.jpg become a.png and a.jpg.

    Raises:
        ConfigError: two images are called the same.
    """
    places = [_inside(image) for image in named]
    short = Counter(place.with_suffix("") for place in places)
    found = [place if short[place.with_suffix("")] > 1 else place.with_suffix("") for place in places]
    first: dict[Path, str] = {}
    for image, stem in zip(named, found, strict=True):
        if (other := first.setdefault(stem, image.place)) != image.place:
            both = f"What is found on {other} and on {image.place} would have one name in --output, {stem}"
            raise ConfigError(f"{both}: give the folder that both are in, or one after the other.")
    return found


def _inside(image: Named) -> Path:
    """Return the path of an image in a folder, or its own name: a relative path without dots."""
    if "://" in image.name:
        last = unquote(urlsplit(image.name).path).rpartition("/")[2]
        return Path(re.sub(r"[^\w.-]", "_", last)[:100].lstrip(".") or "image")
    path = Path(image.name)
    return path if image.name != image.place and ".." not in path.parts and not path.is_absolute() else Path(path.name)


@cache
def palette() -> bytes:
    """Return red, green and blue of 256 classes, in the colours in which they are drawn; 255, no class, is white."""
    return bytes(value for k in range(255) for value in colour_of(k)) + b"\xff\xff\xff"


def write_mask(path: Path, mask: NDArray[np.uint8]) -> None:
    """Write the class of each pixel, uint8 (H, W), as a PNG with a palette, whole or not at all."""
    image = Image.fromarray(mask)
    image.putpalette(palette())
    with written_whole(path) as part:
        image.save(part, "PNG")


class Marks:
    """Keeps what is found as files: in a folder, in a file of COCO's form, in both or in none.

    Args:
        model: whose boxes or masks they are.
        named: the images.
        folder: for NAME.jpg, the picture with what was found on it, and NAME.png, the mask; made where it is not there.
        coco: for the boxes, whatever their score.
        least_score: of the boxes that are drawn and named; None for the usual one.

    Raises:
        ConfigError: two images are called the same.
    """

    def __init__(
        self,
        model: Model,
        named: Sequence[Named],
        *,
        folder: Path | None = None,
        coco: Path | None = None,
        least_score: float | None = None,
    ) -> None:
        self.model, self.named, self.folder, self.coco = model, named, folder, coco
        self.least_score = LEAST_SCORE if least_score is None else least_score
        self.stems = stems(named) if folder is not None else []
        self.pictures = 0
        self.images: list[Mapping[str, Any]] = []
        self.annotations: list[Mapping[str, Any]] = []

    def taken(self, place: int, prediction: Prediction) -> Prediction:
        """Keep what is found on the image at ``place`` and return what of it is to be named."""
        if self.coco is not None:
            self._note(self.named[place].name, prediction)
        prediction = prediction.at_least(self.least_score)
        if self.folder is not None:
            self._write(self.folder / self.stems[place], self.named[place].place, prediction)
        return prediction

    def close(self) -> Iterator[str]:
        """Write the file of COCO's form, whole or not at all; yield a line on each thing that was written."""
        if self.folder is not None:
            yield f"{counted(self.pictures, 'picture')} in {self.folder}"
        if self.coco is not None:
            categories = [{"id": k, "name": name} for k, name in enumerate(self.model.label_names, 1)]
            parts = {"images": self.images, "categories": categories, "annotations": self.annotations}
            write_text(self.coco, f"{as_json(parts)}\n")
            boxes = counted(len(self.annotations), "box", "boxes")
            yield f"{boxes} of {counted(len(self.images), 'image')} in {self.coco}"

    def _write(self, file: Path, place: str, prediction: Prediction) -> None:
        with read_image(place, replace(self.model.preprocessing.decoding, side=None)) as picture:
            drawn = overlay(picture, marks_of(prediction), self.model.label_names)
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file.with_name(f"{file.name}.jpg")) as part:
            drawn.save(part, "JPEG", quality=QUALITY)
        if prediction.mask is not None:
            write_mask(file.with_name(f"{file.name}.png"), prediction.mask)
        self.pictures += 1

    def _note(self, name: str, prediction: Prediction) -> None:
        assert prediction.size is not None
        width, height = prediction.size
        number = len(self.images) + 1
        self.images.append({"id": number, "file_name": name, "width": width, "height": height})
        for box in prediction.boxes:
            sides = [box.left, box.top, box.right - box.left, box.bottom - box.top]
            facts = {"id": len(self.annotations) + 1, "image_id": number, "category_id": box.index + 1, "iscrowd": 0}
            bbox, area = [round(side, 2) for side in sides], round(sides[2] * sides[3], 2)
            self.annotations.append({**facts, "bbox": bbox, "area": area, "score": round(box.score, 6)})
