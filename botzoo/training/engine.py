"""What the run computes on: device, precision, processes, memory, and trackers."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import DistributedType, broadcast_object_list, gather_object
from torch import nn

from botzoo.errors import BotzooError, ConfigError, DataError, did_you_mean
from botzoo.training.config import TrainConfig
from botzoo.training.data import Order, cores
from botzoo.training.memory import keep_freed_memory
from botzoo.training.trainer import Trainer, fit_micro_batch
from botzoo.tricks.mixed_precision import Precision, mixed_precision

log = logging.getLogger("botzoo")

T = TypeVar("T")

STEPS_PER_EPOCH = 20
"""A batch that is chosen for the user leaves an epoch so many steps."""

LARGEST_BATCH = 1024
"""The largest batch of the paper (Table 3)."""

WAIT = timedelta(hours=24)
"""How long processes wait for each other: one reads and checks all images while the others wait. The launcher ends them
anyway when one of them dies."""


def make_accelerator(config: TrainConfig) -> tuple[Accelerator, Precision]:
    """Choose device and precision and make the one accelerator of the run.

    Raises:
        ConfigError: the device is not there, the precision not sound on it, or the tracker unknown or not installed.
    """
    device = choose_device(config.engine.device)
    PartialState(cpu=device.type == "cpu", timeout=WAIT)
    precision = _agreed_precision(config, device)
    if config.tracker is not None:
        _check_tracker(config.tracker)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    else:
        keep_freed_memory()
    AcceleratorState._reset_state()  # a second run in this process, as in a notebook, may choose another precision
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=precision.accelerate_name,
        log_with=config.tracker,
        project_dir="runs" if config.tracker else None,  # some trackers want one now; start_tracker names the real one
    )
    _check_launcher(accelerator)
    return accelerator, precision


def _agreed_precision(config: TrainConfig, device: torch.device) -> Precision:
    """Choose the precision; where it is measured, the main process measures for all."""
    if config.mixed_precision != "auto":
        return mixed_precision(config.mixed_precision, device)
    chosen = [mixed_precision("auto", device) if PartialState(cpu=device.type == "cpu").is_main_process else None]
    broadcast_object_list(chosen)
    return chosen[0]  # type: ignore[return-value]


def _check_launcher(accelerator: Accelerator) -> None:
    """Raise ConfigError where a launcher's own settings would change what is computed."""
    sound = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
    if accelerator.distributed_type not in sound:
        raise ConfigError(
            f"The launcher asks for {accelerator.distributed_type}: only plain data parallelism is supported."
        )
    if accelerator.gradient_accumulation_steps != 1:
        raise ConfigError(
            "The launcher sets gradient accumulation: leave it out, and give --engine.micro-batch instead."
        )


def choose_device(wanted: str, flag: str = "--engine.device") -> torch.device:
    """Return the device ``wanted``, "cuda", "mps" or "cpu"; of "auto" the fastest there is.

    Raises:
        ConfigError: there is none; ``flag`` is named as what asked for it.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, found in there.items() if found))
    if not there[wanted]:
        raise ConfigError(f"{flag} is {wanted!r}, and there is none here: use auto or cpu.")
    return torch.device(wanted)


def _check_tracker(name: str) -> None:
    known = [str(tracker) for tracker in LOGGER_TYPE_TO_CLASS]
    if name not in known:
        raise ConfigError(f"--tracker is {name!r}.{did_you_mean(name, known)} accelerate knows {', '.join(known)}.")
    if name not in [str(tracker) for tracker in get_available_trackers()]:
        raise ConfigError(f"--tracker {name} needs a package that is not installed: pip install {name}.")


def start_tracker(config: TrainConfig, accelerator: Accelerator, folder: Path) -> None:
    """Begin to log to the tracker, if one was asked for; its files, if it writes any, go into ``folder``."""
    if config.tracker is not None:
        accelerator.project_configuration.logging_dir = str(folder / "tracker")
        accelerator.init_trackers("botzoo", config=_flat(asdict(config)))


def end_trackers(accelerator: Accelerator) -> None:
    """Close the trackers; the processes stay together, since another run may follow in them."""
    for tracker in accelerator.trackers:
        tracker.finish()
    accelerator.wait_for_everyone()


def leave_group() -> None:
    """Part from the other processes at the end of a command."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested options as one level of strings, which every tracker takes."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: str(value)}
    return flat


def place(model: nn.Module, config: TrainConfig, accelerator: Accelerator) -> nn.Module:
    """Return the network on its device, in its memory format, with synchronised BatchNorm if that was asked for.

    Raises:
        ConfigError: synchronised BatchNorm without a GPU.
    """
    if config.engine.sync_bn:
        if accelerator.device.type != "cuda":
            raise ConfigError("--engine.sync-bn needs GPUs: on a CPU leave it out, or freeze BatchNorm with --freeze.")
        from timm.layers import convert_sync_batchnorm

        model = convert_sync_batchnorm(model)
    memory_format = torch.channels_last if config.engine.channels_last else torch.contiguous_format
    return model.to(accelerator.device, memory_format=memory_format)  # type: ignore[call-overload, no-any-return]


def make_order(config: TrainConfig, images: int, accelerator: Accelerator) -> Order:
    """Return the order of ``images`` training images for this process; --batch-size auto begins with the largest one.

    Raises:
        ConfigError: the batch is larger than the data set, or cannot be shared evenly.
    """
    world, batch = accelerator.num_processes, config.batch_size or default_batch_size(images)
    if batch == "auto":
        batch = largest_batch(images, world)
    if batch > images:
        raise ConfigError(f"--batch-size is {batch} and there are {images} training images: give {images} or fewer.")
    if batch % world:
        raise ConfigError(
            f"--batch-size is {batch}, which {world} processes cannot share evenly: give a multiple of {world}."
        )
    share = batch // world
    micro = min(config.engine.micro_batch or share, share)
    if share % micro:
        raise ConfigError(
            f"--engine.micro-batch is {micro}, which does not divide the {share} images of each process: give a divisor."
        )
    if micro == 1 and (config.mixup or config.cutmix):
        raise ConfigError(
            "--mixup and --cutmix mix the images of a micro-batch, and each would have 1: give a larger --batch-size or "
            "--engine.micro-batch, or leave them out."
        )
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


def check_sizes(trainer: Trainer, sizes: Iterable[int]) -> None:
    """Raise ConfigError unless the network takes square images of all these ``sizes``, in pixels."""
    trainer.model.eval()
    accelerator, single = trainer.accelerator, []

    def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if max(module.kernel_size) > 1 and max(module.stride) > 1 and inputs[0].shape[-2:].numel() == 1:  # type: ignore[arg-type]
            single.append(module)

    hooks = [m.register_forward_pre_hook(look) for m in trainer.model.modules() if isinstance(m, nn.Conv2d)]
    for size in sizes:
        try:
            _forward(trainer, size)
        except _TOO_SMALL as error:
            raise ConfigError(
                f"{type(trainer.model).__name__} does not take images of {size} x {size} px{_but_of(trainer, size)} "
                f"({next(iter(str(error).splitlines()), 'it fails')}): give another --img-size, or --data.train-scale 1."
            ) from error
        if single and accelerator.device.type == "cpu" and accelerator.mixed_precision == "bf16":
            raise ConfigError(
                f"At {size} px a strided convolution sees a single pixel, whose gradients are wrong in bf16 on CPUs: give a "
                "larger --img-size, or --mixed-precision fp32."
            )
    for hook in hooks:
        hook.remove()


_TOO_SMALL = (RuntimeError, AssertionError, ValueError)


def _forward(trainer: Trainer, size: int) -> None:
    """Show the network one image ``size`` pixels wide."""
    image = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=trainer.accelerator.device)
    with torch.inference_mode(), trainer.accelerator.autocast():
        trainer.model(trainer.normalise(image))


def _but_of(trainer: Trainer, size: int) -> str:
    """Name the first of the next four multiples of 32 that the network takes, nothing where it takes none."""
    first = size // 32 * 32 + 32
    for larger in range(first, first + 128, 32):
        with suppress(*_TOO_SMALL):
            _forward(trainer, larger)
            return f" but of {larger} x {larger}"
    return ""


def on_main(accelerator: Accelerator, action: Callable[[], T]) -> T | None:
    """Run ``action`` on the main process; raise its BotzooError on every process, so that none waits for the others."""
    outcome: list[Any] = [None]
    result: T | None = None
    if accelerator.is_main_process:
        try:
            result = action()
        except BotzooError as error:
            outcome = [error]
    if accelerator.num_processes > 1:
        broadcast_object_list(outcome)
    if outcome[0] is not None:
        raise outcome[0]
    return result


def from_main(accelerator: Accelerator, action: Callable[[], T]) -> T:
    """Run ``action`` on the main process as ``on_main`` does, and return its result on every process."""
    found: list[Any] = [on_main(accelerator, action)]
    broadcast_object_list(found)
    return found[0]  # type: ignore[no-any-return]


def on_each_node(accelerator: Accelerator, action: Callable[[], T]) -> T:
    """Run ``action`` on one process of each machine and return its answer on all of them there.

    A BotzooError of any machine is raised on every process, so that none waits for the others.
    """
    outcome: Any = None
    if accelerator.is_local_main_process:
        try:
            outcome = action()
        except BotzooError as error:
            outcome = error
    found = gather_object([outcome])
    for problem in found:
        if isinstance(problem, BotzooError):
            raise problem
    answer: T = found[accelerator.process_index - accelerator.local_process_index]
    return answer


def same_everywhere(accelerator: Accelerator, value: Any, what: str, where: str) -> None:
    """Raise DataError on every process unless all of them found the same ``value``."""
    found = gather_object([value])
    if any(other != found[0] for other in found):
        raise DataError(
            f"The processes found different {what}: {where} must be the same for all, on a disk that all see."
        )


def worker_count(config: TrainConfig, accelerator: Accelerator) -> int:
    """Return how many processes decode for this one: none beside a CPU, which has its hands full, else up to 8."""
    if config.engine.workers is not None:
        return config.engine.workers
    if accelerator.device.type == "cpu":
        return 0
    return max(1, min(8, cores() - 1))


def hardware(accelerator: Accelerator) -> str:
    """Describe what the run computes on, for the card."""
    n = accelerator.num_processes
    if accelerator.device.type == "cuda":
        return f"{n} x {torch.cuda.get_device_name(accelerator.device)}"
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    name = able.get("cpu_name") or platform.processor() or platform.machine()
    processes = "1 process" if n == 1 else f"{n} processes"
    return f"{processes} with {torch.get_num_threads()} thread(s) on {name} ({os.cpu_count()} cores)"
