"""What a launcher, or a shell that one has left its variables in, asks of a run, and what of it is not done.

botzoo trains with plain data parallelism, in the precision of --mixed-precision and with the micro-batches of
--engine.micro-batch. accelerate would follow its variables and compute otherwise, or end in the middle of itself.
"""

import os
from collections.abc import Iterator

import torch

from botzoo.errors import ConfigError
from botzoo.util.environment import is_on
from botzoo.util.text import and_list, brief

OTHER = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_SAGEMAKER": "SageMaker's own parallelism",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "tensor, context or sequence parallelism",
}
"""What makes accelerate share out a network, and what it is."""

PROCESS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher tells each of its processes."""

_READ = (
    "ACCELERATE_",
    "FSDP_",
    "MEGATRON_LM_",
    "PARALLELISM_CONFIG_",
    "OMPI_",
    "PMI_",
    "MV2_",
    "MPI_",
    "XLA_",
    "PJRT_",
)
_UNUSED = (
    *(
        "FSDP_",
        "MEGATRON_LM_",
        "PARALLELISM_CONFIG_",
        "ACCELERATE_DEEPSPEED_",
        "ACCELERATE_FP8_",
        "ACCELERATE_DOWNCAST_",
    ),
    *("ACCELERATE_CONFIG_FILE", "ACCELERATE_GRADIENT_CLIPPING"),
)


def check_launcher() -> None:
    """Look at what a launcher asks for, before accelerate does.

    Raises ConfigError: it is not plain data parallelism, a precision that is none, or some of what the processes have to know
    of each other is missing, so that they would wait for ever or train each alone.
    """
    for name, what in OTHER.items():
        if is_on(name):
            cure = f"unset {name}, or take --multi_gpu and a configuration without it"
            raise ConfigError(
                f"The launcher asks for {what} ({name}): only plain data parallelism is supported; {cure}."
            )
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("no", "fp16", "bf16"):
        cure = "it must be no, fp16 or bf16, or unset; --mixed-precision decides"
        raise ConfigError(f"ACCELERATE_MIXED_PRECISION is {precision!r}: {cure}.", value=precision)
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):  # what follows is behind us then
        _check_processes()


def _check_processes() -> None:
    rank, local, size = (
        int(os.environ.get(name, default)) for name, default in zip(PROCESS, ("0", "-1", "1"), strict=False)
    )
    given = [name for name in PROCESS if name in os.environ]
    if size == 1 and rank == 0 and local == -1:
        return
    said = ", ".join(f"{name}={os.environ[name]}" for name in given)
    cure = f"start with torchrun or accelerate launch, which set {and_list(PROCESS)}, or unset {and_list(given)}"
    if missing := [name for name in PROCESS if not os.environ.get(name)]:
        raise ConfigError(f"{said}, and {and_list(missing)} not set: {cure}.")
    if not 0 <= rank < size or local < 0:
        raise ConfigError(f"{said}: ranks go from 0 to one below WORLD_SIZE; {cure}.")


def asks_for_cpu() -> bool:
    """Return whether the launcher was given --cpu, or a configuration with use_cpu."""
    return is_on("ACCELERATE_USE_CPU")


def not_followed(precision: str) -> Iterator[str]:
    """Yield what the launcher says and is not done; ``precision`` is that of the run, as accelerate calls it."""
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if asked not in ("no", precision):
        yield f"ACCELERATE_MIXED_PRECISION={asked} is not followed: --mixed-precision decides, and gives {precision}"
    backend = os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no")
    if backend.lower() != "no":
        yield f"ACCELERATE_DYNAMO_BACKEND={backend} is not followed: networks are not compiled"
    if unused := sorted(name for name in os.environ if name.startswith(_UNUSED)):
        yield f"{and_list(unused)} in the environment: not used"


def cannot_start(error: Exception) -> Exception:
    """Return ours for an ``error`` of accelerate as it begins, with the variables that it reads, or it where none is set."""
    names = sorted(name for name in os.environ if name.startswith(_READ) or name in PROCESS)
    if not names:
        return error
    found = ", ".join(f"{name}={os.environ[name]}" for name in names)
    return ConfigError(f"accelerate cannot begin ({brief(error)}). It reads {found}: mend or unset what is wrong.")
