"""Which unlabelled images to label: those that a classifier is unsure of, and of those that look alike only one.

The most uncertain images, several times as many as are wanted, are put into clusters by their features, each image weighted
by its uncertainty, and of each cluster the image nearest to its centre is taken (F. Zhdanov, *Diverse mini-batch Active
Learning*, 2019, arXiv:1901.05954, section 3). docs/benchmarks.md has what it gained, and what others did.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo_finetune.probing.probe import unit

Values = NDArray[np.float32]

BETA = 10  # candidates for each image that is wanted; 10 to 50 in the paper
CANDIDATES = 20_000  # at most, unless more are wanted: clusters take time in proportion to their square
ROUNDS = 50  # of the clustering, at most


def margin_uncertainty(probabilities: Values) -> Values:
    """Return 1 minus the lead of the likeliest class, in [0, 1], shape (N,), of probabilities (N, K), K >= 2."""
    best = np.partition(probabilities, -2, axis=1)[:, -2:]
    return 1 - (best[:, 1] - best[:, 0])


def binary_uncertainty(probabilities: Values) -> Values:
    """Return the mean entropy of the labels, in bits, in [0, 1], shape (N,), of a probability for each label (N, K)."""
    p = np.clip(probabilities, 1e-7, 1 - 1e-7)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean(1), np.float32)


def candidates(uncertainty: Values, count: int) -> NDArray[np.int64]:
    """Return the images to choose ``count`` from, the most uncertain first; of equals the first."""
    return np.argsort(-uncertainty, kind="stable")[: max(count, min(BETA * count, CANDIDATES))]


def choose(features: NDArray[Any], uncertainty: Values, count: int, seed: int = 0) -> tuple[NDArray[np.int64], Values]:
    """Return ``count`` of the candidates, shape (C,), and their scores, the highest first; fewer where there are fewer.

    The score of an image is the uncertainty of all candidates that it stands for, those of its cluster: what its label may
    tell.

    Args:
        features: of the candidates, (N, D).
        uncertainty: of the candidates, (N,).
        seed: of the first centres.
    """
    rows, scores = np.arange(len(features)), uncertainty
    if len(features) > count:
        rows, scores = _of_clusters(unit(features), uncertainty, count, seed)
    order = np.argsort(-scores, kind="stable")
    return rows[order], scores[order]


def _of_clusters(features: Values, uncertainty: Values, count: int, seed: int) -> tuple[NDArray[np.int64], Values]:
    """Return the image in the middle of each cluster and the uncertainty of the whole; see ``choose``."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # fewer clusters than asked for, where features are the same
        found = KMeans(count, n_init=1, max_iter=ROUNDS, random_state=seed).fit(
            features, sample_weight=np.maximum(uncertainty, 1e-6)
        )
    off = np.square(features - found.cluster_centers_[found.labels_]).sum(1)
    order = np.lexsort((off, found.labels_))
    clusters, first = np.unique(found.labels_[order], return_index=True)
    middle = order[first]
    scores = np.bincount(found.labels_, uncertainty)[clusters].astype(np.float32)
    rest = np.setdiff1d(np.arange(len(features)), middle)  # rising, as the candidates are: the most uncertain first
    more = rest[: count - len(middle)]
    return np.concatenate([middle, more]), np.concatenate([scores, uncertainty[more]])
