"""Words for people: lists, durations, sizes, and errors on one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from botzoo.errors import (
    printable,
)

if TYPE_CHECKING:
    pass


def brief(error: Exception, longest: int = 200) -> str:
    """Return the error's text on one line."""
    return printable(str(error), longest).rstrip(".") or type(error).__name__


def first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def one_line(error: BaseException, limit: int = 300) -> str:
    """Return what an error says, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else f"{text[:limit]}..."


def listing(names: Sequence[str], limit: int = 5) -> str:
    """Return the names in quotes, the first ``limit`` of them."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def mib(size: int) -> str:
    """Return a number of bytes in MiB, for people."""
    return f"{size / (1 << 20):,.{0 if size >= 10 << 20 else 1}f}"


def epochs_words(epochs: float) -> str:
    """Return a number of epochs for people: 3 epochs, 2.41 epochs, 0.032 epochs."""
    return f"{epochs_number(epochs)} epoch{'s' if epochs != 1 else ''}"


def epochs_number(epochs: float) -> str:
    """Return the number alone."""
    return f"{epochs:,.2f}".rstrip("0").rstrip(".") if epochs >= 1 else f"{epochs:.2g}"


def duration(seconds: float) -> str:
    """Return a duration for people: 42 s, 7 min 05 s, 2 h 03 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def and_list(epochs: Sequence[int]) -> str:
    """Return numbers for people: 7, 9 and 8."""
    *first, last = map(str, epochs)
    return f"{', '.join(first)} and {last}" if first else last
