"""A linear probe: the best classifier on frozen features, found in seconds, and what it says of the data.

The probe is logistic regression: multinomial, or one of each label where an image may have several. Its regularisation is
chosen by cross-validation on the training images alone, so that the figure on the validation split is clean. A probe can
start the classifier of the fine-tuning that follows (LP-FT: A. Kumar, A. Raghunathan, R. Jones, T. Ma, P. Liang,
*Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution*, ICLR 2022, arXiv:2202.10054, section 3).
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from botzoo.results.calibration import expected_calibration_error
from botzoo.tasks.find import task_for

Labels = NDArray[Any]  # int64 (N,), or uint8 (N, K) where an image may have several
Rows = NDArray[np.floating[Any]]
VERSION = 4  # of how a probe is fitted and evaluated; what was kept of another version is not looked at
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the regularisation that are tried, scikit-learn's C, on centred features of variance 1.
All features are scaled alike: those that hardly vary would get huge weights otherwise, and fine-tuning huge gradients."""
USUAL = 1e-2  # the one that is taken where no class has images enough for cross-validation
START = 1.0
"""C times the number of images for the classifier that fine-tuning starts from: the penalty weighs as much as one image's
loss. The best classifier has larger weights, which pass larger gradients on to the body."""
FOLDS = 3
SEARCHED = 3000  # images that the cross-validation is done on, at most
FITTED = 100_000  # images that the classifier is fitted on, at most
FITTED_LOGITS = 100_000_000  # images times classes, at most, or one image a class
MOST_CLASSES = 5000  # of more a probe would take hours, and gigabytes: scikit-learn holds 25 copies of the weights
NEIGHBOURS = 20
SHARES = (1 / 8, 1 / 4, 1 / 2)  # of the training images, for the curve of how accuracy grows with them
ITERATIONS = 300
LOGITS = 1 << 22  # that are evaluated at once, each of which takes 20 bytes
TELLING = (
    2.0  # percentage points either way that the gain of more images may be off by, with 95 % confidence, to be told
)
MISTAKES = 10  # among the validation images, from which on their share is about normally distributed
COMPARED, ROUNDING = 1000, 2e-3
"""Rows that are compared at a time, and of the largest number of a row what may be rounding: two units of half precision."""


def constants() -> str:
    """Return all that the outcome of a fit depends on besides its arguments: the choices above, and whose algorithm it is."""
    choices = STRENGTHS, USUAL, START, FOLDS, SEARCHED, FITTED, FITTED_LOGITS, NEIGHBOURS, SHARES, ITERATIONS
    return f"{VERSION} {choices} scikit-learn {version('scikit-learn')}"


@dataclass(frozen=True)
class Linear:
    """A linear classifier of features: ``weight``, float32 (K, D), and ``bias``, float32 (K,)."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, features: Rows) -> NDArray[np.float32]:
        """Return the logits (N, K) of features (N, D)."""
        return features.astype(np.float32) @ self.weight.T + self.bias


@dataclass(frozen=True)
class Probe:
    """A classifier fitted on frozen features.

    Attributes:
        images: how many it was fitted on.
        strength: inverse strength of its regularisation, scikit-learn's C.
        folds: of the cross-validation that chose it; 0 where every class has a single image among the ``SEARCHED`` that it
            is done on, and the usual one was taken.
        evaluation: of the classifier on the validation split, as the task makes it.
    """

    linear: Linear
    images: int
    strength: float
    folds: int
    evaluation: Any

    @property
    def calibration_error(self) -> float:
        """Expected calibration error on the validation split, in [0, 1]."""
        seen = self.evaluation
        return expected_calibration_error(seen.confidence, seen.labels == seen.predicted)


@dataclass(frozen=True)
class Outlook:
    """What else frozen features tell of a data set.

    Attributes:
        neighbours: how many nearest training images vote.
        knn_top1: accuracy of their vote on the validation split, in per cent.
        curve: (training images, top-1 in per cent) of classifiers fitted on more and more of them, the last on all.
        held_out: validation images, M, that all of them were evaluated on.
    """

    neighbours: int
    knn_top1: float
    curve: tuple[tuple[int, float], ...]
    held_out: int

    @property
    def with_twice_the_images(self) -> float | None:
        """Accuracy to be expected of twice as many training images, in per cent; None where the curve tells too little.

        The error e falls as a power of the number of images: a line through the curve in logarithms, drawn out to 2 N. As a
        share of M images ln e has a variance of (1 - e) / (e M). By that, and by how far the points are off the line, the
        slope has a standard error; None where 1.96 of them move the forecast by more than ``TELLING`` points, or mistakes
        are fewer than ``MISTAKES``. An error of 30 % takes some 300 validation images, also with all points on the line.
        """
        images, top1 = (np.array(column, float) for column in zip(*self.curve, strict=True))
        x, error = np.log(images) - np.log(images).mean(), 1 - top1 / 100
        if len(images) < 3 or error.min() * self.held_out < MISTAKES:
            return None
        slope = float(x @ np.log(error) / (x @ x))
        off = np.log(error) - np.log(error).mean() - slope * x
        scatter = float(off @ off / (len(x) - 2) / (x @ x))
        drawn = float(x**2 @ ((1 - error) / (error * self.held_out)) / (x @ x) ** 2)
        left = 100 * float(error[-1]) * 2 ** min(slope, 0.0)
        doubt = 1.96 * max(scatter, drawn) ** 0.5 * float(np.log(2)) * left
        return 100 - left if doubt <= TELLING else None


def probe(
    features: Rows, labels: Labels, held_out: Rows, held_out_labels: Labels, classes: int, seed: int = 0
) -> Probe:
    """Fit a classifier on the training images' features and evaluate it on those of the validation split.

    Args:
        features, held_out: shapes (N, D) and (M, D), finite.
        labels, held_out_labels: shapes (N,) and (M,), in 0 ... classes - 1; or (N, K) and (M, K), 1 for each label.
        seed: which images are taken where not all are.
    """
    kept = fitted_on(labels, classes, seed)
    features, labels = features[kept].astype(np.float32), labels[kept]
    strength, folds = choose_strength(features, labels, seed)
    linear = fit(features, labels, classes, strength)
    return Probe(linear, len(labels), strength, folds, evaluate(linear, held_out, held_out_labels))


def all_alike(features: Rows) -> bool:
    """Tell whether there are several rows and all are the same, looking no further than to the first that differs.

    The rounding of half precision, which depends on how images are batched, makes no difference.
    """
    rounding = ROUNDING * np.abs(features[0]).max(initial=0).astype(np.float32)
    parts = (features[at : at + COMPARED].astype(np.float32) for at in range(0, len(features), COMPARED))
    return len(features) > 1 and all((np.abs(part - features[0]) <= rounding).all() for part in parts)


def gentle(found: Probe, features: Rows, labels: Labels, seed: int = 0) -> Linear:
    """Return a classifier to start fine-tuning from: ``found`` with smaller weights; see ``START``."""
    kept = fitted_on(labels, len(found.linear.bias), seed)
    strength = min(found.strength, START / len(kept))
    return fit(features[kept], labels[kept], len(found.linear.bias), strength)


def outlook(
    found: Probe, features: Rows, labels: Labels, held_out: Rows, held_out_labels: Labels, seed: int = 0
) -> Outlook:
    """Ask the nearest neighbours, and fit ``found`` again on parts of the training images; arguments as for ``probe``."""
    kept = fitted_on(labels, len(found.linear.bias), seed)
    features, labels = features[kept].astype(np.float32), labels[kept]
    curve = {}
    for share in SHARES:
        part = subset(labels, round(share * len(labels)), seed)
        fitted = fit(features[part], labels[part], len(found.linear.bias), found.strength)
        curve[len(part)] = evaluate(fitted, held_out, held_out_labels).top1
    curve[len(labels)] = found.evaluation.top1
    neighbours = min(NEIGHBOURS, len(labels))
    knn = nearest_neighbours(features, labels, held_out, held_out_labels, neighbours)
    return Outlook(neighbours, knn, tuple(sorted(curve.items())), len(held_out_labels))


def fitted_on(labels: Labels, classes: int, seed: int) -> NDArray[np.int64]:
    """Return which images a classifier of so many classes is fitted on: it takes memory for every logit of them."""
    return subset(labels, min(FITTED, FITTED_LOGITS // classes), seed)


def subset(labels: Labels, size: int, seed: int) -> NDArray[np.int64]:
    """Return which images to take, in order: ``size`` of them, at least one of each class, each class in proportion."""
    if size >= len(labels):
        return np.arange(len(labels))
    labels = _strata(labels)
    order = np.random.default_rng(seed).permutation(len(labels))
    members = order[np.argsort(labels[order], kind="stable")]  # class by class
    _, first, counts = np.unique(labels[members], return_index=True, return_counts=True)
    place = np.arange(len(labels)) - np.repeat(first, counts)
    rank = np.empty(len(labels))
    rank[members] = (place + 0.5) / np.repeat(counts, counts)
    rank[members[first]] = -1  # one of each class comes before all others
    return np.sort(order[np.argsort(rank[order], kind="stable")[: max(size, len(first))]])


def choose_strength(features: Rows, labels: Labels, seed: int = 0) -> tuple[float, int]:
    """Return the inverse strength with the best likelihood under cross-validation, and the number of folds.

    ``features`` are float32 (N, D); ``seed`` decides which images are taken, and which of them make a fold. The one image
    of a class is learned from in every fold and evaluated in none.
    """
    from sklearn.model_selection import StratifiedKFold

    part = subset(labels, SEARCHED, seed)
    rows, truth = features[part], labels[part]
    known, places, counts = np.unique(_strata(truth), return_inverse=True, return_counts=True)
    targets, classes = (truth, truth.shape[1]) if truth.ndim == 2 else (places, len(known))
    several, single = (np.flatnonzero(where) for where in (counts[places] > 1, counts[places] == 1))
    if not len(several):
        return USUAL, 0
    loss = np.zeros(len(STRENGTHS))
    folds = min(FOLDS, int(counts[counts > 1].min()))
    for others, part in StratifiedKFold(folds, shuffle=True, random_state=seed).split(several, places[several]):
        train, test = np.concatenate([several[others], single]), several[part]
        for k, strength in enumerate(STRENGTHS):
            linear = fit(rows[train], targets[train], classes, strength)
            loss[k] += float(evaluate(linear, rows[test], targets[test]).nll.sum())
    return STRENGTHS[int(loss.argmin())], folds


def fit(features: Rows, labels: Labels, classes: int, strength: float) -> Linear:
    """Return the classifier with the least penalised negative log-likelihood, in units of the features as they are.

    A class without images gets no weights, and is less likely than one of a single image.

    Args:
        features: shape (N, D), finite.
        labels: shape (N,), in 0 ... classes - 1, or (N, K), 1 for each label.
        classes: K >= 2.
        strength: C > 0; the penalty is |W|^2 / (2 C) of the weights on centred features of variance 1.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    several = labels.ndim == 2
    known, places = np.unique(_strata(labels), return_inverse=True)
    rows = features.astype(np.float32)
    mean: NDArray[Any] = rows.mean(0)
    weight, bias = np.zeros_like(rows[:1], float), np.zeros(1)
    if several or len(known) > 1:
        scale = max(float(np.sqrt(rows.var(0).mean())), 1e-6)
        scaled = (rows - mean) / scale
        with _quietly():
            if several:  # without hidden layers, it is the logistic regression of all labels at once
                net = MLPClassifier((), alpha=1 / strength, solver="lbfgs", max_iter=ITERATIONS, random_state=0)
                net.fit(scaled, labels)
                weight, bias = net.coefs_[0].T, net.intercepts_[0]
            else:
                found = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(scaled, places)
                weight, bias = found.coef_, found.intercept_
        if not several and len(weight) == 1:  # of two classes
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        weight = weight / scale  # for the features as they are, neither scaled nor centred
        bias = bias - weight @ mean
    fitted = Linear(weight.astype(np.float32), bias.astype(np.float32))
    if several or len(known) == classes:
        return fitted
    every = np.zeros((classes, rows.shape[1]), np.float32)
    others = fitted.logits(mean[None]).min() - np.log(2 * len(rows))  # as if it had half an image
    biases = np.full(classes, others, np.float32)
    every[known], biases[known] = fitted.weight, fitted.bias
    return Linear(every, biases)


def evaluate(linear: Linear, features: Rows, labels: Labels) -> Any:
    """Evaluate a classifier on features (N, D) with labels (N,) or (N, K), as the task of such labels does."""
    task, part, seen = task_for(labels), max(1, LOGITS // len(linear.bias)), []
    for at in range(0, len(labels), part):
        logits, truth = linear.logits(features[at : at + part]), np.asarray(labels[at : at + part])
        seen.append(task.answers(torch.from_numpy(logits), torch.from_numpy(truth), everything=False))
    return task.evaluation({name: np.concatenate([answers[name] for answers in seen]) for name in seen[0]})


def _strata(labels: Labels) -> NDArray[np.int64]:
    """Return the class of each image, shape (N,); one and the same where an image may have several labels."""
    return np.zeros(len(labels), np.int64) if labels.ndim == 2 else labels


def nearest_neighbours(features: Rows, labels: Labels, held_out: Rows, truth: Labels, neighbours: int) -> float:
    """Return the accuracy, in per cent, of the vote of the nearest training images by cosine, weighted by distance."""
    from sklearn.neighbors import KNeighborsClassifier

    voters = KNeighborsClassifier(neighbours, weights="distance", algorithm="brute")
    with _quietly():
        voters.fit(unit(features), labels)
        return 100 * float(voters.score(unit(held_out), truth))


@contextmanager
def _quietly() -> Iterator[None]:
    """Leave out scikit-learn's warnings of what is no mistake here."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # after so many steps it is near enough
        warnings.filterwarnings("ignore", "The number of unique classes is greater")  # classes may have few images each
        yield


def unit(features: Rows) -> NDArray[np.float32]:
    """Return features of length 1, whose distances rank as their cosines do."""
    rows: NDArray[np.float32] = features.astype(np.float32)
    length: NDArray[np.float32] = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, np.maximum(length, np.float32(1e-12)), dtype=np.float32)


@torch.no_grad()
def start_classifier(layer: nn.Linear, linear: Linear) -> None:
    """Give the classifier of a network the probe's weights."""
    layer.weight.copy_(torch.from_numpy(linear.weight))
    if layer.bias is not None:
        layer.bias.copy_(torch.from_numpy(linear.bias))
