"""From what a reader has found of each image to a data set with boxes, and what can be wrong with any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from botzoo.errors import DataError
from botzoo.sources.annotations.paths import Found
from botzoo.sources.base import Files, ImageData, missing_classes
from botzoo.sources.files import read_text
from botzoo.sources.targets.boxes import Boxes, BoxSplit
from botzoo.sources.targets.pictures import size_if_readable
from botzoo.util.text import counted, listing

ROLES = ("train", "validation", "test")

MOST_CLASSES = 20_000
"""A detector has numbers for each class of each of some hundred places on an image."""

MOST_BOXES = 10_000
"""Of an image: all images of a split are given as much room as the one with most boxes takes."""


class Boxed(NamedTuple):
    """An image with boxes, as a reader has found it; ``height`` and ``width`` are 0 where nothing says.

    Attributes:
        place: in ``Found``.
        problem: why nothing is known of its boxes, if so.
    """

    place: int
    boxes: Boxes
    height: int = 0
    width: int = 0
    problem: str | None = None


def box_split(role: str, entries: Sequence[Boxed], found: Found) -> BoxSplit:
    """Return a split of images that lie in files."""
    files = Files([found.files[each.place] for each in entries])
    sizes = np.array([_size(each, found) for each in entries], np.int32).reshape(-1, 2)
    problems = {i: each.problem for i, each in enumerate(entries) if each.problem is not None}
    made = BoxSplit.of(role, [each.boxes for each in entries], sizes, files.read, files.describe, f"{found.root}/")
    return replace(made, problems=problems)


def _size(entry: Boxed, found: Found) -> tuple[int, int]:
    """Return height and width as they are stated, else as the image has them: anchors are chosen by them."""
    stated = entry.height, entry.width
    return stated if all(stated) else size_if_readable(Path(found.files[entry.place]))


def checked_boxes(
    name: str,
    splits: dict[str, BoxSplit],
    class_names: Sequence[str],
    notes: Iterable[str],
    *,
    declared: bool,
    license: str | None = None,
    hub_id: str | None = None,
) -> ImageData[BoxSplit]:
    """Return splits with boxes as a data set, with notes on their counts and on classes that a split lacks.

    Args:
        splits: by role; the labels are in [0, K).
        class_names: K >= 1 of them: a detector may look for one thing.
        declared: whether the data itself lists its classes.

    Raises:
        DataError: there is no training image or no box on any, no class, two of one name, or one that is never trained; or
            there are more classes, or boxes on an image, than are taken.
    """
    if len(class_names) > MOST_CLASSES:
        raise DataError(f"{name} has {len(class_names):,} classes: boxes have at most {MOST_CLASSES:,}. Merge some.")
    used = {role: splits[role].of_classes(len(class_names)) for role in ROLES if role in splits}
    for role, split in used.items():
        if not len(split):
            raise DataError(f"The {role} split of {name} is empty: it has no images.")
        i, boxes = max(enumerate(map(len, split.boxes)), key=itemgetter(1))
        if boxes > MOST_BOXES:
            raise DataError(
                f"{split.describe(i)} has {boxes:,} boxes: an image has at most {MOST_BOXES:,}. Cut it into several."
            )
    if "train" not in used:
        raise DataError(f"{name} has no training split, only {listing(list(used))}: name one train.")
    if not any(map(len, used["train"].boxes)):
        raise DataError(f"No training image of {name} has a box: draw some, or train on images that have any.")
    if not used["train"].has_objects():
        why = "they are crowds, have no area or lie outside their picture: mend or draw some"
        raise DataError(f"No training image of {name} has a box to learn from: {why}.")
    if not class_names:
        raise DataError(f"{name} has no classes: a detector needs one or more.")
    if twice := first_double(class_names):
        raise DataError(f"{name} has two classes called {twice!r}: give each a name of its own.")
    data = ImageData(name, tuple(class_names), used["train"], used.get("validation"), used.get("test"), hub_id, license)
    data = replace(data, declared=declared)
    said = [*notes, *map(_counts, used.values())]
    for role, split in used.items():
        said += missing_classes(data, role, split, data.class_names)
    return replace(data, notes=tuple(said))


def named_classes(file: Path) -> list[str]:
    """Return the names in a file, one a line, whose numbers are those of the classes.

    Raises:
        DataError: a line among them is empty, so that nobody knows whether it counts.
    """
    names = [line.strip() for line in read_text(file).rstrip().splitlines()]
    if "" in names:
        k = names.index("") + 1
        raise DataError(f"{file}, line {k}, is empty, and the line is the class's number: name it, or remove the line.")
    return names


def first_double(names: Sequence[str]) -> str | None:
    """Return a name that is there twice, None where there is none."""
    return next((name for name, times in Counter(names).items() if times > 1), None)


def _counts(split: BoxSplit) -> str:
    boxes = sum(map(len, split.boxes))
    empty = sum(not len(each) for each in split.boxes)
    flags = {"crowds": "crowd", "difficult": "difficult"}
    marked = {word: sum(int(getattr(each, flag).sum()) for each in split.boxes) for word, flag in flags.items()}
    more = [f"{count:,} of them {word}" for word, count in marked.items() if count]
    more += [f"{counted(empty, 'image')} without boxes"] if empty else []
    images = f"{split.name}: {counted(len(split), 'image')} with {counted(boxes, 'box', 'boxes')}"
    return ", ".join([images, *more])
