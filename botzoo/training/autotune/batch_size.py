"""--batch-size auto: the largest power of two for which the memory suffices and that leaves an epoch enough steps."""

import os
from collections.abc import Callable, Iterable

from accelerate import Accelerator
from accelerate.utils import gather_object

from botzoo.errors import ConfigError
from botzoo.options.choices import Choice
from botzoo.training.autotune.memory import available_memory
from botzoo.training.autotune.micro_batch import largest_micro_batch
from botzoo.training.callbacks import Callback
from botzoo.training.plan import memory_of
from botzoo.training.setup import build
from botzoo.training.sizes import LARGEST_BATCH, STEPS_PER_EPOCH
from botzoo.training.state import Draft, Run
from botzoo.util.private import forget_prepared
from botzoo.util.text import mib

USABLE = 0.5
"""Share of the free main memory that the estimate may fill: it leaves out gradients of activations and what libraries take."""


class LargestBatch(Callback):
    """Chooses a number in place of --batch-size auto.

    On a GPU a step of each size is tried, from the largest down; elsewhere the memory is estimated. Either way it is that of a
    step in which everything is trained, as it may be later in the run.
    """

    def on_resolve(self, draft: Draft) -> Iterable[Choice]:
        """Choose the batch size; raise ConfigError where not even the smallest one fits."""
        if draft.config.batch_size != "auto":
            return
        run = build(draft)
        limit = run.order.batch_size // run.order.world_size
        fits, reason = (_tried if run.accelerator.device.type == "cuda" else _estimated)(run, limit)
        forget_prepared(run.accelerator, run.model)  # the network is wrapped anew for the run
        batch = fits * run.order.world_size
        if batch < 2:
            raise ConfigError(
                "--batch-size auto: the memory suffices for one image at a time only: free some, or give a smaller --model."
            )
        if fits == limit:
            reason = f"the memory suffices, and {_why_no_more(batch)}"
        yield Choice("batch_size", batch, reason, "--batch-size auto")


def _why_no_more(batch: int) -> str:
    if 2 * batch > LARGEST_BATCH:
        return f"{LARGEST_BATCH:,} is the largest of the paper"
    return f"twice as many would leave an epoch under {STEPS_PER_EPOCH} steps"


def _tried(run: Run, limit: int) -> tuple[int, str]:
    run.trainer.start_epoch()
    fits = largest_micro_batch(run.trainer, limit, run.feed.whole.largest_size, lambda text: None)
    return fits, f"{2 * fits} images for each process did not fit into the GPU's memory"


def _estimated(run: Run, limit: int) -> tuple[int, str]:
    one, two = (memory_of(run, images).total for images in (1, 2))
    room = _room(run.accelerator)

    def needed(images: int) -> int:
        return one + (images - 1) * (two - one)

    fits = largest_fitting(limit, needed, room)
    return fits, (
        f"{2 * fits} images for each process would take {mib(needed(2 * fits))} MiB by estimate, and {mib(room)} MiB are half "
        "of what is free"
    )


def _room(accelerator: Accelerator) -> int:
    """Return the bytes that each process may take: a part of what is free, the same for all."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", accelerator.num_processes))
    return int(min(gather_object([USABLE * available_memory() / local])))


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
