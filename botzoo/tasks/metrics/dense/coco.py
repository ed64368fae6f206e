"""COCO's figures, computed by the library faster-coco-eval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import ConfigError
from botzoo.sources.targets.boxes import Boxes
from botzoo.tasks.metrics.dense.matching import COCO_THRESHOLDS, Detections

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""What COCO calls so, by the areas in pixels."""


class CocoFigures(NamedTuple):
    """Average precision in per cent, NaN where there is nothing to be found."""

    map: float  # over classes and thresholds from 0.5 to 0.95
    map50: float  # at 0.5
    map75: float
    small: float
    medium: float
    large: float
    by_class: NDArray[np.float64]  # (K,), as ``map``


def library() -> tuple[Any, Any]:
    """Return the library's classes of a data set and of its evaluation.

    Raises:
        ConfigError: it is not there.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise ConfigError("Figures of boxes need faster-coco-eval: pip install 'botzoo[detection]'.") from error
    return COCO, COCOeval_faster


def coco_figures(found: Sequence[Detections], true: Sequence[Boxes], classes: int) -> CocoFigures:
    """Return COCO's figures of N images; objects that are difficult count as any other, as COCO knows no such.

    Raises:
        ConfigError: the library is not there.
    """
    data_set, evaluation = library()
    there = data_set(
        {
            "images": [{"id": i + 1} for i in range(len(true))],
            "categories": [{"id": k, "name": str(k)} for k in range(classes)],
            "annotations": [*_objects(true)],
        }
    )
    said = [*_said(found)]
    precision = _precision(evaluation, there, said) if said else _nothing_found(true, classes)
    by_class = np.array([_mean(precision[:, k, 0]) for k in range(classes)])
    small, medium, large = (_mean(precision[..., 1 + k]) for k in range(len(SIZES)))
    every = precision[..., 0]
    return CocoFigures(_mean(every), _mean(every[0]), _mean(every[5]), small, medium, large, by_class)


def _precision(evaluator: Any, there: Any, said: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Return the mean precision over the recalls, shape (T, K, 4): of all sizes, small, medium and large ones."""
    evaluation = evaluator(there, there.loadRes(said), "bbox", separate_eval=True)
    evaluation.evaluate()
    evaluation.accumulate()
    # thresholds, recalls, classes, sizes, most boxes an image, of which the last is 100
    precision: NDArray[np.float64] = np.asarray(evaluation.eval["precision"])[..., -1]
    return np.asarray(np.where(precision < 0, np.nan, precision).mean(1))


def _nothing_found(true: Sequence[Boxes], classes: int) -> NDArray[np.float64]:
    """Return what ``_precision`` would, which needs a box: 0 for what is there and NaN elsewhere."""
    labels, areas, crowd = (np.concatenate([getattr(b, part) for b in true]) for part in ("labels", "areas", "crowd"))
    of_size = [(areas >= low) & (areas <= high) & ~crowd for low, high in ((0.0, np.inf), *SIZES.values())]
    counts = np.stack([np.bincount(labels[own], minlength=classes) for own in of_size], 1)
    return np.broadcast_to(np.where(counts > 0, 0.0, np.nan), (len(COCO_THRESHOLDS), *counts.shape))


def _mean(values: NDArray[np.float64]) -> float:
    there = ~np.isnan(values)
    return 100 * float(values[there].mean()) if there.any() else float("nan")


def _sides(corners: NDArray[np.float32]) -> list[list[float]]:
    edges = corners.astype(np.float64)
    return np.concatenate([edges[:, :2], edges[:, 2:] - edges[:, :2]], 1).tolist()  # type: ignore[no-any-return]


def _objects(true: Sequence[Boxes]) -> Iterator[dict[str, Any]]:
    number = 0
    for i, boxes in enumerate(true):
        columns = zip(
            _sides(boxes.corners), *(c.tolist() for c in (boxes.labels, boxes.crowd, boxes.areas)), strict=True
        )
        for sides, label, crowd, area in columns:
            number += 1
            facts = {"id": number, "image_id": i + 1, "category_id": label, "iscrowd": int(crowd)}
            yield {**facts, "bbox": sides, "area": area}


def _said(found: Sequence[Detections]) -> Iterator[dict[str, Any]]:
    for i, boxes in enumerate(found):
        columns = zip(_sides(boxes.corners), boxes.labels.tolist(), boxes.scores.tolist(), strict=True)
        for sides, label, score in columns:
            yield {"image_id": i + 1, "category_id": label, "bbox": sides, "score": score}
