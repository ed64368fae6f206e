"""What became of each box that was found and of each object that is there, where a threshold of the scores decides.

Average precision needs no threshold; pictures, tables of errors, and whoever draws boxes do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.sources.targets.boxes import Boxes, Flags
from botzoo.tasks.detection import GIVEN
from botzoo.tasks.metrics.dense.matching import Detections, overlaps

OVERLAP, TOUCH = 0.5, 0.1
"""Intersections over union from which on a box is right, and from which on it is at least near an object."""

RIGHT, WRONG_CLASS, DOUBLE, MISPLACED, NOTHING, IGNORED = range(6)

WORDS = ("right", "wrong class", "double", "misplaced", "nothing there", "in a crowd")
"""What is said of a found box, by the numbers above. A double is where a likelier box was right."""


@dataclass(frozen=True, eq=False)
class ImageErrors:
    """The d surest boxes found on an image, the likeliest first, and its g objects.

    Attributes:
        found: those boxes.
        verdict: int64, shape (d,), places in ``WORDS``.
        nearest: int64, shape (d,), the object that each overlaps most, -1 where it overlaps none.
        missed: shape (g,), the objects that no box is right on; crowds are not to be found.
        there: how many objects are to be found.
    """

    found: Detections
    verdict: NDArray[np.int64]
    nearest: NDArray[np.int64]
    missed: Flags
    there: int

    @property
    def right(self) -> int:
        """How many boxes are right."""
        return int((self.verdict == RIGHT).sum())

    @property
    def wrong(self) -> Flags:
        """The boxes that are wrong, shape (d,)."""
        return ~np.isin(self.verdict, (RIGHT, IGNORED))

    @property
    def loss(self) -> float:
        """1 - F1 of the boxes, in [0, 1]; 0 where nothing is there and nothing was found."""
        both = self.there + self.right + int(self.wrong.sum())
        return 1 - 2 * self.right / both if both else 0.0

    @property
    def faults(self) -> int:
        """Wrong boxes and missed objects."""
        return int(self.wrong.sum() + self.missed.sum())


def analyse(found: Detections, true: Boxes) -> ImageErrors:
    """Judge the boxes of an image with a score of ``GIVEN`` or more; the likeliest chooses its object first."""
    order = np.argsort(-found.scores, kind="stable")
    order = order[found.scores[order] >= GIVEN]
    sure = Detections(found.corners[order], found.labels[order], found.scores[order])
    shares = overlaps(sure.corners, true.corners, true.crowd)
    same = sure.labels[:, None] == true.labels[None]
    free, verdict = ~true.crowd, np.empty(len(sure), np.int64)
    nearest = np.full(len(sure), -1)
    for d in range(len(sure)):
        verdict[d], nearest[d] = _verdict(shares[d], same[d], free, true.crowd)
        if verdict[d] == RIGHT:
            free[nearest[d]] = False
    return ImageErrors(sure, verdict, nearest, free & ~true.crowd, int((~true.crowd).sum()))


def _verdict(shares: NDArray[np.float64], same: Flags, free: Flags, crowd: Flags) -> tuple[int, int]:
    """Return what is said of a box, and its object, from its overlaps with the objects and which of these are of its class."""

    def best(of: Flags) -> int:
        return int(np.where(of, shares, -1.0).argmax()) if of.any() else -1

    enough = shares >= OVERLAP
    for verdict, which in (
        (RIGHT, enough & same & free),
        (IGNORED, enough & same & crowd),
        (DOUBLE, enough & same),
        (WRONG_CLASS, enough & ~crowd),
        (MISPLACED, (shares >= TOUCH) & same & ~crowd),
    ):
        if which.any():
            return verdict, best(which)
    return NOTHING, best(shares > 0)


@dataclass(frozen=True, eq=False)
class ErrorAnalysis:
    """What was right and wrong on N images."""

    each: Sequence[ImageErrors]
    true: Sequence[Boxes]

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """1 - F1 of each image, shape (N,)."""
        return np.array([one.loss for one in self.each])

    def worst(self) -> NDArray[np.int64]:
        """Return the images with a fault, those with the largest loss first, of equals those with the most faults."""
        faults = np.array([one.faults for one in self.each])
        order = np.lexsort((-faults, -self.losses))
        return order[faults[order] > 0]

    def matrix(self, classes: int) -> NDArray[np.int64]:
        """Return how many objects of each class (rows) were found as each class (columns), int64, shape (K + 1, K + 1).

        The last column is what was missed, the last row what was found where nothing of any class is, or is found already.
        An object that a box of another class covers counts there, once.
        """
        counts = np.zeros((classes + 1, classes + 1), np.int64)
        for one, true in zip(self.each, self.true, strict=True):
            missed = one.missed.copy()
            for label, verdict, at in zip(one.found.labels, one.verdict, one.nearest, strict=True):
                if verdict == RIGHT or (verdict == WRONG_CLASS and missed[at]):
                    counts[true.labels[at], label] += 1
                    missed[at] = False
                elif verdict != IGNORED:
                    counts[classes, label] += 1
            np.add.at(counts[:, classes], true.labels[missed], 1)
        return counts

    def by_class(self, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return how many objects of each class are there, are found, and how many of these boxes are right: shapes (K,)."""
        there, found, right = (np.zeros(classes, np.int64) for _ in range(3))
        for one, true in zip(self.each, self.true, strict=True):
            np.add.at(there, true.labels[~true.crowd], 1)
            np.add.at(found, one.found.labels[one.verdict != IGNORED], 1)
            np.add.at(right, one.found.labels[one.verdict == RIGHT], 1)
        return there, found, right


@lru_cache(maxsize=2)  # card, table and page each ask for it
def error_analysis(evaluation: Any) -> ErrorAnalysis:
    """Return what became of all boxes of an evaluation."""
    both = zip(evaluation.detections, evaluation.boxes, strict=True)
    return ErrorAnalysis([analyse(found, true) for found, true in both], evaluation.boxes)
