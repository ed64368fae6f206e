"""The boxes of an image, and a split of images with boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from botzoo.sources.base import Encoded

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Boxes:
    """The n boxes of one image; ``Boxes.of`` makes them from lists.

    Attributes:
        corners: float32, shape (n, 4): left, top, right and bottom in pixels from the image's left and upper edge, so that
            a box of the whole image is 0, 0, width, height.
        labels: int64, shape (n,), indices into the class names.
        crowd: bool, shape (n,): whether a box is around several objects that nobody told apart (COCO's iscrowd). Such are
            not trained on, and what is found in them is neither right nor wrong.
        difficult: bool, shape (n,): whether only people who see the whole image know what it is (VOC's difficult). Such are
            trained on, and what is found there is neither right nor wrong to VOC.
        areas: float32, shape (n,), of the objects in pixels, by which COCO calls them small, medium or large: those of their
            masks where there are any, else those of the boxes.
    """

    corners: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowd: Flags
    difficult: Flags
    areas: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        corners: ArrayLike = (),
        labels: ArrayLike = (),
        crowd: ArrayLike | None = None,
        difficult: ArrayLike | None = None,
        areas: ArrayLike | None = None,
    ) -> Boxes:
        """Return boxes; flags are False and areas those of the boxes where nothing is said."""
        edges = np.asarray(corners, np.float32).reshape(-1, 4)
        n = len(edges)
        own = box_areas(edges) if areas is None else np.asarray(areas, np.float32).reshape(n)
        return cls(edges, np.asarray(labels, np.int64).reshape(n), _flags(crowd, n), _flags(difficult, n), own)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[Any]) -> Boxes:
        """Return the boxes that ``rows`` picks: places, shape (m,), or flags, shape (n,)."""
        parts = (self.corners, self.labels, self.crowd, self.difficult, self.areas)
        return Boxes(*(part[rows] for part in parts))

    def usable(self, height: int, width: int) -> Boxes:
        """Return the boxes clipped to a picture of such sides, in pixels, without those of which no area is left."""
        corners = np.clip(self.corners, 0, np.array([width, height, width, height], np.float32))
        clipped = Boxes(corners, self.labels, self.crowd, self.difficult, self.areas)
        return clipped.take(box_areas(corners) > 0)


def _flags(flags: ArrayLike | None, n: int) -> Flags:
    return np.zeros(n, bool) if flags is None else np.asarray(flags, bool).reshape(n)


def box_areas(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the areas of boxes in pixels, shape (n,), 0 of those whose right or lower edge is not behind the other."""
    sides = np.maximum(corners[:, 2:] - corners[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def from_sides(boxes: ArrayLike) -> NDArray[np.float32]:
    """Return corners of boxes that are given as left, top, width, height, shape (n, 4), as in COCO."""
    found = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], 1).astype(np.float32)


def from_centres(boxes: ArrayLike, height: int, width: int) -> NDArray[np.float32]:
    """Return corners in pixels of boxes given as x and y of the centre, width, height: shares of the image's, as in YOLO."""
    found = np.asarray(boxes, np.float64).reshape(-1, 4) * np.array([width, height, width, height])
    half = found[:, 2:] / 2
    return np.concatenate([found[:, :2] - half, found[:, :2] + half], 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class BoxSplit:
    """Images of one split, still encoded, with their boxes.

    Attributes:
        name: in its source.
        boxes: of each of the N images; some may have none.
        sizes: int32, shape (N, 2), height and width of each image as its annotation or its header has them, upright; 0
            where nothing says.
        read, describe, root: as of ``botzoo.sources.base.Split``.
    """

    name: str
    boxes: Sequence[Boxes]
    sizes: NDArray[np.int32]
    read: Callable[[int], Encoded]
    describe: Callable[[int], str]
    root: str = ""

    def __len__(self) -> int:
        return len(self.boxes)

    def class_counts(self, classes: int) -> NDArray[np.int64]:
        """Return how many images have a box of each of the classes, shape (classes,)."""
        counts = np.zeros(classes, np.int64)
        for each in self.boxes:
            counts[np.unique(each.labels)] += 1
        return counts

    def box_counts(self, classes: int) -> NDArray[np.int64]:
        """Return how many boxes each of the classes has, shape (classes,)."""
        labels = [each.labels for each in self.boxes]
        return np.bincount(np.concatenate(labels), minlength=classes) if labels else np.zeros(classes, np.int64)
