"""JPEGs: decoded whole by TorchCodec where it is installed, in about three quarters of Pillow's time, and written.

Both decoders are libjpeg-turbo with its defaults, so the pixels are the same to the bit, and nothing has to record which of
them it was. Where Pillow was built on another libjpeg, Pillow decodes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from botzoo.pixels.bands import AtHand, picture_of
from botzoo.pixels.colours import ORIENTATION

EXIF, HIDDEN = b"Exif\0\0", b"exif\0\0"
"""What begins EXIF data in a JPEG, and what nobody takes for it."""

QUALITY, SUBSAMPLING = 95, "4:4:4"
"""Of what is written. Colours of half the size would save a quarter of time and bytes, and cost 3 dB on photos of 256 px."""


@cache
def fast_decoder() -> Callable[[bytes], Any] | None:
    """Return what makes a tensor uint8 (3, H, W) of a JPEG and raises RuntimeError of a damaged one; None without it."""
    if not features.check("libjpeg_turbo"):
        return None
    try:
        from torchcodec.decoders import decode_jpeg  # type: ignore[import-not-found, attr-defined, unused-ignore]
    except (ImportError, OSError, RuntimeError):  # not there, or made for another torch
        return None
    return decode_jpeg  # type: ignore[no-any-return, unused-ignore]


def whole(image: Image.Image, content: bytes) -> NDArray[np.uint8] | None:
    """Return the pixels of a JPEG, uint8 (H, W, 3), as RGB; None where Pillow has to decode it.

    That are colours of other kinds, pictures that lie on their side, and damaged ones, of which Pillow says what is wrong.

    Args:
        image: of ``content``, opened by Pillow.
    """
    decoder = fast_decoder()
    if decoder is None or image.format != "JPEG" or image.mode not in ("RGB", "L"):
        return None
    if image.getexif().get(ORIENTATION, 1) != 1:
        return None
    if "exif" in image.info:  # of unusual files the two may read different orientations
        content = content.replace(EXIF, HIDDEN)
    with suppress(RuntimeError):
        pixels: NDArray[np.uint8] = decoder(content).permute(1, 2, 0).numpy()
        if pixels.shape == (image.height, image.width, 3):
            return pixels
    return None


def encoded(picture: AtHand) -> bytes:
    """Return a picture of one channel or three as a JPEG."""
    file, found = BytesIO(), picture_of(picture)
    assert isinstance(found, Image.Image), "pictures of other channels are no JPEGs"
    found.save(file, "JPEG", quality=QUALITY, subsampling=SUBSAMPLING)
    return file.getvalue()
