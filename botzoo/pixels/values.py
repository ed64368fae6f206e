"""Values of more than 8 bits: which images have them, in what range they lie, and how they become 8 bits."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BITS = (8, 10, 12, 14, 16)
"""What cameras and scanners give, stored in 16 bits."""

FILLED = 0.1
"""Share of the range from black to white below which the values are spread over it, from the least to the greatest."""

ROWS = 1 << 20  # values that are worked on at once, as floating-point numbers take much memory

Range = tuple[float, float]


class Extremes(NamedTuple):
    """The least and the greatest finite value of images, whether all are whole numbers, and how many images they are of."""

    low: float
    high: float
    whole: bool
    images: int = 1

    def __or__(self, other: Any) -> "Extremes":
        low, high, whole, images = other
        return Extremes(min(self.low, low), max(self.high, high), self.whole and whole, self.images + images)


def may_be_deep(content: bytes) -> bool:
    """Tell whether an encoded image may have more than 8 bits, by its first bytes: False of what is surely of 8."""
    if content.startswith(b"\x89PNG"):
        return content[24:25] == b"\x10"
    if content.startswith((b"\xff\xd8", b"GIF8", b"BM")):
        return False
    return content.startswith(
        (b"II", b"MM", b"\x93NUMPY", b"P2", b"P3", b"P5", b"P6", b"Pf", b"PF", b"\0\0\0\x0cjP", b"\xffO\xffQ")
    )


def is_deep(values: Image.Image | NDArray[Any]) -> bool:
    """Tell whether a decoded image has values of more than 8 bits."""
    if isinstance(values, Image.Image):
        return values.mode in ("I", "F") or values.mode.startswith("I;16")
    return values.dtype not in (np.uint8, np.bool_)


def extremes_of(values: NDArray[Any]) -> Extremes:
    """Return the extremes of an image's finite values; of one without any, an empty range."""
    low, high = math.inf, -math.inf
    for part in _parts(values):
        finite = part[np.isfinite(part)] if part.dtype.kind == "f" else part
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return Extremes(low, high, values.dtype.kind in "iub")


def usual_range(found: Extremes) -> Range:
    """Return what is black and white in images of these extremes, the same for all of them.

    Whole numbers of 0 and more: 0 and the greatest of the fewest ``BITS`` that hold them; fractions from 0 to 1: 0 and 1.
    Other values, and those that fill less than a tenth of that, are spread: their least is black, their greatest white.
    """
    low, high, whole, _ = found
    top = next((float((1 << bits) - 1) for bits in BITS if high < 1 << bits), high) if whole else 1.0
    if low >= 0 and high <= top and high - low >= FILLED * top:
        return 0.0, top
    return low, high


def scaled(values: NDArray[Any], between: Range) -> NDArray[np.uint8]:
    """Return values as uint8 of the same shape, the lower bound and all below it 0, the upper one and all above it 255."""
    shrunk = 1.0 if math.isfinite(between[1] - between[0]) else 0.25  # the largest numbers have no difference
    low, high = (shrunk * end for end in between)
    factor = 255 / (high - low)
    within = (np.clip(part.astype(np.float64), *between) for part in _parts(values))
    parts = [_to_bytes((shrunk * part - low) * factor) for part in within]
    return np.concatenate(parts) if parts else np.empty(values.shape, np.uint8)


def range_of_one(values: NDArray[Any], sixteen: bool) -> Range:
    """Return a range that the finite values of one image suggest, where none is known; ``sixteen`` says their type does."""
    if sixteen:
        return 0.0, 65535.0
    top = max(0.0, extremes_of(values).high)
    if values.dtype.kind == "f" and top <= 1:
        return 0.0, 1.0
    return 0.0, 255.0 if top <= 255 else max(65535.0, top)


def _to_bytes(levels: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.round(np.nan_to_num(levels)), 0, 255).astype(np.uint8)


def _parts(values: NDArray[Any]) -> Iterable[NDArray[Any]]:
    rows = max(1, ROWS // max(1, values[:1].size))
    return (values[k : k + rows] for k in range(0, len(values), rows))
