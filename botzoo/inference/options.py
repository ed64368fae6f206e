"""The options of a prediction, checked alike for the command and for Python; needs no torch, so that refusals come at once."""

import re
from typing import Literal, get_args

from botzoo.options.accepted import TEMPERATURES
from botzoo.options.facts import check

Tta = Literal["none", "flip", "five-crop", "ten-crop"]
TTA: tuple[str, ...] = get_args(Tta)
PRECISIONS = ("auto", "bf16", "fp16", "fp32")
DEVICES = ("auto", "cpu", "cuda", "mps")


def check_options(
    top_k: int | None,
    batch_size: int | None,
    temperature: float | None,
    tta: str = "none",
    device: str = "auto",
    mixed_precision: str = "auto",
) -> None:
    """Raise ConfigError for a value that no prediction can be made with; ``Model.predict`` says what each of them means."""
    for flag, count in (("top_k", top_k), ("batch_size", batch_size)):
        check(count is None or (isinstance(count, int) and count >= 1), flag, count, "a whole number, 1 or more")
    low, high = TEMPERATURES
    sound = temperature is None or (isinstance(temperature, int | float) and low <= temperature <= high)
    check(sound, "temperature", temperature, f"a number from {low:g} to {high:g}")
    check(tta in TTA, "tta", tta, f"one of {', '.join(TTA)}")
    check(mixed_precision in PRECISIONS, "mixed_precision", mixed_precision, f"one of {', '.join(PRECISIONS)}")
    known = re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device) is not None
    check(known, "device", device, f"one of {', '.join(DEVICES)}, or a single one of several such as cuda:1")
