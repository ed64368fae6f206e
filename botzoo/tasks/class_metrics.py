"""Metrics of images with one class each, as scikit-learn has them, of many resamples at once.

All are in per cent but log-loss; ``times`` are as of ``Metric.of``. What is a mean over classes is one over those that occur.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.tasks.metrics import Metric
from botzoo.tasks.ranking import Ranked
from botzoo.tasks.resampling import Times

if TYPE_CHECKING:
    from botzoo.tasks.classification import Evaluation

Floats = NDArray[np.float64]


class _Counts(NamedTuple):
    """How many images each class has, how many get it as an answer, and how many of these have it: shape (R, K)."""

    images: Floats
    answers: Floats
    right: Floats

    @property
    def total(self) -> Floats:
        total: Floats = self.images.sum(1)
        return total


def _counts(seen: Evaluation, times: Times | None) -> _Counts:
    from scipy.sparse import csr_array

    n, classes = len(seen), int(max(seen.labels.max(), seen.predicted.max())) + 1
    weights = _weights(seen, times).T
    right = seen.labels == seen.predicted

    def sums(of: NDArray[np.int64], rows: NDArray[np.bool_]) -> Floats:
        hot = csr_array((rows.astype(np.float64), (of, np.arange(n))), shape=(classes, n))
        return np.asarray((hot @ weights).T)

    every = np.ones(n, bool)
    return _Counts(sums(seen.labels, every), sums(seen.predicted, every), sums(seen.labels, right))


def _weights(seen: Evaluation, times: Times | None) -> Floats:
    return np.ones((1, len(seen))) if times is None else times.astype(np.float64)


def mean_where(values: Floats, there: NDArray[np.bool_]) -> Floats:
    """Return the mean of the ``values`` of each row that are ``there``, shape (R,); NaN where none is."""
    return _ratio(np.where(there, values, 0).sum(1), there.sum(1).astype(np.float64))


def _ratio(part: Floats, whole: Floats) -> Floats:
    found: Floats = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole != 0)
    return found


def balanced_accuracy(seen: Evaluation, times: Times | None = None) -> Floats:
    """Return the mean recall of the classes, as ``balanced_accuracy_score``."""
    counts = _counts(seen, times)
    return 100 * mean_where(_ratio(counts.right, counts.images), counts.images > 0)


def macro_f1(seen: Evaluation, times: Times | None = None) -> Floats:
    """Return the mean F1 of the classes that occur or are answered, as ``f1_score`` with ``average="macro"``."""
    counts = _counts(seen, times)
    both = counts.images + counts.answers
    return 100 * mean_where(_ratio(2 * counts.right, both), both > 0)


def kappa(seen: Evaluation, times: Times | None = None) -> Floats:
    """Return Cohen's kappa, the accuracy beyond what chance gives, as ``cohen_kappa_score``; NaN of one class alone."""
    counts = _counts(seen, times)
    observed = counts.right.sum(1) / counts.total
    chance = (counts.images * counts.answers).sum(1) / counts.total**2
    return 100 * _ratio(observed - chance, 1 - chance)


def quadratic_kappa(seen: Evaluation, times: Times | None = None) -> Floats:
    """Return Cohen's kappa where a mistake by d classes costs d squared, as ``cohen_kappa_score`` over all labels.

    Of labels i and answers j the squared distance is that observed over that of independent ones, E(i - j)^2, which is
    E i^2 - 2 E i E j + E j^2.
    """
    counts, weights = _counts(seen, times), _weights(seen, times)
    place = np.arange(counts.images.shape[1], dtype=np.float64)
    observed = weights @ np.square(seen.labels - seen.predicted).astype(np.float64) / counts.total
    (i, j), (ii, jj) = ([side @ place**power / counts.total for side in counts[:2]] for power in (1, 2))
    return 100 * (1 - _ratio(observed, ii - 2 * i * j + jj))


def log_loss(seen: Evaluation, times: Times | None = None) -> Floats:
    """Return the mean negative log-likelihood in nats, as ``log_loss``."""
    weights = _weights(seen, times)
    mean: Floats = weights @ seen.nll.astype(np.float64) / weights.sum(1)
    return mean


def roc_auc(seen: Evaluation, times: Times | None = None) -> Floats:
    """Return the mean area under the ROC curve, each class against the rest, as ``roc_auc_score``."""
    return _one_against_rest(seen, times, Ranked.auc)


def average_precision(seen: Evaluation, times: Times | None = None) -> Floats:
    """Return the mean average precision, each class against the rest, as ``average_precision_score``."""
    return _one_against_rest(seen, times, Ranked.precision)


def _one_against_rest(seen: Evaluation, times: Times | None, of: Callable[[Ranked, Times | None], Floats]) -> Floats:
    assert seen.log_p is not None
    sums = there = np.zeros(1 if times is None else len(times))
    for k in np.unique(seen.labels).tolist():
        value = of(Ranked(seen.labels == k, seen.log_p[:, k].astype(np.float32)), times)
        sums, there = sums + np.nan_to_num(value), there + ~np.isnan(value)
    return 100 * _ratio(sums, there)


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
