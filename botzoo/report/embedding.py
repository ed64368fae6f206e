"""A map of images: those that look alike to the network lie side by side, and labels that do not fit there are suspected."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from botzoo.data.parallel import in_order
from botzoo.data.transforms import EvalTransform
from botzoo.explain.maps import batched
from botzoo.inference.predict import Model
from botzoo.report.material import Originals

MAPPED = 200  # images at most: each costs a forward pass and a place among all others
COMPONENTS = 50  # of the principal component analysis before t-SNE
FEWEST = 30  # images from which on t-SNE has neighbourhoods to keep
NEIGHBOURS = 5
AGREEING = 4  # neighbours of one other class that make a label doubtful
UNLIKELY = 0.1  # probability of the label below which it is
BATCH = 32

Floats = NDArray[np.float32]


class Map(NamedTuple):
    """Images in a plane.

    Attributes:
        rows: which of the evaluated images, shape (n,).
        places: float, shape (n, 2), without a unit.
        suspected: bool, shape (n,), whether the network gives the label little and the neighbours agree on the answer.
        how: what was done, in words.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.floating[Any]]
    suspected: NDArray[np.bool_]
    how: str


def map_of(model: Model, originals: Originals, evaluation: Any) -> Map | None:
    """Return the map of the worst images and of others evenly chosen, ``MAPPED`` at most; None where it cannot be made.

    Args:
        evaluation: of one label for each image.
    """
    found = features(model, originals, chosen(evaluation.nll))
    if found is None:
        return None
    rows, values = found
    places, how = flattened(values)
    return Map(rows, places, doubtful(values, evaluation, rows), how)


def chosen(loss: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return which images are mapped, in order: a quarter of them those with the largest loss, shape (n,)."""
    if len(loss) <= MAPPED:
        return np.arange(len(loss))
    worst = np.argsort(-np.nan_to_num(loss), kind="stable")[: MAPPED // 4]
    others = np.setdiff1d(np.arange(len(loss)), worst)
    even = others[np.linspace(0, len(others) - 1, MAPPED - len(worst)).astype(int)]
    return np.union1d(worst, even)


def features(model: Model, originals: Originals, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats] | None:
    """Return what the classifier gets of those images that can be read, float32 (n, D), and which these are.

    None where the network is none of timm's or gives numbers that are not finite, or fewer than three images can be read.
    """
    network = model.module
    if originals.opened is None or not hasattr(network, "forward_head"):
        return None
    transform = EvalTransform(model.preprocessing)

    def pixels(k: int) -> NDArray[np.uint8] | None:
        picture = originals.picture(int(rows[k]))
        return transform(picture, (0, 0)) if picture is not None else None

    read = [(int(rows[k]), found) for k, found in enumerate(in_order(pixels, len(rows))) if found is not None]
    if len(read) < 3:
        return None
    parts = [_pooled(network, model, [p for _, p in read[k : k + BATCH]]) for k in range(0, len(read), BATCH)]
    values = np.concatenate(parts)
    return (np.array([i for i, _ in read]), values) if np.isfinite(values).all() else None


@torch.inference_mode()
def _pooled(network: nn.Module, model: Model, pixels: Sequence[NDArray[np.uint8]]) -> Floats:
    device = next(network.parameters()).device
    batch = model.preprocessing.normalise(batched(pixels).to(device)).contiguous(memory_format=torch.channels_last)
    found: Tensor = network.forward_head(network.forward_features(batch), pre_logits=True)  # type: ignore[operator]
    return found.flatten(2).mean(2).float().cpu().numpy() if found.ndim > 2 else found.float().cpu().numpy()


def flattened(values: Floats) -> tuple[NDArray[np.floating[Any]], str]:
    """Return features (n, D) in a plane, (n, 2): principal components, of more than a few images then t-SNE; and how.

    L. van der Maaten, G. Hinton, *Visualizing Data using t-SNE*, JMLR 9, 2008; section 4.1 for the components before it.
    """
    from sklearn.decomposition import PCA

    least = min(COMPONENTS, *values.shape)
    reduced = PCA(least, random_state=0).fit_transform(values)
    if len(values) < FEWEST:
        return reduced[:, :2], "the two main components of their features"
    from sklearn.manifold import TSNE

    perplexity = min(30, (len(values) - 1) / 3)
    tsne = TSNE(init="pca", random_state=0, max_iter=400, perplexity=perplexity)
    return tsne.fit_transform(reduced), f"t-SNE of {least} main components of their features"


def doubtful(values: Floats, evaluation: Any, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return of which of the images ``rows`` the label may be wrong, bool (n,).

    The network gives the label a probability under ``UNLIKELY``, and of the nearest ``NEIGHBOURS`` by the angle between
    their features ``AGREEING`` have the answer as their label.
    """
    from sklearn.neighbors import NearestNeighbors

    labels, answers = evaluation.labels[rows], evaluation.predicted[rows]
    if len(rows) <= NEIGHBOURS:
        return np.zeros(len(rows), bool)
    near = NearestNeighbors(n_neighbors=NEIGHBOURS, metric="cosine").fit(values).kneighbors(return_distance=False)
    agree = (labels[near] == answers[:, None]).sum(1) >= AGREEING
    unlikely = evaluation.nll[rows] > -np.log(UNLIKELY)
    return np.asarray((answers != labels) & unlikely & agree)
