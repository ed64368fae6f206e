"""Metrics of images with any number of labels each, as scikit-learn has them, of many resamples at once.

All are in per cent but log-loss, shape (R,). What is a mean over labels is one over those that occur.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from botzoo.sources.base import MultiHot
from botzoo.tasks.metrics.metric import Metric
from botzoo.tasks.metrics.of_classes import Counts, log_loss, mean_where
from botzoo.tasks.metrics.ranking import Ranked
from botzoo.tasks.metrics.resampling import Resampled

Floats = NDArray[np.float64]


class WeightedLabels(Resampled):
    """The same of a ``MultiLabelEvaluation``."""

    @cached_property
    def counts(self) -> Counts:
        """How many images have each label, how many get it, and how many of these have it: shapes (R, K)."""
        given = self.seen.given

        def sums(hot: MultiHot) -> Floats:  # column by column: as floating point all would take eight times the room
            return np.stack([self.weights @ hot[:, k] for k in range(hot.shape[1])], 1)

        return Counts(sums(self.seen.labels), sums(given), sums(self.seen.labels & given))


def macro_f1(of: WeightedLabels) -> Floats:
    """Return the mean F1 of the labels, as ``f1_score`` with ``average="macro"`` over those that occur."""
    both = np.maximum(of.counts.images + of.counts.answers, 1)
    return 100 * mean_where(2 * of.counts.right / both, of.counts.images > 0)


def micro_f1(of: WeightedLabels) -> Floats:
    """Return F1 of all answers together, as ``f1_score`` with ``average="micro"`` over the labels that occur."""
    images, answers, right = (np.where(of.counts.images > 0, count, 0).sum(1) for count in of.counts)
    found: Floats = 200 * right / np.maximum(images + answers, 1)
    return found


def roc_auc(of: WeightedLabels) -> Floats:
    """Return the mean area under the ROC curve of the labels, as ``roc_auc_score`` with ``average="macro"``."""
    labels, logits = of.seen.labels, of.seen.logits
    ranked = (Ranked(labels[:, k], logits[:, k]) for k in range(labels.shape[1]))
    every = np.stack([each.auc(each.sums(of.times)) for each in ranked], 1)
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
