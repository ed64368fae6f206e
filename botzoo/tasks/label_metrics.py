"""Metrics of images with any number of labels each, as scikit-learn has them, of many resamples at once.

All are in per cent but log-loss; ``times`` are as of ``Metric.of``. What is a mean over labels is one over those that occur.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from botzoo.tasks.class_metrics import log_loss, mean_where
from botzoo.tasks.metrics import Metric
from botzoo.tasks.ranking import Ranked
from botzoo.tasks.resampling import Times

if TYPE_CHECKING:
    from botzoo.tasks.multi_label import MultiLabelEvaluation

Floats = NDArray[np.float64]


def _counts(seen: MultiLabelEvaluation, times: Times | None) -> tuple[Floats, Floats, Floats]:
    """Return how many images have each label, how many get it, and how many of these have it: shapes (R, K)."""
    if times is None:
        images, answers, right = (count[None].astype(np.float64) for count in seen.counts)
        return images, answers, right
    given, weights = seen.given, times.astype(np.float32)  # counts up to 16 million are exact in it
    images, answers, right = (
        np.stack([weights @ hot[:, k].astype(np.float32) for k in range(hot.shape[1])], 1).astype(np.float64)
        for hot in (seen.labels, given, seen.labels & given)
    )
    return images, answers, right


def macro_f1(seen: MultiLabelEvaluation, times: Times | None = None) -> Floats:
    """Return the mean F1 of the labels, as ``f1_score`` with ``average="macro"`` over those that occur."""
    images, answers, right = _counts(seen, times)
    return 100 * mean_where(2 * right / np.maximum(images + answers, 1), images > 0)


def micro_f1(seen: MultiLabelEvaluation, times: Times | None = None) -> Floats:
    """Return F1 of all answers together, as ``f1_score`` with ``average="micro"`` over the labels that occur."""
    images, answers, right = _counts(seen, times)
    there = images > 0
    both = np.where(there, images + answers, 0).sum(1)
    found: Floats = 200 * np.where(there, right, 0).sum(1) / np.maximum(both, 1)
    return found


def roc_auc(seen: MultiLabelEvaluation, times: Times | None = None) -> Floats:
    """Return the mean area under the ROC curve of the labels, as ``roc_auc_score`` with ``average="macro"``."""
    every = np.stack([Ranked(seen.labels[:, k], seen.logits[:, k]).auc(times) for k in range(seen.labels.shape[1])], 1)
    return 100 * mean_where(every, ~np.isnan(every))


LABEL_METRICS: tuple[Metric, ...] = (
    Metric("macro-f1", "macro F1", "mean F1 of the labels at a threshold of 0.5", macro_f1, "f1"),
    Metric("micro-f1", "micro F1", "F1 of all answers at a threshold of 0.5", micro_f1, "f1"),
    Metric(
        "roc-auc",
        "ROC-AUC",
        "area under the ROC curve, mean of the labels",
        roc_auc,
        "roc_auc",
        ranks=True,
    ),
    Metric("log-loss", "log-loss", "mean binary cross-entropy of an image, summed over its labels", log_loss),
)
"""In the order in which they are shown; mean average precision is the headline figure."""
