"""Resamples of evaluated images, with replacement, for bootstrap intervals (B. Efron, R. Tibshirani, *An Introduction to the
Bootstrap*, 1993, chapter 13).

Images of one patient, place or video are right and wrong together, so where images belong to groups whole groups are drawn:
else the intervals would be too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
AT_ONCE = 1 << 21  # numbers that a part of the resamples takes for one class

Times = NDArray[np.int64]
"""How often each of N images counts in each of R resamples, shape (R, N)."""

GroupNumbers = NDArray[np.int64]
"""The groups of N images, numbers from 0 on without a gap, shape (N,)."""


def resamples(images: int, count: int, groups: GroupNumbers | None = None) -> Iterator[Times]:
    """Yield ``count`` resamples of so many images, or of their ``groups``, part by part; seed 0, so always the same ones."""
    units, rng = images if groups is None else int(groups.max()) + 1, np.random.default_rng(0)
    for first in range(0, count, part := max(1, AT_ONCE // images)):
        rows = min(part, count - first)
        drawn = rng.integers(0, units, (rows, units)) + units * np.arange(rows)[:, None]  # quicker than a multinomial
        times = np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units)
        yield times if groups is None else times[:, groups]


def percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the middle 95 % of the figures of all resamples."""
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def mean_interval(values: NDArray[np.float64], groups: GroupNumbers) -> tuple[float, float]:
    """Return the 95 % interval, in per cent, of the mean of N ``values`` in groups, shapes (N,)."""
    sums, images = np.bincount(groups, values), np.bincount(groups)
    parts = [times @ sums / (times @ images) for times in resamples(len(images), RESAMPLES)]
    low, high = percentiles(np.concatenate(parts))
    return 100 * low, 100 * high


class Resampled:
    """What a network said of N images, each of which counts so often in each of R resamples.

    Args:
        seen: the evaluation of the images.
        times: how often, shape (R, N); None for one resample that has each image once.
    """

    def __init__(self, seen: Any, times: Times | None = None) -> None:
        self.seen, self.times = seen, times
        self.weights: NDArray[np.float64] = np.ones((1, len(seen))) if times is None else times.astype(np.float64)
        self.images: NDArray[np.float64] = self.weights.sum(1)
