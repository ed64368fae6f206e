"""What the run computes on: device, precision, processes, memory, and trackers."""

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import DistributedType, broadcast_object_list, gather_object
from torch import nn

from botzoo.data.loader import PREFETCH
from botzoo.data.parallel import cores
from botzoo.errors import BotzooError, ConfigError, DataError, did_you_mean
from botzoo.models.preprocessing import Preprocessing
from botzoo.options.config import TrainConfig
from botzoo.training.autotune.memory import keep_freed_memory
from botzoo.training.autotune.precision import cpu_name, kept_speedup
from botzoo.training.launcher import asks_for_cpu, cannot_start, check_launcher, not_followed
from botzoo.tricks.mixed_precision import Precision, mixed_precision
from botzoo.util.nested import flat
from botzoo.util.outgoing import public
from botzoo.util.private import reset_precision
from botzoo.util.text import counted, mib

log = logging.getLogger("botzoo")

T = TypeVar("T")

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps what processes share."""

LOCKS = 1 << 16
"""Bytes of it that the queues and locks of a worker take, at most."""

WAIT = timedelta(hours=24)
"""How long processes wait for each other: one reads and checks all images while the others wait. The launcher ends them
anyway when one of them dies."""


def make_accelerator(config: TrainConfig) -> tuple[Accelerator, Precision]:
    """Choose device and precision and make the one accelerator of the run.

    Raises:
        ConfigError: the device is not there, the precision not sound on it, or the tracker unknown or not installed.
    """
    check_launcher()
    device = _device(config.engine.device)
    try:
        PartialState(cpu=device.type == "cpu", timeout=WAIT)
    except Exception as error:  # of a wrong variable in almost any of them
        raise cannot_start(error) from error
    # Where the precision is measured, the main process measures for all: a busy machine must not part them.
    mine = config.mixed_precision != "auto" or PartialState(cpu=device.type == "cpu").is_main_process
    agreed = [mixed_precision(config.mixed_precision, device, kept_speedup) if mine else None]
    if config.mixed_precision == "auto":
        broadcast_object_list(agreed)
    precision: Precision = agreed[0]  # type: ignore[assignment]
    if config.tracker is not None:
        known = [str(tracker) for tracker in LOGGER_TYPE_TO_CLASS]
        if config.tracker not in known:
            hint = did_you_mean(config.tracker, known)
            raise ConfigError(f"--tracker is {config.tracker!r}.{hint} accelerate knows {', '.join(known)}.")
        if config.tracker not in map(str, get_available_trackers()):
            raise ConfigError(f"--tracker {config.tracker} needs its package: pip install {config.tracker}.")
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # the sizes of the batches repeat
    else:
        keep_freed_memory()
    reset_precision()  # a second run in this process, as in a notebook, may choose another precision
    try:
        accelerator = Accelerator(
            cpu=device.type == "cpu",
            mixed_precision=precision.accelerate_name,
            dynamo_backend="no",
            log_with=config.tracker,
            project_dir="runs"
            if config.tracker
            else None,  # some trackers want one now; start_tracker names the real one
        )
    except Exception as error:
        raise cannot_start(error) from error
    # A launcher's own settings would change what is computed.
    if accelerator.distributed_type not in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
        raise ConfigError(
            f"The launcher asks for {accelerator.distributed_type}: only plain data parallelism is supported."
        )
    if accelerator.gradient_accumulation_steps != 1:
        raise ConfigError("The launcher sets gradient accumulation: give --engine.micro-batch instead.")
    if accelerator.device.type != device.type:
        asked = os.environ.get("ACCELERATE_TORCH_DEVICE")
        raise ConfigError(f"ACCELERATE_TORCH_DEVICE is {asked!r} and the device of the run {device.type}: unset it.")
    for line in not_followed(precision.accelerate_name) if accelerator.is_main_process else ():
        log.warning("%s", line)
    return accelerator, precision


def _device(wanted: str) -> torch.device:
    """Return what --engine.device chooses, "auto" by the word of the launcher, if it has one."""
    if asks_for_cpu() and wanted not in ("auto", "cpu"):
        raise ConfigError(
            f"--engine.device is {wanted!r} and ACCELERATE_USE_CPU asks for the CPU: give one of the two."
        )
    return choose_device("cpu" if asks_for_cpu() else wanted)


def choose_device(wanted: str, flag: str = "--engine.device") -> torch.device:
    """Return the device ``wanted``, "cuda", "mps" or "cpu"; of "auto" the fastest there is.

    Raises:
        ConfigError: there is none; ``flag`` is named as what asked for it.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, found in there.items() if found))
    if not there[wanted]:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        hidden = f" (CUDA_VISIBLE_DEVICES is {seen!r})" if wanted == "cuda" and seen is not None else ""
        raise ConfigError(f"{flag} is {wanted!r}, and there is none here{hidden}: use auto or cpu.")
    return torch.device(wanted)


def start_tracker(config: TrainConfig, accelerator: Accelerator, folder: Path) -> None:
    """Begin to log to the tracker, if one was asked for; its files, if it writes any, go into ``folder``."""
    if config.tracker is not None:
        accelerator.project_configuration.logging_dir = str(folder / "tracker")
        options = flat(public(asdict(config)))
        accelerator.init_trackers("botzoo", config={key: str(value) for key, value in options.items()})


def end_trackers(accelerator: Accelerator) -> None:
    """Close the trackers; the processes stay together, since another run may follow in them."""
    for tracker in accelerator.trackers:
        tracker.finish()
    accelerator.wait_for_everyone()


def leave_group() -> None:
    """Part from the other processes at the end of a command."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():  # not on one process
        torch.distributed.destroy_process_group()


def place(model: nn.Module, config: TrainConfig, accelerator: Accelerator) -> nn.Module:
    """Return the network on its device, in its memory format, with synchronised BatchNorm if that was asked for.

    Raises:
        ConfigError: synchronised BatchNorm without a GPU.
    """
    if config.engine.sync_bn:
        if accelerator.device.type != "cuda":
            raise ConfigError("--engine.sync-bn needs GPUs: on a CPU leave it out, or freeze BatchNorm with --freeze.")
        from timm.layers import convert_sync_batchnorm  # torch's own would drop the activation in timm's layers

        model = convert_sync_batchnorm(model)
    memory_format = torch.channels_last if config.engine.channels_last else torch.contiguous_format
    return model.to(accelerator.device, memory_format=memory_format)  # type: ignore[call-overload, no-any-return]


def share_weights(accelerator: Accelerator, model: nn.Module) -> None:
    """Give every process the weights and buffers of the main process."""
    if accelerator.num_processes > 1:
        for tensor in model.state_dict().values():
            torch.distributed.broadcast(tensor, 0)


def on_main(accelerator: Accelerator, action: Callable[[], T]) -> T | None:
    """Run ``action`` on the main process, and return there what it returns; None on the others.

    Raises:
        BotzooError: of ``action``, on every process, so that none waits.
        OSError: the same.
    """
    failed: list[BotzooError | OSError | None] = [None]
    result: T | None = None
    if accelerator.is_main_process:
        try:
            result = action()
        except (BotzooError, OSError) as error:
            failed = [error]
    broadcast_object_list(failed)  # does nothing where there is one process
    if failed[0] is not None:
        raise failed[0]
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
    # The first process of this machine is the one that acted.
    return found[accelerator.process_index - accelerator.local_process_index]  # type: ignore[no-any-return]


def same_everywhere(accelerator: Accelerator, value: Any, what: str, where: str) -> None:
    """Raise DataError on every process unless all of them found the same ``value``."""
    found = gather_object([value])
    if any(other != found[0] for other in found):
        raise DataError(
            f"The processes found different {what}: {where} must be the same for all, on a disk that all see."
        )


def worker_count(config: TrainConfig, accelerator: Accelerator, images: int, preprocessing: Preprocessing) -> int:
    """Return how many processes decode for this one: none beside a CPU, which has its hands full, else up to 8.

    Fewer are returned, and that is said, where they could fill the shared memory: containers often have 64 MiB of it, and
    workers that find none left wait for ever.

    Args:
        images: of the batches that are under way at the same time, which lie in shared memory.
        preprocessing: whose size and channels they have, a byte for each value.
    """
    wanted = config.engine.workers
    if wanted is None:  # one core is left to the process that feeds the GPU
        wanted = 0 if accelerator.device.type == "cpu" else max(1, min(8, cores() - 1))
    if not wanted or not SHARED_MEMORY.is_dir():
        return wanted
    free = shutil.disk_usage(SHARED_MEMORY).free // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # The worker at rest has one batch more in the making; queues and locks lie there as well.
    each = (PREFETCH + 1) * images * preprocessing.shape.area * preprocessing.channels + LOCKS
    if (fit := min(wanted, free // each)) < wanted:
        log.warning(
            "%s has %s MiB free for each process and a worker may fill %s, so %d of %d workers are used: enlarge it (docker "
            "run --shm-size 2g), or give a smaller --engine.micro-batch.",
            *(SHARED_MEMORY, mib(free), mib(each), fit, wanted),
        )
    return fit


def hardware(accelerator: Accelerator) -> str:
    """Describe what the run computes on, for the card."""
    n = accelerator.num_processes
    if accelerator.device.type == "cuda":
        return f"{n} x {torch.cuda.get_device_name(accelerator.device)}"
    cpu = f"{cpu_name()} ({os.cpu_count()} cores)"
    return f"{counted(n, 'process', 'processes')} with {counted(torch.get_num_threads(), 'thread')} on {cpu}"
