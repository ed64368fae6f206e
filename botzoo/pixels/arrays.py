"""Files that hold an array and not a picture of Pillow's: NumPy's .npy, and TIFFs of several bands."""

import math
import zlib
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

MOST_CHANNELS = 256

ORIENTATION = 274  # a tag of TIFF

RGB, ASSOCIATED, UNASSOCIATED = 2, 1, 2  # a colour space of TIFF, and channels of it that are transparency

NPY = b"\x93NUMPY"

UNPACKED = {1: "none", 8: "deflate", 32946: "deflate"}
"""Compressions of TIFF that are read here, by their numbers: those whose result is known not to fill the memory."""

NEEDS_TIFFFILE = "it is a TIFF of a kind that Pillow does not read: pip install 'botzoo[bands]' reads it"

Values = NDArray[Any]
Shape = tuple[int, ...]


class Stored(NamedTuple):
    """An array in a file, of which the header is read."""

    shape: Shape  # (H, W, C)
    itemsize: int  # bytes of each value
    read: Callable[[], Values]
    clear: bool | None = False  # whether the last of two or four channels is transparency; None where nobody says


def open_npy(content: bytes) -> Stored:
    """Return the array in a .npy file.

    Raises:
        ValueError: it holds anything but numbers of one picture; a pickle is never read.
    """
    file = BytesIO(content)
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it is a .npy file of version {version[0]}.{version[1]}: save it with numpy.save")
    header: Callable[[BytesIO], Any] = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = header(file)
    if dtype.hasobject or dtype.kind not in "buif" or dtype.itemsize > 8:
        raise ValueError(f"it holds {dtype}: numbers are read, whole or of floating point, up to 64 bits")
    stated = math.prod(shape) * dtype.itemsize
    if len(content) - file.tell() != stated:
        raise ValueError(f"it has {len(content) - file.tell():,} bytes of values and not {stated:,}: it is damaged")
    checked = as_picture_shape(shape)
    read = partial(npy.read_array, allow_pickle=False)
    clear = None if checked[2] == 4 else False
    return Stored(checked, dtype.itemsize, lambda: np.asarray(read(BytesIO(content))).reshape(checked), clear)


def as_picture_shape(shape: Shape, *, in_order: bool = False) -> Shape:
    """Return the shape of an array, (H, W) or (H, W, C), with its channels; raise ValueError where it is no picture's.

    Where it is ``in_order`` for sure, a picture may have fewer rows than channels.
    """
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(f"its shape is {shape}: (H, W) and (H, W, C) are read")
    height, width, channels = (*shape, 1)[:3]
    if channels > MOST_CHANNELS or (channels > 4 and height < min(width, channels) and not in_order):
        raise ValueError(
            f"its shape is {shape}, which is not (H, W, C) with C up to {MOST_CHANNELS}: move the channels last"
        )
    return height, width, channels


def open_tiff(content: bytes) -> Stored:
    """Return the first picture in a TIFF, upright, by ``tifffile``; its colours are not multiplied by its transparency.

    Raises:
        ValueError: it is damaged, its shape is no picture's, it is compressed in another way, or tifffile is missing.
    """
    try:
        import tifffile  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ValueError(NEEDS_TIFFFILE) from error
    page: Any = tifffile.TiffFile(BytesIO(content)).pages[0]
    shape = page.imagelength, page.imagewidth, page.samplesperpixel
    height, width, channels = as_picture_shape(shape, in_order=True)
    orientation = page.tags.valueof(ORIENTATION, 1)
    if page.compression not in UNPACKED or page.dtype is None or page.axes not in ("YX", "YXS", "SYX"):
        raise ValueError(f"it is a TIFF of {channels} bands, compressed as {page.compression!s}: save it with deflate")

    def read() -> Values:
        most = 2 * height * width * channels * page.dtype.itemsize + (1 << 20)  # a whole tile may lie beyond the edge
        parts = zip(page.dataoffsets, page.databytecounts, strict=True)
        if (
            UNPACKED[page.compression] == "deflate"
            and sum(_unpacked(content[at : at + n], most) for at, n in parts) > most
        ):
            raise ValueError("it holds more than its size says")
        values: Values = page.asarray(maxworkers=1)
        values = np.moveaxis(values, 0, -1) if page.axes == "SYX" else values.reshape(height, width, channels)
        values = turned(values, orientation)
        return unmultiplied(values) if clear and ASSOCIATED in page.extrasamples else values

    clear: bool | None = False
    if channels == (4 if page.photometric == RGB else 2):
        tagged = {ASSOCIATED, UNASSOCIATED} & {*page.extrasamples}
        clear = True if tagged else None if channels == 4 else False
    sides = (width, height) if orientation in (5, 6, 7, 8) else (height, width)
    return Stored((*sides, channels), page.dtype.itemsize, read, clear)


def unmultiplied(values: Values) -> Values:
    """Return colours as they were before they were multiplied by the last channel, their transparency."""
    top = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1.0
    colours, alpha = values[..., :-1], values[..., -1:]
    straight = np.minimum(colours.astype(np.float64) * top / np.where(alpha == 0, top, alpha), top)
    straight = np.round(straight) if values.dtype.kind in "iu" else straight
    return np.concatenate([straight.astype(values.dtype), alpha], -1)


def turned(values: Values, orientation: int) -> Values:
    """Return an array (H, W, C) upright, of the orientation that EXIF and TIFF number; an unknown number is upright."""
    if orientation in (5, 6, 7, 8):  # rows of the picture are columns of the file
        values = values.swapaxes(0, 1)
    rows, columns = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    return values[::rows, ::columns]


def _unpacked(part: bytes, most: int) -> int:
    """Return how many bytes a part is, unpacked; one more than ``most`` where it is more."""
    unpacker, count = zlib.decompressobj(), 0
    while part and not unpacker.eof and count <= most:
        count += len(unpacker.decompress(part, 1 << 20))
        part = unpacker.unconsumed_tail
    return min(count, most + 1)
