"""Intersection over union and pixel accuracy of masks, from counts of pixels that are added up batch by batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from botzoo.sources.targets.coding import IGNORED
from botzoo.tasks.metrics.dense.resampling import each_resample
from botzoo.tasks.metrics.resampling import GroupNumbers

Counts = NDArray[np.int64]
"""Pixels of K classes, shape (..., 3, K): those that are right, those that are there, those that were said."""


def confusion(true: NDArray[np.uint8], said: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Return how many pixels of each class were said to be of each, shape (K, K), rows what they are.

    Args:
        true: classes of pixels, of any shape, or ``IGNORED``, which are left out.
        said: the same of the network, of that shape, in [0, K).
    """
    counted = true != IGNORED
    pairs = true[counted].astype(np.int64) * classes + said[counted]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def counts_of(matrix: NDArray[np.int64]) -> Counts:
    """Return right, there and said of a confusion matrix, shape (3, K): what a resample needs of an image."""
    return np.stack([matrix.diagonal(), matrix.sum(1), matrix.sum(0)])


def intersection_over_union(counts: Counts) -> NDArray[np.float64]:
    """Return that of each class in [0, 1], shape (..., K); NaN of classes that are neither there nor said."""
    right, there, said = (counts[..., k, :] for k in range(3))
    return shares(right, there + said - right)


def mean_iou(counts: Counts) -> NDArray[np.float64]:
    """Return the mean over the classes that are there or said, in [0, 1], shape (...); NaN where there is none."""
    return mean_known(intersection_over_union(counts))


def pixel_accuracy(counts: NDArray[np.integer | np.floating]) -> NDArray[np.float64]:
    """Return the share of pixels that are right, in [0, 1], shape (...); NaN where none has a class."""
    return shares(counts[..., 0, :].sum(-1), counts[..., 1, :].sum(-1))


def mean_accuracy(counts: NDArray[np.integer | np.floating]) -> NDArray[np.float64]:
    """Return the mean over the classes that are there of the share of their pixels that are right, as ``mean_iou``."""
    return mean_known(shares(counts[..., 0, :], counts[..., 1, :]))


def shares(parts: NDArray[np.integer | np.floating], wholes: NDArray[np.integer | np.floating]) -> NDArray[np.float64]:
    """Return parts / wholes, NaN where the whole is 0."""
    found: NDArray[np.float64] = np.full(np.shape(wholes), np.nan)
    np.divide(parts, wholes, out=found, where=wholes > 0)
    return found


def mean_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the last axis of what is not NaN; NaN where nothing is."""
    return shares(np.nansum(values, -1), (~np.isnan(values)).sum(-1))


def resampled_counts(counts: Counts, groups: GroupNumbers | None = None) -> Counts:
    """Return the sums over each resample of N images, or of their groups, shape (R, 3, K), of their counts, (N, 3, K)."""
    flat = counts.reshape(len(counts), -1)
    return np.array([times @ flat for times in each_resample(len(counts), groups)]).reshape(-1, *counts.shape[1:])


def resampled_iou(counts: Counts, groups: GroupNumbers | None = None) -> NDArray[np.float64]:
    """Return the mean intersection over union of each resample, shape (R,); arguments as of ``resampled_counts``."""
    return mean_iou(resampled_counts(counts, groups))
