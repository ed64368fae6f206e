"""The weights of a network layer by layer: how large, how spread, which channels are dead, what BatchNorm has measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

BINS = 40  # of a histogram
DEAD = 1e-3  # of the largest norm in its layer: a filter with less is dead
NEAR_ZERO = 1e-3  # of a BatchNorm's gamma, that scales a channel
FILTERS = 256  # that are pictured, at most
COLUMNS = 16


@dataclass(frozen=True)
class Weights:
    """The weights of one convolution or linear map."""

    name: str
    kind: str
    shape: tuple[int, ...]
    norm: float  # root of the sum of squares
    rms: float  # root of the mean square
    mean: float
    low: float
    high: float
    dead: int  # filters, or outputs of a linear map, of less than ``DEAD`` of the largest norm in the layer
    broken: int  # values that are NaN or infinite; the figures are of the others
    histogram: tuple[float, ...]  # of ``BINS`` equal parts from ``low`` to ``high``, the fullest being 1


@dataclass(frozen=True)
class NormFigures:
    """A BatchNorm layer: what it has measured of its input, and what it scales and shifts it by; each as (least, most)."""

    name: str
    channels: int
    mean: tuple[float, float]
    variance: tuple[float, float]
    gamma: tuple[float, float]
    beta: tuple[float, float]
    near_zero: int  # channels whose gamma is under ``NEAR_ZERO`` in size
    constant: int  # channels whose variance is 0


@torch.no_grad()
def weights_of(network: nn.Module) -> Iterator[Weights]:
    """Yield the convolutions and linear maps of a network in the order of its modules."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            yield _figures(name, module, module.weight.detach().float().cpu())


def _figures(name: str, module: nn.Module, weight: Tensor) -> Weights:
    finite = weight[weight.isfinite()]
    values = finite if finite.numel() else torch.zeros(1)
    low, high = float(values.min()), float(values.max())
    counts = torch.histc(values, BINS, low, high) if low < high else torch.ones(1)
    norms = weight.nan_to_num(0, 0, 0).flatten(1).norm(dim=1)
    return Weights(
        name,
        kind=type(module).__name__,
        shape=tuple(weight.shape),
        norm=float(values.norm()),
        rms=float(values.square().mean().sqrt()),
        mean=float(values.mean()),
        low=low,
        high=high,
        dead=int((norms <= DEAD * norms.max()).sum()),
        broken=weight.numel() - finite.numel(),
        histogram=tuple((counts / counts.max()).tolist()),
    )


@torch.no_grad()
def norms_of(network: nn.Module) -> Iterator[NormFigures]:
    """Yield the BatchNorm layers that keep statistics, in the order of the modules."""
    for name, module in network.named_modules():
        if not isinstance(module, nn.modules.batchnorm._BatchNorm) or module.running_mean is None:
            continue
        assert module.running_var is not None
        channels = module.num_features
        gamma = module.weight.detach() if module.affine else torch.ones(channels)
        beta = module.bias.detach() if module.affine else torch.zeros(channels)
        yield NormFigures(
            name,
            channels,
            mean=_ends(module.running_mean),
            variance=_ends(module.running_var),
            gamma=_ends(gamma),
            beta=_ends(beta),
            near_zero=int((gamma.abs() < NEAR_ZERO).sum()),
            constant=int((module.running_var <= 0).sum()),
        )


def _ends(values: Tensor) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def first_filters(network: nn.Module) -> tuple[str, Image.Image] | None:
    """Return the name of the first convolution and a picture of its filters, a pixel a weight; None where there is none.

    Grey is 0, and the largest weight of a filter in size is black or white, or fully coloured; dead filters are grey. Of two
    channels, or of more than three, the mean is shown.
    """
    found = next(((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d)), None)
    if found is None:
        return None
    filters = found[1].weight.detach().float().cpu().nan_to_num(0, 0, 0)[:FILTERS]
    if filters.shape[1] not in (1, 3):
        filters = filters.mean(1, keepdim=True)
    most = filters.abs().amax((1, 2, 3), keepdim=True)
    shares = torch.where(most > DEAD * most.max(), filters / most, torch.zeros_like(filters))
    pixels = (127.5 + 127.5 * shares).round().to(torch.uint8).permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
    return found[0], tiled(pixels.numpy())


def tiled(tiles: np.ndarray, columns: int = COLUMNS) -> Image.Image:
    """Return tiles, uint8 (N, h, w, 3), row by row in one picture with a line of white between them."""
    count, h, w, _ = tiles.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    canvas = np.full((rows * (h + 1) - 1, columns * (w + 1) - 1, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * (h + 1), i % columns * (w + 1)
        canvas[y : y + h, x : x + w] = tile
    return Image.fromarray(canvas)
