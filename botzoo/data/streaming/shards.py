"""The images of one split in shards: what each shard holds, and its cells in order, from a file or another machine."""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.util.text import brief

RETRY_SECONDS = (1, 4, 16)
"""How long to wait before a shard on another machine is opened again."""

MAX_LABEL, MAX_LABELS = 1000, 1_000_000
"""Characters of a label that is text; different labels in a shard."""

MAX_TEXT = 64 << 20
"""Bytes of a label's file, and of ``_info.json``."""

Cell = tuple[int, bytes, Any]
"""Number of an image in its shard, counted from 0; its encoded bytes, empty where there are none; its label as it stands."""


@dataclass(frozen=True)
class Count:
    """What a shard holds.

    Attributes:
        images: how many.
        labels: how many of each label as it stands, or None where that was not counted.
        bounds: the least and the greatest label, or None where that is not known.
    """

    images: int
    labels: dict[Any, int] | None = None
    bounds: tuple[int, int] | None = None


class Form(Protocol):
    """How a kind of shard is read."""

    @property
    def label(self) -> str:
        """The column of labels, or the ending of the names of files that hold them."""

    @property
    def read_whole(self) -> bool:
        """Whether a shard has to be read from front to back to be counted."""

    def cells(self, file: BinaryIO, wanted: Callable[[int], bool], end: int) -> Iterator[Cell]:
        """Yield the wanted ones of the first ``end`` images in their order; raise whatever a damaged file leads to."""

    def count(self, file: BinaryIO) -> Count:
        """Return what the shard holds."""


def tally(labels: Iterable[Any]) -> dict[Any, int]:
    """Count each label; raise ValueError where they are too long or too many to be those of classes."""
    counts: Counter[Any] = Counter()
    for label in labels:
        counts[label] += 1
        if isinstance(label, str) and len(label) > MAX_LABEL:
            raise ValueError(f"a label in it has {len(label):,} characters, more than {MAX_LABEL:,}")
        if len(counts) > MAX_LABELS:
            raise ValueError(f"it has more than {MAX_LABELS:,} different labels")
    return dict(counts)


@dataclass(frozen=True)
class Shards:
    """The images of one split, in shards.

    Attributes:
        name: the split's name.
        urls: paths or addresses of the shards, in the order of their names.
        sizes: bytes of each, 0 where that is not known.
        counts: what each one holds.
        form: how they are read.
        label_of: index of each class by its label as it stands, where that is text.
        classes: number of classes.
    """

    name: str
    urls: tuple[str, ...]
    sizes: tuple[int, ...]
    counts: tuple[Count, ...]
    form: Form
    label_of: dict[Any, int] | None = None
    classes: int = 0

    def __len__(self) -> int:
        return sum(count.images for count in self.counts)

    @property
    def images(self) -> NDArray[np.int64]:
        """Number of images in each shard, shape (S,)."""
        return np.array([count.images for count in self.counts], np.int64)

    @property
    def labels(self) -> Counter[Any] | None:
        """How many images have each label as it stands; None where that was not counted."""
        if any(count.labels is None for count in self.counts):
            return None
        return sum((Counter(count.labels) for count in self.counts), Counter())

    def class_counts(self, classes: int) -> NDArray[np.int64] | None:
        """Return how many images each of the classes has, shape (classes,); None where that is not known."""
        if (labels := self.labels) is None:
            return None
        counts = np.zeros(classes, np.int64)
        for label, images in labels.items():
            counts[self.index_of(label)] += images
        return counts

    def index_of(self, label: Any) -> int:
        """Return the class of a label as it stands; raise ValueError where there is none."""
        index = self.label_of.get(label) if self.label_of is not None and not isinstance(label, int) else label
        if label is None:
            raise ValueError("no label")
        if not isinstance(index, int) or not 0 <= index < self.classes:
            raise ValueError(
                f"label {label!r}, which is out of range for {self.classes} classes (0 to {self.classes - 1})"
            )
        return int(index)  # true and false are numbers too

    def describe(self, shard: int, number: int) -> str:
        """Name an image for error messages."""
        return f"image {number} of the shard {self.urls[shard]}"

    def names(self) -> list[str]:
        """Return shard and number of each image, with as much of the shard's path as sets it apart from the others."""
        begin = os.path.commonprefix(self.urls).rfind("/") + 1  # noqa: RUF071 (of whole folders, as it ends at a slash)
        return [
            f"{url[begin:]}/{i}" for url, count in zip(self.urls, self.counts, strict=True) for i in range(count.images)
        ]

    def fingerprint(self) -> str:
        """Return the SHA-256 of names, sizes and counts of the shards as this machine sees them, in hexadecimal."""
        rows = []
        for url, size, count in zip(self.urls, self.sizes, self.counts, strict=True):
            with suppress(OSError):  # a file that is gone keeps the size that it had
                size = size if is_remote(url) else Path(url).stat().st_size
            rows.append([url.rpartition("/")[2], size, count.images])
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def cells(self, shard: int, wanted: NDArray[np.bool_], begin: int) -> Iterator[Cell]:
        """Yield the wanted ones of the images ``begin``, ``begin + 1``, ... of a shard, in their order.

        A shard on another machine is opened again, a few times, where it fails.

        Raises:
            DataError: the shard is missing, damaged, or holds fewer images than were counted.
        """
        url, missing = self.urls[shard], wanted.copy()

        def is_missing(number: int) -> bool:
            return number >= begin and bool(missing[number - begin])

        for wait in (*(RETRY_SECONDS if is_remote(url) else ()), None):
            try:
                with named_errors(url), opened(url) as file:
                    for cell in self.form.cells(file, is_missing, begin + len(wanted)):
                        missing[cell[0] - begin] = False  # before it is given away: a second opening goes on behind it
                        yield cell
                break
            except DataError:
                if wait is None:
                    raise
                time.sleep(wait)
        if missing.any():
            raise DataError(
                f"The shard {url} holds fewer images than the {self.counts[shard].images} that were counted before the first "
                "step: put it back, or begin a new run."
            )


def is_remote(url: str) -> bool:
    return "://" in url


@contextmanager
def opened(url: str) -> Iterator[BinaryIO]:
    if is_remote(url):
        import fsspec

        with fsspec.open(url, "rb") as file:
            yield file
    else:
        with Path(url).open("rb") as file:
            yield file


@contextmanager
def named_errors(url: str) -> Iterator[None]:
    """Raise what reading a shard leads to as ``DataError`` that names it."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"The shard {url} is missing: put it back, or leave it out from the start.") from error
    except Exception as error:  # tarfile, pyarrow and every client of another machine have errors of their own
        raise DataError(f"The shard {url} cannot be read ({brief(error)}): get it again.") from error


def refuse_lists(name: str, label: str) -> DataError:
    """Return the error that a stream has one label for each image."""
    return DataError(
        f"Column {label!r} of {name} holds a list of labels for each image, and a stream has one: leave --data.streaming out."
    )
