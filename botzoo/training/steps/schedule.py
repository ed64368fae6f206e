"""The learning rate of every step, as a pure function."""

import math
from bisect import bisect_right
from dataclasses import dataclass

from botzoo.data.order import Order
from botzoo.options.config import TrainConfig
from botzoo.tricks.cosine import cosine
from botzoo.tricks.linear_scaling import linear_scaling
from botzoo.tricks.warmup import warmup


@dataclass(frozen=True)
class Schedule:
    """Learning rate of every step: peak x warmup x decay. Nothing to prepare, save or restore.

    Attributes:
        peak: learning rate after the warmup.
        cosine: whether it falls from there to 0 along a cosine.
        warmup_steps: less than total_steps.
        falls: the steps, rising, from each of which on it is ``factor``, in (0, 1], times what it was. They are known before
            the run except on a plateau, where the run adds them as they come and keeps them in its checkpoints.
    """

    peak: float
    total_steps: int
    warmup_steps: int = 0
    cosine: bool = True
    falls: tuple[int, ...] = ()
    factor: float = 1.0

    def lr(self, step: int) -> float:
        """Return the learning rate of step ``step``, counted from 0."""
        after = step - self.warmup_steps
        if after < 0:
            decay = warmup(step, self.warmup_steps)
        else:
            decay = cosine(after, self.total_steps - self.warmup_steps) if self.cosine else 1.0
        fallen = bisect_right(self.falls, step)  # a fall counts from its own step on
        return self.peak * decay * self.factor**fallen


def fall_epochs(decay: str, epochs: float, milestones: tuple[int, ...] | None = None, every: int = 2) -> list[int]:
    """Return the whole epochs, warmup included, after which the learning rate falls in a run of ``epochs``.

    Args:
        decay: "step" falls at ``milestones``, by default every quarter of the run as in the paper (30, 60 and 90 of 120);
            "exponential" every ``every`` epochs, a staircase; "constant" never; "plateau" at epochs not known beforehand.
        epochs: of the whole run, the last of which may be cut short.
    """
    if decay == "step":
        quarters = sorted({math.ceil(epochs * k / 4) for k in (1, 2, 3)})  # of very few epochs some are the same
        return [epoch for epoch in milestones or quarters if epoch < epochs]
    return list(range(every, math.ceil(epochs), every)) if decay == "exponential" else []


def make_schedule(config: TrainConfig, order: Order) -> Schedule:
    """Return the learning rate of every step of a run of ``config.steps`` or ``config.epochs``.

    Where a --budget has still to set the length, it is that of one epoch for the time being.
    """
    optim, each = config.optim, order.steps_per_epoch
    peak = linear_scaling(config.lr, order.batch_size) if config.linear_scaling else config.lr
    total = config.steps if config.steps is not None else (config.epochs or 1) * each
    warmup_steps = min(round(config.warmup * each), total - 1)  # one step at the peak is left at least
    falls = fall_epochs(optim.decay, total / each, optim.milestones, optim.decay_every)
    return Schedule(peak, total, warmup_steps, config.cosine, tuple(epoch * each for epoch in falls), optim.factor)
