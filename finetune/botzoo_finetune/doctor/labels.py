"""Labels that are likely wrong, by confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating
Uncertainty in Dataset Labels", section 3).

A logistic regression on the features of a network says how likely each class is for images that it has not been fitted to.
Where it is surer of another class than it usually is of that class, and thinks little of the given one, the label is suspect.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from botzoo_finetune.doctor.findings import Finding

FOLDS = 5
COMPONENTS = 256
"""Principal components of the features that the estimate is made from; more cost much and tell little."""
C = 0.1
"""Inverse of the penalty on the weights: the best of 0.001 to 1, by log loss, on digits with 5 % wrong labels."""
MEANINGFUL = 0.5
"""Least Cohen's kappa of the estimate: less, and most of what looks wrong would be its own mistakes."""
MARGIN = 0.5
"""By so much another class must be likelier than the given one."""


@dataclass(frozen=True)
class Estimate:
    """What a model thinks of images that it was not fitted to.

    Attributes:
        probabilities: float32 (N, K); zeros in the rows that are not judged.
        judged: bool (N,), False for images of classes with fewer images than there are folds.
        accuracy: share of the judged images whose given label is the likeliest class, in [0, 1].
        kappa: Cohen's kappa of likeliest and given classes: the accuracy beyond what chance gives, at most 1.
    """

    probabilities: NDArray[np.float32]
    judged: NDArray[np.bool_]
    accuracy: float
    kappa: float

    @property
    def meaningful(self) -> bool:
        """Whether a label that contradicts it may well be wrong."""
        return self.kappa >= MEANINGFUL


def estimate(features: NDArray[np.floating], labels: NDArray[np.int64], seed: int) -> Estimate | None:
    """Return the out-of-fold probabilities of a logistic regression, or None where fewer than two classes can be judged.

    Args:
        features: (N, D), finite.
        labels: int64 (N,), >= 0.
        seed: decides the folds.
    """
    from sklearn.metrics import accuracy_score, cohen_kappa_score

    judged = np.bincount(labels)[labels] >= FOLDS
    classes, given = np.unique(labels[judged], return_inverse=True)
    if len(classes) < 2:
        return None
    found = _out_of_fold(_reduced(features[judged], seed), given, seed)
    probabilities = np.zeros((len(labels), int(labels.max()) + 1), np.float32)
    probabilities[np.ix_(judged, classes)] = found
    likeliest = found.argmax(1)
    accuracy, kappa = accuracy_score(given, likeliest), cohen_kappa_score(given, likeliest)
    return Estimate(probabilities, judged, float(accuracy), float(kappa))


def _reduced(features: NDArray[np.floating], seed: int) -> NDArray[np.float32]:
    """Return the first principal components, with a variance of 1 on average; labels play no part in them."""
    from sklearn.decomposition import PCA

    rows = features.astype(np.float32)
    reduced = PCA(min(COMPONENTS, *rows.shape), random_state=seed).fit_transform(rows)
    scaled: NDArray[np.float32] = reduced / max(float(reduced.std()), 1e-12)
    return scaled


def _out_of_fold(features: NDArray[np.float32], given: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # what is nearly fitted serves as well
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=C, max_iter=100)
        found: NDArray[np.float32] = cross_val_predict(model, features, given, cv=folds, method="predict_proba")
    return found


def check_labels(estimate: Estimate, labels: NDArray[np.int64], class_names: Sequence[str]) -> list[Finding]:
    """Return the suspect labels, the likeliest to be wrong first; none where the estimate is not ``meaningful``.

    A label y is suspect where another class k has p_k >= t_k and p_y - p_k <= -MARGIN. The threshold t_k is the mean of p_k
    over the images labelled k (the paper's equation 2): how sure the estimate usually is of that class.

    Args:
        labels: int64 (N,).
        class_names: of the K classes.
    """
    if not estimate.meaningful:
        return []
    rows = np.flatnonzero(estimate.judged)
    p, given = estimate.probabilities[rows], labels[rows]
    own = p[np.arange(len(rows)), given]
    others = p.copy()
    others[np.arange(len(rows)), given] = -1
    rival = others.argmax(1)
    margin = own - others.max(1)
    suspect = np.flatnonzero((margin <= -MARGIN) & (others.max(1) >= thresholds(own, given, p.shape[1])[rival]))
    return [
        Finding(
            "labels",
            f"labelled {class_names[int(given[i])]!r} (probability {own[i]:.2f}), looks like {class_names[int(rival[i])]!r} "
            f"({own[i] - margin[i]:.2f})",
            (int(rows[i]),),
            suggested=int(rival[i]),
            score=round(float(margin[i]), 4),
        )
        for i in suspect[np.argsort(margin[suspect], kind="stable")].tolist()
    ]


def thresholds(own: NDArray[np.float32], given: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return the mean probability (K,) of each class over the images labelled so; infinity where there are none.

    Args:
        own: (N,), the probability of each image's own label.
        given: int64 (N,), these labels.
        classes: K.
    """
    counts, sums = np.bincount(given, minlength=classes), np.bincount(given, weights=own, minlength=classes)
    means: NDArray[np.float64] = np.divide(sums, counts, out=np.full(classes, np.inf), where=counts > 0)
    return means
