"""The figures of every class of boxes or masks, as ``botzoo.results.per_class.Figures``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from botzoo.results.dense.faults import error_analysis
from botzoo.tasks.metrics.dense.coco import SIZES
from botzoo.tasks.metrics.dense.matching import of_size
from botzoo.tasks.metrics.dense.precision import AveragePrecision
from botzoo.tasks.metrics.dense.regions import intersection_over_union, resampled_counts
from botzoo.tasks.metrics.dense.resampling import interval
from botzoo.util.text import interval_words

Interval = tuple[float, float]


@dataclass(frozen=True)
class BoxFigures:
    """How the objects of one class were found; shares are in per cent."""

    name: str  # as the data has it
    images: int  # that have one, 1 or more
    objects: int
    answers: int  # boxes with a score of 0.5 or more
    average_precision: float  # mean over the overlaps from 0.5 to 0.95
    at_half: float  # average precision at an overlap of 0.5
    precision: float  # of the ``answers``, at an overlap of 0.5; 0 where there is none
    recall: float  # by them
    interval: Interval  # 95 %, of the average precision
    main_share: ClassVar[str] = "AP"

    @property
    def counts(self) -> dict[str, int]:
        return {"images": self.images, "objects": self.objects}

    @property
    def shares(self) -> dict[str, float]:
        return {
            "AP": self.average_precision,
            "AP50": self.at_half,
            "precision": self.precision,
            "recall": self.recall,
        }

    @property
    def intervals(self) -> dict[str, Interval]:
        return {"AP": self.interval}

    @property
    def main(self) -> float:
        return self.average_precision

    def cell(self, share: str) -> str:
        """Return one of ``shares`` for a table; of a class that was never found there is no precision."""
        return f"{self.shares[share]:.1f} %" if self.answers or share != "precision" else "no answer"


@dataclass(frozen=True)
class RegionFigures:
    """How the pixels of one class were told; shares are in per cent."""

    name: str  # as the data has it
    images: int  # that show it, 1 or more
    answers: int  # images on which it was said of a pixel
    pixels: float  # share of all pixels that it has
    iou: float  # intersection over union, over all images
    precision: float  # of the pixels of which it was said; 0 where there are none
    recall: float
    interval: Interval  # 95 %, of the intersection over union
    main_share: ClassVar[str] = "IoU"

    @property
    def counts(self) -> dict[str, int]:
        return {"images": self.images}

    @property
    def shares(self) -> dict[str, float]:
        return {
            "IoU": self.iou,
            "precision": self.precision,
            "recall": self.recall,
            "of all pixels": self.pixels,
        }

    @property
    def intervals(self) -> dict[str, Interval]:
        return {"IoU": self.interval}

    @property
    def main(self) -> float:
        return self.iou

    def cell(self, share: str) -> str:
        """Return one of ``shares`` for a table; of a class that was never said there is no precision."""
        return f"{self.shares[share]:.1f} %" if self.answers or share != "precision" else "no answer"


def box_figures(evaluation: Any, class_names: Sequence[str]) -> list[BoxFigures]:
    """Return the figures of every class with objects to be found in the evaluated split, in the order of ``class_names``."""
    objects, found, right = error_analysis(evaluation).by_class(len(class_names))
    if not objects.any():
        return []
    precision: AveragePrecision = evaluation.precision
    by_class = 100 * precision.by_class
    drawn = 100 * precision.resampled_by_class.mean(2)  # over the thresholds, of which all or none are known
    return [
        BoxFigures(
            name,
            images=int((precision.rankings[k].there > 0).sum()),
            objects=int(objects[k]),
            answers=int(found[k]),
            average_precision=float(by_class[k].mean()),
            at_half=float(by_class[k, 0]),
            precision=_percent(right[k], found[k]),
            recall=_percent(right[k], objects[k]),
            interval=interval(drawn[:, k]),
        )
        for k, name in enumerate(class_names)
        if objects[k]
    ]


def region_figures(evaluation: Any, class_names: Sequence[str]) -> list[RegionFigures]:
    """Return the figures of every class that an evaluated image shows, in the order of ``class_names``."""
    counts: NDArray[np.int64] = evaluation.counts
    right, there, said = total = counts.sum(0)
    resampled = resampled_counts(counts, evaluation.groups)
    iou, drawn = (100 * intersection_over_union(of) for of in (total, resampled))
    return [
        RegionFigures(
            name,
            images=int((counts[:, 1, k] > 0).sum()),
            answers=int((counts[:, 2, k] > 0).sum()),
            pixels=_percent(there[k], there.sum()),
            iou=float(iou[k]),
            precision=_percent(right[k], said[k]),
            recall=_percent(right[k], there[k]),
            interval=interval(drawn[:, k]),
        )
        for k, name in enumerate(class_names)
        if there[k]
    ]


def _percent(part: np.int64, whole: np.int64) -> float:
    return 100 * float(part) / max(int(whole), 1)


@dataclass(frozen=True)
class Figure:
    """A figure of a whole split in per cent, with its 95 % interval; NaN where there is nothing to be found."""

    name: str
    value: float
    interval: Interval
    says: str  # what it is

    @property
    def texts(self) -> tuple[str, str]:
        """The figure and its interval in words."""
        if np.isnan(self.value):
            return "not known", "unknown: nothing is there to be found"
        return f"{self.value:.2f} %", interval_words(self.interval)


def _mean_over_classes(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each row over what is known in it, shape (R,), of (R, K); NaN where nothing is."""
    there = ~np.isnan(drawn)
    some = there.sum(1)
    return np.where(some > 0, np.where(there, drawn, 0).sum(1) / np.maximum(some, 1), np.nan)


@lru_cache(maxsize=2)
def box_summary(evaluation: Any, classes: int) -> list[Figure]:
    """Return mAP at overlaps from 0.5 to 0.95, at 0.5 and at 0.75, and of small, medium and large objects."""
    says = "average precision, mean over classes and overlaps"
    if not any((~boxes.crowd).any() for boxes in evaluation.boxes):
        return [Figure("mAP", np.nan, (np.nan, np.nan), says)]
    coco, drawn = evaluation.coco, 100 * evaluation.precision.resampled_by_class

    def at(place: int) -> Interval:
        return interval(_mean_over_classes(drawn[:, :, place]))

    found = [
        Figure("mAP", evaluation.score, evaluation.interval(), says),
        Figure("mAP50", coco.map50, at(0), "the same at an overlap of 0.5 alone"),
        Figure("mAP75", coco.map75, at(5), "the same at an overlap of 0.75 alone"),
    ]
    said = {
        "small": "of objects of less than 32 x 32 pixels",
        "medium": "of objects of 32 x 32 to 96 x 96 pixels",
        "large": "of objects of more than 96 x 96 pixels",
    }
    for name, between in SIZES.items():
        value = getattr(coco, name)
        if not np.isnan(value):
            match, groups = of_size(between), evaluation.groups
            own = AveragePrecision.coco(evaluation.detections, evaluation.boxes, classes, match, groups)
            found.append(Figure(f"mAP {name}", value, interval(100 * own.resampled()), said[name]))
    return found
