"""Bootstrap over images: resamples that are the same for all networks, so that their differences are paired."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.tasks.metrics.resampling import GroupNumbers, Times, percentiles, resamples

RESAMPLES = 500
"""Of the images: fewer than of classification, since each ranks all boxes, or adds up all masks, once more."""


def each_resample(images: int, groups: GroupNumbers | None = None) -> Iterator[Times]:
    """Yield how often each image counts, shape (images,), in one of the ``RESAMPLES`` resamples after the other."""
    for part in resamples(images, RESAMPLES, groups):
        yield from part


def interval(resampled: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of a figure, or of a difference, whose values in the resamples are given, shape (R,).

    Resamples in which it is not defined, NaN, do not count; where it is in none, neither is the interval.
    """
    known = resampled[~np.isnan(resampled)]
    return percentiles(known) if len(known) else (float("nan"), float("nan"))


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
