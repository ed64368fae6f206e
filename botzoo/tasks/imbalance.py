"""Classes of unequal size: how unequal they are, and weights for the loss."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Weighting = Literal["none", "balanced", "effective"]

BETA = 0.999
"""Of the effective number of images: a class counts for at most 1 / (1 - BETA) of them, however many it has."""

SKEWED = 1.5
"""From this ratio of the largest class to the smallest on, accuracy and balanced accuracy are both given."""


def class_weights(counts: NDArray[np.int64], weighting: Weighting) -> tuple[float, ...] | None:
    """Return the factor on the loss of the images of each class, or None for none; their mean over all images is 1.

    So the learning rate means what it means without them, and they do not depend on what a batch happens to hold.

    "balanced" is ``N / (K n_k)``, as scikit-learn's ``compute_class_weight``. "effective" is in proportion to
    ``(1 - beta) / (1 - beta^n_k)``, one over the effective number of images (Y. Cui, M. Jia, T. Lin, Y. Song, S. Belongie,
    *Class-Balanced Loss Based on Effective Number of Samples*, CVPR 2019, arXiv:1901.05555, equation 2), beta being ``BETA``.

    Args:
        counts: training images of each class, n_k, shape (K,); a class without any gets 0 and is not counted in K.
        weighting: how.
    """
    if weighting == "none":
        return None
    there = counts > 0
    images = np.where(there, counts, 1).astype(np.float64)
    worth = 1 / images if weighting == "balanced" else (1 - BETA) / (1 - BETA**images)
    worth = np.where(there, worth, 0.0)
    return tuple((worth * counts.sum() / (worth * counts).sum()).tolist())


def skew(counts: NDArray[np.int64]) -> float:
    """Return the images of the largest class over those of the smallest that has any."""
    return float(counts.max() / counts[counts > 0].min())
