"""Metrics of masks besides the mean intersection over union, of many resamples of the images at once, in per cent."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from botzoo.tasks.metrics.dense import regions
from botzoo.tasks.metrics.metric import Metric
from botzoo.tasks.metrics.resampling import Resampled

Floats = NDArray[np.float64]


class WeightedPixels(Resampled):
    """What was said of the pixels of N images, each of which counts so often."""

    @cached_property
    def counts(self) -> Floats:
        """Pixels that are right, there and said, shape (R, 3, K)."""
        own: NDArray[np.int64] = self.seen.counts
        sums: Floats = self.weights @ own.reshape(len(own), -1)
        return sums.reshape(-1, *own.shape[1:])


def accuracy(of: WeightedPixels) -> Floats:
    """Return the share of pixels that are right, shape (R,)."""
    return 100 * regions.pixel_accuracy(of.counts)


def mean_accuracy(of: WeightedPixels) -> Floats:
    """Return the mean over the classes that occur of the share of their pixels that are right, shape (R,)."""
    return 100 * regions.mean_accuracy(of.counts)


PIXEL_METRICS: tuple[Metric, ...] = (
    Metric("pixel-accuracy", "pixel accuracy", "share of pixels whose class is right", accuracy, "pixel_accuracy"),
    Metric("mean-accuracy", "mean accuracy", "that of each class, mean of the classes", mean_accuracy, "mean_accuracy"),
)
"""In the order in which they are shown."""
