"""The readable images of a split, each decoded once and checked before training."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from botzoo.data.decode import decode
from botzoo.data.decoded import STORE, Decoded, Index, Pixels, add_pixels, finish, is_kept, key_of, open_decoded
from botzoo.data.loader import Batch, Row, collate, make_loader
from botzoo.data.order import Order, share
from botzoo.data.parallel import in_order
from botzoo.data.sources.base import Split
from botzoo.data.transforms import Key, Transform
from botzoo.errors import DataError

log = logging.getLogger("botzoo")


class Images:
    """The readable images of a split, decoded once where there is room for their pixels.

    Attributes:
        labels: int64, shape (N,), or uint8, shape (N, K); see ``Split``.
        split: the split they come from, without the images left out.
        fingerprint: SHA-256 over every encoded image and label in order, in hexadecimal.
    """

    hashed = "its images and labels in order"
    order_depends_on_processes = False

    def __init__(self, split: Split, decoded: Decoded, rows: NDArray[np.int64]) -> None:
        self.split, self.labels, self.decoded, self.rows = split, split.labels, decoded, rows
        sha = hashlib.sha256(split.labels.tobytes())
        sha.update(np.ascontiguousarray(decoded.index.digests[rows]).data)
        self.fingerprint = sha.hexdigest()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def evaluated(self) -> int:
        """How many images an evaluation sees: all."""
        return len(self)

    def describe(self, i: int) -> str:
        """Name image i for messages."""
        return self.split.describe(i)

    def names(self) -> list[str]:
        """Return each image's file, from the data set's folder on, or what names its row."""
        return [self.split.describe(i).removeprefix(self.split.root) for i in range(len(self))]

    def only(self, split: Split) -> Images:
        """Return those images that are in ``split``, which was taken from this one's."""
        return self if split is self.split else Images(split, self.decoded, self.rows[split.rows])

    @property
    def shapes(self) -> NDArray[np.int32]:
        """Height and width of each image in pixels, shape (N, 2)."""
        return self.decoded.index.shapes[self.rows]

    @property
    def cached(self) -> bool:
        """Whether decoded images are at hand, in memory or mapped from a file."""
        return self.decoded.kept

    @property
    def kept_in(self) -> str:
        """Where the pixels are, in words."""
        mapped = self.decoded.path
        return "decoded in every epoch" if not self.cached else f"decoded in {mapped.parent}" if mapped else "in memory"

    @property
    def cached_bytes(self) -> int:
        """Size of the decoded images at hand."""
        return int(3 * self.shapes.astype(np.int64).prod(1).sum()) if self.cached else 0

    def pixels(self, i: int) -> Pixels:
        """Return image i, uint8 (H, W, 3) in RGB, to be read only; where it is cached, a view."""
        if self.cached:
            return self.decoded.pixels(int(self.rows[i]))
        return np.asarray(self._decode(i))

    def image(self, i: int) -> Image.Image:
        """Return image i, decoded, RGB."""
        return Image.fromarray(self.pixels(i)) if self.cached else self._decode(i)

    def train_batches(
        self, transform: Transform, order: Order, first: int, last: int, *, workers: int, pin: bool
    ) -> Iterator[list[Batch]]:
        """Yield this process's micro-batches of each step of [first, last); see ``LoadedSplit``."""
        keys = (batch for step in range(first, last) for batch in order.micro_batches(step))
        batches = iter(make_loader(_Keyed(self, transform), keys, collate, workers, pin))
        for _ in range(first, last):
            try:
                yield [next(batches) for _ in range(order.accumulate)]
            except DataError as error:  # from a worker it comes with the worker's traceback in front
                raise DataError(
                    str(error).strip().splitlines()[-1].removeprefix("botzoo.errors.DataError: ")
                ) from error

    def eval_batches(
        self, transform: Transform, batch_size: int, *, rank: int, world_size: int, workers: int, pin: bool
    ) -> Iterator[Batch]:
        """Yield this process's share of the images in order; see ``LoadedSplit``."""
        mine = [(0, i) for i in share(len(self), rank, world_size)]
        keys = (mine[k : k + batch_size] for k in range(0, len(mine), batch_size))
        yield from make_loader(_Keyed(self, transform), keys, collate, workers, pin)

    def _decode(self, i: int) -> Image.Image:
        try:
            return decode(self.split.read(i))
        except (OSError, ValueError, MemoryError) as error:
            raise DataError(f"{self.split.describe(i)} can no longer be read: {_reason(error)}") from error


class _Keyed(Dataset[Row]):
    """Images behind a transform, addressed by (epoch, index)."""

    def __init__(self, images: Images, transform: Transform) -> None:
        self.images, self.transform = images, transform

    def __getitem__(self, key: Key) -> Row:
        index = key[1]
        pixels = self.transform(self.images.image(index), key)
        return pixels, self.images.labels[index], self.transform.colour(key)


Progress = Callable[[Iterator[Any], int], Iterator[Any]]
"""Wraps the iterator over all images, given their number."""


def read_images(
    split: Split,
    *,
    skip_corrupt: bool = False,
    cache_bytes: int = 2 << 30,
    progress: Progress = lambda items, total: items,
    first: Callable[[Callable[[], str | None]], str | None] = lambda work: work(),
) -> tuple[Images, list[Unreadable]]:
    """Decode every image of ``split`` once, so that a broken file is found before training and not in its middle.

    What was decoded once is taken from the disk, as long as not a byte of the encoded images has changed; see
    ``botzoo.data.decoded``.

    Args:
        split: what to read.
        skip_corrupt: leave unreadable images out instead of raising.
        cache_bytes: decoded images are kept if all of them take at most so many bytes.
        progress: is told of the reading and then, where that is needed, of the decoding.
        first: does the work on one process of each machine and gives its answer to the others there.

    Returns:
        The images, and those left out.

    Raises:
        DataError: an image cannot be read and ``skip_corrupt`` is False, or none is left.
    """
    mine: list[Decoded] = []

    def work() -> str | None:
        mine.append(_decoded(split, cache_bytes, progress))
        return mine[0].path.stem if mine[0].path else None

    key = first(work)
    decoded = mine[0] if mine else (open_decoded(key) if key else None) or _decoded(split, cache_bytes, progress)
    if decoded.index.offsets[-1] > cache_bytes:  # an earlier run had more room
        decoded = Decoded(decoded.index)
    return _readable(split, decoded, skip_corrupt)


class Unreadable(NamedTuple):
    """An image that cannot be read: its file or row, and why."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}"


def _readable(split: Split, decoded: Decoded, skip_corrupt: bool) -> tuple[Images, list[Unreadable]]:
    index = decoded.index
    bad = [Unreadable(split.describe(i), problem) for i, problem in sorted(index.problems.items())]
    if bad and not skip_corrupt:
        raise unreadable(bad, len(split))
    kept = np.setdiff1d(np.arange(len(split)), list(index.problems))
    if not len(kept):
        raise DataError(f"None of the {len(split)} images in the {split.name} split can be read: {bad[0]}.")
    good = split.take(kept) if bad else split
    before, after = (np.count_nonzero(part.class_counts(0)) for part in (split, good))
    if after < before:
        raise DataError(f"All {split.name} images of {before - after} class(es) are unreadable, such as {bad[0]}.")
    return Images(good, decoded, kept), bad


def unreadable(bad: Sequence[Unreadable], total: int) -> DataError:
    """Return the error that lists the images that cannot be read."""
    more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
    return DataError(
        f"{len(bad)} of {total} images cannot be read: {'; '.join(map(str, bad[:10]))}{more}. Mend or remove them, or leave "
        "them out with --skip-corrupt."
    )


def _decoded(split: Split, cache_bytes: int, progress: Progress) -> Decoded:
    """Return what earlier runs decoded of exactly these images, or decode them, on the disk or, failing that, in memory."""
    read = list(progress(in_order(lambda i: _digest(split, i), len(split)), len(split)))
    digests = np.frombuffer(b"".join(digest for digest, _ in read), np.uint8).reshape(-1, 32)
    problems = {i: problem for i, (_, problem) in enumerate(read) if problem}
    key = key_of(digests)
    found = open_decoded(key)
    if found is not None and (found.kept or found.index.offsets[-1] > cache_bytes):
        return Decoded(replace(found.index, problems=found.index.problems | problems), path=found.path)

    def check() -> Iterator[_Checked]:
        checked = in_order(lambda i: _check(split, i, problems.get(i)), len(split), lambda image: image.pixels.nbytes)
        return iter(progress(checked, len(split)))

    if len(split) and not isinstance(split.read(0), np.ndarray):  # else there is nothing to save
        try:
            with STORE.writing(key, is_kept) as draft:
                index, kept = _decode_all(check(), cache_bytes, partial(add_pixels, draft.file))
                finish(draft, index, keep=kept)
            return Decoded(index, path=STORE.path(draft.key))
        except OSError as error:
            log.warning("Decoded images are held in memory: they cannot be kept in %s (%s).", STORE.folder, error)
    pixels: list[Pixels] = []
    index, kept = _decode_all(check(), cache_bytes, pixels.append)
    return Decoded(index, pixels if kept else None)


class _Checked(NamedTuple):
    """An image that was decoded: the SHA-256 of what it was decoded from, its pixels or none, and what is wrong with it."""

    digest: bytes
    pixels: Pixels
    problem: str | None


def _decode_all(checked: Iterator[_Checked], cache_bytes: int, keep: Callable[[Pixels], None]) -> tuple[Index, bool]:
    """Give the pixels of each image to ``keep`` while they are within ``cache_bytes``; return the index and if all were."""
    left, digests, shapes, problems = cache_bytes, bytearray(), [], {}
    for i, (digest, pixels, problem) in enumerate(checked):
        digests += digest
        shapes.append(pixels.shape[:2])
        left -= pixels.nbytes
        if problem:
            problems[i] = problem
        if left >= 0:
            keep(pixels)
    encoded = np.frombuffer(bytes(digests), np.uint8).reshape(-1, 32)
    return Index(encoded, np.array(shapes, np.int32).reshape(-1, 2), problems), left >= 0


NO_DIGEST = bytes(32)
"""In place of the SHA-256 of an image whose bytes cannot be blamed: nothing that is kept under it is ever taken for theirs."""


def _digest(split: Split, i: int) -> tuple[bytes, str | None]:
    """Return the SHA-256 of an encoded image and None, or zeros and why there is none."""
    try:
        raw = _raw(split, i)
    except (OSError, MemoryError) as error:
        return NO_DIGEST, _reason(error)
    if isinstance(raw, bytes) and not raw:
        return NO_DIGEST, "it is empty (0 bytes)"
    return _sha256(raw), None


def _check(split: Split, i: int, problem: str | None) -> _Checked:
    """Decode an image, unless there is a problem already; the digest is of the bytes read now, which may be others."""
    digest, pixels = NO_DIGEST, np.empty((0, 0, 3), np.uint8)
    try:
        if not problem:
            raw = _raw(split, i)
            digest = _sha256(raw)
            pixels = np.asarray(decode(raw))
    except (OSError, MemoryError) as error:
        digest, problem = NO_DIGEST, _reason(error)
    except ValueError as error:
        problem = str(error)
    return _Checked(digest, pixels, problem)


def _raw(split: Split, i: int) -> bytes | Pixels:
    encoded = split.read(i)
    return encoded.read_bytes() if isinstance(encoded, Path) else encoded


def _sha256(raw: bytes | Pixels) -> bytes:
    return hashlib.sha256(raw if isinstance(raw, bytes) else raw.tobytes()).digest()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or "there is not memory enough for it"
