"""Metrics of images with one class each, as scikit-learn has them, of many resamples at once.

All are in per cent but log-loss, shape (R,). What is a mean over classes is one over those that occur.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.tasks.metrics.metric import Metric
from botzoo.tasks.metrics.ranking import Ranked, ratio
from botzoo.tasks.metrics.resampling import Resampled

Floats = NDArray[np.float64]


class Counts(NamedTuple):
    """How many images each class has, how many get it as an answer, and how many of these have it: shape (R, K)."""

    images: Floats
    answers: Floats
    right: Floats


class Weighted(Resampled):
    """The same of an ``Evaluation`` of classification."""

    @cached_property
    def counts(self) -> Counts:
        from scipy.sparse import csr_array

        labels, predicted = self.seen.labels, self.seen.predicted
        shape = int(max(labels.max(), predicted.max())) + 1, len(labels)

        def sums(of: NDArray[np.int64], rows: NDArray[np.bool_]) -> Floats:
            hot = csr_array((rows.astype(np.float64), (of, np.arange(len(of)))), shape=shape)
            return np.asarray((hot @ self.weights.T).T)

        every = np.ones(len(labels), bool)
        return Counts(sums(labels, every), sums(predicted, every), sums(labels, labels == predicted))

    @cached_property
    def ranked(self) -> tuple[Floats, Floats]:
        """Area under the ROC curve and average precision of each class against the rest, means over the classes."""
        assert self.seen.log_p is not None
        auc, precision = (_Mean(len(self.weights)) for _ in range(2))
        for k in np.unique(self.seen.labels).tolist():  # a class at a time, since all would take 40 bytes a logit
            ranked = Ranked(self.seen.labels == k, self.seen.log_p[:, k].astype(np.float32))
            sums = ranked.sums(self.times)
            auc.add(ranked.auc(sums))
            precision.add(ranked.precision(sums))
        return auc.value, precision.value


class _Mean:
    """The mean of the shares of several classes, of those that are not NaN, in per cent, shape (R,)."""

    def __init__(self, resamples: int) -> None:
        self.sums, self.there = np.zeros(resamples), np.zeros(resamples)

    def add(self, values: Floats) -> None:
        self.sums += np.nan_to_num(values)
        self.there += ~np.isnan(values)

    @property
    def value(self) -> Floats:
        return 100 * ratio(self.sums, self.there)


def mean_where(values: Floats, there: NDArray[np.bool_]) -> Floats:
    """Return the mean of the ``values`` of each row that are ``there``, shape (R,); NaN where none is."""
    return ratio(np.where(there, values, 0).sum(1), there.sum(1).astype(np.float64))


def balanced_accuracy(of: Weighted) -> Floats:
    """Return the mean recall of the classes, as ``balanced_accuracy_score``."""
    return 100 * mean_where(ratio(of.counts.right, of.counts.images), of.counts.images > 0)


def macro_f1(of: Weighted) -> Floats:
    """Return the mean F1 of the classes that occur or are answered, as ``f1_score`` with ``average="macro"``."""
    both = of.counts.images + of.counts.answers
    return 100 * mean_where(ratio(2 * of.counts.right, both), both > 0)


def kappa(of: Weighted) -> Floats:
    """Return Cohen's kappa, the accuracy beyond what chance gives, as ``cohen_kappa_score``; NaN of one class alone."""
    observed = of.counts.right.sum(1) / of.images
    chance = (of.counts.images * of.counts.answers).sum(1) / of.images**2
    return 100 * ratio(observed - chance, 1 - chance)


def quadratic_kappa(of: Weighted) -> Floats:
    """Return Cohen's kappa where a mistake by d classes costs d squared, as ``cohen_kappa_score`` over all labels.

    Of labels i and answers j the squared distance is that observed over that of independent ones, E(i - j)^2, which is
    E i^2 - 2 E i E j + E j^2.
    """
    place = np.arange(of.counts.images.shape[1], dtype=np.float64)
    observed = of.weights @ np.square(of.seen.labels - of.seen.predicted).astype(np.float64) / of.images
    (i, j), (ii, jj) = ([side @ place**power / of.images for side in of.counts[:2]] for power in (1, 2))
    return 100 * (1 - ratio(observed, ii - 2 * i * j + jj))


def log_loss(of: Weighted) -> Floats:
    """Return the mean negative log-likelihood in nats, as ``log_loss``."""
    mean: Floats = of.weights @ of.seen.nll.astype(np.float64) / of.images
    return mean


def roc_auc(of: Weighted) -> Floats:
    """Return the mean area under the ROC curve, each class against the rest, as ``roc_auc_score``."""
    return of.ranked[0]


def average_precision(of: Weighted) -> Floats:
    """Return the mean average precision, each class against the rest, as ``average_precision_score``.

    It is NaN of one class alone, where any answers would have 100 %.
    """
    several = np.count_nonzero(of.counts.images, axis=1) > 1
    return np.where(several, of.ranked[1], np.nan)


CLASS_METRICS: tuple[Metric, ...] = (
    Metric("balanced-accuracy", "balanced accuracy", "mean recall of the classes", balanced_accuracy),
    Metric("macro-f1", "macro F1", "mean F1 of the classes", macro_f1, "f1"),
    Metric(
        "roc-auc",
        "ROC-AUC",
        "area under the ROC curve, each class against the rest, mean of the classes",
        roc_auc,
        "roc_auc",
        ranks=True,
    ),
    Metric(
        "average-precision",
        "average precision",
        "each class against the rest, mean of the classes",
        average_precision,
        ranks=True,
    ),
    Metric("kappa", "Cohen's kappa", "agreement with the labels beyond chance", kappa),
    Metric(
        "quadratic-kappa",
        "quadratic kappa",
        "Cohen's kappa where a mistake by d classes costs d squared",
        quadratic_kappa,
        ordered=True,
    ),
    Metric("log-loss", "log-loss", "mean negative log-likelihood of the label", log_loss),
)
"""In the order in which they are shown."""
