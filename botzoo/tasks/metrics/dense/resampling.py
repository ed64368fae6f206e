"""Bootstrap over images: resamples that are the same for all networks, so that their differences are paired."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 500
"""Of the images, with replacement; seed 0."""


def resamples(images: int) -> Iterator[NDArray[np.int64]]:
    """Yield how often each image counts in a resample, shape (images,), ``RESAMPLES`` times."""
    rng = np.random.default_rng(0)
    shares = np.full(images, 1 / images)
    for _ in range(RESAMPLES):
        yield rng.multinomial(images, shares)


def interval(resampled: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of a figure, or of a difference, whose values in the resamples are given, shape (R,)."""
    low, high = np.nanpercentile(resampled, (2.5, 97.5))
    return float(low), float(high)
