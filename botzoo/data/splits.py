"""Splits that a run makes itself: validation images set aside, and folds."""

from dataclasses import replace
from typing import Any

import numpy as np

from botzoo.data.sources.base import ImageData, Joined, Split
from botzoo.errors import DataError
from botzoo.util.text import listing


def without_test(data: ImageData[Any]) -> ImageData[Any]:
    """Return ``data`` without its test split, which is not even read then."""
    return data if data.test is None else replace(data, test=None, notes=(*data.notes, "the test split is left unread"))


def joined(data: ImageData[Split]) -> ImageData[Split]:
    """Return ``data`` with training and validation images as one training split; the test split is left out."""
    data = without_test(data)
    if data.validation is None:
        return data
    first, second = data.train, data.validation
    both, labels = Joined(first, second), np.concatenate([first.labels, second.labels])
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
    counts = np.bincount(labels, minlength=len(data.class_names))
    fewest = int(counts[counts > 0].min())
    which = f"class {data.class_names[np.flatnonzero(counts == fewest)[0]]!r} of {data.name}"
    if folds > fewest:
        advice = f"give {fewest} or fewer, or add images" if fewest > 2 else "add images, or remove the class"
        raise DataError(f"{folds} folds are too many: {which} has {fewest} image(s): {advice}.")
    if fewest - -(-fewest // folds) < 2:  # of what is left, one is trained on and one chooses the epoch
        advice = "give 3 folds, or add images" if fewest > 2 else "add images, or remove the class"
        left = f"leave one training image of {which}, which has {fewest}"
        raise DataError(f"{folds} folds {left}, and two are needed: {advice}.")
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


def with_validation(data: ImageData[Split], fraction: float, seed: int) -> ImageData[Split]:
    """Set ``fraction`` of each class's training images aside, at least one and not all, if there is no validation split.

    scikit-learn's stratified split keeps the shares on average only: it may leave a rare class without any image. Where an
    image may have several labels they are set aside whatever their labels, but never the last training image of one.

    Args:
        data: the data set.
        fraction: share of the training images to set aside.
        seed: decides which images.

    Raises:
        DataError: a class has a single image, or there are too few images.
    """
    if data.validation is not None:
        return data
    labels, rng, unseen = data.train.labels, np.random.default_rng(seed), []
    aside = np.zeros(len(labels), bool)
    small = f"{data.name} is too small to set {fraction:.0%} aside for validation"
    if data.multi_label:
        left, wanted = labels.sum(0, np.int64), max(1, round(fraction * len(labels)))
        for row in rng.permutation(len(labels)).tolist():
            if wanted and (left[labels[row] > 0] > 1).all():
                aside[row] = True
                left -= labels[row]
                wanted -= 1
        if not labels[aside].any() or not labels[~aside].any():
            raise DataError(f"{small}: add images, or a validation split.")
        unseen = [data.class_names[k] for k in np.flatnonzero((labels[aside].sum(0) == 0) & (labels.sum(0) > 0))]
    else:
        for k in np.unique(labels):  # a class that is declared only has no images to set aside
            rows = np.flatnonzero(labels == k)
            if len(rows) < 2:
                name = data.class_names[k]
                raise DataError(f"{small}: class {name!r} has one image. Add images, or a validation split.")
            aside[rng.permutation(rows)[: min(max(round(fraction * len(rows)), 1), len(rows) - 1)]] = True
    how = ", whatever their labels" if data.multi_label else " of each class"
    notes = [f"no validation split: {aside.sum()} of {len(labels)} training images ({fraction:.0%}{how}) are set aside"]
    notes += [f"none of those has {listing(unseen)}, so nothing is known of them"] if unseen else []
    return replace(
        data,
        train=data.train.take(np.flatnonzero(~aside)),
        validation=data.train.take(np.flatnonzero(aside), f"{fraction:.0%} of {data.train.name}"),
        notes=(*data.notes, *notes),
        set_aside=True,
    )
