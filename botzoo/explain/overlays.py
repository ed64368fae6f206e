"""Maps of many images, written into a folder: a picture for each with the map over it, and one page of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from botzoo.data.parallel import in_order
from botzoo.data.transforms import EvalTransform
from botzoo.errors import ConfigError, DataError
from botzoo.explain.maps import Explainer, batched, overlay
from botzoo.explain.region import Region, seen
from botzoo.explain.stages import CELLS
from botzoo.inference.images import AnyImage, name_of, read_encoded, read_image
from botzoo.inference.predict import Model
from botzoo.pages.render import render
from botzoo.pages.thumbnails import thumbnail
from botzoo.util.outgoing import shown
from botzoo.util.text import counted, few

SIDE = 768  # longer side of a picture with a map over it, in pixels, at most
THUMBNAIL = 224  # of the page's pictures
PICTURED = 200  # maps on the page, at most: each has some 25 kB
PART = 100  # bytes of a name that go into that of a picture, which has two of them: 255 are the most
PAGE = "index.html"


@dataclass(frozen=True)
class Seen:
    """An image twice: as people see it, and as the network does."""

    name: str
    picture: Image.Image  # RGB, its longer side ``SIDE`` at most
    region: Region  # of the picture, that the network's input shows
    pixels: NDArray[np.uint8]  # the input, (H, W, C)


@dataclass(frozen=True)
class Unseen:
    """An image that cannot be read."""

    name: str
    problem: str


@dataclass(frozen=True)
class Overlaid:
    """A map on the page."""

    name: str  # of the image
    label: str
    probability: float
    file: str  # the picture in the same folder
    before: str  # small pictures, as data: URIs
    after: str
    empty: bool  # whether no cell of the map counts


def look(transform: EvalTransform, image: AnyImage, place: int = 0) -> Seen | Unseen:
    """Read an image as ``Model.predict`` does, and keep a small picture of it."""
    name, preprocessing = name_of(image, place), transform.preprocessing
    how = preprocessing.decoding
    try:
        encoded = read_encoded(str(image)) if isinstance(image, str | Path) else image  # an address answers once
        with read_image(encoded, how) as found:
            pixels = transform(found, (0, 0))
            picture = found.convert("RGB")
        if how.side is not None and how.side < SIDE:  # enough for the network, and too little to look at
            with read_image(encoded, replace(how, side=SIDE)) as found:
                picture = found.convert("RGB")
        picture.thumbnail((SIDE, SIDE))
        return Seen(name, picture, seen(*picture.size, preprocessing), pixels)
    except (OSError, ValueError, MemoryError) as error:
        return Unseen(name, str(error))


def class_number(model: Model, name: str | int) -> int:
    """Return the number of the class that a user calls ``name``: its name, a part of it between commas, or the number.

    Raises:
        ConfigError: no class is called so, or several are.
    """
    text = " ".join(str(name).split()).lower()
    labels = [] if isinstance(name, int) else [label.lower() for label in model.label_names]
    found = [k for k, label in enumerate(labels) if label == text]
    found = found or [k for k, label in enumerate(labels) if text in map(str.strip, label.split(","))]
    if not found and text.isdecimal() and int(text) < len(model.label_names):
        return int(text)
    if len(found) > 1:
        several = ", ".join(map(str, found[:5]))
        raise ConfigError(f"The class {name!r} is one of several of that name: give its number, one of {several}.")
    if not found:
        cure = f"{model.name} knows {few(model.label_names)}: give the name of one, or its number from 0."
        raise ConfigError(f"There is no class {name!r}.", value=name, accepted=model.label_names, cure=cure)
    return found[0]


def write_overlays(
    explainer: Explainer,
    images: Sequence[AnyImage],
    folder: Path,
    *,
    of: int | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> list[Unseen]:
    """Write a picture for each image and class into ``folder``, and ``PAGE`` with the first of them.

    The files take their places when all of them are written; others that are in the folder stay.

    Args:
        of: the class of all maps, by its number; by default the answer to each image, of several labels each that is given.
        say: is given what is wrong with an image that cannot be read, at once.

    Returns:
        The images that cannot be read.

    Raises:
        DataError: no image can be read; then there is no folder either.
        CheckpointError: the network answers with NaN or infinite numbers.
    """
    unseen: list[Unseen] = []
    pages: list[Overlaid] = []
    written = 0

    def readable() -> Iterator[Seen]:
        every = in_order(lambda i: look(explainer.transform, images[i], i), len(images), _bytes, patient=False)
        for one in every:
            if isinstance(one, Seen):
                yield one
                continue
            unseen.append(one)
            say(f"{one.name}: {one.problem}")

    digits = len(str(len(images)))
    with _beside(folder) as work:
        for one, k, probability, heat in _explained(explainer, readable(), of):
            written += 1
            label = explainer.model.label_names[k]
            file = f"{written:0{digits}}-{_plain(Path(one.name).stem)}-{_plain(label)}.png"
            drawn = overlay(one.picture, heat, one.region)
            drawn.save(work / file)
            if len(pages) < PICTURED:
                before, after = (thumbnail(picture, THUMBNAIL) for picture in (one.picture, drawn))
                pages.append(Overlaid(one.name, shown(label), probability, file, before, after, not heat.any()))
        if not written:
            raise DataError(f"Of {counted(len(images), 'image')} none can be read: give others.")
        (work / PAGE).write_text(page(explainer, pages, written, unseen, of), encoding="utf-8")
    return unseen


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Give a new folder, the files of which move into ``folder`` at the end, and nowhere if the block raises.

    It lies in ``folder`` where that is there already: beside it may be another disk, or no place to write.
    """
    place = folder.absolute()  # "." has no name
    work = place / ".explained.part" if place.is_dir() else place.with_name(f".{place.name}.part")
    shutil.rmtree(work, ignore_errors=True)  # of a process that was killed
    work.mkdir(parents=True)
    try:
        yield work
        place.mkdir(exist_ok=True)
        for file in sorted(work.iterdir(), key=lambda file: file.name == PAGE):  # the page last, as it names the others
            file.replace(place / file.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _bytes(one: Seen | Unseen) -> int:
    return one.pixels.nbytes + 3 * one.picture.width * one.picture.height if isinstance(one, Seen) else 0


def _plain(name: str) -> str:
    """Return a name of strangers as a part of a file's: letters, digits, dots and dashes, ``PART`` bytes at most."""
    return re.sub(r"[^\w.-]+|^[.-]+", "_", name).encode()[:PART].decode(errors="ignore") or "_"


def _explained(
    explainer: Explainer, images: Iterator[Seen], of: int | None
) -> Iterator[tuple[Seen, int, float, NDArray[np.float32]]]:
    """Yield each image with each class that it is explained for, the probability of that, and the map, (h, w)."""
    size, task = explainer.batch_size, explainer.model.task
    while batch := list(islice(images, size)):
        pixels = batched([one.pixels for one in batch])
        found = explainer.probabilities(pixels)
        answers = task.named(found, 1) if task.one_label else task.named(found)  # each label that an image is given
        likeliest = [[(k, 0.0)] for k in found.argmax(1).tolist()]  # where an image is given none
        named = [[k for k, _ in some or best] for some, best in zip(answers, likeliest, strict=True)]
        pairs = [(i, k) for i, several in enumerate(named) for k in ([of] if of is not None else several)]
        for start in range(0, len(pairs), size):
            part = pairs[start : start + size]
            maps = explainer.heat(pixels[[i for i, _ in part]], [k for _, k in part])
            for (i, k), heat in zip(part, maps, strict=True):
                yield batch[i], k, float(found[i, k]), heat


HOW = {
    "layercam": "LayerCAM (Jiang et al., 2021): where the layer is active, weighted cell by cell by the gradient of the class",
    "gradcam": "Grad-CAM (Selvaraju et al., 2017): where the layer is active, weighted by the mean gradient of the class",
    "occlusion": "occlusion (Zeiler and Fergus, 2014): by how much the logit of the class falls while a square is hidden",
}
"""What each method shows, in a line."""


def page(
    explainer: Explainer, maps: Sequence[Overlaid], written: int, unseen: Sequence[Unseen], of: int | None = None
) -> str:
    """Return the page of maps: their pictures lie in it, the large ones beside it."""
    about = explainer.model.label_names[of] if of is not None else None
    return render(
        Path(__file__).with_name("overlays.html"),
        title=f"Where {explainer.model.name} looks" + (f" for {shown(about)}" if about is not None else ""),
        how=HOW[explainer.method],
        layer=explainer.layer,
        cells=explainer.cells,
        least=CELLS,
        size=explainer.size.px,
        maps=maps,
        written=written,
        unseen=unseen,
    )
