"""The images of one split in shards: counted once, then their cells in order, from a file or another machine."""

import hashlib
import json
import logging
import os
import tarfile
import time
from collections import Counter
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from botzoo.data.streaming.forms import Cell, Count, Form, TarForm
from botzoo.data.streaming.glance import Glance
from botzoo.errors import DataError
from botzoo.sources.files import MAX_TEXT, open_file
from botzoo.util.cache import SHARDS
from botzoo.util.outgoing import in_quotes, without_secrets
from botzoo.util.text import brief

UNKNOWN_SIZE = 16 << 30  # bytes that a shard has at most, where that is not known, for a bound on its images
RETRY_SECONDS = (1, 4, 16)  # how long to wait before a shard on another machine is opened again

LOOKED_INTO, LOOKED_AT = 4, 16
"""Shards that are looked into before a run, and images of each that are."""

MOST_BYTES = 256 << 20
"""Encoded images that are held for that."""

CHANGES = ("ETag", "etag", "blob_id", "md5Hash", "LastModified", "Last-Modified", "last_modified", "mtime", "created")
"""What the clients of other machines call what changes with a file's content."""


@dataclass(frozen=True)
class Shards:
    """The images of one split, in shards."""

    name: str  # the split's
    urls: tuple[str, ...]  # paths or addresses of the shards, in the order of their names
    sizes: tuple[int, ...]  # bytes of each, 0 where that is not known
    counts: tuple[Count, ...]  # what each one holds
    form: Form  # how they are read
    label_of: dict[Any, int] | None = None  # index of each class by its label as it stands, where that is text
    classes: int = 0  # how many
    seen: Glance = field(default=Glance(), compare=False)  # what a look at a few of its images found

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
        """Return the class of a label as it stands.

        Raises:
            ValueError: there is none.
        """
        if label is None:
            raise ValueError("no label")
        index = self.label_of.get(label) if self.label_of is not None and not isinstance(label, int) else label
        if not isinstance(index, int) or not 0 <= index < self.classes:
            accepted = f"{self.classes} classes (0 to {self.classes - 1})"
            raise ValueError(f"label {in_quotes(label)}, which is out of range for {accepted}")
        return int(index)  # true and false are numbers too

    def describe(self, shard: int, number: int) -> str:
        """Name an image for error messages."""
        return f"image {number} of the shard {self.urls[shard]}"

    def few(self) -> list[tuple[bytes, str]]:
        """Return the first images of a few shards, encoded, and their names.

        Raises:
            DataError: a shard is missing or damaged.
        """
        found: list[tuple[bytes, str]] = []
        last = len(self.urls) - 1
        for shard in np.unique(np.linspace(0, last, min(LOOKED_INTO, last + 1)).astype(int)).tolist():
            wanted = np.ones(min(LOOKED_AT, self.counts[shard].images), bool)
            cells = self.cells(shard, wanted, 0)
            for number, encoded, _ in islice(cells, len(wanted)):  # left to itself it reads a group of rows to its end
                if sum(len(each) for each, _ in found) < MOST_BYTES:
                    found.append((encoded, self.describe(shard, number)))
            cells.close()
        return found

    def names(self) -> list[str]:
        """Return shard and number of each image, with as much of the shard's path as sets it apart from the others."""
        places = list(map(file_of, self.urls))
        begin = os.path.commonprefix(places).rfind("/") + 1  # noqa: RUF071 (of whole folders, as it ends at a slash)
        shards = zip(places, self.counts, strict=True)
        return [f"{url[begin:]}/{i}" for url, count in shards for i in range(count.images)]

    def fingerprint(self) -> str:
        """Return the SHA-256 of names, sizes and counts of the shards as this machine sees them, in hexadecimal."""
        rows = []
        for url, size, count in zip(self.urls, self.sizes, self.counts, strict=True):
            with suppress(OSError):  # a file that is gone keeps the size that it had
                size = size if is_remote(url) else Path(url).stat().st_size
            # without folders, so that a data set may move, and without a signature, which lasts for some hours
            rows.append([file_of(url).rpartition("/")[2], size, count.images])
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def cells(self, shard: int, wanted: NDArray[np.bool_], begin: int) -> Generator[Cell]:
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
                with opened(url) as file:
                    for cell in self.form.cells(file, is_missing, begin + len(wanted)):
                        missing[cell[0] - begin] = False  # before it is given away: a second opening goes on behind it
                        yield cell
                break
            except DataError:
                if wait is None:
                    raise
                time.sleep(wait)
        if missing.any():
            counted = f"the {self.counts[shard].images} that were counted before"
            raise DataError(f"The shard {url} holds fewer images than {counted}: put it back, or begin a new run.")


def count(name: str, role: str, urls: list[str], form: Form) -> Shards:
    """Count the images of every shard; counts are taken from the cache as long as no file has changed."""
    with ThreadPoolExecutor(16) as pool:  # most of the time is spent in waiting for another machine
        states = list(pool.map(_state, urls))
    sizes = tuple(size for size, _ in states)
    found = partial(Shards, role, tuple(urls), sizes, form=form)
    if isinstance(form, TarForm) and is_remote(urls[0]):  # to count these is to read them all
        return found(counts=_stated(name, urls, sizes))
    # the shards as they are now; "3" is the version of what is kept
    key = hashlib.sha256(json.dumps(["3", repr(form), urls, states]).encode()).hexdigest()

    def read(content: NDArray[np.uint8]) -> tuple[Count, ...]:
        rows = json.loads(content.tobytes())
        return tuple(
            Count(n, None if labels is None else dict(labels), bounds and tuple(bounds)) for n, labels, bounds in rows
        )

    def counted(url: str) -> Count:
        with opened(url) as file:
            return form.count(file)

    if (kept := SHARDS.open(key, read)) is not None:
        return found(counts=kept)
    with ThreadPoolExecutor(16) as pool:
        counts = tuple(pool.map(counted, urls))
    # pairs, as JSON would make text of labels that are numbers
    rows = [[c.images, list(c.labels.items()) if c.labels is not None else None, c.bounds] for c in counts]
    SHARDS.keep(key, json.dumps(rows).encode(), logging.DEBUG)  # without it, it only costs the time to count again
    return found(counts=counts)


def _state(url: str) -> tuple[int, list[str]]:
    """Return the bytes of a shard, 0 where that is not known, and what else changes with its content."""
    if not is_remote(url):
        with suppress(OSError):
            facts = Path(url).stat()
            return facts.st_size, [str(Path(url).resolve()), str(facts.st_mtime_ns)]
        return 0, []
    import fsspec

    with named_errors(url):
        files, path = fsspec.core.url_to_fs(url)
        info = files.info(path)
        return int(info.get("size") or 0), [f"{key} {info[key]}" for key in CHANGES if info.get(key)]


def _stated(name: str, urls: list[str], sizes: tuple[int, ...]) -> tuple[Count, ...]:
    """Return the counts that ``_info.json`` beside tar files on another machine states, by split and file name."""
    shard, query, secret = urls[0].partition("?")
    beside = f"{shard.rpartition('/')[0]}/_info.json{query}{secret}"
    try:
        with opened(beside) as file:
            splits = json.loads(file.read(MAX_TEXT))["splits"].values()
        stated = {f: n for split in splits for f, n in zip(split["filenames"], split["shard_lengths"], strict=True)}
        counts = tuple(Count(int(stated[file_of(url).rpartition("/")[2]])) for url in urls)
    except Exception as error:  # every client of another machine has errors of its own
        cure = f"download them, as they are read whole to be counted, or put the counts into {beside}"
        raise DataError(f"How many images each shard of {name} holds is not known: {cure}.") from said(error, beside)
    for url, count, size in zip(urls, counts, sizes, strict=True):
        if not 0 <= count.images <= (size or UNKNOWN_SIZE) // tarfile.BLOCKSIZE:  # an image takes a block at least
            raise DataError(f"{beside} says that {url} holds {count.images:,} images, which cannot be: mend it.")
    return counts


def is_remote(url: str) -> bool:
    return "://" in url


def file_of(url: str) -> str:
    """Return the path of a shard, or its address without secrets, which ends as the name of its file does."""
    return without_secrets(url, mark="") if is_remote(url) else url


@contextmanager
def opened(url: str) -> Iterator[BinaryIO]:
    """Open a shard.

    Raises:
        DataError: it cannot be read within the block; the message names it.
    """
    with named_errors(url):
        if is_remote(url):
            import fsspec

            with fsspec.open(url, "rb") as file:
                yield file
        else:
            with open_file(Path(url)) as file:
                yield file


@contextmanager
def named_errors(url: str) -> Iterator[None]:
    """Raise what reading a shard leads to as ``DataError`` that names it."""
    try:
        yield
    except DataError:
        raise
    except ImportError as error:  # of what fsspec reads this kind of address with
        takes = f"pip install 'fsspec[{url.partition('://')[0].replace('https', 'http')}]'"
        raise DataError(f"The shard {url} takes another package ({brief(error)}): {takes}.") from said(error, url)
    except Exception as error:  # tarfile, pyarrow and every client of another machine have errors of their own
        why = brief(without_secrets(str(error), url) or error)
        if isinstance(error, FileNotFoundError):
            cause = error.__cause__
            if not isinstance(cause, OSError) or isinstance(cause, FileNotFoundError):
                gone = f"The shard {url} is missing: put it back, or leave it out from the start."
                raise DataError(gone) from said(error, url)
            why = brief(without_secrets(str(cause), url) or cause)  # such as a machine that cannot be reached
        raise DataError(f"The shard {url} cannot be read ({why}): get it again.") from said(error, url)


def said(error: Exception, url: str) -> Exception | None:
    """Return an error as the cause of one of ours, None where it may quote the secret of an address."""
    return error if url == without_secrets(url) else None
