"""Decoded images on disk, mapped into memory: a data set is decoded once, for all later runs and all processes.

A file holds the pixels of one split, named by what was decoded: ``KEY.pixels`` in the folder ``decoded`` of
``$BOTZOO_CACHE`` (by default ``~/.cache/botzoo``). Its parts, one after the other:

    pixels   uint8, (H, W, 3) of each readable image in order; nothing where they were more than the run would keep
    index    SHA-256 of each encoded image, its height and width (int32, 0 where it is unreadable), and JSON: the rest
    footer   sizes of both, number of images, SHA-256 of the index, version and magic

It is written beside and renamed, so there is never half of one, and checked when it is opened. Files not used for the longest
time are removed when a new one makes all of them larger than ``$BOTZOO_CACHE_GIB`` (by default 20); removing the folder clears
the cache. A file that is mapped is locked: on a folder that machines share, a process would die of a page that is gone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.util.cache import cache_folder, cache_limit, lock, part_of, prune

log = logging.getLogger("botzoo")


Pixels = NDArray[np.uint8]

VERSION = 1
"""Of the file's layout and of how images are decoded; a file of another version is not looked at."""

MAGIC = b"BOTZOOPX"

FOOTER = struct.Struct("<QQQ32sI4x8s")


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
    """The decoded images of a split: in memory, mapped from a file, or not kept and only checked.

    Attributes:
        index: what is known of each image.
        path: the file, if there is one.
        kept: whether the pixels are at hand.
    """

    def __init__(self, index: Index, pixels: list[Pixels] | None = None, path: Path | None = None) -> None:
        self.index, self.path, self._held, self._map = index, path, pixels, _mapped(index, path)
        self.kept = self._held is not None or self._map is not None

    def pixels(self, i: int) -> Pixels:
        """Return image i, uint8 (H, W, 3), to be read only.

        Raises:
            DataError: this process was sent the images, and their file is gone.
        """
        if self._held is not None:
            return self._held[i]
        if self._map is None:
            self._map = self._mapped_anew()
        begin, end = self.index.offsets[i : i + 2]
        return self._map[begin:end].reshape(*self.index.shapes[i], 3)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped file out: a process that is sent this one maps it anew, where its errors are reported."""
        return self.__dict__ | {"_map": None}

    def _mapped_anew(self) -> Pixels:
        try:
            if (found := _mapped(self.index, self.path)) is not None:
                return found
            reason = "its size has changed"
        except OSError as error:
            reason = error.strerror or str(error)
        raise DataError(
            f"The decoded images in {self.path} can no longer be read ({reason}): go on with --resume, which decodes "
            "them again."
        )


def _mapped(index: Index, path: Path | None) -> Pixels | None:
    size = int(index.offsets[-1])
    if path is None:
        return None
    with path.open("rb") as file:
        if _footer(file)[0] != size:
            return None
        lock(file, shared=True)  # until the map goes, which has a descriptor of its own for the same open file
        # A plain array over the map: slices of a np.memmap cost ten times as much.
        return np.asarray(np.memmap(file, np.uint8, "r", shape=(size,))) if size else np.empty(0, np.uint8)


def key_of(digests: NDArray[np.uint8]) -> str:
    """Return the name of the file for these encoded images: it changes with them, with VERSION and with Pillow's."""
    return hashlib.sha256(f"{VERSION} {PIL.__version__} ".encode() + digests.tobytes()).hexdigest()


def path_of(key: str) -> Path:
    """Return the file of the split with this key."""
    return cache_folder() / "decoded" / f"{key}.pixels"


def open_decoded(key: str) -> Decoded | None:
    """Return what was decoded before, or None where that cannot be read; a damaged file is removed, and that is said."""
    path = path_of(key)
    try:
        decoded = Decoded(_read_index(path), path=path)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("The decoded images in %s cannot be read (%s): they are decoded again.", path, error)
        return None
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        log.warning("The decoded images in %s are damaged (%s): they are decoded again.", path, error)
        with suppress(OSError):
            path.unlink()
        return None
    with suppress(OSError):
        os.utime(path)  # the last to be removed
    return decoded


def _footer(file: BinaryIO) -> tuple[Any, ...]:
    file.seek(-FOOTER.size, os.SEEK_END)
    return FOOTER.unpack(file.read(FOOTER.size))


def _sizes(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        pixels, index, *_ = _footer(file)
    return pixels, index


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


class Writer:
    """A file of decoded images in the making; see ``writing``.

    Attributes:
        path: where it will be, once it is finished.
    """

    path: Path | None = None

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def add(self, pixels: Pixels) -> None:
        """Write the next image's pixels."""
        self.file.write(np.ascontiguousarray(pixels).data)

    def finish(self, index: Index, *, keep: bool) -> None:
        """Write the index, after the pixels or, unless ``keep``, in their place."""
        if not keep:
            self.file.seek(0)
            self.file.truncate()
        content = index.digests.tobytes() + index.shapes.tobytes() + json.dumps(index.problems).encode()
        size = int(index.offsets[-1]) if keep else 0
        self.file.write(content)
        checksum = hashlib.sha256(content).digest()
        self.file.write(FOOTER.pack(size, len(content), len(index), checksum, VERSION, MAGIC))
        self.file.flush()
        os.fsync(self.file.fileno())
        self.path = path_of(key_of(index.digests))


@contextmanager
def writing(key: str) -> Iterator[Writer]:
    """Give a writer for a file, which takes its place once finished; raises OSError, leaving nothing behind.

    Its place is that of the images that were decoded, which may be others by then than those of this key.
    """
    path = path_of(key)
    with part_of(path) as part:
        with part.open("wb") as file:
            yield (writer := Writer(file))
        if writer.path is not None and not _is_kept(writer.path):
            part.replace(writer.path)
    prune(path.parent, cache_limit(), spare=writer.path)


def _is_kept(path: Path) -> bool:
    """Tell whether the pixels are there already, as another machine may have mapped them: they must not be replaced."""
    found = open_decoded(path.stem)
    return found is not None and found.kept
