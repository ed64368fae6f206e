"""From encoded images to pixels of 8 bits, of which so many are in memory at once."""

import math
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from botzoo.data.parallel import most_pixels, room_for
from botzoo.models.preprocessing import PLAIN, Decoding
from botzoo.pixels import jpeg
from botzoo.pixels.arrays import ASSOCIATED, NPY, UNASSOCIATED, Stored, as_picture_shape, open_npy, open_tiff
from botzoo.pixels.bands import AtHand, Bands, Picture, picture_of, size_at_hand
from botzoo.pixels.colours import (
    GREY,
    file_of,
    has_sixteen_bit_colour,
    lies_on_its_side,
    retell,
    sixteen_bit_colour,
    tiles,
    upright,
)
from botzoo.pixels.opening import open_picture
from botzoo.pixels.resizing import smaller, smaller_pixels
from botzoo.pixels.values import ROWS, Extremes, extremes_of, is_deep, range_of_one, scaled
from botzoo.sources.base import Encoded
from botzoo.sources.files import read_file

Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns from 89 million pixels on; ``most_pixels`` takes its place


BITS, SAMPLES_PER_PIXEL, PLANAR, EXTRA_SAMPLES = 258, 277, 284, 338  # tags of TIFF

TRANSPARENT, DEEP, OWN, REDUCED, PAGED = "transparent", "deep", "own", "reduced", "paged"
"""What an image may be seen to be: in part transparent; of more than 8 bits; read in a way that no line of Pillow's does, as
arrays, bands, and colours of more than 8 bits are; reduced to ``Decoding.side``; the first page of several in a TIFF."""

Seen = Callable[[str], object]
"""Is told which of these an image is."""


def decode(encoded: Encoded | Image.Image, how: Decoding = PLAIN) -> Picture:
    """Return an image as 8-bit pixels of ``how.channels``, upright as its EXIF orientation says; the first of an animation.

    What Pillow has opened is left as it is, and comes out as its file would; only of colours of 16 bits that Pillow has
    decoded already no more than 8 are there: give the path of such a file.

    Greyscale, palette and CMYK are converted as Pillow does. Transparent images lie on ``how.background``; without one
    their transparency is left out, as Pillow does. Values of more than 8 bits are scaled from ``how.range``; without one,
    grey ones by a range that each image suggests, and colours by their upper 8 of 16 bits, which may be a level less than
    their share of 65,535. A JPEG of more than ``most_pixels`` comes at half its size.

    An image whose shorter side has more pixels than ``how.side`` comes with that side: resampled, Lanczos with
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
    with at_hand(encoded, how, seen) as found:
        yield picture_of(found)


@contextmanager
def at_hand(encoded: Encoded | Image.Image, how: Decoding = PLAIN, seen: Seen = lambda kind: None) -> Iterator[AtHand]:
    """Give the same as a picture or as its pixels, whichever costs no copy."""
    with _one_kind_of_error():
        opened = _opened(encoded, how)
    with room_for(math.ceil(math.prod(opened.held or opened.size) * max(opened.weight, how.channels / 3))):
        with _one_kind_of_error():
            if opened.own:
                seen(OWN)
            if opened.paged:
                seen(PAGED)
            if opened.upper:
                seen(DEEP)
            if how.side is not None and min(opened.stated or opened.size) > how.side:
                seen(REDUCED)
            found = reduced(to_pixels(opened.load(), how, seen), how.side)
        yield found


def reduced(picture: AtHand, side: int | None) -> AtHand:
    """Return a picture with a shorter side of ``side`` pixels, as it is where that has no more or ``side`` is None."""
    if side is None or min(size_at_hand(picture)) <= side:
        return picture
    size = _reduced(size_at_hand(picture), side)
    if isinstance(picture, np.ndarray):
        return smaller_pixels(picture, size)
    if isinstance(picture, Bands):
        return Bands([smaller(band, size) for band in picture.bands])
    return smaller(picture, size)


def size_of(encoded: Encoded | Image.Image, how: Decoding) -> tuple[int, int]:
    """Return the sides of an image as ``decode`` gives it, in either order, by its header.

    Raises:
        ValueError, MemoryError: as of ``decode``.
    """
    with _one_kind_of_error():
        opened = _opened(encoded, how)
    return _reduced(opened.size, how.side)


def header_of(encoded: Encoded, how: Decoding, seen: Seen = lambda kind: None) -> tuple[int, int]:
    """Return height and width of an image as ``decode`` gives it, by its header alone; raises as ``decode`` does.

    ``seen`` is told what it may be: transparent of whatever has transparency, and nothing of its depth.
    """
    with _one_kind_of_error():
        opened = _opened(encoded, how)
        size = opened.size if how.side is None else opened.stated or opened.size
        kinds = {
            OWN: opened.own,
            PAGED: opened.paged,
            REDUCED: how.side is not None and min(size) > how.side,
            TRANSPARENT: opened.clear or (opened.channels in (4, DOUBTFUL) and how.channels in (1, 3)),
        }
        for kind in (kind for kind, there in kinds.items() if there):
            seen(kind)
        width, height = _reduced(size, how.side)
        return (width, height) if opened.turned() else (height, width)


def _reduced(size: tuple[int, int], side: int | None) -> tuple[int, int]:
    shorter = min(size)
    return (
        size if side is None or shorter <= side else (round(side * size[0] / shorter), round(side * size[1] / shorter))
    )


def extremes(encoded: Encoded | Image.Image, channels: int = 3) -> Extremes | None:
    """Return the extremes of the values of an image of so many channels; 1 and 3 are one kind, without the transparency.

    None where they have 8 bits, the channels are others, or it cannot be read, which is said elsewhere.

    Raises:
        MemoryError: there is no room for it now.
    """
    try:
        with _one_kind_of_error():
            opened = _opened(encoded, replace(RAW, channels=channels))
        if not opened.deep:
            return None
        with room_for(math.ceil(math.prod(opened.size) * opened.weight)), _one_kind_of_error():
            found = opened.load()
            if not is_deep(found):
                return None
            values = np.asarray(found)
            there = (*values.shape, 1)[2]
            if channels in (1, 3):
                return extremes_of(values if values.ndim == 2 else values[:, :, :3]) if there in (1, 3, 4) else None
            return extremes_of(values) if there == channels else None
    except ValueError:
        return None


def channels_of(encoded: Encoded | Image.Image) -> int | None:
    """Return how many channels an image has, 3 where Pillow makes RGB of it; only its header is read.

    None where there are four and nothing says whether the last is transparency.

    Raises:
        ValueError: it is no image.
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

READERS = ("pillow", "pillow-heif", "tifffile")


def readers() -> str:
    """Return the versions of what decodes images: one that is not there yet may read what nothing reads now."""
    return " ".join(f"{name} {_version(name)}" for name in READERS)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


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
    weight: float = 1  # memory that the values of a pixel take, 1 of RGB
    upper: bool = False  # whether its colours have 16 bits, of which Pillow gives the upper 8
    clear: bool = False  # whether Pillow knows of transparency
    paged: bool = False  # whether other pages of its file are not read
    turned: Callable[[], bool] = lambda: False  # tells whether its EXIF orientation makes the width the height


def _opened(encoded: Encoded | Image.Image, how: Decoding) -> _Opened:
    """Return an image of which the header is read; raise ValueError where that says that it is too large."""
    if isinstance(encoded, np.ndarray):
        height, width, channels = as_picture_shape(encoded.shape)
        return _Opened((width, height), lambda: encoded, 3 if channels == 4 else channels, own=is_deep(encoded))
    if isinstance(encoded, Image.Image):
        _check(encoded.size, encoded.size)
        in_part = has_sixteen_bit_colour(encoded) or (isinstance(encoded, TiffImageFile) and _unread_bands(encoded))
        if in_part and (file := file_of(encoded)) is not None:
            return _opened(file, how)
        upper = has_sixteen_bit_colour(encoded)
        return _Opened(encoded.size, lambda: ImageOps.exif_transpose(encoded), upper=upper)
    content = encoded if isinstance(encoded, bytes) else read_file(encoded)
    if content.startswith(NPY):
        return _array(open_npy(content), how)
    if content.startswith(b"\0\0\1\0"):  # Pillow decodes icons when it opens them
        for size in _sizes_in_icon(content):
            _check(size, size)
    try:
        image = open_picture(BytesIO(content))
    except UnidentifiedImageError:
        if content.startswith((b"II*\0", b"MM\0*")):
            return _array(open_tiff(content), how)
        raise
    stated = image.size
    held, load = _scale(image, how, content)
    _check(held, stated)
    channels = 3
    if isinstance(image, TiffImageFile):
        bands = _unread_bands(image)
        if bands > 4 or (bands and bands == how.channels) or _are_misread_planes(image):
            return _array(open_tiff(content), how)
        if how.channels not in (0, 1, 3) and image.n_frames == how.channels:
            weight = max(1, image.n_frames * (4 if is_deep(image) else 1) / 3)
            _check(stated, stated, weight)
            return _Opened(image.size, lambda: _frames(image, how.channels), how.channels, own=True, weight=weight)
        channels = {2: 2, 4: DOUBTFUL}.get(bands, 3)
        if bands == 2 and how.channels in (1, 3):
            raise ValueError(_CHANNELS.format(bands, how.channels))
        # Who wants three channels of four has said that the last is transparency.
        if bands == 4 and how.channels in (1, 3) and not _take_for_transparency(image):
            return _array(open_tiff(content), how)
    if how.range is not None and has_sixteen_bit_colour(image):
        both = partial(sixteen_bit_colour, image, lambda: open_picture(BytesIO(content)))
        return _Opened(image.size, both, channels, own=True, weight=2)
    return _Opened(
        image.size,
        load,
        channels,
        own=image.format == "HEIF",
        deep=is_deep(image),
        held=held,
        stated=stated,
        clear=image.has_transparency_data,
        paged=isinstance(image, TiffImageFile) and bool(image.is_animated),
        turned=partial(lies_on_its_side, image),
        upper=has_sixteen_bit_colour(image),
    )


def _scale(
    image: Image.Image, how: Decoding, content: bytes
) -> tuple[tuple[int, int], Callable[[], Image.Image | NDArray[np.uint8]]]:
    """Have a JPEG decoded at a part of its size where no more is needed or fits.

    Returns:
        The size that memory must hold, and what decodes the image.
    """
    stated, shorter, side = image.size, min(image.size), how.side
    progressive = image.info.get("progressive")  # which the decoder holds in full
    too_large = math.prod(stated) > most_pixels()
    wanted = min(shorter // 2 if too_large else shorter, side or shorter)
    drafted = None
    if wanted < shorter and not (too_large and progressive):
        drafted = image.draft(image.mode, (max(1, wanted), max(1, wanted)))  # of JPEG only
    held = stated if progressive else image.size

    def load() -> Image.Image | NDArray[np.uint8]:
        if image.size == stated and how.channels == 3 and (pixels := jpeg.whole(image, content)) is not None:
            return pixels
        if drafted is None or side is None or shorter <= side:
            return upright(image)
        size, (_, (_, _, *extent)) = _reduced(stated, side), drafted  # the picture ends within the last pixels
        return upright(smaller(image, size, (extent[0], extent[1])))

    return held, load


def _array(found: Stored, how: Decoding) -> _Opened:
    """Return a file with an array of which the header is read; raise ValueError of other channels than those wanted."""
    (height, width, channels), itemsize, load, clear = found
    pictured = (1, 2, 3, 4) if clear else (1, 3, 4)
    if how.channels and channels not in (pictured if how.channels in (1, 3) else (how.channels,)):
        raise ValueError(_CHANNELS.format(channels, how.channels))
    weight = max(1, channels * itemsize / 3)
    _check((width, height), (width, height), weight)
    with_colours = channels == 2 and how.channels in (1, 3)
    meant = 3 if clear else DOUBTFUL if clear is None else channels
    read = (lambda: load()[:, :, GREY]) if with_colours else load
    return _Opened((width, height), read, meant, own=True, weight=weight, clear=bool(clear))


def _check(size: tuple[int, int], stated: tuple[int, int], weight: float = 1) -> None:
    """Raise ValueError where images of this ``size`` in memory, and of the ``stated`` size in the file, are too large.

    So are those of a ``weight`` with as many values as too many pixels of RGB.
    """
    if (count := math.ceil(math.prod(size) * weight)) > (most := most_pixels()):
        cure = f"make it smaller, or set BOTZOO_MAX_MEGAPIXELS={math.ceil(count / 1e6)}"
        held = f", which take the memory of {count:,} of RGB" if weight > 1 else ""
        raise ValueError(f"it has {stated[0]:,} x {stated[1]:,} pixels{held}, more than {most:,}: {cure}")


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
    if {*image.tag_v2.get(EXTRA_SAMPLES, ())} & {ASSOCIATED, UNASSOCIATED} and bands <= len(image.getbands()):
        return 0
    return bands if bands > len(image.getbands()) or "RGBX" in str(tiles(image)[:1]) else 0


def _are_misread_planes(image: TiffImageFile) -> bool:
    """Tell whether a TIFF has channels in planes of their own that Pillow makes others of, or does not read.

    These are colours of more than 8 bits, grey with transparency, and colours that are multiplied by it.
    """
    tags = image.tag_v2
    if tags.get(PLANAR, 1) != 2 or tags.get(SAMPLES_PER_PIXEL, 1) == 1:
        return False
    clear = {*tags.get(EXTRA_SAMPLES, ())}
    return bool(max(tags.get(BITS, (8,))) > 8) or ASSOCIATED in clear or image.mode == "LA"


def _take_for_transparency(image: TiffImageFile) -> bool:
    """Have Pillow read a fourth band that it would leave out; tell whether it can."""
    if not all("RGBX" in str(tile.args) for tile in tiles(image)):
        return False
    image._mode = "RGBA"
    retell(image, tiles(image), lambda args: (args[0].replace("RGBX", "RGBA"), *args[1:]))
    return True


def _frames(image: Image.Image, count: int) -> NDArray[Any]:
    """Return the first pages of a TIFF as channels, (H, W, C); raise ValueError where their sizes differ."""
    pages, size = [], image.size
    for k in range(count):
        image.seek(k)
        if image.size != size:
            raise ValueError(f"page {k + 1} has {image.width} x {image.height} pixels and page 1 {size[0]} x {size[1]}")
        page = ImageOps.exif_transpose(image)
        pages.append(np.array(page if is_deep(page) else page.convert("L")))
    return np.stack(pages, -1)


def to_pixels(found: Image.Image | NDArray[Any], how: Decoding, seen: Seen = lambda kind: None) -> AtHand:
    """Return a decoded image, upright, with the pixels that ``decode`` says."""
    if isinstance(found, np.ndarray) and found.dtype == np.uint8 and found.shape[2:] == (3,) and how.channels == 3:
        return found
    if is_deep(found):
        seen(DEEP)
        found = _eight_bits(found, how)
    elif isinstance(found, np.ndarray) and found.dtype == np.bool_:
        found = 255 * found.astype(np.uint8)
    if how.channels not in (1, 3):
        return _bands(found, how.channels)
    if isinstance(found, np.ndarray):
        if found.ndim == 3 and found.shape[2] not in (1, 3, 4):
            raise ValueError(_CHANNELS.format(found.shape[2], how.channels))
        found = Image.fromarray(found[:, :, 0] if found.shape[2:] == (1,) else found)
    if found.mode == "La":  # multiplied by its transparency, which Pillow converts to nothing else
        found = found.convert("LA")
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
    if values.dtype.kind == "f" and not np.isfinite(values).any():
        raise ValueError("it holds no finite value")
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
        stacked = np.atleast_3d(found)
        bands = [Image.fromarray(np.ascontiguousarray(stacked[:, :, k])) for k in range(stacked.shape[2])]
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
