"""Which classes are on which images, by a look at all masks: what splits are drawn by, and what is wrong with a mask."""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.sources.base import ImageData, Shared, alone, missing_classes
from botzoo.sources.files import mark_of, table_mark
from botzoo.sources.targets.coding import IGNORED
from botzoo.sources.targets.masks import MaskSplit
from botzoo.sources.targets.pictures import encoded_size
from botzoo.util.cache import MASKS

THREADS = 4

VERSION = 1
"""Of the file's layout and of how masks are looked at."""


class _Seen(NamedTuple):
    """What a look at all masks of a split found, under the names that the split has for it."""

    labels: NDArray[np.uint8]
    digests: NDArray[np.uint8]  # zeros of masks that cannot be read
    problems: dict[int, str]


def with_presence(data: ImageData[MaskSplit], on_each_node: Shared[Any] = alone) -> ImageData[MaskSplit]:
    """Return data whose masks have been read, by an earlier run or now, with notes on classes that a split lacks.

    Images whose mask is damaged, or of another size than they are, are among the ``problems`` of their split.

    Args:
        on_each_node: does work on one process of each machine and gives its answer to the others there.

    Raises:
        DataError: no mask of a split can be read or has a class, or as ``missing_classes``.
    """
    classes = len(data.class_names)
    seen = on_each_node(lambda: {role: _look(split, classes) for role, split in data.splits.items()})
    splits = {role: replace(split, **seen[role]._asdict()) for role, split in data.splits.items()}
    for role, split in splits.items():
        if split.problems and len(split.problems) == len(split):
            raise DataError(f"No mask in the {role} split of {data.name} can be used: {split.problems[0]}.")
        if not split.labels.any():
            raise DataError(f"The masks of the {role} split of {data.name} are all ignored: nothing can be learned.")
    # A number between those of classes is a class all the same: without it, all others would have to be numbered anew.
    found = replace(data, train=splits["train"], validation=splits.get("validation"), test=splits.get("test"))
    found = replace(found, declared=True)
    notes = [note for role, split in splits.items() for note in missing_classes(found, role, split, data.class_names)]
    return replace(found, notes=(*found.notes, *notes))


def _look(split: MaskSplit, classes: int) -> _Seen:
    """Return what earlier runs found, and look at the masks that they could not read; at all where any file has changed."""
    key, count = _key(split, classes), len(split)
    kept = MASKS.open(key, partial(_read, count, classes)) if key else None
    seen = kept or _Seen(np.zeros((count, classes), np.uint8), np.zeros((count, 32), np.uint8), {})
    unknown = np.flatnonzero(~seen.digests.any(1)).tolist()
    with ThreadPoolExecutor(THREADS) as pool:
        for i, (there, digest, problem) in zip(unknown, pool.map(partial(_one, split), unknown), strict=True):
            seen.labels[i], seen.digests[i] = there[:classes], np.frombuffer(digest, np.uint8)
            if problem is not None:
                seen.problems[i] = problem
    if key and kept is None:
        content = seen.labels.tobytes() + seen.digests.tobytes() + json.dumps(seen.problems).encode()
        MASKS.keep(key, content, logging.DEBUG)  # without it, it only costs the time to look again
    return seen


def _read(count: int, classes: int, content: NDArray[np.uint8]) -> _Seen:
    labels, digests, rest = np.split(np.array(content), [count * classes, count * (classes + 32)])
    problems = {int(i): str(problem) for i, problem in json.loads(rest.tobytes()).items()}
    return _Seen(labels.reshape(count, classes), digests.reshape(count, 32), problems)


def _key(split: MaskSplit, classes: int) -> str | None:
    """Return what names the look at a split as its files are now; None where they have no marks."""
    if table := table_mark(split):
        marks = [table]
    elif len(split) and isinstance(split.read(0), Path):
        with ThreadPoolExecutor(THREADS) as pool:
            marks = [mark for pair in pool.map(partial(_marks, split), range(len(split))) for mark in pair]
    else:
        return None
    coding = split.coding
    facts = VERSION, split.name, classes, coding.kind, coding.classes, sorted(coding.colours.items()), marks
    return hashlib.sha256(repr(facts).encode()).hexdigest() if all(marks) else None


def _marks(split: MaskSplit, i: int) -> tuple[int, int]:
    mask, image = split.read_mask(i), split.read(i)
    return (mark_of(mask), mark_of(image)) if isinstance(mask, Path) and isinstance(image, Path) else (0, 0)


def _one(split: MaskSplit, i: int) -> tuple[NDArray[np.bool_], bytes, str | None]:
    """Return which classes are on image i, bool (255,), the SHA-256 of its mask, zeros if unreadable, and what is wrong."""
    try:
        mask = split.mask(i)
    except DataError as error:
        return np.zeros(IGNORED, bool), bytes(32), str(error).removesuffix(".")
    there = np.bincount(mask.ravel(), minlength=256)[:IGNORED] > 0
    try:
        size = encoded_size(split.read(i), split.describe(i))
    except DataError:  # which is said of the image itself
        size = mask.shape[0], mask.shape[1]
    odd = None
    if size != mask.shape:
        odd = "its mask has {} x {} pixels, and it has {} x {}".format(*mask.shape, *size)
    return there, hashlib.sha256(mask.tobytes()).digest(), odd
