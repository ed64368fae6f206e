"""Bootstrap over images: resamples that are the same for all networks, so that their differences are paired."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.tasks.metrics.resampling import GroupNumbers

RESAMPLES = 500
"""Of the images, with replacement; seed 0."""


def resamples(images: int, groups: GroupNumbers | None = None) -> Iterator[NDArray[np.int64]]:
    """Yield how often each image counts in a resample, shape (images,), ``RESAMPLES`` times.

    Where images belong to ``groups``, whole groups are drawn.
    """
    rng, units = np.random.default_rng(0), images if groups is None else int(groups.max()) + 1
    shares = np.full(units, 1 / units)
    for _ in range(RESAMPLES):
        times = rng.multinomial(units, shares)
        yield times if groups is None else times[groups]


def interval(resampled: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of a figure, or of a difference, whose values in the resamples are given, shape (R,).

    Resamples in which it is not defined, NaN, do not count; where it is in none, neither is the interval.
    """
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)


class Bootstrapped:
    """An evaluation whose ``score``, in per cent, has its value in each resample of the images as ``_resampled``."""

    score: Any
    _resampled: Any  # shape (R,), the same resamples for all evaluations of as many images

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of ``score``, in per cent: percentiles of a bootstrap over images, or their groups."""
        return interval(self._resampled)

    def gain(self, before: Any) -> tuple[float, float, float]:
        """Return the gain and its interval: percentiles of a bootstrap, of which each resample has the same images of both."""
        return self.score - before.score, *interval(self._resampled - before._resampled)
