"""The order of the images in training, and which of them each process sees."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from botzoo.data.transforms import Key


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

    def epoch(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Return (image, turn) of each place of an epoch, shape (N, 2); the turn is how often the image came before."""
        rng = np.random.default_rng((seed, epoch, *b"classes"))
        # What rounding leaves over goes by remainder, and by lot where those are equal.
        quotas: NDArray[np.int64] = np.floor(self.shares).astype(np.int64)
        order = np.lexsort((rng.random(len(quotas)), quotas - self.shares))
        quotas[order[: self.images - quotas.sum()]] += 1
        parts = []
        for rows, quota in zip(self.members, quotas.tolist(), strict=True):
            passes = [rng.permutation(rows) for _ in range(-(-quota // len(rows)))]
            drawn = np.concatenate(passes)[:quota] if passes else rows[:0]  # a tiny share may come to no image
            parts.append(np.stack([drawn, np.arange(quota) // len(rows)], 1))
        return rng.permutation(np.concatenate(parts))

    @property
    def most_often(self) -> int:
        """How often an image may come in one epoch."""
        return max(-(-int(np.ceil(share)) // len(rows)) for share, rows in zip(self.shares, self.members, strict=True))


def class_sampler(labels: NDArray[Any] | None, sampling: Literal["uniform", "balanced", "sqrt"]) -> ClassSampler | None:
    """Return what draws the images of each epoch, or None where every image comes once, as of a stream."""
    powers = {"balanced": 0.0, "sqrt": 0.5}
    return ClassSampler(labels, powers[sampling]) if sampling != "uniform" and labels is not None else None


@dataclass(frozen=True)
class Order:
    """Which images each process sees at which step, as a pure function of the seed.

    The global batch of a step does not depend on the number of processes: process r of W takes every W-th image of it
    from the r-th on, in ``accumulate`` micro-batches. The images that do not fill a last batch are left out of that
    epoch. Every image comes once in an epoch, unless a ``sampler`` draws them by their classes.

    Attributes:
        images: number of training images, >= batch_size.
        batch_size: images in a global batch, a multiple of world_size * accumulate.
        rank, world_size: this process and how many there are.
        accumulate: micro-batches of a process in a step.
        sampler: draws the images of each epoch, None where each comes once.
    """

    images: int
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1
    accumulate: int = 1
    sampler: ClassSampler | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        return self.images // self.batch_size

    @property
    def micro_batch(self) -> int:
        """Images of a process in one forward pass."""
        return self.batch_size // (self.world_size * self.accumulate)

    def global_batch(self, step: int) -> list[Key]:
        """Return the keys of all images of optimizer step ``step``, counted from 0 over all epochs."""
        epoch, k = divmod(step, self.steps_per_epoch)
        places = _places(self.images, self.seed, epoch, self.sampler)
        return [(epoch, *place) for place in places[k * self.batch_size : (k + 1) * self.batch_size].tolist()]

    def micro_batches(self, step: int) -> list[list[Key]]:
        """Return the keys of this process at ``step``, one list for each micro-batch."""
        mine = self.global_batch(step)[self.rank :: self.world_size]
        size = len(mine) // self.accumulate
        return [mine[i : i + size] for i in range(0, len(mine), size)]


@lru_cache(1)  # every step of an epoch asks for it
def _places(images: int, seed: int, epoch: int, sampler: ClassSampler | None) -> NDArray[np.int64]:
    """Return the image at each place of an epoch, shape (N, 1), or also its turn, shape (N, 2), from a sampler."""
    if sampler is not None:
        return sampler.epoch(seed, epoch)
    return np.random.default_rng((seed, epoch)).permutation(images)[:, None]


def share(images: int, rank: int, world_size: int) -> range:
    """Return which images of a split process ``rank`` evaluates: the rank-th of W parts, all but equal in size."""
    return range(images * rank // world_size, images * (rank + 1) // world_size)
