"""Pictures of any number of channels, for transforms that are made for Pillow's of one or three."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Bands:
    """A picture of two channels, or of more than three: Pillow has none without a meaning for the fourth.

    Args:
        bands: pictures of mode "L" and one size, one for each channel.
    """

    def __init__(self, bands: list[Image.Image]) -> None:
        self.bands, self.size = bands, bands[0].size
        self.width, self.height = self.size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.uint8]:
        """Return uint8 (H, W, C)."""
        return np.stack([np.asarray(band) for band in self.bands], -1)

    def convert(self, mode: str) -> Image.Image:
        """Return a picture to look at, of the first three channels or, where there are two, of the first alone."""
        shown = self.bands[:3] if len(self.bands) > 2 else [self.bands[0]] * 3
        return Image.merge("RGB", shown).convert(mode)


Picture = Image.Image | Bands
"""A decoded image: of mode "L" with one channel, "RGB" with three, else ``Bands``."""


AtHand = Picture | NDArray[np.uint8]
"""A picture as it is at hand: decoded just now, or its pixels, uint8 (H, W, C), where they were kept."""


def picture_of(pixels: AtHand) -> Picture:
    """Return pixels, uint8 (H, W, C), as a picture."""
    if not isinstance(pixels, np.ndarray):
        return pixels
    if pixels.shape[2] == 3:
        return Image.fromarray(pixels)
    bands = [Image.fromarray(np.ascontiguousarray(pixels[:, :, k])) for k in range(pixels.shape[2])]
    return bands[0] if len(bands) == 1 else Bands(bands)


def pixels_of(picture: AtHand) -> NDArray[np.uint8]:
    """Return a picture's pixels, uint8 (H, W, C), to be read only."""
    pixels = np.asarray(picture)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def size_at_hand(picture: AtHand) -> tuple[int, int]:
    """Return width and height in pixels."""
    return (picture.shape[1], picture.shape[0]) if isinstance(picture, np.ndarray) else picture.size


def each_band(
    picture: Picture, change: Callable[[Image.Image, int | None], Image.Image | NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Return what ``change`` makes of a picture, or of each channel of ``Bands`` as one of mode "L": uint8 (H, W, C).

    It is also given the channel, None for a whole picture.
    """
    if isinstance(picture, Bands):
        changed_bands = [np.asarray(change(band, k)) for k, band in enumerate(picture.bands)]
        return np.concatenate([band[:, :, None] if band.ndim == 2 else band for band in changed_bands], -1)
    changed = np.asarray(change(picture, None))
    return changed[:, :, None] if changed.ndim == 2 else changed
