"""Which images each process sees at which step: a pure function of the seed."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from botzoo.data.sampling import ClassSampler
from botzoo.data.transforms import Key


@lru_cache(1)  # every step of an epoch asks for it
def _permutation(images: int, seed: int, epoch: int) -> list[int]:
    order: list[int] = np.random.default_rng((seed, epoch)).permutation(images).tolist()
    return order


@dataclass(frozen=True)
class Order:
    """Which images each process sees at which step, as a pure function of the seed.

    The global batch of a step does not depend on the number of processes: process r of W takes every W-th image of it
    from the r-th on, in ``accumulate`` micro-batches. The images that do not fill a last batch are left out of that
    epoch. Every image comes once in an epoch, unless a ``sampler`` draws them by their classes.

    Attributes:
        images: number of training images, >= batch_size.
        batch_size: images in a global batch, a multiple of world_size * accumulate.
        seed: the run's seed.
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
        batch = slice(k * self.batch_size, (k + 1) * self.batch_size)
        if self.sampler is not None:
            return [(epoch, i, turn) for i, turn in self.sampler.epoch(self.seed, epoch)[batch]]
        return [(epoch, i) for i in _permutation(self.images, self.seed, epoch)[batch]]

    def micro_batches(self, step: int) -> list[list[Key]]:
        """Return the keys of this process at ``step``, one list for each micro-batch."""
        mine = self.global_batch(step)[self.rank :: self.world_size]
        size = len(mine) // self.accumulate
        return [mine[i : i + size] for i in range(0, len(mine), size)]


def share(images: int, rank: int, world_size: int) -> range:
    """Return which images of a split process ``rank`` evaluates: the rank-th of W parts, all but equal in size."""
    return range(images * rank // world_size, images * (rank + 1) // world_size)
