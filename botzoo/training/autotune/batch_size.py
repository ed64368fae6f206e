"""How many images at once: --batch-size auto, and the largest micro-batch that a GPU's memory holds."""

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import torch
from accelerate.utils import gather_object

from botzoo.data.order import Order
from botzoo.errors import ConfigError
from botzoo.models.preprocessing import Size
from botzoo.options.choices import Choice
from botzoo.training.autotune.memory import available_memory
from botzoo.training.callbacks import Callback
from botzoo.training.plan import memory_of
from botzoo.training.setup import build
from botzoo.training.sizes import LARGEST_BATCH, STEPS_PER_EPOCH
from botzoo.training.state import Draft, Run
from botzoo.training.steps.trainer import Trainer
from botzoo.util.private import forget_prepared
from botzoo.util.text import counted, mib

log = logging.getLogger("botzoo")

USABLE = 0.5
"""Share of the free main memory that the estimate may fill: it leaves out gradients of activations and what libraries take."""


class LargestBatch(Callback):
    """Chooses a number for --batch-size auto: the largest power of two that fits and leaves an epoch enough steps.

    On a GPU a step of each size is tried, from the largest down; elsewhere the memory is estimated. Either way it is that
    of a step in which everything is trained, as it may be later in the run.
    """

    def on_resolve(self, draft: Draft) -> Iterable[Choice]:
        """Choose the batch size.

        Raises:
            ConfigError: not even the smallest one fits.
        """
        if draft.config.batch_size != "auto":
            return
        run = build(draft)
        limit = run.order.batch_size // run.order.world_size
        fits, reason = (_tried if run.accelerator.device.type == "cuda" else _estimated)(run, limit)
        forget_prepared(run.accelerator, run.model)  # the network is wrapped anew for the run
        batch = fits * run.order.world_size
        if batch < 2:  # BatchNorm has no variance of a single image
            raise ConfigError("--batch-size auto: memory for one image only: free some, or give a smaller --model.")
        if fits == limit:  # the data set or the paper stood in the way, not the memory
            few_steps = f"twice as many would leave an epoch under {STEPS_PER_EPOCH} steps"
            largest = f"{LARGEST_BATCH:,} is the largest of the paper"
            reason = f"the memory suffices, and {largest if 2 * batch > LARGEST_BATCH else few_steps}"
        yield Choice("batch_size", batch, reason, "--batch-size auto")


def _tried(run: Run, limit: int) -> tuple[int, str]:
    run.trainer.start_epoch()
    fits = largest_micro_batch(run.trainer, limit, run.feed.whole.largest_size, lambda text: None)
    return fits, f"{2 * fits} images for each process did not fit into the GPU's memory"


def _estimated(run: Run, limit: int) -> tuple[int, str]:
    one, two = (memory_of(run, images).total for images in (1, 2))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", run.accelerator.num_processes))  # which share this machine's memory
    room = int(min(gather_object([USABLE * available_memory() / local])))  # the same for all processes, in bytes

    def needed(images: int) -> int:
        return one + (images - 1) * (two - one)  # all but the first image add the same

    fits = largest_fitting(limit, needed, room)
    return fits, (
        f"{2 * fits} images for each process would take {mib(needed(2 * fits))} MiB by estimate, and {mib(room)} MiB are half "
        "of what is free"
    )


def largest_fitting(limit: int, needed: Callable[[int], int], room: int) -> int:
    """Return ``limit``, a power of two, halved until what is ``needed`` for so many images is within ``room``, in bytes.

    Raises:
        ConfigError: it is not even for one image.
    """
    images = limit
    while needed(images) > room:
        if images == 1:
            raise ConfigError(
                f"--batch-size auto: one image takes {mib(needed(1))} MiB by estimate and {mib(room)} MiB are half of what is "
                "free: free some memory, or give a smaller --model or --img-size."
            )
        images //= 2
    return images


def fit_memory(trainer: Trainer, order: Order, size: Size) -> Order:
    """On a GPU, halve the micro-batch until one of images of this ``size`` fits on all; elsewhere leave it."""
    if trainer.accelerator.device.type != "cuda":
        return order
    fits = largest_micro_batch(trainer, order.micro_batch, size, partial(log.info, "%-10s %s", "memory"))
    return replace(order, accumulate=order.batch_size // (order.world_size * fits))


def largest_micro_batch(trainer: Trainer, largest: int, size: Size, say: Callable[[str], None]) -> int:
    """Return the largest divisor of ``largest``, at each try at most half the last, that all GPUs have the memory for.

    Args:
        trainer: runs one pass over so many images of this ``size``, which leaves no trace.
        largest: micro-batch to begin with, >= 1.
        say: is told of each halving.

    Raises:
        ConfigError: not even one image fits.
    """
    accelerator, generator = trainer.accelerator, torch.Generator().manual_seed(0)
    channels = trainer.preprocessing.channels

    def fits(micro: int) -> bool:
        pixels = torch.randint(0, 256, (micro, *size, channels), dtype=torch.uint8, generator=generator)
        try:
            trainer.probe((pixels.permute(0, 3, 1, 2), trainer.objective.labels_of(micro, size)))
        except torch.OutOfMemoryError:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # what the larger one reserved would be missing for the smaller one
            return False
        return True

    micro = largest
    # Every process tries each size by itself and hears of the others, so that all come to the same.
    while not accelerator.gather(torch.tensor([fits(micro)], device=accelerator.device)).all():
        if micro == 1:
            raise ConfigError("The GPU's memory does not suffice for one image: give a smaller --model or --img-size.")
        micro = max(d for d in range(1, micro // 2 + 1) if largest % d == 0)  # a divisor keeps the global batch
        say(f"out of GPU memory: micro-batch halved to {counted(micro, 'image')}, the global batch stays the same")
    return micro
