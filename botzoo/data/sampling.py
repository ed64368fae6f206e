"""Epochs in which rare classes come as often as others."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Sampling = Literal["uniform", "balanced", "sqrt"]


class ClassSampler:
    """Epochs of as many images as there are, drawn class by class, as a pure function of the seed and the epoch.

    Class k gets a share in proportion to ``n_k^power`` (B. Kang and others, *Decoupling Representation and Classifier for
    Long-Tailed Recognition*, ICLR 2020, arXiv:1910.09217, equation 1): 0 is class-balanced sampling, 1/2 square-root sampling.
    Within a class each image comes once before any comes twice.

    Args:
        labels: of the training images, int64, shape (N,).
        power: in [0, 1].
    """

    def __init__(self, labels: NDArray[np.int64], power: float) -> None:
        self.images = len(labels)
        self.members = [np.flatnonzero(labels == k) for k in np.unique(labels)]
        worth = np.array([len(rows) for rows in self.members], np.float64) ** power
        self.shares = self.images * worth / worth.sum()
        self._last: tuple[tuple[int, int], list[tuple[int, int]]] | None = None

    def epoch(self, seed: int, epoch: int) -> list[tuple[int, int]]:
        """Return (image, turn) for each place of an epoch; the turn counts from 0 how often the image came before."""
        if self._last is not None and self._last[0] == (seed, epoch):
            return self._last[1]
        rng = np.random.default_rng((seed, epoch, *b"classes"))
        # What rounding leaves over goes by remainder, and by lot where those are equal.
        quotas: NDArray[np.int64] = np.floor(self.shares).astype(np.int64)
        order = np.lexsort((rng.random(len(quotas)), quotas - self.shares))
        quotas[order[: self.images - quotas.sum()]] += 1
        parts = []
        for rows, quota in zip(self.members, quotas.tolist(), strict=True):
            passes = [rng.permutation(rows) for _ in range(-(-quota // len(rows)))]
            drawn = np.concatenate(passes)[:quota] if passes else rows[:0]
            parts.append(np.stack([drawn, np.arange(quota) // len(rows)], 1))
        places = [(image, turn) for image, turn in rng.permutation(np.concatenate(parts)).tolist()]
        self._last = (seed, epoch), places
        return places

    @property
    def most_often(self) -> int:
        """How often an image may come in one epoch."""
        return max(-(-int(np.ceil(share)) // len(rows)) for share, rows in zip(self.shares, self.members, strict=True))


def class_sampler(labels: NDArray[Any] | None, sampling: Sampling) -> ClassSampler | None:
    """Return what draws the images of each epoch, or None where every image comes once, as of a stream."""
    powers = {"balanced": 0.0, "sqrt": 0.5}
    return ClassSampler(labels, powers[sampling]) if sampling != "uniform" and labels is not None else None
