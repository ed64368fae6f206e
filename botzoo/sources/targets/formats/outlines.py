"""The outlines of objects as COCO and YOLO have them, polygons and run lengths: their areas, and the boxes around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.sources.targets.pictures import MOST

BITS = 5  # of a number in each letter of compressed run lengths
LONGEST = 12  # letters of one number, which has 60 bits then

NO_NUMBERS = (TypeError, ValueError, OverflowError)
"""What anything else in the place of numbers ends in."""


def area_of(outline: Any) -> float | None:
    """Return the area in pixels of polygons, a list of [x, y, x, y, ...], or of run lengths; None where it is neither.

    The parts of an object that lie over one another are counted twice. An area that no picture has is none either.
    """
    try:
        if isinstance(outline, dict):
            area: float = sum(run_lengths(outline["counts"])[1::2])  # the first run is of what is outside
        elif outline:
            area = sum(polygon_area(points) for points in _polygons(outline))
        else:
            return None
    except (KeyError, *NO_NUMBERS):
        return None
    return float(area) if area <= MOST else None


def sides_of(polygons: Any) -> list[float] | None:
    """Return left, top, width and height of the box around polygons, None where there are none."""
    try:
        points = np.concatenate(_polygons(polygons))
    except NO_NUMBERS:
        return None
    low, high = points.min(0), points.max(0)
    return [*low.tolist(), *(high - low).tolist()]


def _polygons(outline: Any) -> list[NDArray[np.float64]]:
    found = [np.asarray(each, np.float64).reshape(-1, 2) for each in outline]
    if not all(len(each) and np.abs(each).max() <= MOST for each in found):  # NaN is not, either
        raise ValueError
    return found


def polygon_area(points: NDArray[np.float64]) -> float:
    """Return the area of a polygon of the corners ``points``, shape (n, 2), by the shoelace formula."""
    x, y = (points - points.mean(0)).T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def run_lengths(counts: str | Sequence[int]) -> list[int]:
    """Return how many pixels are outside, inside, outside ... of an object in turn, column by column.

    In COCO's text each letter has, from 48 on, 5 bits of a number, the lowest first, and a bit that says whether more follow;
    the last one's highest bit is the sign. From the fourth number on it is the difference to the number before the last.

    Raises:
        ValueError: it is no such text, or a number is negative.
    """
    if not isinstance(counts, str):
        lengths = [int(count) for count in counts]
    else:
        lengths, value, letters = [], 0, 0
        for letter in counts:
            bits = ord(letter) - 48
            if not 0 <= bits < 64 or letters == LONGEST:
                raise ValueError("no run lengths")
            value |= (bits & 31) << BITS * letters
            letters += 1
            if not bits & 32:
                value -= (bits >> 4 & 1) << BITS * letters
                lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
                value = letters = 0
    if min(lengths, default=0) < 0:
        raise ValueError("a run of negative length")
    return lengths
