"""Colours of 16 bits, of which Pillow keeps the upper 8, and what Pillow has opened and not decoded yet."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

ORIENTATION = 0x0112  # tag of EXIF

GREY = (0, 0, 0, 1)
"""Where the channels of RGBA are in grey and transparency."""


def has_sixteen_bit_colour(image: Image.Image) -> bool:
    """Tell whether Pillow would leave the lower 8 of 16 bits out; of a picture that is decoded already nobody knows."""
    return image.mode in ("RGB", "RGBA") and ";16" in str(tiles(image)[:1])


def sixteen_bit_colour(image: Image.Image, again: Callable[[], Image.Image]) -> NDArray[np.uint16]:
    """Return all 16 bits of a picture, uint16 (H, W, C), upright: RGB or, where any of it may be transparent, RGBA.

    Pillow gives the upper 8 bits and, told of another order, the lower ones. ``again`` opens the picture once more.
    """
    if "LA;16B" in str(tiles(image)[:1]):  # a PNG, of which it leaves the lower bits out in either order
        retell(image, tiles(image), lambda args: "RGBA")
        halves = np.asarray(upright(image)).astype(np.uint16)
        return np.asarray((256 * halves[:, :, 0::2] + halves[:, :, 1::2])[:, :, GREY])
    clear, lower = image.info.get("transparency"), again()
    lower._mode = image.mode
    retell(lower, tiles(image), _other_order)
    high, low = (np.asarray(upright(half)).astype(np.uint16) for half in (image, lower))
    values = np.asarray(256 * high + low)
    if not isinstance(clear, tuple):
        return values
    alpha = np.where((values == clear).all(2, keepdims=True), 0, 65535).astype(np.uint16)
    return np.concatenate([values, alpha], 2)


def file_of(image: Image.Image) -> bytes | None:
    """Return the file of a picture that Pillow has opened and not decoded yet, None where there is none at hand."""
    file = getattr(image, "fp", None)
    if not tiles(image) or file is None or image.tell():
        return None
    at = file.tell()
    file.seek(0)
    content: bytes = file.read()
    file.seek(at)
    return content


def tiles(image: Image.Image) -> list[Any]:
    """Return what Pillow is to decode, and how: of pictures that are not of a file, nothing."""
    found: list[Any] = getattr(image, "tile", [])
    return found


def retell(image: Image.Image, parts: list[Any], change: Callable[[Any], Any]) -> None:
    """Tell Pillow what to decode of a picture's file, and change how: the first argument, or the only one, is the order of
    channels and bytes.
    """
    retold = [tile._replace(args=change(tile.args)) for tile in parts]
    setattr(image, "tile", retold)  # noqa: B010 (mypy knows of files only)


def upright(image: Image.Image) -> Image.Image:
    """Decode a picture and turn it, itself, as its EXIF orientation says: without a copy of the pixels."""
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return image


def lies_on_its_side(image: Image.Image) -> bool:
    """Tell whether a picture's EXIF orientation makes its width the height, as far as its header says."""
    exif = Image.Image.getexif(image)  # that of PNG decodes the picture, as it may stand behind the pixels
    return exif.get(ORIENTATION, 1) in (5, 6, 7, 8)


def _other_order(args: Any) -> Any:
    """Return a decoder's arguments with the first, the order of the bytes, the other way round."""
    if not isinstance(args, str):
        return _other_order(args[0]), *args[1:]
    other = "B" if sys.byteorder == "little" else "L"
    return args[:-1] + {"L": "B", "B": "L", "N": other}[args[-1]]
