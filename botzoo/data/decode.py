"""From encoded images to 8-bit RGB, of which so many pixels are in memory at once."""

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from botzoo.data.parallel import most_pixels, room_for
from botzoo.data.sources.base import Encoded
from botzoo.data.sources.files import read_file
from botzoo.models.preprocessing import PLAIN, Decoding

Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns from 89 million pixels on; ``most_pixels`` takes its place

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA")
"""What is tried, the frequent ones first; Pillow reads more, some of it by running other programs."""


def decode(encoded: Encoded | Image.Image, how: Decoding = PLAIN) -> Image.Image:
    """Return an image as 8-bit RGB, upright as its EXIF orientation says; the first one of an animation.

    What Pillow has opened is left as it is, and comes out as its file would.

    Greyscale, palette, CMYK and RGBA are converted as Pillow does; 16-bit, 32-bit and floating-point greyscale are
    scaled to 8 bits first, which Pillow clips instead. A JPEG of more than ``most_pixels`` comes at half its size.

    Raises:
        ValueError: the image is truncated, corrupt, too large or not an image; the message says which.
        MemoryError: there is no room for it now.
    """
    with decoding(encoded, how) as image:
        return image


@contextmanager
def decoding(encoded: Encoded | Image.Image, how: Decoding = PLAIN) -> Iterator[Image.Image]:
    """Give an image as ``decode`` returns it, with room for its pixels to the end of the block."""
    with _one_kind_of_error():
        image = _opened(encoded)
    with room_for(image.width * image.height):
        with _one_kind_of_error():
            image.load()
            if image is encoded:
                image = to_rgb(ImageOps.exif_transpose(image), how)
            else:
                ImageOps.exif_transpose(image, in_place=True)  # without a copy of the pixels
                image = to_rgb(image, how)
        yield image


@contextmanager
def _one_kind_of_error() -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise MemoryError("there is not memory enough to decode it") from error
    except UnidentifiedImageError as error:
        raise ValueError("it is not an image") from error
    except Exception as error:  # besides OSError, decoders raise whatever a damaged file leads them to
        raise ValueError(str(error).split("\n")[0] or type(error).__name__) from error


def _opened(encoded: Encoded | Image.Image) -> Image.Image:
    """Return an image of which the header is read; raise ValueError where that says that it is too large."""
    if isinstance(encoded, np.ndarray):
        return Image.fromarray(encoded)
    if isinstance(encoded, Image.Image):
        _check(encoded.size, encoded.size)
        return encoded
    content = encoded if isinstance(encoded, bytes) else read_file(encoded)
    if content.startswith(b"\0\0\1\0"):  # Pillow decodes icons when it opens them
        for size in _sizes_in_icon(content):
            _check(size, size)
    image = Image.open(BytesIO(content), formats=FORMATS)
    stated = image.size
    if math.prod(stated) > most_pixels() and not image.info.get("progressive"):  # which the decoder holds in full
        image.draft(image.mode, (image.width // 2, image.height // 2))  # of JPEG only
    _check(image.size, stated)
    return image


def _check(size: tuple[int, int], stated: tuple[int, int]) -> None:
    """Raise ValueError where images of this ``size`` in memory, and of the ``stated`` size in the file, are too large."""
    if math.prod(size) > (most := most_pixels()):
        cure = f"make it smaller, or set BOTZOO_MAX_MEGAPIXELS={math.ceil(math.prod(size) / 1e6)}"
        raise ValueError(f"it has {stated[0]:,} x {stated[1]:,} pixels, more than {most:,}: {cure}")


def _sizes_in_icon(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield the sizes of the PNGs and bitmaps in an icon, which need not be those that the icon states."""
    for k in range(struct.unpack("<H", content[4:6])[0]):
        (offset,) = struct.unpack("<I", content[18 + 16 * k : 22 + 16 * k])
        head = content[offset : offset + 24]
        width, height = struct.unpack(*((">II", head[16:]) if head.startswith(b"\x89PNG") else ("<II", head[4:12])))
        yield width, height


def to_rgb(image: Image.Image, how: Decoding = PLAIN) -> Image.Image:
    """Return a decoded image as 8-bit RGB; see ``decode``."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        rows = max(1, (1 << 20) // values.shape[1])  # a few at a time, as floating-point numbers take much memory
        parts = [values[k : k + rows] for k in range(0, len(values), rows)]
        top = max(_finite(part).max(initial=0) for part in parts)
        if image.mode.startswith("I;16"):
            scale = 255 / 65535
        elif image.mode == "F" and top <= 1:
            scale = 255
        else:  # I and F could hold anything, so that the values have to suggest their range
            scale = 1 if top <= 255 else 255 / 65535 if top <= 65535 else 255 / top
        scaled = [np.clip(np.round(_finite(part) * scale), 0, 255).astype(np.uint8) for part in parts]
        image = Image.fromarray(np.concatenate(scaled))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns
    return image if image.mode == "RGB" else image.convert("RGB")


def _finite(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.nan_to_num(values.astype(np.float64))
