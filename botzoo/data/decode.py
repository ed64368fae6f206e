"""From encoded images to pixels of 8 bits, of which so many are in memory at once."""

import math
import re
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from botzoo.data.parallel import most_pixels, room_for
from botzoo.models.preprocessing import PLAIN, Decoding
from botzoo.pixels.arrays import NPY, as_picture_shape, open_npy, open_tiff
from botzoo.pixels.bands import Bands, Picture
from botzoo.pixels.values import ROWS, Extremes, extremes_of, is_deep, range_of_one, scaled
from botzoo.sources.base import Encoded
from botzoo.sources.files import read_file

Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns from 89 million pixels on; ``most_pixels`` takes its place

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA")
"""What is tried, the frequent ones first; Pillow reads more, some of it by running other programs."""


HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""What a file of HEVC says that it is; AVIF, which Pillow reads, has others."""

SAMPLES_PER_PIXEL, EXTRA_SAMPLES = 277, 338  # tags of TIFF

TRANSPARENT, DEEP, OWN, REDUCED = "transparent", "deep", "own", "reduced"
"""What an image may be seen to be: in part transparent; of more than 8 bits; read in a way that no line of Pillow's does, as
arrays, bands, and colours of more than 8 bits are; reduced to ``Decoding.side``."""

Seen = Callable[[str], object]
"""Is told which of these an image is."""


def decode(encoded: Encoded | Image.Image, how: Decoding = PLAIN) -> Picture:
    """Return an image as 8-bit pixels of ``how.channels``, upright as its EXIF orientation says; the first of an animation.

    What Pillow has opened is left as it is, and comes out as its file would.

    Greyscale, palette and CMYK are converted as Pillow does. Transparent images lie on ``how.background``; without one
    their transparency is left out, as Pillow does. Values of more than 8 bits are scaled from ``how.range``; without one,
    grey ones by a range that each image suggests. A JPEG of more than ``most_pixels`` comes at half its size.

    An image whose shorter side has more pixels than ``how.side`` comes with that side: resampled by Pillow, bicubic with
    antialiasing, the longer side to the nearest pixel. A JPEG is decoded at the half, quarter or eighth of its size
    that is no smaller, which takes a quarter of the time (libjpeg's scaling); what Pillow has opened already is not.

    Raises:
        ValueError: the image is truncated, corrupt, too large, of other channels or not an image; the message says which.
        MemoryError: there is no room for it now.
    """
    with decoding(encoded, how) as image:
        return image


@contextmanager
def decoding(
    encoded: Encoded | Image.Image, how: Decoding = PLAIN, seen: Seen = lambda kind: None
) -> Iterator[Picture]:
    """Give an image as ``decode`` returns it, with room for its pixels to the end of the block."""
    with _one_kind_of_error():
        opened = _opened(encoded, how)
    with room_for(math.ceil(math.prod(opened.held or opened.size) * max(1, how.channels / 3))):
        with _one_kind_of_error():
            if opened.own:
                seen(OWN)
            if how.side is not None and min(opened.stated or opened.size) > how.side:
                seen(REDUCED)
            picture = reduced(to_pixels(opened.load(), how, seen), how.side)
        yield picture


def reduced(picture: Picture, side: int | None) -> Picture:
    """Return a picture with a shorter side of ``side`` pixels, as it is where that has no more or ``side`` is None."""
    if side is None or min(picture.size) <= side:
        return picture
    width, height = _reduced(picture.size, side)

    def resized(band: Image.Image) -> Image.Image:
        return band.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)

    return Bands([resized(band) for band in picture.bands]) if isinstance(picture, Bands) else resized(picture)


def size_of(encoded: Encoded | Image.Image, how: Decoding) -> tuple[int, int]:
    """Return the sides of an image as ``decode`` gives it, in either order, by its header; raises as ``decode`` does."""
    with _one_kind_of_error():
        opened = _opened(encoded, how)
    return _reduced(opened.size, how.side)


def _reduced(size: tuple[int, int], side: int | None) -> tuple[int, int]:
    shorter = min(size)
    return (
        size if side is None or shorter <= side else (round(side * size[0] / shorter), round(side * size[1] / shorter))
    )


def extremes(encoded: Encoded | Image.Image) -> Extremes | None:
    """Return the extremes of an image's values, None where they have 8 bits or cannot be read, which is said elsewhere."""
    try:
        with _one_kind_of_error():
            opened = _opened(encoded, RAW)
        if not opened.deep:
            return None
        with room_for(math.prod(opened.size)), _one_kind_of_error():
            values = opened.load()
            return extremes_of(np.asarray(values)) if is_deep(values) else None
    except (ValueError, MemoryError):
        return None


def channels_of(encoded: Encoded | Image.Image) -> int | None:
    """Return how many channels an image has, 3 where Pillow makes RGB of it; only its header is read.

    None where there are four and nothing says whether the last is transparency. Raises ValueError where it is no image.
    """
    with _one_kind_of_error():
        channels = _opened(encoded, RAW).channels
    return {1: 3, DOUBTFUL: None}.get(channels, channels)


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


RAW = Decoding(0, range=(0.0, 1.0))
"""Whatever channels there are, and all of their bits."""

DOUBTFUL = -4
"""In the place of four channels of which the last may be transparency."""


class _Opened(NamedTuple):
    """An image of which the header is read."""

    size: tuple[int, int]  # width and height
    load: Callable[[], Image.Image | NDArray[Any]]  # decodes it
    channels: int = 3  # 1 and 3 are one kind; of pictures of Pillow's, without the transparency
    own: bool = False  # whether it is not Pillow alone that decodes it
    deep: bool = True  # whether it may have more than 8 bits
    held: tuple[int, int] | None = None  # width and height of what is in memory on the way, where that is more
    stated: tuple[int, int] | None = None  # width and height in the file, where they are others


def _opened(encoded: Encoded | Image.Image, how: Decoding) -> _Opened:
    """Return an image of which the header is read; raise ValueError where that says that it is too large."""
    if isinstance(encoded, np.ndarray):
        height, width, channels = as_picture_shape(encoded.shape)
        return _Opened((width, height), lambda: encoded, 3 if channels == 4 else channels, own=is_deep(encoded))
    if isinstance(encoded, Image.Image):
        _check(encoded.size, encoded.size)
        return _Opened(encoded.size, lambda: ImageOps.exif_transpose(encoded))
    content = encoded if isinstance(encoded, bytes) else read_file(encoded)
    if content.startswith(NPY):
        opened = _array(open_npy(content))
        return opened._replace(channels=DOUBTFUL) if opened.channels == 4 else opened
    if content.startswith(b"\0\0\1\0"):  # Pillow decodes icons when it opens them
        for size in _sizes_in_icon(content):
            _check(size, size)
    try:
        image = _open_file(content)
    except UnidentifiedImageError:
        if content.startswith((b"II*\0", b"MM\0*")):
            return _array(open_tiff(content))
        raise
    stated = image.size
    held, load = _scale(image, how.side)
    _check(held, stated)
    channels = 3
    if isinstance(image, TiffImageFile):
        bands = _unread_bands(image)
        if bands > 4 or (bands and bands == how.channels):
            return _array(open_tiff(content))
        if how.channels not in (0, 1, 3) and image.n_frames == how.channels:
            return _Opened(image.size, lambda: _frames(image, how.channels), how.channels, own=True)
        channels = {2: 2, 4: DOUBTFUL}.get(bands, 3)
    if how.range not in (None, (0.0, 65535.0)) and _has_sixteen_bit_colour(image):
        return _Opened(image.size, lambda: _sixteen_bit_colour(image, content), own=True)
    own, deep = image.format == "HEIF", is_deep(image)
    return _Opened(image.size, load, channels, own=own, deep=deep, held=held, stated=stated)


def _scale(image: Image.Image, side: int | None) -> tuple[tuple[int, int], Callable[[], Image.Image]]:
    """Have a JPEG decoded at a part of its size where no more is needed or fits.

    Returns:
        The size that memory must hold, and what decodes the image.
    """
    stated, shorter = image.size, min(image.size)
    progressive = image.info.get("progressive")  # which the decoder holds in full
    too_large = math.prod(stated) > most_pixels()
    wanted = min(shorter // 2 if too_large else shorter, side or shorter)
    drafted = None
    if wanted < shorter and not (too_large and progressive):
        drafted = image.draft(image.mode, (max(1, wanted), max(1, wanted)))  # of JPEG only
    if drafted is None or side is None or shorter <= side:
        return stated if progressive else image.size, lambda: _upright(image)
    size, (_, box) = _reduced(stated, side), drafted  # the box ends where the picture does, within its last pixels
    resample = Image.Resampling.BICUBIC
    return stated if progressive else image.size, lambda: _upright(image.resize(size, resample, box))


def _array(opened: tuple[tuple[int, ...], Callable[[], NDArray[Any]]]) -> _Opened:
    (height, width, channels), load = opened
    _check((width, height), (width, height))
    return _Opened((width, height), load, channels, own=True)


def _open_file(content: bytes) -> Image.Image:
    """Open a file of one of ``FORMATS`` or, where there is the plugin, HEIC."""
    if content[4:8] != b"ftyp" or content[8:12] not in HEIF_BRANDS or b"avif" in content[:64]:
        return Image.open(BytesIO(content), formats=FORMATS)
    try:
        import pillow_heif  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ValueError("it is HEIC, which takes a plugin of Pillow's: pip install 'botzoo[heif]'") from error
    pillow_heif.register_heif_opener()
    return Image.open(BytesIO(content), formats=("HEIF",))


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    ImageOps.exif_transpose(image, in_place=True)  # without a copy of the pixels
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


def _unread_bands(image: TiffImageFile) -> int:
    """Return how many bands a TIFF has, where Pillow leaves some out that are no transparency; else 0."""
    bands: int = image.tag_v2.get(SAMPLES_PER_PIXEL, 1)
    if {*image.tag_v2.get(EXTRA_SAMPLES, ())} & {1, 2}:
        return 0
    return bands if bands > len(image.getbands()) or "RGBX" in str(_tiles(image)[:1]) else 0


def _frames(image: Image.Image, count: int) -> NDArray[Any]:
    """Return the first pages of a TIFF as channels, (H, W, C); raise ValueError where their sizes differ."""
    pages = []
    for k in range(count):
        image.seek(k)
        _check(image.size, image.size)
        pages.append(np.array(image if is_deep(image) else image.convert("L")))
    return np.stack(pages, -1)


def _has_sixteen_bit_colour(image: Image.Image) -> bool:
    """Tell whether Pillow would leave the lower 8 of 16 bits out, as it does of colours."""
    return image.mode in ("RGB", "RGBA") and ";16" in str(_tiles(image)[:1])


def _sixteen_bit_colour(image: Image.Image, content: bytes) -> NDArray[np.uint16]:
    """Return all 16 bits of a picture, uint16 (H, W, C): Pillow gives the upper ones and, told of another order, the lower."""
    lower = Image.open(BytesIO(content), formats=FORMATS)
    lower.tile = [tile._replace(args=_other_order(tile.args)) for tile in _tiles(lower)]
    high, low = (np.asarray(_upright(half)).astype(np.uint16) for half in (image, lower))
    return np.asarray(256 * high + low)


def _tiles(image: Image.Image) -> list[Any]:
    """Return what Pillow is to decode, and how: of pictures that are not of a file, nothing."""
    tiles: list[Any] = getattr(image, "tile", [])
    return tiles


def _other_order(args: Any) -> Any:
    """Return a decoder's arguments with the first, the order of the bytes, the other way round."""
    if not isinstance(args, str):
        return _other_order(args[0]), *args[1:]
    other = "B" if sys.byteorder == "little" else "L"
    return args[:-1] + {"L": "B", "B": "L", "N": other}[args[-1]]


def to_pixels(found: Image.Image | NDArray[Any], how: Decoding, seen: Seen = lambda kind: None) -> Picture:
    """Return a decoded image, upright, with the pixels that ``decode`` says."""
    if is_deep(found):
        seen(DEEP)
        found = _eight_bits(found, how)
    if how.channels not in (1, 3):
        return _bands(found, how.channels)
    if isinstance(found, np.ndarray):
        if found.ndim == 3 and found.shape[2] not in (1, 3, 4):
            raise ValueError(_CHANNELS.format(found.shape[2], how.channels))
        found = Image.fromarray(found[:, :, 0] if found.shape[2:] == (1,) else found)
    if found.has_transparency_data:
        found = _without_transparency(found, how.background, seen)
    mode = "L" if how.channels == 1 else "RGB"
    return found if found.mode == mode else found.convert(mode)


_CHANNELS = "it has {} channels and not {}"


def is_of_other_channels(problem: str) -> bool:
    """Tell whether what is wrong with an image is that it has other channels than those wanted."""
    return re.fullmatch(_CHANNELS.replace("{}", r"\d+"), problem) is not None


def _eight_bits(found: Image.Image | NDArray[Any], how: Decoding) -> Image.Image | NDArray[np.uint8]:
    """Return values of more than 8 bits as 8 bits; a fourth channel beside three is transparency, in 16 bits."""
    values, clear = np.asarray(found), None
    if isinstance(found, Image.Image) and isinstance(value := found.info.get("transparency"), int):
        clear = values == value
    sixteen = values.dtype.kind == "u" and values.dtype.itemsize == 2
    pixels = scaled(values, how.range or range_of_one(values, sixteen))
    if how.channels in (1, 3) and values.shape[2:] == (4,):
        pixels[:, :, 3] = scaled(values[:, :, 3], (0, np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1))
    if clear is None:
        return pixels
    return np.stack([pixels, pixels, pixels, np.where(clear, 0, 255).astype(np.uint8)], -1)


def _bands(found: Image.Image | NDArray[np.uint8], channels: int) -> Bands:
    if isinstance(found, Image.Image):
        bands = list(found.convert("RGBA" if channels == 4 and found.mode == "PA" else found.mode).split())
    else:
        bands = [Image.fromarray(np.ascontiguousarray(found[:, :, k])) for k in range((*found.shape, 1)[2])]
    if len(bands) != channels:
        raise ValueError(_CHANNELS.format(len(bands), channels))
    return Bands(bands)


def _without_transparency(image: Image.Image, background: str | None, seen: Seen) -> Image.Image:
    """Return an image as RGB, on a background or, where there is none, as Pillow leaves the transparency out."""
    if background is None:
        return image.convert("RGBA").convert("RGB") if image.mode == "P" else image.convert("RGB")  # else Pillow warns
    flat = Image.new("RGB", image.size)
    rows = max(1, ROWS // image.width)  # a few at a time, as three copies take much memory
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(image.height, top + rows))
        part = image.crop(box).convert("RGBA")
        if np.asarray(part)[:, :, 3].min(initial=255) < 255:
            seen(TRANSPARENT)
            part = Image.alpha_composite(Image.new("RGBA", part.size, background), part)
        flat.paste(part.convert("RGB"), box)
    return flat
