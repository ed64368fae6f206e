"""How unlike the training images an image is, by the features that a network's classifier sees of it.

Features are taken for normally distributed, with the covariance of probabilistic principal components (M. Tipping
and C. Bishop, *Probabilistic Principal Component Analysis*, J. R. Stat. Soc. B 61, 1999, section 3). An image's score is its
Mahalanobis distance (K. Lee, K. Lee, H. Lee, J. Shin, *A Simple Unified Framework for Detecting Out-of-Distribution Samples
and Adversarial Attacks*, NeurIPS 2018, arXiv:1807.03888, section 2.1) from the mean of all training images, as a share of
the distance that most validation images keep to. No labels are needed, and no image's own features are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import nn

from botzoo.errors import CheckpointError
from botzoo.models.foreign import read_file, read_shapes
from botzoo.models.layers import linear_classifier
from botzoo.util.files import written_whole

FILE = "features.safetensors"
"""Its name beside the weights."""
RANK = 128
"""Directions, at most, whose variances are told apart: of 2,048 features the file takes a megabyte."""
FEWEST = 10  # training images, below which nothing is known of any direction
ALIKE = 1e-6  # deviation of features, as a share of the largest one, that is rounding
WITHIN = 0.99
"""Share of the validation images that are not unlike, at least."""

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Unlike:
    """What the training images' features look like.

    Attributes:
        mean: of the features, float32 (D,).
        components: orthonormal directions, float32 (R, D).
        variances: along each of them, then along every other direction, float32 (R + 1,), in units in which a distance of 1
            is that which ``WITHIN`` of the validation images keep to.
    """

    mean: Rows
    components: Rows
    variances: Rows

    def __call__(self, features: Rows) -> Rows:
        """Return the score of each image, float32 (N,), 0 or more, of features (N, D); one over 1 is unlike."""
        off = features - self.mean
        along = off @ self.components.T
        beside = np.square(off - along @ self.components).sum(1)
        squared = (np.square(along) / self.variances[:-1]).sum(1) + beside / self.variances[-1]
        return np.asarray(np.sqrt(squared), np.float32)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        with written_whole(path) as part:
            save_file({name: np.ascontiguousarray(values) for name, values in vars(self).items()}, part)

    @classmethod
    def read(cls, path: Path, features: int) -> Unlike:
        """Read a file for a network of so many ``features``.

        Raises:
            CheckpointError: it is damaged, or for another network.
        """
        shapes = read_shapes(path)  # nothing is loaded before its size is known
        rank, *_ = *shapes.get("components", ()), 0
        wanted = {"mean": (features,), "components": (rank, features), "variances": (rank + 1,)}
        values = read_file(path, load_file) if shapes == wanted and rank <= RANK else {}
        sound = all(value.dtype == np.float32 and np.isfinite(value).all() for value in values.values())
        if not values or not sound or not (values["variances"] > 0).all():
            raise CheckpointError(
                f"{path} does not tell what images this network was trained on (its values or their shapes are others): put "
                "it back as it was, or remove it and do without."
            )
        return cls(**values)


def beside(folder: Path, model: nn.Module) -> Unlike | None:
    """Return what a model folder has of images unlike the training images, None where it has nothing of that.

    Raises:
        CheckpointError: as of ``Unlike.read``.
    """
    layer = linear_classifier(model)
    if layer is None or not (folder / FILE).is_file():
        return None
    return Unlike.read(folder / FILE, layer.in_features)


def fit(features: Rows, held_out: Rows) -> Unlike | None:
    """Return what the features of training images (N, D) look like, the limit by those of validation images (M, D), M >= 1.

    None where they are all alike, or of fewer than ``FEWEST`` images.
    """
    from sklearn.decomposition import PCA

    rounding = ALIKE * float(np.abs(features).max(initial=0))
    if len(features) < FEWEST or features.std(0).max() <= rounding:
        return None
    rank = min(RANK, len(features) // 2, features.shape[1] - 1)
    found = PCA(rank, svd_solver="full").fit(features)
    variances = np.append(found.explained_variance_, found.noise_variance_).astype(np.float32)
    mean, components = found.mean_.astype(np.float32), found.components_.astype(np.float32)
    variances = np.maximum(variances, np.float32(rounding**2))
    limit = np.quantile(Unlike(mean, components, variances)(held_out), WITHIN, method="higher")
    return Unlike(mean, components, variances * np.float32(limit) ** 2) if 0 < limit < np.inf else None
