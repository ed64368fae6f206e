"""Splits that a run makes itself: validation images set aside, and folds."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from botzoo.data.sources.base import ImageData, Joined, Labelled, Split
from botzoo.errors import DataError
from botzoo.util.text import listing

SplitT = TypeVar("SplitT", bound="Labelled")


def without_test(data: ImageData[SplitT]) -> ImageData[SplitT]:
    """Return ``data`` without its test split, which is not even read then."""
    if data.test is None:
        return data
    return replace(data, test=None, notes=(*data.notes, "the test split is left unread"))


def joined(data: ImageData[Split]) -> ImageData[Split]:
    """Return ``data`` with training and validation images as one training split; the test split is left out."""
    data = without_test(data)
    if data.validation is None:
        return data
    first, second = data.train, data.validation
    both = Joined(first, second)
    labels = np.concatenate([first.labels, second.labels])
    train = Split(f"{first.name} and {second.name}", labels, both.read, both.describe, root=first.root)
    return replace(data, train=train, validation=None)


def in_fold(data: ImageData[Split], fold: int, folds: int, seed: int) -> ImageData[Split]:
    """Return ``data`` with one of ``folds`` stratified parts of its training images as test split, and without those.

    Args:
        data: the data set, without validation and test split.
        fold: which part, from 1 on.
        folds: how many parts; of each class they differ by one image at most, and together they are all images.
        seed: decides which images.

    Raises:
        DataError: a class has fewer images than there are folds, or too few to set any aside for validation.
    """
    from sklearn.model_selection import StratifiedKFold

    labels = data.train.labels
    _check_folds(data, folds)
    cut = StratifiedKFold(folds, shuffle=True, random_state=seed).split(np.zeros(len(labels)), labels)
    train, test = list(cut)[fold - 1]
    note = (
        f"fold {fold} of {folds}: its {len(test):,} of {len(labels):,} images are the test split; the folds were cut class "
        f"by class with seed {seed}"
    )
    return replace(
        data,
        train=data.train.take(train, f"all of {data.train.name} but fold {fold} of {folds}"),
        test=data.train.take(test, f"fold {fold} of {folds} of {data.train.name}"),
        notes=(*data.notes, note),
    )


def _check_folds(data: ImageData[Split], folds: int) -> None:
    counts = np.bincount(data.train.labels, minlength=len(data.class_names))
    fewest = int(counts[counts > 0].min())
    name = data.class_names[np.flatnonzero(counts == fewest)[0]]
    if folds > fewest:
        largest = f"give {fewest} or fewer, or add images" if fewest > 2 else "add images, or remove the class"
        raise DataError(f"{folds} folds are too many: class {name!r} of {data.name} has {fewest} image(s): {largest}.")
    if fewest - -(-fewest // folds) < 2:  # of what is left, one is trained on and one chooses the epoch
        advice = "give 3 folds, or add images" if fewest > 2 else "add images, or remove the class"
        raise DataError(
            f"{folds} folds leave one training image of class {name!r} of {data.name}, which has {fewest}, and two are "
            f"needed: {advice}."
        )


def with_validation(data: ImageData[Split], fraction: float, seed: int) -> ImageData[Split]:
    """Set ``fraction`` of each class's training images aside, at least one and not all, if there is no validation split.

    scikit-learn's stratified split keeps the shares on average only: it may leave a rare class without any image.

    Args:
        data: the data set.
        fraction: share of the training images to set aside.
        seed: decides which images.

    Raises:
        DataError: a class has a single image.
    """
    if data.validation is not None:
        return data
    if data.multi_label:
        return _set_aside_at_random(data, fraction, seed)
    labels, rng = data.train.labels, np.random.default_rng(seed)
    aside = np.zeros(len(labels), bool)
    for k, name in enumerate(data.class_names):
        rows = np.flatnonzero(labels == k)
        if not len(rows):
            continue  # declared only
        if len(rows) < 2:
            raise DataError(
                f"{data.name} is too small to set {fraction:.0%} aside for validation: class {name!r} has one image. "
                "Add images, or a validation split."
            )
        aside[rng.permutation(rows)[: min(max(round(fraction * len(rows)), 1), len(rows) - 1)]] = True
    share = f"{aside.sum()} of {len(labels)} training images ({fraction:.0%} of each class)"
    return replace(
        data,
        train=data.train.take(np.flatnonzero(~aside)),
        validation=data.train.take(np.flatnonzero(aside), f"{fraction:.0%} of {data.train.name}"),
        notes=(*data.notes, f"no validation split: {share} are set aside"),
        set_aside=True,
    )


def _set_aside_at_random(data: ImageData[Split], fraction: float, seed: int) -> ImageData[Split]:
    """Set ``fraction`` of the images aside whatever their labels, but never the last training image of a label."""
    labels, aside = data.train.labels, np.zeros(len(data.train), bool)
    left, wanted = labels.sum(0, np.int64), max(1, round(fraction * len(labels)))
    for row in np.random.default_rng(seed).permutation(len(labels)).tolist():
        if wanted and (left[labels[row] > 0] > 1).all():
            aside[row] = True
            left -= labels[row]
            wanted -= 1
    if not labels[aside].any() or not labels[~aside].any():
        raise DataError(
            f"{data.name} is too small to set {fraction:.0%} aside for validation: add images, or a validation split."
        )
    unseen = [data.class_names[k] for k in np.flatnonzero((labels[aside].sum(0) == 0) & (labels.sum(0) > 0))]
    share = f"{aside.sum()} of {len(labels)} training images ({fraction:.0%}, whatever their labels)"
    notes = [f"no validation split: {share} are set aside"]
    notes += [f"none of those has {listing(unseen)}, so nothing is known of them"] if unseen else []
    return replace(
        data,
        train=data.train.take(np.flatnonzero(~aside)),
        validation=data.train.take(np.flatnonzero(aside), f"{fraction:.0%} of {data.train.name}"),
        notes=(*data.notes, *notes),
        set_aside=True,
    )
