"""Labels that are likely wrong.

A logistic regression on the features of a network says how likely each class is for images that it has not been fitted
to. To look like another class does not make an image suspect: its label must be so unlikely that a mistake explains it at
least a third as well. How likely a mistake is follows from uniform label noise (Angluin and Laird 1988, "Learning From
Noisy Examples", extended to K classes). The class of an image is k with probability p_k; with probability e its label is
another one of the K - 1, each as likely. So the label y is seen with probability

    q_y = (1 - e) p_y + e / (K - 1) (1 - p_y)

and is wrong, once seen, with probability e / (K - 1) (1 - p_y) / q_y (Bayes' rule). A temperature sharpens or softens
the estimate of p; it and e are those that make the labels likeliest.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from botzoo.util.outgoing import in_quotes
from botzoo_finetune.doctor.findings import Finding

FOLDS = 5
COMPONENTS = 256  # principal components of the features that the estimate is made from; more cost much and tell little
C = 0.1
"""Inverse of the penalty on the weights: the best of 0.001 to 1, by log loss, on digits with 5 % wrong labels."""
MEANINGFUL = 0.25
"""Least Cohen's kappa of the estimate: less, and most of what looks wrong would be its own mistakes."""
SUSPECT = 0.25
"""Probability of being wrong from which on a label is worth a look: of four images one, at the least, pays."""
STARTS = 0.02, 0.2  # shares of wrong labels that the search begins with
MOST = 0.5  # share of wrong labels beyond which nothing is learned from them
LOOKED_AT = 10_000_000  # probabilities at most that e and the temperature are chosen by: of images evenly spread
LARGEST = 200_000_000  # images times classes at most: of each such pair the estimate holds four numbers
SIGNIFICANT = 1.64
"""Twice the gain in log likelihood that one of ten data sets without noise exceeds: the 80 % quantile of chi squared with one
degree of freedom, as e = 0 is at the edge of what e may be (Self and Liang 1987, case 5). A stricter one misses the one wrong
label among a few dozen that any eye sees."""


@dataclass(frozen=True)
class Estimate:
    """What a model thinks of images that it was not fitted to.

    Attributes:
        probabilities: float32 (N, K); zeros in the rows that are not estimated.
        estimated: bool (N,), False for images of classes with fewer images than there are folds.
        accuracy: share of those images whose given label is the likeliest class, in [0, 1].
        kappa: Cohen's kappa of likeliest and given classes: the accuracy beyond what chance gives, at most 1.
        wrong: (N,), the probability that each label is wrong; 0 in the rows that are not estimated.
        noise: share of those labels that are wrong, in [0, 0.5].
    """

    probabilities: NDArray[np.float32]
    estimated: NDArray[np.bool_]
    accuracy: float
    kappa: float
    wrong: NDArray[np.float64]
    noise: float

    @property
    def meaningful(self) -> bool:
        """Whether a label that contradicts it may well be wrong."""
        return self.kappa >= MEANINGFUL


def estimate(features: NDArray[np.floating], labels: NDArray[np.int64], seed: int) -> Estimate | None:
    """Return the out-of-fold probabilities of a logistic regression, or None where fewer than two classes have images enough.

    Args:
        features: (N, D), finite.
        labels: int64 (N,), >= 0.
        seed: decides the folds.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, cohen_kappa_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    enough = np.bincount(labels)[labels] >= FOLDS
    classes, given = np.unique(labels[enough], return_inverse=True)
    if len(classes) < 2:
        return None
    rows, folds = components(features[enough], seed), StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # what is nearly fitted serves as well
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=C, max_iter=100)
        found = cross_val_predict(model, rows, given, cv=folds, method="predict_proba")
    probabilities = np.zeros((len(labels), int(labels.max()) + 1), np.float32)
    probabilities[np.ix_(enough, classes)] = found
    likeliest = found.argmax(1)
    accuracy, kappa = accuracy_score(given, likeliest), cohen_kappa_score(given, likeliest)
    wrong = np.zeros(len(labels))
    noise, wrong[enough] = label_noise(found, given)
    return Estimate(probabilities, enough, float(accuracy), float(kappa), wrong, noise)


def components(features: NDArray[np.floating], seed: int) -> NDArray[np.float32]:
    """Return the first principal components, with a variance of 1 on average; labels play no part in them."""
    from sklearn.decomposition import PCA

    rows = features.astype(np.float32)
    with np.errstate(invalid="ignore"):  # of images that are all alike, where shares of a variance of 0 mean nothing
        reduced = PCA(min(COMPONENTS, *rows.shape), random_state=seed).fit_transform(rows)
    scaled: NDArray[np.float32] = reduced / max(float(reduced.std()), 1e-12)
    return scaled


def label_noise(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """Return which share of the labels is wrong, e, in [0, 0.5], and the probability (N,) that each one is.

    Both are 0 where labels are not significantly likelier with noise.

    Args:
        probabilities: (N, K) of the classes, K >= 2, estimated without the image's own label; rows sum to 1.
        labels: int64 (N,), in [0, K).
    """
    from scipy.optimize import minimize

    most = min(len(labels), max(1, LOOKED_AT // probabilities.shape[1]))
    rows = np.linspace(0, len(labels) - 1, most, dtype=np.int64)
    logits, given = _logarithms(probabilities[rows]), labels[rows]

    def surprise(parameters: NDArray[np.float64]) -> float:
        temperature, share = _natural(parameters)
        right, mistaken = ways(logits, given, temperature, share)
        return -float(np.log(np.maximum(right + mistaken, 1e-300)).sum())

    # Without noise (e = 0) only the temperature is fitted; with it, from several starts, as there may be several minima.
    clean = minimize(lambda found: surprise(np.array([found[0], -np.inf])), [0.0], method="Nelder-Mead")
    starts = [[0.0, float(np.log(share / (MOST - share)))] for share in STARTS]
    fitted = [minimize(surprise, start, method="Nelder-Mead") for start in starts]
    best = min(fitted, key=lambda found: float(found.fun))
    if 2 * float(clean.fun - best.fun) < SIGNIFICANT:
        return 0.0, np.zeros(len(labels))
    temperature, share = _natural(best.x)
    parts = [slice(at, at + most) for at in range(0, len(labels), most)]
    seen = [ways(_logarithms(probabilities[part]), labels[part], temperature, share) for part in parts]
    right, mistaken = map(np.concatenate, zip(*seen, strict=True))
    return share, mistaken / (right + mistaken)


def _natural(parameters: NDArray[np.float64]) -> tuple[float, float]:
    """Return temperature, above 0, and share of wrong labels, in [0, MOST), of what may be any number."""
    from scipy.special import expit

    return float(np.exp(np.clip(parameters[0], -3, 3))), float(MOST * expit(parameters[1]))


def _logarithms(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    logarithms: NDArray[np.float64] = np.log(np.maximum(probabilities, 1e-12, dtype=np.float64))
    return logarithms


def ways(
    logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float, share: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probabilities (N,) that each image gets its label rightly, and that it gets it by mistake."""
    from scipy.special import softmax

    own = softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels]
    return (1 - share) * own, share / (logits.shape[1] - 1) * (1 - own)


def check_labels(estimate: Estimate, labels: NDArray[np.int64], class_names: Sequence[str]) -> list[Finding]:
    """Return which labels, int64 (N,), are wrong with a probability above ``SUSPECT``, the likeliest first.

    There are none where the estimate is not ``meaningful``.
    """
    if not estimate.meaningful:
        return []
    findings, suspect = [], np.flatnonzero(estimate.wrong > SUSPECT)
    for i in suspect[np.argsort(-estimate.wrong[suspect], kind="stable")].tolist():
        p, given, wrong = estimate.probabilities[i], int(labels[i]), float(estimate.wrong[i])
        rival = int(np.where(np.arange(len(p)) == given, -1, p).argmax())
        verb = "looks" if p[rival] > p[given] else "may look"
        label, other = in_quotes(class_names[given]), in_quotes(class_names[rival])
        looks = f"labelled {label} ({p[given]:.0%}), {verb} like {other} ({p[rival]:.0%})"
        reason = f"{looks}: {wrong:.0%} likely to be wrong"
        findings.append(Finding("labels", reason, (i,), suggested=rival, score=round(wrong, 4)))
    return findings
