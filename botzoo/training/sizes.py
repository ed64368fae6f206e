"""Batch sizes, and the image sizes that a network takes."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from botzoo.data.order import Order
from botzoo.errors import ConfigError
from botzoo.models.preprocessing import Size
from botzoo.options.config import TrainConfig
from botzoo.training.steps.trainer import Trainer
from botzoo.util.text import counted

STEPS_PER_EPOCH = 20
"""A batch that is chosen for the user leaves an epoch so many steps."""

LARGEST_BATCH = 1024
"""The largest batch of the paper (Table 3)."""


def make_order(config: TrainConfig, images: int, accelerator: Accelerator) -> Order:
    """Return the order of ``images`` training images for this process; --batch-size auto begins with the largest one.

    Raises:
        ConfigError: the batch is larger than the data set, or cannot be shared evenly.
    """
    world, batch = accelerator.num_processes, config.batch_size or default_batch_size(images)
    if batch == "auto":
        batch = largest_batch(images, world)
    if batch > images:
        there = counted(images, "training image")
        raise ConfigError(f"--batch-size is {batch} for {there}: give {images} or fewer.")
    if batch % world:
        raise ConfigError(
            f"--batch-size is {batch}, which {world} processes cannot share evenly: give a multiple of {world}."
        )
    share = batch // world  # of each process, which takes it in micro-batches of equal size
    micro = min(config.engine.micro_batch or share, share)
    if share % micro:
        raise ConfigError(
            f"--engine.micro-batch is {micro}: give a divisor of the {counted(share, 'image')} of each process."
        )
    if micro == 1 and (config.mixup or config.cutmix):
        larger = "give a larger --batch-size or --engine.micro-batch, or leave them out"
        raise ConfigError(f"--mixup and --cutmix mix the images of a micro-batch, and each would have 1: {larger}.")
    return Order(images, batch, config.seed, accelerator.process_index, world, share // micro)


def default_batch_size(images: int) -> int:
    """Return 64, or the largest of 32, 16 and 8 that gives an epoch of 20 steps."""
    return next((size for size in (64, 32, 16) if images >= STEPS_PER_EPOCH * size), min(8, images))


def largest_batch(images: int, world_size: int) -> int:
    """Return the most that --batch-size auto takes: for each process a power of two, at least 1.

    Together they are at most ``LARGEST_BATCH``, and an epoch has ``STEPS_PER_EPOCH`` steps, unless 8 images are fewer.
    """
    together = min(LARGEST_BATCH, max(images // STEPS_PER_EPOCH, min(8, images)))
    each = max(1, together // world_size)
    return world_size * (1 << (each.bit_length() - 1))


def check_sizes(trainer: Trainer, sizes: Iterable[Size]) -> None:
    """Raise ConfigError unless the network takes images of all these ``sizes``."""
    trainer.model.eval()
    accelerator, single = trainer.accelerator, []  # strided convolutions whose input is a single pixel

    def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if max(module.kernel_size) > 1 and max(module.stride) > 1 and inputs[0].shape[-2:].numel() == 1:  # type: ignore[arg-type]
            single.append(module)

    hooks = [m.register_forward_pre_hook(look) for m in trainer.model.modules() if isinstance(m, nn.Conv2d)]
    for size in sizes:
        try:
            _forward(trainer, size)
        except _TOO_SMALL as error:
            raise ConfigError(
                f"{type(trainer.model).__name__} does not take images of {size} px{_but_of(trainer, size)} "
                f"({next(iter(str(error).splitlines()), 'it fails')}): give {'a square' if size.oblong else 'another'} "
                "--img-size, or --data.train-scale 1."
            ) from error
        if single and accelerator.device.type == "cpu" and accelerator.mixed_precision == "bf16":
            raise ConfigError(
                f"At {size.px} a strided convolution sees a single pixel, whose gradients are wrong in bf16 on CPUs: give a "
                "larger --img-size, or --mixed-precision fp32."
            )
    for hook in hooks:
        hook.remove()


_TOO_SMALL = (RuntimeError, AssertionError, ValueError)


def _forward(trainer: Trainer, size: Size) -> None:
    """Show the network one image of this ``size``."""
    channels, device = trainer.preprocessing.channels, trainer.accelerator.device
    image = torch.zeros(1, channels, *size, dtype=torch.uint8, device=device)
    with torch.inference_mode(), trainer.accelerator.autocast():
        trainer.model(trainer.normalise(image))


def _but_of(trainer: Trainer, size: Size) -> str:
    """Name the first of the next four sizes, of multiples of 32, that the network takes, nothing where it takes none."""
    for more in range(32, 160, 32):
        larger = Size(*(side // 32 * 32 + more for side in size))  # most networks halve their input five times
        with suppress(*_TOO_SMALL):
            _forward(trainer, larger)
            return f" but of {larger}"
    return ""
