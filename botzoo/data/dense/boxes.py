"""Boxes as a target: how they move with their picture, and how those of several pictures make one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from botzoo.data.dense.placement import Placement
from botzoo.data.dense.transforms import Target
from botzoo.models.preprocessing import Size
from botzoo.sources.targets.boxes import Boxes, Placed

FILL = -1.0
"""In the rows that fill up an array of boxes: no label is below 0."""


class PlacedBoxes(Target):
    """Boxes with the size of their picture."""

    def size(self, target: Placed) -> Size:
        """See ``Target``."""
        return Size(target.height, target.width)

    def moved(self, target: Placed, place: Placement) -> Placed:
        """See ``Target``."""
        return Placed(place.boxes(target.boxes, Size(target.height, target.width)), *place.size)

    def stack(self, targets: Sequence[Placed]) -> NDArray[np.float32]:
        """Return float32 (N, M, 8) of the most boxes of any: see ``rows_of``; ``FILL`` is in the rows of no box."""
        found = np.full((len(targets), max(len(each.boxes) for each in targets), 8), FILL, np.float32)
        for rows, each in zip(found, targets, strict=True):
            rows[: len(each.boxes)] = rows_of(each.boxes)
        return found


def rows_of(boxes: Boxes) -> NDArray[np.float32]:
    """Return boxes as float32 (n, 8): corners, label, whether it is a crowd, whether it is difficult, area in pixels."""
    columns = (boxes.labels, boxes.crowd, boxes.difficult, boxes.areas)
    return np.concatenate([boxes.corners, np.stack(columns, 1)], 1).astype(np.float32)


def boxes_of(rows: NDArray[np.float32]) -> Boxes:
    """Return the boxes of such rows, without those that fill up."""
    there = rows[rows[:, 4] != FILL]
    return Boxes.of(there[:, :4], there[:, 4], there[:, 5] != 0, there[:, 6] != 0, there[:, 7])
