"""How far a long reading of images is: a bar on a terminal, elsewhere a line in the log now and then."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

from botzoo.util.text import counted, duration

T = TypeVar("T")

log = logging.getLogger("botzoo")

EVERY = 60.0
"""Seconds from one line to the next."""


class Progress(Protocol):
    """Wraps the iterator over all images, given their number."""

    def __call__(self, items: Iterator[Any], /, *, total: int) -> Iterable[Any]: ...


def progress_of(doing: str, bars: bool | None) -> Progress:
    """Return how progress is shown.

    Args:
        doing: what is done with the images, such as "reading train images".
        bars: whether to show a bar; None for one on a terminal, and for lines elsewhere.
    """
    if sys.stderr.isatty() if bars is None else bars:
        return partial(tqdm, desc=doing, leave=False, unit="img")
    return partial(_logged, doing) if bars is None else _silent


def _silent(items: Iterator[T], *, total: int) -> Iterator[T]:
    return items


def _logged(doing: str, items: Iterator[T], *, total: int) -> Iterator[T]:
    began = said = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        if (now := time.monotonic()) - said >= EVERY:
            left, said = (now - began) / done * (total - done), now
            log.info("%s: %s of %s, about %s left", doing, f"{done:,}", counted(total, "image"), duration(left))
