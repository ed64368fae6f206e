"""Which image a file is about, which split it belongs to, and how large an image is, by its header."""

from __future__ import annotations

import math
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from botzoo.errors import DataError
from botzoo.pixels.opening import open_picture
from botzoo.sources.annotations.paths import Found
from botzoo.sources.base import Encoded
from botzoo.sources.files import open_file
from botzoo.sources.folders import files_in
from botzoo.sources.layouts.split_names import Said, by_role, is_plain, option, role_of
from botzoo.util.text import brief, listing

_MASKS = "masks mask segmentation segmentations segmentationclass groundtruth ground_truth gt"
_SAID = f"labels label annotations annotation annots {_MASKS}"
_KINDS = f"images image imgs img pictures photos frames jpegimages xmls xml txt {_SAID}"


def _any_of(words: str) -> re.Pattern[str]:
    """Return what finds one of ``words`` in a name, with no letter before or behind: labels in train_labels."""
    return re.compile(rf"(?<![^\W\d_])({'|'.join(words.split())})(?![^\W\d_])", re.I)


_OF_KINDS, _OF_MASKS, _OF_SAID = map(_any_of, (_KINDS, _MASKS, _SAID))
"""Words in the names of folders that tell images and what is said of them apart, and nothing else."""

MOST = 1e9  # of any number in the data, in pixels

TURNED = (5, 6, 7, 8)
"""EXIF orientations of a picture that lies on its side."""

SIZELESS = "its size cannot be read, without which nobody knows where its boxes are"
"""What is wrong with a picture whose boxes are given as shares of its sides, or are checked against these."""


def key_of(name: str) -> tuple[str, str]:
    """Return what the file of an image and the one about it have in common: folders that are no kinds, and the stem.

    train/images/a.jpg, labels/train/a.txt and train_masks/a.png are ("train", "a"); ``name`` has slashes.
    """
    *folders, file = name.split("/")
    return "/".join(filter(None, map(_without_kind, folders))), Path(file).stem


def _without_kind(folder: str) -> str:
    return _OF_KINDS.sub("", folder).strip(" _-.") if _OF_KINDS.search(folder) else folder


def is_kind(folder: str) -> bool:
    """Tell whether the name of a folder says no more than whether images lie in it or what is said of them."""
    return not _without_kind(folder)


class Pairs:
    """The images of a folder by ``key_of``, for the files that are about them.

    Args:
        found: the images of the folder.
        places: those of them that may be meant; by default all.
    """

    def __init__(self, found: Found, places: Iterable[int] | None = None) -> None:
        self._found = found
        self._at: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for i in range(len(found.names)) if places is None else places:
            self._at[key_of(found.names[i])].append(i)

    def place(self, name: str) -> int | None:
        """Return the image that a file is about, None where there is none.

        Raises:
            DataError: there are several.
        """
        hits = self._at.get(key_of(name), ())
        if len(hits) > 1:  # a mask may have the image's name, too
            hits = [i for i in hits if not is_mask(self._found.names[i])] or hits
        if len(hits) > 1:
            may = f"{name!r} may be about {listing([self._found.names[i] for i in hits], 2)}"
            raise DataError(f"{may} in {self._found.root}: give them different names, or remove one.")
        return hits[0] if hits else None


def is_mask(name: str) -> bool:
    """Tell whether an image lies in a folder of masks, by its path."""
    return any(map(_OF_MASKS.search, name.split("/")[:-1]))


def is_said(name: str) -> bool:
    """Tell the same of a folder of masks or labels, which hold masks where nothing else lies in them."""
    return any(map(_OF_SAID.search, name.split("/")[:-1]))


def names_targets(folder: str) -> bool:
    """Tell whether a folder is called as one that holds masks, or what is said of images."""
    return bool(_OF_SAID.search(folder))


def files_named(root: Path, suffix: str) -> list[str]:
    """Return the files in ``root`` whose names end so, by their paths inside it, with slashes."""
    return [Path(file).relative_to(root).as_posix() for file in files_in(root) if file.lower().endswith(suffix)]


def roles_of_folders(name: str, files: Sequence[str], said: Said) -> tuple[list[str], list[str]]:
    """Return the split of each file by the folders that it lies in, or as the user says, and notes on what is not used.

    Only folders tell: test_07.jpg in train/images is for training. A role of "" is that of files that are not used.

    Raises:
        DataError: none is for training, or a folder may be of any split.
    """
    folders = list(dict.fromkeys(file.rpartition("/")[0] or "." for file in files))
    told = {part for folder in folders for part in folder.split("/") if is_plain(part)}
    if not said and told and "train" not in {role_of(part) for part in told} and "." not in folders:
        cure = f"call one train, or say what is what, such as {option({'train': sorted(told)[:1]})}"
        raise DataError(f"{name} has no training split, only {listing(folders)}: {cure}.")
    roles, notes = by_role(name, folders, said)
    of_folder = {folder: role for role, each in roles.items() for folder in each}
    return [of_folder.get(file.rpartition("/")[0] or ".", "") for file in files], notes


def encoded_size(encoded: Encoded, where: str) -> tuple[int, int]:
    """Return height and width of an image in pixels as it is seen, turned as its EXIF says; only its header is read.

    Raises:
        DataError: it is no image that Pillow knows; ``where`` names it.
    """
    if isinstance(encoded, np.ndarray):
        return int(encoded.shape[0]), int(encoded.shape[1])
    try:
        file = open_file(encoded) if isinstance(encoded, Path) else BytesIO(encoded)
        with file, any_size(), open_picture(file) as image:
            width, height = image.size
            turned = image.getexif().get(ExifTags.Base.Orientation) in TURNED
    except Exception as error:  # damaged files end in almost any of them
        what = "it is no image" if isinstance(error, UnidentifiedImageError) else brief(error)
        raise DataError(f"{where} cannot be read ({what}): mend or remove it.") from error
    return (width, height) if turned else (height, width)


def size_if_readable(encoded: Encoded) -> tuple[int, int]:
    """Return height and width as ``encoded_size``, 0 and 0 of what is no image: that is told when images are read."""
    try:
        return encoded_size(encoded, "")
    except DataError:
        return 0, 0


@contextmanager
def any_size() -> Iterator[None]:
    """Let Pillow open what it would warn of: sizes are looked at before anything is decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def number(value: Any, where: str, what: str, least: float = -MOST) -> float:
    """Return a finite number of ``least`` or more that a file has, as such or as text.

    Raises:
        DataError: it is none; ``where`` names the file, ``what`` the value.
    """
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found) or not least <= found <= MOST:
        raise DataError(f"{where} has {brief(repr(value), 60)} as {what}, which is no number of pixels: mend it.")
    return found
