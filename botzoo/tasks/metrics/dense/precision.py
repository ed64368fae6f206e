"""Average precision of the boxes of one class over N images, with and without resampling of the images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from botzoo.sources.targets.boxes import Boxes
from botzoo.tasks.metrics.dense.matching import (
    COCO_THRESHOLDS,
    Detections,
    Match,
    Matches,
    match_coco,
    match_voc,
    matched,
)
from botzoo.tasks.metrics.dense.resampling import each_resample
from botzoo.tasks.metrics.resampling import GroupNumbers

Curve = NDArray[np.float64]

Mean = Callable[[Curve, Curve], float]
"""Makes one figure of recall and precision after each box, shapes (d,); the precision does not rise."""

COCO_POINTS = np.linspace(0, 1, 101)
VOC_POINTS = np.linspace(0, 1, 11)


def at_points(recall: Curve, precision: Curve, points: Curve = COCO_POINTS) -> float:
    """Return the mean precision at recalls ``points``, each the highest that is had with this recall or more.

    It is that of COCO, and with ``VOC_POINTS`` that of Pascal VOC until 2009 (Everingham et al., 2010, equations 1 and 2).
    """
    places = np.searchsorted(recall, points, "left")
    return float(np.append(precision, 0.0)[places].mean())


def eleven_points(recall: Curve, precision: Curve) -> float:
    """Return the mean precision at the recalls 0, 0.1, ... 1: Pascal VOC until 2009."""
    return at_points(recall, precision, VOC_POINTS)


def area(recall: Curve, precision: Curve) -> float:
    """Return the area under the precision as a function of the recall: Pascal VOC from 2010 on."""
    return float((np.diff(recall, prepend=0.0) * precision).sum())


class Ranking:
    """The boxes of one class that were found on N images, the likeliest first.

    What became of a box depends on its own image alone, so that a resample of the images needs no matching.

    Args:
        matches: by the place of each image that has boxes of the class, found or true.
        images: N.
        thresholds: T, at which they were matched.
        mean: makes average precision of a curve.
    """

    def __init__(self, matches: Mapping[int, Matches], images: int, thresholds: int, mean: Mean = at_points) -> None:
        scores = np.concatenate([np.empty(0), *(each.scores for each in matches.values())])
        order = np.argsort(-scores, kind="stable")
        self.image = np.repeat([*matches], [len(each.scores) for each in matches.values()]).astype(np.int64)[order]
        none = np.empty((thresholds, 0), bool)
        self.right = np.concatenate([none, *(each.right for each in matches.values())], 1)[:, order]
        ignored = np.concatenate([none, *(each.ignored for each in matches.values())], 1)[:, order]
        self.wrong = ~self.right & ~ignored
        self.there = np.zeros(images, np.int64)
        self.there[[*matches]] = [each.there for each in matches.values()]
        self.mean = mean

    def precision(self, times: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return average precision in [0, 1] at each threshold, shape (T,); NaN where there is no object to be found.

        ``times``, shape (N,), says how often each image counts; None for each once.
        """
        weights = np.ones(len(self.there), np.int64) if times is None else times
        total = int(weights @ self.there)
        if not total:
            return np.full(len(self.right), np.nan)
        each = weights[self.image]
        right, wrong = np.cumsum(self.right * each, 1), np.cumsum(self.wrong * each, 1)
        precision = right / np.maximum(right + wrong, 1)
        falling = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
        return np.array([self.mean(*curves) for curves in zip(right / total, falling, strict=True)])


class AveragePrecision:
    """Mean average precision over classes and thresholds, in [0, 1], and its interval.

    Args:
        rankings: one of each of the K classes.
        groups: of images that belong together, and are drawn together; None where nobody named any.
    """

    def __init__(self, rankings: Sequence[Ranking], groups: GroupNumbers | None = None) -> None:
        self.rankings, self.groups = rankings, groups

    @classmethod
    def coco(
        cls,
        found: Sequence[Detections],
        true: Sequence[Boxes],
        classes: int,
        match: Match = match_coco,
        groups: GroupNumbers | None = None,
    ) -> AveragePrecision:
        """Return COCO's, of N images; ``match`` may be ``of_size``."""
        every = matched(found, true, classes, COCO_THRESHOLDS, match)
        return cls([Ranking(of_class, len(true), len(COCO_THRESHOLDS)) for of_class in every], groups)

    @classmethod
    def voc(
        cls,
        found: Sequence[Detections],
        true: Sequence[Boxes],
        classes: int,
        mean: Mean = area,
        threshold: float = 0.5,
    ) -> AveragePrecision:
        """Return Pascal VOC's, of N images: with ``eleven_points`` for VOC2007, which has Table 8 of the paper."""
        every = matched(found, true, classes, np.array([threshold]), match_voc)
        return cls([Ranking(of_class, len(true), 1, mean) for of_class in every])

    @property
    def by_class(self) -> NDArray[np.float64]:
        """Average precision at each threshold, shape (K, T); NaN where no image has the class."""
        return np.array([ranking.precision() for ranking in self.rankings])

    @property
    def score(self) -> float:
        """The mean over thresholds and over the classes that occur; NaN where none does."""
        return _mean(self.by_class)

    @cached_property
    def resampled_by_class(self) -> NDArray[np.float64]:
        """Average precision in ``each_resample``, shape (R, K, T); NaN where none of its images has the class."""
        drawn = each_resample(len(self.rankings[0].there), self.groups)
        return np.array([[each.precision(times) for each in self.rankings] for times in drawn])

    def resampled(self) -> NDArray[np.float64]:
        """Return the score in ``each_resample``, shape (R,)."""
        return np.array([_mean(by_class) for by_class in self.resampled_by_class])


def _mean(by_class: NDArray[np.float64]) -> float:
    there = ~np.isnan(by_class)
    return float(by_class[there].mean()) if there.any() else float("nan")
