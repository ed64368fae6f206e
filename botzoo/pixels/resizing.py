"""Pictures made smaller by torch, whose vector instructions take a sixth of the time of Pillow's loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from botzoo.pixels.bands import AtHand, each_band, picture_of, pixels_of, size_at_hand

MODES = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}
if hasattr(torch.ops.aten, "_upsample_lanczos2d_aa"):  # the first versions of torch that we run on lack it
    MODES[Image.Resampling.LANCZOS] = "lanczos"

TOGETHER = 4
"""Channels that the vector instructions work on at once; of more than these torch has plain loops only."""

GAP = 3.0
"""How many times the wanted side a picture has, at least, after its pixels were averaged by whole numbers."""


def resampled(
    pixels: NDArray[np.uint8],
    size: tuple[int, int],
    resample: Image.Resampling,
    extent: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """Return pixels, uint8 (H, W, C), resized to ``size``, width and height: Pillow's filter, with antialiasing.

    The values are Pillow's to a level or two, by which its sums are rounded.

    Args:
        extent: width and height, in pixels, that the picture takes of ``pixels`` from its upper left corner on, less than a
            pixel short of them; by default all. It is for pictures that are made smaller.
    """
    height, width = pixels.shape[:2]
    extent = extent or (width, height)
    if (mode := MODES.get(resample)) is None:
        return each_band(picture_of(pixels), lambda band, _: band.resize(size, resample, (0, 0, *extent)))
    how: dict[str, Any] = {"size": size[::-1]}
    if extent != (width, height):  # torch takes the whole part of pixels x scale, which must not fall below the size
        how = {"scale_factor": [(1 + 1e-9) * to / of for to, of in zip(size[::-1], extent[::-1], strict=True)]}
    # A copy, as torch warns of arrays that are not to be written to, which pixels in the cache are.
    planes = torch.from_numpy(pixels.copy())[None].permute(0, 3, 1, 2)
    parts = [interpolate(part, mode=mode, antialias=True, **how) for part in planes.split(TOGETHER, 1)]
    found: NDArray[np.uint8] = (parts[0] if len(parts) == 1 else torch.cat(parts, 1))[0].permute(1, 2, 0).numpy()
    return found


def smaller(picture: Image.Image, size: tuple[int, int], extent: tuple[float, float] | None = None) -> Image.Image:
    """Return a picture, or the ``extent`` of it, reduced to ``size``: Lanczos, of averages of whole pixels if it is large.

    So what it takes in memory depends on the size, not on the picture. Its mode and information stay.
    """
    width, height = extent or picture.size
    factor = _factor(width, height, size)
    pixels = pixels_of(picture.reduce(factor) if factor > 1 else picture)
    found = resampled(pixels, size, Image.Resampling.LANCZOS, (width / factor, height / factor))
    reduced = Image.frombytes(picture.mode, size, found.tobytes())
    reduced.info = picture.info
    return reduced


def smaller_pixels(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return what ``smaller`` makes of the picture of pixels, uint8 (H, W, C)."""
    width, height = size_at_hand(pixels)
    if _factor(width, height, size) > 1:
        return pixels_of(smaller(Image.fromarray(pixels), size))
    return resampled(pixels, size, Image.Resampling.LANCZOS)


def part(
    image: AtHand, box: tuple[int, int, int, int], size: tuple[int, int], resample: Image.Resampling
) -> NDArray[np.uint8]:
    """Return what is in a box of an image, resized to ``size``: uint8 (H, W, C), of averages too if it is large.

    It is the same to the bit whether the image was decoded just now or kept, so that a run may be resumed with either.
    """
    left, top, right, lower = box
    width, height = right - left, lower - top
    factor = _factor(width, height, size)
    if isinstance(image, Image.Image):  # of which a box is taken without the rest
        pixels = pixels_of(image.reduce(factor, box) if factor > 1 else image.crop(box))
    else:
        pixels = pixels_of(image)[top:lower, left:right]
        pixels = each_band(picture_of(pixels), lambda band, _: band.reduce(factor)) if factor > 1 else pixels
    return resampled(pixels, size, resample, (width / factor, height / factor))


def _factor(width: float, height: float, size: tuple[int, int]) -> int:
    """Return how many pixels each way are averaged before a picture of ``width`` x ``height`` is resized."""
    return max(1, int(min(width / size[0], height / size[1]) / GAP))
