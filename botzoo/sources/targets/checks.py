"""What is wrong with boxes and masks: found by looking at all of them, and told without stopping at the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError, printable
from botzoo.sources.base import ImageData
from botzoo.sources.targets.boxes import Boxes, BoxSplit, Flags, box_areas
from botzoo.sources.targets.coding import IGNORED
from botzoo.sources.targets.masks import MaskSplit
from botzoo.sources.targets.pictures import encoded_size
from botzoo.util.text import counted, listing

Kind = Literal[
    "no area", "outside", "double", "size", "nothing on it", "unreadable", "unused class", "two splits", "ignored"
]

SLACK = 1.0  # pixels that a box may be outside by rounding


@dataclass(frozen=True)
class Finding:
    """Something that a check found.

    Attributes:
        kind: which check.
        reason: what is the matter and what becomes of it, in words that do not name the images.
        split: of the images; "" where it is about the classes.
        images: places in the split.
        look: whether somebody should look at it; otherwise it is worth knowing and no more.
    """

    kind: Kind
    reason: str
    split: str = ""
    images: tuple[int, ...] = ()
    look: bool = True


def check_boxes(data: ImageData[BoxSplit]) -> list[Finding]:
    """Return what is wrong with the boxes of a data set; of each image no more than the header is read.

    Looked for are boxes of no area, outside their picture and there twice; pictures of another size than their annotation
    says, such as on their side, or that cannot be read; pictures without boxes, or in two splits; and classes without boxes.
    """
    found = list(_unused(data))
    for role, split in data.splits.items():
        sizes, bad = _sizes(split)
        found += _gathered("unreadable", role, bad, "unreadable: mend or remove it")
        found += _stated(role, split, sizes)
        found += _of_boxes(role, split, sizes)
    return [*found, *_in_two_splits(data.splits)]


def _sizes(split: BoxSplit) -> tuple[NDArray[np.int64], list[int]]:
    """Return height and width of each image as it is seen, 0 of those that cannot be read, and the places of these."""
    sizes, bad = np.zeros((len(split), 2), np.int64), []
    for i in range(len(split)):
        try:
            sizes[i] = encoded_size(split.read(i), split.describe(i))
        except DataError:
            bad.append(i)
    return sizes, bad


def _stated(role: str, split: BoxSplit, sizes: NDArray[np.int64]) -> Iterator[Finding]:
    stated = split.sizes.astype(np.int64)
    differ = (stated != sizes).any(1) & (stated > 0).all(1) & (sizes > 0).all(1)
    turned = differ & (stated[:, ::-1] == sizes).all(1)
    on_side = "on its side beside what is said of it, so that boxes are in the wrong places"
    yield from _gathered("size", role, np.flatnonzero(turned), on_side)
    yield from _gathered("size", role, np.flatnonzero(differ & ~turned), "another size than is said")


def _of_boxes(role: str, split: BoxSplit, sizes: NDArray[np.int64]) -> Iterator[Finding]:
    known = np.where(sizes.all(1, keepdims=True), sizes, split.sizes.astype(np.int64))
    leave = [leaving(each, size) for each, size in zip(split.boxes, known, strict=True)]
    wrong: list[tuple[Kind, list[Flags], str]] = [
        ("no area", [box_areas(each.corners) <= 0 for each in split.boxes], "without area, left out in training"),
        ("outside", leave, "reaching out of the picture, cut at its edge or left out"),
        ("double", [doubled(each) for each in split.boxes], "there twice: remove one of each"),
    ]
    for kind, flags, reason in wrong:
        boxes = counted(sum(int(each.sum()) for each in flags), "box", "boxes")
        yield from _gathered(kind, role, [i for i, each in enumerate(flags) if each.any()], f"{boxes} {reason}")
    empty = [i for i, each in enumerate(split.boxes) if not len(each) and i not in split.problems]
    yield from _gathered("nothing on it", role, empty, "no box: nothing is to be found", look=False)


def leaving(boxes: Boxes, size: NDArray[np.int64]) -> Flags:
    """Return which boxes leave a picture of height and width ``size`` by more than a pixel; none where it is 0."""
    height, width = size.tolist()
    if not (height and width):
        return np.zeros(len(boxes), bool)
    most = np.array([width, height, width, height])
    return np.asarray(((boxes.corners < -SLACK) | (boxes.corners > most + SLACK)).any(1))


def doubled(boxes: Boxes) -> Flags:
    """Return which boxes have the corners and the class of one before them, shape (n,)."""
    rows = np.concatenate([boxes.corners, boxes.labels[:, None]], 1)
    twice = np.ones(len(boxes), bool)
    twice[np.unique(rows, axis=0, return_index=True)[1]] = False
    return twice


def _unused(data: ImageData[BoxSplit]) -> Iterator[Finding]:
    counts = data.train.box_counts(len(data.class_names))
    if unused := [data.class_names[k] for k in np.flatnonzero(counts == 0)]:
        yield Finding("unused class", f"no training image has a box of {listing(unused)}: it is never found")


def _in_two_splits(splits: dict[str, BoxSplit]) -> Iterator[Finding]:
    """Yield images that are named by two splits; the same content under two names is looked for elsewhere."""
    seen: dict[str, str] = {}
    for role, split in splits.items():
        names = [split.describe(i) for i in range(len(split))]
        twice: dict[str, list[int]] = {}
        for i, name in enumerate(names):
            if (other := seen.setdefault(name, role)) != role:
                twice.setdefault(other, []).append(i)
        for other, places in twice.items():
            yield from _gathered("two splits", role, places, f"in the {other} split too: remove it from one")


def check_masks(data: ImageData[MaskSplit]) -> list[Finding]:
    """Return what is wrong with the masks of a data set; all masks are read, and of each image the header.

    Looked for are masks of another size than their picture, with values or colours that are no class, or that cannot be read;
    masks of one class or of none; and classes that no training mask has.
    """
    found: list[Finding] = []
    for role, split in data.splits.items():
        pixels = np.zeros(256, np.int64)
        differ, plain, ignored, bad = [], [], [], {}
        for i in range(len(split)):
            try:
                mask = split.mask(i)
                differ += [i] * (encoded_size(split.read(i), split.describe(i)) != mask.shape)
            except DataError as error:
                bad[i] = error
                continue
            there = np.bincount(mask.ravel(), minlength=256)
            pixels += there
            classes = int((there[:IGNORED] > 0).sum())
            plain += [i] * (classes == 1)
            ignored += [i] * (classes == 0)
        example = f", such as: {printable(str(next(iter(bad.values()))), 300).rstrip('.')}" if bad else ""
        found += _gathered("unreadable", role, list(bad), f"mask that cannot be used{example}")
        found += _gathered("size", role, differ, "mask of another size: make them the same")
        found += _gathered("ignored", role, ignored, "mask without any class: nothing is learned from it")
        found += _gathered("nothing on it", role, plain, "mask of one class only", look=False)
        unused = [data.class_names[k] for k in np.flatnonzero(pixels[: len(data.class_names)] == 0)]
        if role == "train" and unused:
            found.append(Finding("unused class", f"no training mask has {listing(unused)}: it is never found"))
    return found


def _gathered(
    kind: Kind, split: str, images: Sequence[int] | NDArray[np.int64], reason: str, look: bool = True
) -> list[Finding]:
    places = tuple(map(int, images))
    return (
        [Finding(kind, f"{reason} ({counted(len(places), 'picture')} of {split})", split, places, look)]
        if places
        else []
    )
