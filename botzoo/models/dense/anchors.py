"""The anchors of a detector, and whether they fit the boxes of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RATIOS = (0.5, 1.0, 2.0)
"""Heights over widths."""

SCALE = 8.0
"""Sides of a square anchor in strides of its map, as in torchvision: 32 pixels at stride 4, 512 at 64."""

SCALES = (2.0, 3.0, 4.0, 6.0, SCALE, 12.0, 16.0)

MET = 0.5
"""Intersection over union from which on an anchor is said to fit a box; the training takes its best anchor for any box."""


class Anchors(NamedTuple):
    """The anchors of each map: a size in pixels, the side of the square one, and their ratios, height over width."""

    sizes: tuple[float, ...]
    ratios: tuple[float, ...] = RATIOS


def anchors_at(strides: Sequence[int], scale: float = SCALE, ratios: tuple[float, ...] = RATIOS) -> Anchors:
    """Return anchors for maps of ``strides``, whose squares have sides of ``scale`` strides."""
    return Anchors(tuple(scale * stride for stride in strides), ratios)


def best_overlaps(sides: NDArray[np.floating], anchors: Anchors) -> NDArray[np.float64]:
    """Return of each box the highest intersection over union with an anchor at its centre, shape (n,).

    ``sides`` are widths and heights in pixels of the network's input, shape (n, 2), each greater than 0.
    """
    width, height = np.asarray(sides, np.float64).reshape(-1, 2).T
    area, best = width * height, np.zeros(len(width))
    # one by one, as there may be millions of boxes
    for size, ratio in product(anchors.sizes, np.sqrt(anchors.ratios).tolist()):
        inside = np.minimum(width, size / ratio) * np.minimum(height, size * ratio)
        best = np.maximum(best, inside / (area + size**2 - inside))
    return best


def fitting_share(sides: NDArray[np.floating], anchors: Anchors) -> float:
    """Return the share of boxes that an anchor fits, in [0, 1]; 1 where there is no box."""
    return float((best_overlaps(sides, anchors) >= MET).mean()) if len(sides) else 1.0


def fitted(sides: NDArray[np.floating], strides: Sequence[int]) -> Anchors:
    """Return the anchors of ``SCALES`` that overlap boxes most in the mean; the usual ones of two that are as good.

    Args:
        sides: as of ``best_overlaps``.
        strides: of the maps.
    """
    if not len(sides):
        return anchors_at(strides)
    order = sorted(SCALES, key=lambda scale: (scale != SCALE, scale))
    return max((anchors_at(strides, scale) for scale in order), key=lambda each: best_overlaps(sides, each).mean())
