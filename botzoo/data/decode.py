"""From encoded images to 8-bit RGB."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from botzoo.data.decoded import Pixels
from botzoo.data.sources.base import Encoded

MAX_PIXELS = 500_000_000
"""Larger images are refused as unreadable: decoded, they would take over 1.5 GB each."""

Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns from 89 million pixels on; MAX_PIXELS takes its place

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA")
"""What is tried, the frequent ones first; Pillow reads more, some of it by running other programs."""


def decode(encoded: Encoded | Image.Image) -> Image.Image:
    """Return an image as 8-bit RGB, upright as its EXIF orientation says; the first one of an animation.

    What Pillow has opened is left as it is, and comes out as its file would.

    Greyscale, palette, CMYK and RGBA are converted as Pillow does; 16-bit, 32-bit and floating-point greyscale are
    scaled to 8 bits first, which Pillow clips instead.

    Raises:
        ValueError: the image is truncated, corrupt, too large or not an image; the message says which.
        MemoryError: there is no room for it now.
    """
    try:
        return _decode(encoded)
    except MemoryError as error:
        raise MemoryError("there is not memory enough to decode it") from error
    except UnidentifiedImageError as error:
        raise ValueError("it is not an image") from error
    except Exception as error:  # besides OSError, decoders raise whatever a damaged file leads them to
        raise ValueError(str(error).split("\n")[0] or type(error).__name__) from error


def _decode(encoded: Encoded | Image.Image) -> Image.Image:
    if isinstance(encoded, np.ndarray):
        return Image.fromarray(encoded).convert("RGB")
    given = encoded if isinstance(encoded, Image.Image) else Image.open(as_file(encoded), formats=FORMATS)
    image: Image.Image = given
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"it has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
    image.load()
    if given is encoded:
        image = ImageOps.exif_transpose(image)
    else:  # without a copy of the pixels
        ImageOps.exif_transpose(image, in_place=True)
    return to_rgb(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a decoded image as 8-bit RGB; see ``decode``."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_to_eight_bits(np.asarray(image, np.float64), image.mode))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_eight_bits(values: NDArray[np.float64], mode: str) -> Pixels:
    """Scale by the range that the mode has, or, where it could hold anything, by the one that the values suggest."""
    values = np.nan_to_num(values)
    top = values.max(initial=0)
    if mode not in ("I", "F"):
        scale = 255 / 65535
    elif mode == "F" and top <= 1:
        scale = 255
    else:
        scale = 1 if top <= 255 else 255 / 65535 if top <= 65535 else 255 / top
    return np.clip(np.round(values * scale), 0, 255).astype(np.uint8)


def as_file(encoded: bytes | Path) -> Any:
    """Return what Pillow opens: the path itself, or the bytes as a file."""
    return BytesIO(encoded) if isinstance(encoded, bytes) else encoded
