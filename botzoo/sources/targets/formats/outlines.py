"""The outlines of objects as COCO and YOLO have them, polygons and run lengths: their areas, and the boxes around them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
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


def sides_of(outline: Any) -> list[float] | None:
    """Return left, top, width and height of the box around polygons or run lengths, None where it is neither."""
    try:
        points = _ends_of_runs(outline) if isinstance(outline, dict) else np.concatenate(_polygons(outline))
    except (LookupError, *NO_NUMBERS):
        return None
    low, high = points.min(0), points.max(0)
    return [*low.tolist(), *(high - low).tolist()]


def _ends_of_runs(outline: dict[str, Any]) -> NDArray[np.float64]:
    """Return corners, shape (n, 2), of the pixels inside of run lengths: of each run its first and its last."""
    height, width = outline["size"]
    ends = [*accumulate(run_lengths(outline["counts"]))]
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and ends[-1] <= height * width):
        raise ValueError("run lengths of another picture")
    points: list[tuple[int, int]] = []
    for start, end in zip(ends[::2], ends[1::2], strict=False):
        (first, top), (last, bottom) = divmod(start, height), divmod(end - 1, height)
        rows = (top, bottom + 1) if first == last else (0, height)  # a run goes on at the top of the next column
        points += [(first, rows[0]), (last + 1, rows[1])] if end > start else []
    if not points:
        raise ValueError("nothing is inside")
    return np.array(points, np.float64)


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
