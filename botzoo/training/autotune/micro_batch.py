"""The largest micro-batch that a GPU's memory holds."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from botzoo.data.order import Order
from botzoo.errors import ConfigError
from botzoo.training.steps.trainer import Trainer

log = logging.getLogger("botzoo")


def fit_micro_batch(
    probe: Callable[[int], None],
    largest: int,
    say: Callable[[str], None],
    everywhere: Callable[[bool], bool] = lambda fits: fits,
) -> int:
    """Return the largest divisor of ``largest``, at each try at most half the last, that ``probe`` has GPU memory for.

    Args:
        probe: runs one pass over so many images; raises torch.OutOfMemoryError when memory does not suffice.
        largest: micro-batch to begin with, >= 1.
        say: is told of each halving.
        everywhere: tells whether it fits on every process, given whether it does on this one.

    Raises:
        ConfigError: not even one image fits.
    """
    size = largest
    while True:
        if everywhere(_fits(probe, size)):
            return size
        if size == 1:
            raise ConfigError("The GPU's memory does not suffice for one image: give a smaller --model or --img-size.")
        size = max(d for d in range(1, size // 2 + 1) if largest % d == 0)
        say(f"out of GPU memory: micro-batch halved to {size} images, the global batch stays the same")


def _fits(probe: Callable[[int], None], size: int) -> bool:
    try:
        probe(size)
    except torch.OutOfMemoryError:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return False
    return True


def fit_memory(trainer: Trainer, order: Order, size: int) -> Order:
    """On a GPU, halve the micro-batch until one of images ``size`` pixels wide fits; all processes take the smallest."""
    if trainer.accelerator.device.type != "cuda":
        return order
    say = partial(log.info, "%-10s %s", "memory")
    fits = largest_micro_batch(trainer, order.micro_batch, size, say)
    return replace(order, accumulate=order.batch_size // (order.world_size * fits))


def largest_micro_batch(trainer: Trainer, largest: int, size: int, say: Callable[[str], None]) -> int:
    """Return the largest part of ``largest`` images, ``size`` pixels wide, that the memory of every process's GPU holds.

    Raises:
        ConfigError: not even one image fits.
    """
    accelerator = trainer.accelerator
    generator = torch.Generator().manual_seed(0)

    def probe(micro: int) -> None:
        pixels = torch.randint(0, 256, (micro, size, size, 3), dtype=torch.uint8, generator=generator)
        trainer.probe((pixels.permute(0, 3, 1, 2), trainer.objective.labels_of(micro)))

    def everywhere(fits: bool) -> bool:
        return bool(accelerator.gather(torch.tensor([fits], device=accelerator.device)).all())

    return fit_micro_batch(probe, largest, say, everywhere)
