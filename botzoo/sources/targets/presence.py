"""Which classes are on which images, by a look at all masks: what splits are drawn by, and what is wrong with a mask."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.sources.base import ImageData, missing_classes
from botzoo.sources.targets.coding import IGNORED
from botzoo.sources.targets.masks import MaskSplit
from botzoo.sources.targets.pictures import encoded_size

THREADS = 4


class _Seen(NamedTuple):
    there: NDArray[np.bool_]  # which of the classes, shape (K,)
    digest: bytes
    problem: str | None


def with_presence(data: ImageData[MaskSplit]) -> ImageData[MaskSplit]:
    """Return data whose masks have been read, with notes on classes that a split lacks.

    Images whose mask is damaged, or of another size than they are, are among the ``problems`` of their split.

    Raises:
        DataError: no mask of a split can be read or has a class, or as ``missing_classes``.
    """
    classes = len(data.class_names)
    splits = {role: _looked_at(split, classes) for role, split in data.splits.items()}
    for role, split in splits.items():
        if len(split.problems) == len(split):
            raise DataError(f"No mask in the {role} split of {data.name} can be used: {split.problems[0]}.")
        if not split.labels.any():
            raise DataError(f"The masks of the {role} split of {data.name} are all ignored: nothing can be learned.")
    # A number between those of classes is a class all the same: without it, all others would have to be numbered anew.
    found = replace(data, train=splits["train"], validation=splits.get("validation"), test=splits.get("test"))
    found = replace(found, declared=True)
    notes = [note for role, split in splits.items() for note in missing_classes(found, role, split, data.class_names)]
    return replace(found, notes=(*found.notes, *notes))


def _looked_at(split: MaskSplit, classes: int) -> MaskSplit:
    with ThreadPoolExecutor(THREADS) as pool:
        seen = list(pool.map(partial(_seen, split, classes), range(len(split))))
    return replace(
        split,
        labels=np.array([each.there for each in seen], np.uint8).reshape(-1, classes),
        digests=np.frombuffer(b"".join(each.digest for each in seen), np.uint8).reshape(-1, 32),
        problems={i: each.problem for i, each in enumerate(seen) if each.problem is not None},
    )


def _seen(split: MaskSplit, classes: int, i: int) -> _Seen:
    there = np.zeros(classes, bool)
    try:
        mask = split.mask(i)
    except DataError as error:
        return _Seen(there, bytes(32), str(error).removesuffix("."))
    there[np.flatnonzero(np.bincount(mask.ravel(), minlength=256)[:IGNORED])] = True
    try:
        size = encoded_size(split.read(i), split.describe(i))
    except DataError:  # which is said of the image itself
        size = mask.shape[0], mask.shape[1]
    odd = None
    if size != mask.shape:
        odd = "its mask has {} x {} pixels, and it has {} x {}".format(*mask.shape, *size)
    return _Seen(there, hashlib.sha256(mask.tobytes()).digest(), odd)
