"""Splits that a run makes itself: validation images set aside, and folds."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.sources.base import ImageData, Split
from botzoo.sources.groups import numbered
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import counted, listing


def without_test(data: ImageData[Any]) -> ImageData[Any]:
    """Return ``data`` without its test split, which is not even read then."""
    return data if data.test is None else replace(data, test=None, notes=(*data.notes, "the test split is left unread"))


def joined(data: ImageData[Split]) -> ImageData[Split]:
    """Return ``data`` with training and validation images as one training split; the test split is left out."""
    data = without_test(data)
    return data if data.validation is None else replace(data, train=data.train.joined(data.validation), validation=None)


def in_fold(data: ImageData[Split], fold: int, folds: int, seed: int) -> ImageData[Split]:
    """Return ``data`` with one of ``folds`` stratified parts of its training images as test split, and without those.

    Args:
        data: without validation and test split.
        fold, folds: which part, from 1 on, of how many; of each class they differ by one image at most, or, where images
            belong to groups, by as little as whole groups allow.
        seed: decides which images.

    Raises:
        DataError: a class has fewer images than there are folds, or too few to set any aside for validation; or there are too
            few groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels = data.train.labels
    counts = data.train.class_counts(len(data.class_names))
    fewest = int(counts[counts > 0].min())
    which = f"class {in_quotes(data.class_names[np.flatnonzero(counts == fewest)[0]])} of {data.name}"
    if folds > fewest:
        advice = f"give {fewest} or fewer, or add images" if fewest > 2 else "add images, or remove the class"
        raise DataError(f"{folds} folds are too many: {which} has {counted(fewest, 'image')}: {advice}.")
    if fewest - -(-fewest // folds) < 2:  # of what is left, one is trained on and one chooses the epoch
        advice = "give 3 folds, or add images" if fewest > 2 else "add images, or remove the class"
        left = f"leave one training image of {which}, which has {fewest}"
        raise DataError(f"{folds} folds {left}, and two are needed: {advice}.")
    groups, images = data.train.groups, np.zeros(len(labels))
    if groups is None:
        cut = StratifiedKFold(folds, shuffle=True, random_state=seed).split(images, labels)
    else:
        if folds > (count := len(set(groups))):
            are = f"the images of {data.name} are {count} groups"
            raise DataError(f"{folds} folds are too many: {are}: give {count} or fewer.")
        cut = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(images, labels, numbered(groups))
    train, test = list(cut)[fold - 1]
    if groups is not None and (lost := np.setdiff1d(labels, labels[train])).size:
        all_of = (
            f"all images of class {in_quotes(data.class_names[lost[0]])} of {data.name} are in fold {fold} of {folds}"
        )
        raise DataError(
            f"{all_of}, as they are one group or few: add groups of it, give fewer folds, or remove the class."
        )
    part, whole = f"fold {fold} of {folds}", data.train
    share = f"its {len(test):,} of {len(labels):,} images are the test split"
    how = "class by class" if groups is None else "group by group"
    notes = *data.notes, f"{part}: {share}; the folds were cut {how} with seed {seed}"
    rest = whole.take(train, f"all of {whole.name} but {part}")
    return replace(data, train=rest, test=whole.take(test, f"{part} of {whole.name}"), notes=notes)


def with_validation(data: ImageData[Split], fraction: float, seed: int) -> ImageData[Split]:
    """Set ``fraction`` of each class's training images aside, at least one and not all, if there is no validation split.

    scikit-learn's stratified split keeps the shares on average only: it may leave a rare class without any image. Where an
    image may have several labels they are set aside whatever their labels, but never the last training image of one. Where
    images belong to groups, whole groups are set aside.

    Raises:
        DataError: a class has a single image, or there are too few images.
    """
    if data.validation is not None:
        return data
    draw = _class_by_class if data.train.labels.ndim == 1 else _whatever_labels
    draw = draw if data.train.groups is None else _group_by_group
    aside, how = draw(data, fraction, np.random.default_rng(seed))
    total, names = len(data.train), data.class_names
    train = data.train.take(np.flatnonzero(~aside))
    validation = data.train.take(np.flatnonzero(aside), f"{fraction:.0%} of {data.train.name}")
    notes = [f"no validation split: {aside.sum()} of {total} training images ({fraction:.0%}{how}) are set aside"]
    lost = (validation.class_counts(len(names)) == 0) & (data.train.class_counts(len(names)) > 0)
    if lost.any():
        unseen = listing([names[k] for k in np.flatnonzero(lost)])
        notes.append(f"none of those has {unseen}, so nothing is known of them")
    return replace(data, train=train, validation=validation, notes=(*data.notes, *notes), set_aside=True)


def _class_by_class(data: ImageData[Split], fraction: float, rng: np.random.Generator) -> tuple[NDArray[np.bool_], str]:
    """Choose images by labels of shape (N,): return whether each is set aside, shape (N,), and how, in words."""
    labels = data.train.labels
    aside = np.zeros(len(labels), bool)
    for k in np.unique(labels):  # a class that is declared only has no images to set aside
        rows = np.flatnonzero(labels == k)
        if len(rows) < 2:
            raise _too_small(data, fraction, f"class {in_quotes(data.class_names[k])} has one image. Add images")
        aside[rng.permutation(rows)[: min(max(round(fraction * len(rows)), 1), len(rows) - 1)]] = True
    return aside, " of each class"


def _whatever_labels(
    data: ImageData[Split], fraction: float, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], str]:
    """Choose images by labels of shape (N, K), any number to an image; return the same."""
    labels = data.train.labels
    aside = np.zeros(len(labels), bool)
    left, wanted = labels.sum(0, np.int64), max(1, round(fraction * len(labels)))
    for row in rng.permutation(len(labels)).tolist():
        if wanted and (left[labels[row] > 0] > 1).all():  # no label loses its last training image
            aside[row] = True
            left -= labels[row]
            wanted -= 1
    if not labels[aside].any():  # of images that are mostly without any, such as pictures without boxes
        some = np.flatnonzero(labels.any(1)).tolist()
        aside[[row for row in some if (left[labels[row] > 0] > 1).all()][:1]] = True
    if not labels[aside].any() or not labels[~aside].any():
        raise _too_small(data, fraction, "add images")
    return aside, ", whatever their labels"


def _group_by_group(data: ImageData[Split], fraction: float, rng: np.random.Generator) -> tuple[NDArray[np.bool_], str]:
    """Choose whole groups, each that brings every class nearer to its share, never the last training group of a class."""
    train = data.train
    assert train.groups is not None
    group = numbered(train.groups)
    rows = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    counts = data.train.class_counts(len(data.class_names))
    total, there = counts[counts > 0].astype(float), counts > 0
    aside, taken = np.zeros(len(train), bool), np.zeros(len(total))
    # The large ones first, as the small ones can make up for what they leave; of equal ones a random order.
    order = rng.permutation(len(rows))
    for k in order[np.argsort([-len(rows[k]) for k in order], kind="stable")]:
        more = taken + train.take(rows[k]).class_counts(len(counts))[there]
        nearer = np.square(more / total - fraction).sum() < np.square(taken / total - fraction).sum()
        if nearer and (more < total).all():
            aside[rows[k]], taken = True, more
    if not aside.any():
        raise _too_small(data, fraction, f"its images are {len(rows)} groups, and none can be spared. Add groups")
    chosen = len(np.unique(group[aside]))
    return aside, f" wanted, {aside.mean():.0%} by whole groups: {chosen} of {len(rows)}"


def _too_small(data: ImageData[Split], fraction: float, why: str) -> DataError:
    small = f"{data.name} is too small to set {fraction:.0%} aside for validation"
    return DataError(f"{small}: {why}, or a validation split.")
