"""Decoded images on disk, mapped into memory: a data set is decoded once, for all later runs and all processes.

A file holds the pixels of one split, named by what was decoded: ``KEY.pixels`` in the folder ``decoded`` of
``$BOTZOO_CACHE`` (by default ``~/.cache/botzoo``). Its parts, one after the other:

    pixels   uint8, (H, W, C) of each readable image in order; or, as they may be lossy in training, JPEGs of those that
             were reduced; nothing where they were more than the run would keep
    index    SHA-256 of each encoded image, its height and width (int32, 0 where it is unreadable), and JSON: the rest
    footer   sizes of both, number of images, and C

Its digest is checked when it is opened, and it is locked while it is mapped; see ``botzoo.util.cache``.
"""

import hashlib
import json
import struct
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.data.decode import REDUCED, readers
from botzoo.data.parallel import most_pixels
from botzoo.errors import DataError
from botzoo.models.preprocessing import Decoding
from botzoo.pixels.jpeg import QUALITY, SUBSAMPLING
from botzoo.util.cache import DECODED, DIGEST_BYTES, Draft, mapped

Pixels = NDArray[np.uint8]

VERSION = 6
"""Of the file's layout and of how images are decoded; a file of another version is not looked at."""

FOOTER = struct.Struct("<QQQQ")


@dataclass(frozen=True)
class Index:
    """What is known of each image of a split.

    Attributes:
        digests: uint8, shape (N, 32), SHA-256 of each encoded image; zeros where there was nothing to read.
        shapes: int32, shape (N, 2), height and width; 0 where the image is unreadable.
        problems: what is wrong with the unreadable ones, by place.
        kinds: how many images are "transparent", "deep" and so on, see ``botzoo.data.decode.Seen``.
        channels: C of the pixels.
        by_header: whether only the headers were looked at, so that any image may still turn out to be unreadable.
        copies: int64, shape (N,), bytes of the JPEG that is kept of each image, 0 where it is used as it is stored; None
            where pixels are kept or nothing is.
    """

    digests: NDArray[np.uint8]
    shapes: NDArray[np.int32]
    problems: dict[int, str]
    channels: int = 3
    kinds: dict[str, int] = field(default_factory=dict)
    by_header: bool = False
    copies: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.shapes)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where the pixels or the copy of each image begin, shape (N + 1,); the last is the size of all of them."""
        sizes = self.channels * self.shapes.astype(np.int64).prod(1) if self.copies is None else self.copies
        return np.concatenate([[0], np.cumsum(sizes)])


class Decoded:
    """The decoded images of a split: in memory, mapped from a file, or not kept and only checked."""

    def __init__(self, index: Index, pixels: list[Pixels] | None = None, path: Path | None = None) -> None:
        self.index, self.path, self._held = index, path, pixels
        self._map = _pixels(index, path) if path is not None else None
        # Else they are decoded again when they are asked for.
        self.kept = self._held is not None or self._map is not None
        self.copied = self.kept and index.copies is not None

    def pixels(self, i: int) -> Pixels:
        """Return image i, uint8 (H, W, C), to be read only.

        Raises:
            DataError: this process was sent the images, and their file is gone.
        """
        if self._held is not None:
            return self._held[i]
        return self._part(i).reshape(*self.index.shapes[i], self.index.channels)

    def copy(self, i: int) -> bytes:
        """Return the JPEG that is kept of image i, nothing where it is used as it is stored; raises as ``pixels``."""
        return self._part(i).tobytes()

    def _part(self, i: int) -> Pixels:
        if self._map is None:  # this process was sent the object
            reason = "its size has changed"
            try:
                self._map = _pixels(self.index, self.path) if self.path is not None else None
            except OSError as error:
                reason = error.strerror or str(error)
            if self._map is None:
                what = f"The decoded images in {self.path} can no longer be read ({reason})"
                raise DataError(f"{what}: go on with --resume, which decodes them again.")
        begin, end = self.index.offsets[i : i + 2]
        return self._map[begin:end]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped file out: a process that is sent this one maps it anew, where its errors are reported."""
        return self.__dict__ | {"_map": None}


def _pixels(index: Index, path: Path) -> Pixels | None:
    """Map the pixels of a file, None where it has none or others."""
    content = mapped(path)[:-DIGEST_BYTES]
    size, *_ = FOOTER.unpack(content[-FOOTER.size :].tobytes())
    return content[:size] if size == index.offsets[-1] else None


def key_of(digests: NDArray[np.uint8], how: Decoding, *, by_header: bool = False, copies: bool = False) -> str:
    """Return the name of the file for these encoded images: it changes with them, ``how``, the readers and the limit.

    What the headers alone say has another one, and so have copies.
    """
    kind = "by header " if by_header else f"JPEG {QUALITY} {SUBSAMPLING} " if copies else ""
    about = f"{VERSION} {readers()} {most_pixels()} {how} {kind}"
    return hashlib.sha256(about.encode() + digests.tobytes()).hexdigest()


def open_decoded(key: str) -> Decoded | None:
    """Return what was decoded before, or None where that cannot be read; a damaged file is removed, and that is said."""
    return DECODED.open(key, lambda content: Decoded(_read_index(content), path=DECODED.path(key)))


def find_decoded(digests: NDArray[np.uint8], how: Decoding, *, by_header: bool = False) -> Decoded | None:
    """Return what was decoded before of these encoded images, if any; small ones are the same for every ``how.side``.

    With ``by_header`` what their headers say will do. It goes before a check of all that found broken ones, since a run
    that began with it may be resumed.
    """
    found = _find_decoded(digests, how)
    if by_header and (found is None or found.index.problems):
        return open_decoded(key_of(digests, how, by_header=True)) or found
    return found


def _find_decoded(digests: NDArray[np.uint8], how: Decoding) -> Decoded | None:
    whole = open_decoded(key_of(digests, replace(how, side=None)))
    if whole is not None and (how.side is None or whole.index.shapes.min(1).max(initial=0) <= how.side):
        return whole
    return open_decoded(key_of(digests, how)) if how.side is not None else None


def _read_index(content: NDArray[np.uint8]) -> Index:
    pixels, size, count, channels = FOOTER.unpack(content[-FOOTER.size :].tobytes())
    index = content[pixels : pixels + size].tobytes()
    digests = np.frombuffer(index, np.uint8, 32 * count).reshape(count, 32)
    shapes = np.frombuffer(index, np.int32, 2 * count, 32 * count).reshape(count, 2)
    rest = json.loads(index[40 * count :])
    problems = {int(i): str(text) for i, text in rest["problems"].items()}
    kinds = {str(kind): int(n) for kind, n in rest["kinds"].items()}
    copies = np.array(rest["copies"], np.int64) if "copies" in rest else None
    return Index(digests, shapes, problems, channels, kinds, bool(rest["by_header"]), copies)


def finish(draft: Draft, index: Index, how: Decoding, *, keep: bool) -> None:
    """Write the index, after the pixels or the copies of the images in order or, unless ``keep``, in their place.

    The file is named by what was decoded, which may be other images by then than those whose digests were read first.
    """
    if not keep:
        draft.restart()
    rest: dict[str, Any] = {"problems": index.problems, "kinds": index.kinds, "by_header": index.by_header}
    if index.copies is not None:
        rest["copies"] = index.copies.tolist()
    content = index.digests.tobytes() + index.shapes.tobytes() + json.dumps(rest).encode()
    size = int(index.offsets[-1]) if keep else 0
    draft.write(content + FOOTER.pack(size, len(content), len(index), index.channels))
    whole = how if REDUCED in index.kinds or index.by_header else replace(how, side=None)
    draft.key = key_of(index.digests, whole, by_header=index.by_header, copies=index.copies is not None)


def is_kept(key: str) -> bool:
    """Tell whether the pixels are there already; a file without them may be replaced by one with them."""
    found = open_decoded(key)
    return found is not None and found.kept
