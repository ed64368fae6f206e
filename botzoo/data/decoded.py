"""Decoded images on disk, mapped into memory: a data set is decoded once, for all later runs and all processes.

A file holds the pixels of one split, named by what was decoded: ``KEY.pixels`` in the folder ``decoded`` of
``$BOTZOO_CACHE`` (by default ``~/.cache/botzoo``). Its parts, one after the other:

    pixels   uint8, (H, W, 3) of each readable image in order; nothing where they were more than the run would keep
    index    SHA-256 of each encoded image, its height and width (int32, 0 where it is unreadable), and JSON: the rest
    footer   sizes of both, number of images, SHA-256 of the index, version and magic

It is checked when it is opened, and locked while it is mapped; see ``botzoo.util.cache``.
"""

import hashlib
import json
import os
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.util.cache import Draft, Store, mapped

Pixels = NDArray[np.uint8]

VERSION = 1
"""Of the file's layout and of how images are decoded; a file of another version is not looked at."""

MAGIC = b"BOTZOOPX"

FOOTER = struct.Struct("<QQQ32sI4x8s")

STORE = Store("decoded", ".pixels", "decoded images", "decoded")


@dataclass(frozen=True)
class Index:
    """What is known of each image of a split.

    Attributes:
        digests: uint8, shape (N, 32), SHA-256 of each encoded image; zeros where there was nothing to read.
        shapes: int32, shape (N, 2), height and width; 0 where the image is unreadable.
        problems: what is wrong with the unreadable ones, by place.
    """

    digests: NDArray[np.uint8]
    shapes: NDArray[np.int32]
    problems: dict[int, str]

    def __len__(self) -> int:
        return len(self.shapes)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where the pixels of each image begin, shape (N + 1,); the last is the size of all of them."""
        return np.concatenate([[0], np.cumsum(3 * self.shapes.astype(np.int64).prod(1))])


class Decoded:
    """The decoded images of a split: in memory, mapped from a file, or not kept and only checked."""

    def __init__(self, index: Index, pixels: list[Pixels] | None = None, path: Path | None = None) -> None:
        self.index, self.path, self._held, self._map = index, path, pixels, _mapped(index, path)
        # else they are decoded again when they are asked for
        self.kept = self._held is not None or self._map is not None

    def pixels(self, i: int) -> Pixels:
        """Return image i, uint8 (H, W, 3), to be read only.

        Raises:
            DataError: this process was sent the images, and their file is gone.
        """
        if self._held is not None:
            return self._held[i]
        if self._map is None:  # this process was sent the object
            reason = "its size has changed"
            try:
                self._map = _mapped(self.index, self.path)
            except OSError as error:
                reason = error.strerror or str(error)
            if self._map is None:
                what = f"The decoded images in {self.path} can no longer be read ({reason})"
                raise DataError(f"{what}: go on with --resume, which decodes them again.")
        begin, end = self.index.offsets[i : i + 2]
        return self._map[begin:end].reshape(*self.index.shapes[i], 3)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped file out: a process that is sent this one maps it anew, where its errors are reported."""
        return self.__dict__ | {"_map": None}


def _mapped(index: Index, path: Path | None) -> Pixels | None:
    size = int(index.offsets[-1])
    if path is None:
        return None
    with path.open("rb") as file:
        if _footer(file)[0] != size:
            return None
        # A plain array over the map: slices of a np.memmap cost ten times as much.
        return np.asarray(mapped(file, np.uint8, 0, (size,))) if size else np.empty(0, np.uint8)


def key_of(digests: NDArray[np.uint8]) -> str:
    """Return the name of the file for these encoded images: it changes with them, with VERSION and with Pillow's."""
    return hashlib.sha256(f"{VERSION} {PIL.__version__} ".encode() + digests.tobytes()).hexdigest()


def open_decoded(key: str) -> Decoded | None:
    """Return what was decoded before, or None where that cannot be read; a damaged file is removed, and that is said."""
    return STORE.open(key, lambda path: Decoded(_read_index(path), path=path))


def _footer(file: BinaryIO) -> tuple[Any, ...]:
    file.seek(-FOOTER.size, os.SEEK_END)
    return FOOTER.unpack(file.read(FOOTER.size))


def _read_index(path: Path) -> Index:
    with path.open("rb") as file:
        pixels, size, count, checksum, version, magic = _footer(file)
        if (magic, version) != (MAGIC, VERSION):
            raise ValueError("it is not of this version")
        if path.stat().st_size != pixels + size + FOOTER.size:
            raise ValueError("its size is wrong")
        file.seek(pixels)
        content = file.read(size)
    if hashlib.sha256(content).digest() != checksum:
        raise ValueError("its SHA-256 differs")
    digests = np.frombuffer(content, np.uint8, 32 * count).reshape(count, 32)
    shapes = np.frombuffer(content, np.int32, 2 * count, 32 * count).reshape(count, 2)
    problems = json.loads(content[40 * count :])
    index = Index(digests, shapes, {int(i): str(text) for i, text in problems.items()})
    if pixels not in (0, index.offsets[-1]):
        raise ValueError("its pixels are not those of its index")
    return index


def finish(draft: Draft, index: Index, *, keep: bool) -> None:
    """Write the index, after the pixels of the images in order or, unless ``keep``, in their place.

    The file is named by what was decoded, which may be other images by then than those whose digests were read first.
    """
    if not keep:
        draft.file.seek(0)
        draft.file.truncate()
    content = index.digests.tobytes() + index.shapes.tobytes() + json.dumps(index.problems).encode()
    size = int(index.offsets[-1]) if keep else 0
    checksum = hashlib.sha256(content).digest()
    draft.file.write(content + FOOTER.pack(size, len(content), len(index), checksum, VERSION, MAGIC))
    draft.key = key_of(index.digests)


def is_kept(key: str) -> bool:
    """Tell whether the pixels are there already; a file without them may be replaced by one with them."""
    found = open_decoded(key)
    return found is not None and found.kept
