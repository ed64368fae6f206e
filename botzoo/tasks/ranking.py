"""Images ranked by what a network says of one class: average precision and area under the ROC curve, resampled too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Ranked:
    """The images in the order of what a network says of one class, for figures of their order with and without resampling.

    Args:
        labels: shape (N,), 1 where an image has the class, else 0.
        scores: shape (N,), higher where it is likelier.
    """

    def __init__(self, labels: NDArray[Any], scores: NDArray[np.float32]) -> None:
        self.order = np.argsort(-scores, kind="stable")
        ranked = scores[self.order]
        places = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # images with one score rank as one
        # What counts is where the class is: its places, the last ones that are as likely, how many have it until then.
        self.at = np.flatnonzero(labels[self.order])
        tie = np.searchsorted(places, self.at)
        self.last = places[tie]
        self.until = np.searchsorted(self.at, self.last, "right") - 1
        # The places before the first that is as likely, and how many have the class before it; -1 and 0 for none.
        self.before = np.append(-1, places)[tie]
        self.since = np.searchsorted(self.at, self.before, "right")

    def precision(self, times: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return average precision, ``sum_n (R_n - R_(n-1)) P_n`` over the thresholds, as scikit-learn has it.

        It is in [0, 1], shape (R,), one for each row of ``times``, shape (R, N): how often each image counts, None for
        each once. It is NaN where no image that counts has the class.
        """
        weights = self._ranked(times)
        gains = weights[:, self.at]
        seen = np.maximum(weights.cumsum(1)[:, self.last], 1)  # a resample may leave out the images at the top
        precision = gains.cumsum(1)[:, self.until] / seen
        return _ratio((gains * precision).sum(1), gains.sum(1))

    def auc(self, times: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return the area under the ROC curve: how often an image with the class ranks before one without, a tie being half.

        It is in [0, 1], of the shape of ``precision``; NaN where all images that count have the class, or none has it.
        """
        weights = self._ranked(times)
        gains, seen = weights[:, self.at], _from_zero(weights.cumsum(1))
        having = _from_zero(gains.cumsum(1))
        # images without the class that rank before, and those until the last that ranks alike
        before = seen[:, self.before + 1] - having[:, self.since]
        until = seen[:, self.last + 1] - having[:, self.until + 1]
        passed = (gains * (before + until)).sum(1) / 2
        return 1 - _ratio(passed, having[:, -1] * (seen[:, -1] - having[:, -1]))

    def _ranked(self, times: NDArray[np.int64] | None) -> NDArray[np.float64]:
        return np.ones((1, len(self.order))) if times is None else times[:, self.order].astype(np.float64)


def _from_zero(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.pad(sums, ((0, 0), (1, 0)))


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.full_like(whole, np.nan)
    return np.divide(part, whole, out=found, where=whole > 0)
