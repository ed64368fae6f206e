"""Images ranked by what a network says of one class: average precision and area under the ROC curve, resampled too."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Sums(NamedTuple):
    """How often the images with the class count, (R, P), and how often those down to each place do together, (R, N)."""

    gains: NDArray[np.float64]
    seen: NDArray[np.float64]


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

    def sums(self, times: NDArray[np.int64] | None = None) -> Sums:
        """Return what both figures are made of.

        Args:
            times: how often each image counts in each of R resamples, shape (R, N); None for one that has each once.
        """
        weights = np.ones((1, len(self.order))) if times is None else times[:, self.order].astype(np.float64)
        return Sums(weights[:, self.at], weights.cumsum(1))

    def precision(self, sums: Sums) -> NDArray[np.float64]:
        """Return average precision, ``sum_n (R_n - R_(n-1)) P_n`` over the thresholds, as scikit-learn has it.

        It is in [0, 1], shape (R,); NaN where no image that counts has the class.
        """
        seen = np.maximum(sums.seen[:, self.last], 1)  # a resample may leave out the images at the top
        precision = sums.gains.cumsum(1)[:, self.until] / seen
        return ratio((sums.gains * precision).sum(1), sums.gains.sum(1))

    def auc(self, sums: Sums) -> NDArray[np.float64]:
        """Return the area under the ROC curve: how often an image with the class ranks before one without, a tie being half.

        It is in [0, 1], shape (R,); NaN where all images that count have the class, or none has it.
        """
        seen, having = sums.seen, np.pad(sums.gains.cumsum(1), ((0, 0), (1, 0)))
        # images without the class that rank before, and those until the last that ranks alike
        before = np.where(self.before < 0, 0, seen[:, self.before]) - having[:, self.since]
        until = seen[:, self.last] - having[:, self.until + 1]
        passed = (sums.gains * (before + until)).sum(1) / 2
        return 1 - ratio(passed, having[:, -1] * (seen[:, -1] - having[:, -1]))


def ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quotient, NaN where ``whole`` is 0."""
    found: NDArray[np.float64] = np.full_like(whole, np.nan)
    return np.divide(part, whole, out=found, where=whole != 0)
