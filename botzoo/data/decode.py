"""From encoded images to 8-bit RGB."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

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
        if isinstance(encoded, np.ndarray):
            return Image.fromarray(encoded).convert("RGB")
        if isinstance(encoded, Image.Image):
            image = encoded
        else:
            image = Image.open(BytesIO(encoded) if isinstance(encoded, bytes) else encoded, formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:  # before it is loaded: the header tells the size
            raise ValueError(f"it has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
        image.load()
        if image is encoded:
            return to_rgb(ImageOps.exif_transpose(image))
        ImageOps.exif_transpose(image, in_place=True)  # without a copy of the pixels
        return to_rgb(image)
    except MemoryError as error:
        raise MemoryError("there is not memory enough to decode it") from error
    except UnidentifiedImageError as error:
        raise ValueError("it is not an image") from error
    except Exception as error:  # besides OSError, decoders raise whatever a damaged file leads them to
        raise ValueError(str(error).split("\n")[0] or type(error).__name__) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a decoded image as 8-bit RGB; see ``decode``."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.nan_to_num(np.asarray(image, np.float64))
        top = values.max(initial=0)
        if image.mode.startswith("I;16"):
            scale = 255 / 65535
        elif image.mode == "F" and top <= 1:
            scale = 255
        else:  # I and F could hold anything, so that the values have to suggest their range
            scale = 1 if top <= 255 else 255 / 65535 if top <= 65535 else 255 / top
        image = Image.fromarray(np.clip(np.round(values * scale), 0, 255).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns
    return image if image.mode == "RGB" else image.convert("RGB")
