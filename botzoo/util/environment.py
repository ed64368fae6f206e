"""What the environment says: our own numbers, the homes of users, and words of launchers that libraries read without a look.

One reader for all of them. The frame of a command looks at every variable before anything heavy is imported, because
accelerate reads some while it is imported, and a wrong value would end there in a traceback.
"""

import logging
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from botzoo.errors import ConfigError


class Number(NamedTuple):
    """A variable of ours: what it is where it is not set, whether it may be 0, and its unit."""

    default: float
    zero: bool
    unit: str


NUMBERS = {
    "BOTZOO_MAX_MEGAPIXELS": Number(100, False, "megapixels"),
    "BOTZOO_CACHE_GIB": Number(20, True, "GiB"),
    "BOTZOO_HUB_SECONDS": Number(100, False, "seconds"),
}
"""Variables of ours that hold a number."""

SIZES = (
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    *("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"),
    *("MASTER_PORT", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"),
)
"""Variables that torch and accelerate take for whole numbers from 1 on."""

RANKS = (
    *("RANK", "LOCAL_RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
    *("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID"),
)
"""Variables that they take for whole numbers from 0 on, or -1 for none."""

SWITCHES = (
    *("ACCELERATE_CPU_AFFINITY", "ACCELERATE_DEBUG_MODE", "ACCELERATE_ENABLE_RICH", "ACCELERATE_USE_CPU"),
    *("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP", "ACCELERATE_USE_MEGATRON_LM", "ACCELERATE_USE_SAGEMAKER"),
    *("ACCELERATE_USE_PARALLELISM_CONFIG", "FORK_LAUNCHED", "USE_TORCH_XLA"),
)
"""Variables that accelerate takes for yes or no, most of them while it is imported or begins."""

YES = ("y", "yes", "t", "true", "on", "1")
NO = ("n", "no", "f", "false", "off", "0")


def number(name: str) -> float:
    """Return the number in the variable ``name`` of ``NUMBERS``; raises ConfigError as ``check_environment``."""
    default, zero, unit = NUMBERS[name]
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and (value > 0 or (zero and value == 0)):
        return value
    least = "0 or more" if zero else "above 0"
    raise ConfigError(f"{name} is {text!r}: it must be a number of {unit}, {least}, such as {default:g}; or unset it.")


def is_on(name: str) -> bool:
    """Return whether a variable of ``SWITCHES`` is set to yes."""
    return os.environ.get(name, "").lower() in YES


def check_environment() -> None:
    """Look at every variable of ours and of the launchers'.

    Raises ConfigError: one has a value that it cannot have; its name, its value and the good ones are in the line.
    """
    for name in NUMBERS:
        number(name)
    _refuse_other(SWITCHES, lambda text: text.lower() in (*YES, *NO), "true or false")
    _refuse_other(SIZES, lambda text: _is_whole(text, 1), "a whole number, 1 or more")
    _refuse_other(RANKS, lambda text: _is_whole(text, -1), "a whole number, 0 or more")
    levels = logging.getLevelNamesMapping()
    _refuse_other(("ACCELERATE_LOG_LEVEL",), lambda text: text.upper() in levels, f"one of {', '.join(levels)}")
    try:
        user_path(os.environ.get("BOTZOO_CACHE", ""))
    except ConfigError as error:
        raise ConfigError(f"BOTZOO_CACHE: {error}") from error


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path as somebody gave it, with the folder of a user in the place of ``~`` or ``~name`` at its start.

    Raises:
        ConfigError: that folder is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        user = os.fspath(path).split("/", 1)[0]
        why = f"there is no user {user[1:]}" if user != "~" else "HOME is not set"
        raise ConfigError(f"{user} in {os.fspath(path)!r} is no folder: {why}. Give the whole path.") from error


def _refuse_other(names: tuple[str, ...], passes: Callable[[str], bool], accepted: str) -> None:
    for name in names:
        if (text := os.environ.get(name)) is not None and not passes(text):
            raise ConfigError(f"{name} is {text!r}: it must be {accepted}; or unset it.", value=text, accepted=accepted)


def _is_whole(text: str, least: int) -> bool:
    try:
        return int(text) >= least
    except ValueError:
        return False
