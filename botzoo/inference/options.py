"""The options of a prediction, checked alike for the command and for Python; needs no torch, so that refusals come at once."""

import re
from collections.abc import Mapping
from typing import Literal, get_args

from botzoo.errors import ConfigError
from botzoo.options.accepted import TEMPERATURES
from botzoo.options.facts import check

Tta = Literal["none", "flip", "five-crop", "ten-crop"]
TTA: tuple[str, ...] = get_args(Tta)
PRECISIONS = ("auto", "bf16", "fp16", "fp32")
DEVICES = ("auto", "cpu", "cuda", "mps")

LEAST_SCORE = 0.5
"""Of a box that is given, where nothing else is asked for."""

OF: dict[str, tuple[str, object]] = {
    "tta": ("classes", "none"),
    "temperature": ("classes", None),
    "reject": ("classes", True),
    "least_score": ("boxes", None),
}
"""Options for networks of some tasks only: what these give, see ``Task.gives``, and the value that asks for nothing."""


def check_options(
    top_k: int | None,
    batch_size: int | None,
    temperature: float | None,
    tta: str = "none",
    device: str = "auto",
    mixed_precision: str = "auto",
    least_score: float | None = None,
) -> None:
    """Raise ConfigError for a value that no prediction can be made with; ``Model.predict`` says what each of them means."""
    for flag, count in (("top_k", top_k), ("batch_size", batch_size)):
        check(count is None or (isinstance(count, int) and count >= 1), flag, count, "a whole number, 1 or more")
    low, high = TEMPERATURES
    sound = temperature is None or (isinstance(temperature, int | float) and low <= temperature <= high)
    check(sound, "temperature", temperature, f"a number from {low:g} to {high:g}")
    share = least_score is None or (isinstance(least_score, int | float) and 0 <= least_score <= 1)
    check(share, "least_score", least_score, "a number from 0 to 1")
    check(tta in TTA, "tta", tta, f"one of {', '.join(TTA)}")
    check(mixed_precision in PRECISIONS, "mixed_precision", mixed_precision, f"one of {', '.join(PRECISIONS)}")
    known = re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device) is not None
    check(known, "device", device, f"one of {', '.join(DEVICES)}, or a single one of several such as cuda:1")


def check_for(gives: str, name: str, values: Mapping[str, object]) -> None:
    """Raise ConfigError for an option of ``OF`` that asks for what a network does not do.

    Args:
        gives: what it does, as ``Task.gives``.
        name: of the network.
        values: of the options.
    """
    for option, value in values.items():
        meant, usual = OF[option]
        if value != usual and gives != meant:
            flag = f"--{option.replace('_', '-')}"
            raise ConfigError(f"{flag} is for networks that give {meant}, and {name} gives {gives}: leave it out.")
