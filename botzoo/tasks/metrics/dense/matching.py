"""Which of the boxes that a network has found are right, image by image: by COCO's rule and by Pascal VOC's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from botzoo.sources.targets.boxes import Boxes, Flags, box_areas

COCO_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Intersections over union from which on a box is right: COCO's mean is over all ten."""

MOST = 100
"""Boxes of one class on one image that COCO looks at, those with the highest scores."""

Overlap = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Detections:
    """The n boxes that a network has found on one image.

    Attributes:
        corners: float32, shape (n, 4), as ``Boxes`` has them, in the pixels of the image as it is stored.
        labels: int64, shape (n,), indices into the class names.
        scores: float32, shape (n,), in [0, 1], higher where it is likelier.
    """

    corners: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, corners: ArrayLike = (), labels: ArrayLike = (), scores: ArrayLike = ()) -> Detections:
        """Return detections from lists."""
        edges = np.asarray(corners, np.float32).reshape(-1, 4)
        return cls(edges, np.asarray(labels, np.int64).reshape(-1), np.asarray(scores, np.float32).reshape(-1))

    def __len__(self) -> int:
        return len(self.labels)


class Matches(NamedTuple):
    """What became of the boxes of one class that were found on one image, the likeliest first, at T thresholds."""

    scores: NDArray[np.float32]  # (d,)
    right: Flags  # (T, d)
    ignored: Flags  # (T, d), neither right nor wrong
    there: int  # objects that can be found


def overlaps(found: NDArray[np.float32], true: NDArray[np.float32], crowd: Flags) -> Overlap:
    """Return the intersection over union of each found with each true box, shape (d, g), in [0, 1].

    Of a crowd it is the intersection over the found box: any part of a crowd is in it (COCO).
    """
    a, b = found.astype(np.float64)[:, None], true.astype(np.float64)[None]
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    inside = sides.prod(-1)
    own, other = ((box[..., 2:] - box[..., :2]).prod(-1) for box in (a, b))
    whole = np.where(crowd, own, own + other - inside)
    shares: Overlap = np.zeros_like(inside)
    np.divide(inside, whole, out=shares, where=whole > 0)
    return shares


def match_coco(
    corners: NDArray[np.float32],
    scores: NDArray[np.float32],
    true: Boxes,
    thresholds: NDArray[np.float64],
    between: tuple[float, float] = (0, np.inf),
) -> Matches:
    """Return what became of boxes of one class by COCO's rule, as its ``evaluateImg`` has it.

    The likeliest box chooses first, among the objects that no other has, the one that it overlaps most; crowds, and objects
    whose area is not in ``between``, pixels, are chosen only where nothing else is left, and do not count. Boxes that choose
    nothing do not count either where their own area is outside.
    """
    order = np.argsort(-scores, kind="stable")[:MOST]
    corners, scores = corners[order], scores[order]
    unsought = true.crowd | (true.areas < between[0]) | (true.areas > between[1])
    shares = overlaps(corners, true.corners, true.crowd)
    least = np.minimum(thresholds, 1 - 1e-10)[:, None]
    free = np.ones((len(thresholds), len(true)), bool)
    right, ignored = (np.zeros((len(thresholds), len(scores)), bool) for _ in range(2))
    for d in range(len(scores)):
        fits = (free | true.crowd) & (shares[d] >= least)
        best = np.where(fits, shares[d] + 2 * ~unsought, -1)  # what is sought comes first
        chosen = best.shape[1] - 1 - best[:, ::-1].argmax(1) if len(true) else np.zeros(len(thresholds), int)
        taken = fits.any(1)
        rows = np.flatnonzero(taken)
        free[rows, chosen[rows]] = False
        right[rows, d] = ~unsought[chosen[rows]]
        ignored[rows, d] = unsought[chosen[rows]]
    areas = box_areas(corners)
    outside = (areas < between[0]) | (areas > between[1])
    ignored |= ~right & outside
    return Matches(scores, right, ignored, int((~unsought).sum()))


def match_voc(
    corners: NDArray[np.float32], scores: NDArray[np.float32], true: Boxes, thresholds: NDArray[np.float64]
) -> Matches:
    """Return what became of boxes of one class by Pascal VOC's rule (Everingham et al., 2010, section 4.4).

    A box belongs to the object that it overlaps most. It is right where they overlap enough and no likelier box was right
    there; that of a difficult object does not count.
    """
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    shares = overlaps(corners[order], true.corners, np.zeros(len(true), bool))
    right, ignored = (np.zeros((len(thresholds), len(scores)), bool) for _ in range(2))
    for t, least in enumerate(thresholds):
        met: set[int] = set()
        for d in range(len(scores) if len(true) else 0):
            nearest = int(shares[d].argmax())
            enough = bool(shares[d, nearest] >= least)
            ignored[t, d] = enough and true.difficult[nearest]
            right[t, d] = enough and not true.difficult[nearest] and nearest not in met
            met |= {nearest} if enough else set()
    return Matches(scores, right, ignored, int((~true.difficult).sum()))


Match = Callable[[NDArray[np.float32], NDArray[np.float32], Boxes, NDArray[np.float64]], Matches]


def matched(
    found: Sequence[Detections], true: Sequence[Boxes], classes: int, thresholds: NDArray[np.float64], match: Match
) -> list[dict[int, Matches]]:
    """Return of each class what became of its boxes, by the place of each of the N images that has any, found or true."""
    every: list[dict[int, Matches]] = [{} for _ in range(classes)]
    for i, (said, there) in enumerate(zip(found, true, strict=True)):
        for label in np.union1d(said.labels, there.labels).tolist():
            own = said.labels == label
            objects = there.take(there.labels == label)
            every[label][i] = match(said.corners[own], said.scores[own], objects, thresholds)
    return every


def of_size(between: tuple[float, float]) -> Match:
    """Return COCO's rule for objects whose areas, in pixels, are in ``between``."""
    return partial(match_coco, between=between)
