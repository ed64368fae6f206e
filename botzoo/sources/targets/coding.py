"""How the pixels of a mask say which class they are: as numbers, as colours, or as black and white."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from botzoo.errors import DataError
from botzoo.pixels.colours import upright
from botzoo.pixels.opening import open_picture
from botzoo.sources.base import Encoded
from botzoo.sources.files import read_file
from botzoo.sources.targets.pictures import any_size
from botzoo.util.text import brief, listing

IGNORED = 255
"""The class of pixels that are not trained on and not evaluated."""

MOST_CLASSES = 255

MOST_PIXELS = 1 << 27
"""Of a mask, which takes up to four bytes a pixel."""

LOSSY = ("JPEG", "WEBP", "AVIF", "HEIF")
"""Formats that change values a little, but for a kind of WebP."""

AT_ONCE = 1 << 20  # pixels whose colours are looked up together, as numbers of 12 bytes

Mask = NDArray[np.uint8]
"""Shape (H, W): the class of each pixel, or ``IGNORED``."""

Colour = tuple[int, int, int]

Kind = Literal["numbers", "colours", "black and white"]


@dataclass(frozen=True)
class Coding:
    """What the values of masks mean.

    Attributes:
        kind: numbers are classes, 255 is none; colours are looked up in ``colours``; of black and white, 255 is class 1.
        classes: K, up to 255.
        colours: the class of each colour, or ``IGNORED``; of other kinds it is empty.
    """

    kind: Kind
    classes: int
    colours: Mapping[Colour, int] = field(default_factory=dict)

    def decode(self, encoded: Encoded, where: str) -> Mask:
        """Return the classes of an encoded mask's pixels.

        Raises:
            DataError: it is damaged, no mask of this kind, or has a value that is no class; ``where`` names it.
        """
        values = stored(encoded, where)
        if self.kind == "colours":
            return self._by_colour(values if values.ndim == 3 else np.repeat(values[:, :, None], 3, 2), where)
        if _in_colours(values):
            raise DataError(f"{where} is a picture in colours, and other masks have one number a pixel: mend it.")
        mask = values if values.ndim == 2 else values[:, :, 0]
        if self.kind == "black and white":
            mask = np.where(mask == 255, np.uint8(1), mask)
        there = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)[:IGNORED])
        if len(odd := there[there >= self.classes]):
            has = f"{where} has the value {listing(list(map(str, odd)), 3)}, and the {self.classes} classes are 0 to"
            raise DataError(f"{has} {self.classes - 1}: name more classes in classes.txt, or mend the mask.")
        return mask

    def _by_colour(self, values: NDArray[np.uint8], where: str) -> Mask:
        known = np.array(sorted(map(_code, self.colours)), np.int32)
        class_of = {_code(colour): k for colour, k in self.colours.items()}
        classes = np.array([class_of[int(code)] for code in known], np.uint8)
        mask = np.empty(values.shape[:2], np.uint8)
        rows = max(1, AT_ONCE // max(1, values.shape[1]))
        for first in range(0, len(values), rows):
            codes = _codes(values[first : first + rows])
            places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
            if len(odd := np.unique(codes[known[places] != codes])):
                named = listing([f"#{code:06x}" for code in odd], 3)
                has = f"{where} has the colour {named}, which the table of colours does not name"
                raise DataError(f"{has}: add it, or mend the mask.")
            mask[first : first + rows] = classes[places]
        return mask


def stored(encoded: Encoded, where: str) -> NDArray[np.uint8]:
    """Return the values of a mask as they are stored, upright: uint8 (H, W), palette indices too, or (H, W, 3).

    Raises:
        DataError: it is damaged or lossy, too large, or has values of more than 8 bits that are over 255.
    """
    try:
        if isinstance(encoded, np.ndarray):
            values = encoded
        else:
            content = read_file(encoded) if isinstance(encoded, Path) else encoded
            with any_size(), open_picture(BytesIO(content)) as image:
                if image.format in LOSSY and not _is_lossless(image, content):
                    raise DataError(f"{where} is a {image.format}, which changes values a little: masks must be PNG.")
                if image.width * image.height > MOST_PIXELS:
                    raise DataError(
                        f"{where} has {image.width} x {image.height} pixels, more than masks may: make it smaller."
                    )
                turned = upright(image)
                values = np.asarray(
                    turned if turned.mode in ("L", "P", "RGB", "F") or "I" in turned.mode else _plain(turned)
                )
    except DataError:
        raise
    except Exception as error:  # damaged files end in almost any of them
        what = "it is no image" if isinstance(error, UnidentifiedImageError) else brief(error)
        raise DataError(f"{where} cannot be read ({what}): mend or remove it.") from error
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.round(values))).all():
        raise DataError(f"{where} has numbers with fractions: a mask has the numbers of classes, 0 to 254, and 255.")
    if values.size and (int(values.min()) < 0 or int(values.max()) > 255):
        raise DataError(
            f"{where} has values up to {values.max()}: a mask has the numbers of classes, 0 to 254, and 255."
        )
    return values.astype(np.uint8)


def _plain(image: Image.Image) -> Image.Image:
    """Return a picture of another mode as greys or colours: bits are 0 and 255, and transparency is left out."""
    return image.convert("L" if image.mode in ("1", "LA") else "RGB")


def _is_lossless(image: Image.Image, content: bytes) -> bool:
    return image.format == "WEBP" and b"VP8L" in content[:32]


def _codes(values: NDArray[np.uint8]) -> NDArray[np.int32]:
    return values[:, :, :3].astype(np.int32) @ np.array([65536, 256, 1], np.int32)


def _code(colour: Colour) -> int:
    return colour[0] * 65536 + colour[1] * 256 + colour[2]


def coding_of(masks: Iterable[tuple[Encoded, str]], names: int, colours: Mapping[Colour, int]) -> tuple[Coding, str]:
    """Return what the values of masks mean, and a note on it.

    Args:
        masks: a sample of the training masks, with their names for errors.
        names: how many classes are named, 0 where none is.
        colours: the table of colours, empty where there is none.

    Raises:
        DataError: as ``stored``, of all masks, as a single one is named when all are read; or they are in colours and there
            is no table of these; or two values are not of two classes.
    """
    seen: set[int] = set()
    problem: DataError | None = None
    for encoded, where in masks:
        try:
            values = stored(encoded, where)
        except DataError as error:
            problem = problem or error
            continue
        if values.ndim == 3 and (colours or _in_colours(values)):
            if not colours:
                cure = "add classes.csv with the columns name, r, g, b beside them"
                raise DataError(f"{where} is in colours, and nothing says which class a colour is: {cure}.")
            classes = 1 + max(k for k in colours.values() if k != IGNORED)
            return Coding("colours", classes, colours), f"masks are in the {len(colours)} colours of the table"
        seen.update(np.flatnonzero(np.bincount(values.ravel(), minlength=256)).tolist())
    if problem is not None and not seen:
        raise problem
    if seen == {0, IGNORED} and names not in (0, 2):
        named = "one class is" if names == 1 else f"{names} classes are"
        has = f"The masks have the values 0 and 255 alone, and {named} named"
        raise DataError(f"{has}: name two, black first and then white, or draw what else there is.")
    if seen == {0, IGNORED}:
        return Coding("black and white", 2), "masks are black and white: 255 is the second class"
    found = 1 + max((value for value in seen if value != IGNORED), default=1)
    ignored = ", 255 is ignored" if IGNORED in seen else ""
    return Coding("numbers", names or found), f"masks have the numbers of classes{ignored}"


def _in_colours(values: NDArray[np.uint8]) -> bool:
    return values.ndim == 3 and not (values == values[:, :, :1]).all()
