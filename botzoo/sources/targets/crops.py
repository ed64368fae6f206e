"""Classify the crops: each box of a data set with boxes becomes an image of its own."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from botzoo.errors import DataError
from botzoo.pixels.colours import upright
from botzoo.pixels.opening import open_picture
from botzoo.sources.base import Encoded, ImageData, Split
from botzoo.sources.files import read_file
from botzoo.sources.groups import paths_of
from botzoo.sources.targets.boxes import BoxSplit
from botzoo.sources.targets.coding import MOST_PIXELS
from botzoo.sources.targets.pictures import any_size
from botzoo.util.text import brief, counted

LEAST = 2
"""Pixels of a side, below which a crop shows nothing."""

HELD = 4
"""Pictures that a process holds decoded, as the crops of one are mostly asked for one after the other."""

PLAIN_MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")
"""What PNG can hold; all else becomes RGB."""


def crops_of(data: ImageData[BoxSplit]) -> ImageData[Split]:
    """Return the boxes of a data set as images of one class each; those of one picture are of one group.

    The groups are those of the pictures, where these have any, else each picture is one.

    Left out are boxes around crowds, and those of which less than ``LEAST`` pixels of a side are in the picture.

    Raises:
        DataError: nobody knows where the boxes of a picture are.
    """
    parts: dict[str, Any] = {}
    notes = list(data.notes)
    for role, split in data.splits.items():
        for i, problem in split.problems.items():
            raise DataError(f"{split.describe(i)}: {problem}: mend or remove it.")
        crops, labels = _crops(split)
        parts[role] = _cut(split, crops, labels)
        boxes = sum(map(len, split.boxes))
        few = f", {counted(boxes - len(crops), 'box', 'boxes')} left out as crowds or too small" * (boxes > len(crops))
        notes.append(f"{role}: {counted(len(crops), 'crop')} of {counted(len(split), 'picture')}{few}")
    notes.append("each crop is an image, and those of one picture stay in one split and one fold (--data.crops)")
    notes.append("the network answers for what is in a box: give it crops, and not whole pictures")
    return replace(cast("ImageData[Any]", data), **parts, notes=tuple(notes))


def _crops(split: BoxSplit) -> tuple[list[Crop], list[int]]:
    """Return the crops of a split, and their labels."""
    crops, labels = [], []
    for i, boxes in enumerate(split.boxes):
        height, width = split.sizes[i].tolist()
        edges, seen = boxes.corners, ~boxes.crowd
        if height and width:  # else it is no image, of which each crop will tell
            edges = np.clip(edges, 0, np.array([width, height, width, height], np.float32))
            seen &= (edges[:, 2:] - edges[:, :2] >= LEAST).all(1)
        for k in np.flatnonzero(seen).tolist():
            left, top, right, bottom = edges[k].tolist()
            crops.append(Crop(i, k + 1, (left, top, right, bottom), height, width))
            labels.append(int(boxes.labels[k]))
    return crops, labels


def _cut(split: BoxSplit, crops: Sequence[Crop], labels: Sequence[int]) -> Split:
    cut = Cut(crops, split.read, split.describe)
    names = split.groups if split.groups is not None else paths_of(split)
    groups = np.empty(len(crops), np.object_)
    groups[:] = [names[crop.picture] for crop in crops]
    return Split(split.name, np.array(labels, np.int64), cut.read, cut.describe, root=split.root, groups=groups)


class Crop(NamedTuple):
    """A box of a picture, in pixels of the picture as its annotation has it, which is ``height`` x ``width``."""

    picture: int  # its place in the split
    number: int  # of the box in it, from 1 on
    box: tuple[float, float, float, float]  # left, top, right, bottom
    height: int
    width: int


class _Picture:
    """A decoded picture, or one that is about to be."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.image: Image.Image | None = None


class Cut:
    """The crops of a split; pictures are decoded when they are asked for."""

    def __init__(self, crops: Sequence[Crop], read: Callable[[int], Encoded], describe: Callable[[int], str]) -> None:
        self.crops, self.read_picture, self.describe_picture = crops, read, describe
        self._lock, self._held = Lock(), OrderedDict[int, _Picture]()

    def __reduce__(self) -> tuple[type[Cut], tuple[Any, ...]]:
        return Cut, (self.crops, self.read_picture, self.describe_picture)  # pictures and locks stay here

    def read(self, i: int) -> bytes:
        """Return crop i as PNG; raise OSError where its picture cannot be read."""
        crop = self.crops[i]
        picture = self._picture(crop.picture)
        file = BytesIO()
        picture.crop(_within(crop, picture.width, picture.height)).save(file, "PNG", compress_level=1)
        return file.getvalue()

    def describe(self, i: int) -> str:
        """Name crop i: its picture, and the number of its box in that."""
        return f"{self.describe_picture(self.crops[i].picture)}, box {self.crops[i].number}"

    def _picture(self, place: int) -> Image.Image:
        with self._lock:
            held = self._held.setdefault(place, _Picture())
            self._held.move_to_end(place)
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        with held.lock:  # two threads that want one picture wait for one another, those of two do not
            if held.image is None:
                held.image = _opened(self.read_picture(place))
            return held.image


def _opened(encoded: Encoded) -> Image.Image:
    """Return a picture upright, in a mode that PNG has."""
    try:
        if isinstance(encoded, np.ndarray):
            return Image.fromarray(encoded)
        content = read_file(encoded) if isinstance(encoded, Path) else encoded
        with any_size(), open_picture(BytesIO(content)) as image:
            if math.prod(image.size) > MOST_PIXELS:
                raise OSError(f"it has {image.width:,} x {image.height:,} pixels, more than {MOST_PIXELS:,}")
            found = upright(image)
            return found if found.mode in PLAIN_MODES else found.convert("RGB")
    except Exception as error:  # damaged files end in almost any of them
        what = "it is no image" if isinstance(error, UnidentifiedImageError) else brief(error)
        raise OSError(f"its picture cannot be read ({what})") from error


def _within(crop: Crop, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the box of a crop in whole pixels of a picture of such sides, at least a pixel of it."""
    across, down = (width / crop.width, height / crop.height) if crop.width and crop.height else (1.0, 1.0)
    left, top, right, bottom = (edge * scale for edge, scale in zip(crop.box, (across, down) * 2, strict=True))
    x, y = min(max(0, math.floor(left)), width - 1), min(max(0, math.floor(top)), height - 1)
    return x, y, max(x + 1, min(width, math.ceil(right))), max(y + 1, min(height, math.ceil(bottom)))
