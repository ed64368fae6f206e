"""The boxes of an image, and a split of images with boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from botzoo.sources.base import Encoded, MultiHot, Split
from botzoo.sources.targets.pictures import encoded_size

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


class Placed(NamedTuple):
    """The boxes of an image, in pixels of the picture as it is stored, which is ``height`` x ``width``, upright."""

    boxes: Boxes
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class BoxSplit(Split):
    """Images of one split, still encoded, with their boxes; ``labels`` are uint8 (N, K), the classes that an image has.

    Attributes:
        boxes: of each of the N images; some may have none.
        sizes: int32, shape (N, 2), height and width of each image as its annotation or its header has them, upright; 0
            where nothing says.
    """

    boxes: Sequence[Boxes] = ()
    sizes: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 2), np.int32))

    @classmethod
    def of(
        cls,
        name: str,
        boxes: Sequence[Boxes],
        sizes: NDArray[np.int32],
        read: Callable[[int], Encoded],
        describe: Callable[[int], str],
        root: str = "",
    ) -> Self:
        """Return a split of as many classes as its boxes name; ``of_classes`` says how many there are."""
        most = 1 + max((int(each.labels.max()) for each in boxes if len(each)), default=-1)
        return cls(name, _there(boxes, most), read, describe, root=root, boxes=boxes, sizes=sizes)

    def of_classes(self, classes: int) -> Self:
        """Return the same of K ``classes``."""
        return replace(self, labels=_there(self.boxes, classes))

    def take(self, rows: NDArray[np.int64], name: str | None = None) -> Self:
        """See ``Split``."""
        return replace(super().take(rows, name), boxes=[self.boxes[i] for i in rows.tolist()], sizes=self.sizes[rows])

    def joined(self, other: Split) -> Self:
        """See ``Split``."""
        assert isinstance(other, BoxSplit)
        sizes = np.concatenate([self.sizes, other.sizes])
        return replace(super().joined(other), boxes=[*self.boxes, *other.boxes], sizes=sizes)

    def target(self, i: int) -> Placed:
        """Return the boxes of image i and the size of its picture.

        Raises:
            DataError: nothing says the size, and the picture cannot be read.
        """
        height, width = self.sizes[i].tolist()
        if not (height and width):
            height, width = encoded_size(self.read(i), self.describe(i))
        return Placed(self.boxes[i], height, width)

    def target_bytes(self) -> bytes:
        """See ``Split``."""
        lengths = np.array([len(each) for each in self.boxes], np.int64)
        parts = (part.tobytes() for each in self.boxes for part in vars(each).values())
        return b"".join([lengths.tobytes(), self.sizes.tobytes(), *parts])

    def has_objects(self) -> bool:
        """Tell whether a box on any image is around one object, not a crowd, and has an area within its picture."""
        return any(_counts(boxes, *size) for boxes, size in zip(self.boxes, self.sizes.tolist(), strict=True))

    def box_counts(self, classes: int) -> NDArray[np.int64]:
        """Return how many boxes each of the classes has, shape (classes,)."""
        labels = [each.labels for each in self.boxes]
        return np.bincount(np.concatenate(labels), minlength=classes) if labels else np.zeros(classes, np.int64)


def _counts(boxes: Boxes, height: int, width: int) -> bool:
    own = boxes.take(~boxes.crowd)
    return len(own.usable(height, width)) > 0 if height and width else bool((box_areas(own.corners) > 0).any())


def _there(boxes: Sequence[Boxes], classes: int) -> MultiHot:
    """Return which of the classes are on each image, shape (N, classes)."""
    there = np.zeros((len(boxes), classes), np.uint8)
    for row, each in zip(there, boxes, strict=True):
        row[each.labels] = 1
    return there
