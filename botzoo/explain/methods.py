"""The formulas of maps that say where in an image a network found its answer. Tensors in, tensors out.

Each map is of a score: the logit of one class, as in the papers on class activation maps.
"""

from collections.abc import Callable

import torch
from torch import Tensor

FEW, MANY = 7, 14  # cells of an occlusion map: along its shorter side at least, and along one side of a square


def gradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Return Grad-CAM: ``relu(sum_k a_k A_k)``, a_k being the mean gradient of channel k over all cells.

    Selvaraju et al., 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
    arXiv:1610.02391, equations 1 and 2.

    Args:
        activations: A, the output of a layer, float (N, C, h, w).
        gradients: of the score with respect to it, of the same shape.

    Returns:
        (N, h, w), 0 or more.
    """
    weights = gradients.mean((2, 3), keepdim=True)
    return (weights * activations).sum(1).relu()


def layercam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Return LayerCAM: ``relu(sum_k relu(G_k) A_k)``; each cell has a weight of its own, its gradient where that is positive.

    Jiang et al., 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE Transactions on
    Image Processing 30, equations 5 and 6. Arguments and result are those of ``gradcam``.
    """
    return (gradients.relu() * activations).sum(1).relu()


def occlusion(
    score: Callable[[Tensor], Tensor], image: Tensor, cells: tuple[int, int], batch_size: int, fill: float = 0.0
) -> Tensor:
    """Return how much the score falls while a part of the image is hidden.

    Zeiler and Fergus, 2014, "Visualizing and Understanding Convolutional Networks", arXiv:1311.2901, section 4.2. The
    square that hides is 2 x 2 cells and moves by one; a cell has the mean fall over all places of the square that hide it.

    Args:
        score: of images (N, C, H, W), one number for each, shape (N,).
        image: (C, H, W), normalised, so that 0 is the mean colour.
        cells: along height and width, h and w.
        batch_size: images that ``score`` is given at once, at most.
        fill: what the square holds.

    Returns:
        (h, w); below 0 where the score rises.
    """
    rows, columns = (_windows(cells[k], image.shape[k + 1]) for k in (0, 1))
    places = [(row, column) for row in rows for column in columns]
    falls, times = image.new_zeros(cells), image.new_zeros(cells)
    whole = score(image[None])
    for start in range(0, len(places), batch_size):
        part = places[start : start + batch_size]
        hidden = image.repeat(len(part), 1, 1, 1)
        for one, ((_, y), (_, x)) in zip(hidden, part, strict=True):
            one[:, y, x] = fill
        for ((row, _), (column, _)), fall in zip(part, whole - score(hidden), strict=True):
            falls[row, column] += fall
            times[row, column] += 1
    return falls / times


def _windows(cells: int, side: int) -> list[tuple[slice, slice]]:
    """Return the places of a window of two cells along a side: which cells it hides, and which pixels."""
    edges = [round(k * side / cells) for k in range(cells + 1)]
    last = max(1, cells - 1)
    return [(slice(k, k + 2), slice(edges[k], edges[min(k + 2, cells)])) for k in range(last)]


def occlusion_cells(height: int, width: int) -> tuple[int, int]:
    """Return how many cells an occlusion map of an image has along its sides: about ``MANY`` squared, nearly square."""
    cell = min((height * width) ** 0.5 / MANY, min(height, width) / FEW)
    return min(height, max(1, round(height / cell))), min(width, max(1, round(width / cell)))


def scaled(maps: Tensor) -> Tensor:
    """Return maps (N, h, w) so that the largest cell of each is 1; what is below 0 becomes 0, and a map of zeros stays."""
    positive = maps.relu()
    most = positive.amax((1, 2), keepdim=True)
    return torch.where(most > 0, positive / most, torch.zeros_like(positive))
