"""What files held when they were last read, so that a data set is not hashed again in every run.

An image is a file, or a row of a table that lies in files. Of what is in memory nothing but its bytes tells whether it has
changed, so that it is hashed in every run.

A file is known by its mark, see ``botzoo.sources.files``.

There is a file for each split of a data set in the folder ``files`` of the cache: marks (uint64, ascending), SHA-256 of the
contents (32 bytes each), and whether they may have more than 8 bits (one byte each).
"""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.data.parallel import in_order
from botzoo.sources.base import Split
from botzoo.sources.files import mark_of, row_mark, table_mark
from botzoo.util.cache import FILES

TOGETHER = 256
"""Files that a thread looks at before the next one has its turn."""


class Remembered(NamedTuple):
    """What is known of the images of a split without reading them.

    Attributes:
        digests: uint8, shape (N, 32), SHA-256 of each encoded image; zeros where it is not known.
        deep: bool, shape (N,), whether it may have more than 8 bits.
        marks: uint64, shape (N,), ``mark_of`` its file before it was read, or of its row; 0 where there is none.
    """

    digests: NDArray[np.uint8]
    deep: NDArray[np.bool_]
    marks: NDArray[np.uint64]

    @classmethod
    def nothing(cls, count: int) -> "Remembered":
        """Return what is known of so many images in the beginning."""
        return cls(np.zeros((count, 32), np.uint8), np.zeros(count, bool), np.zeros(count, np.uint64))

    @property
    def unknown(self) -> NDArray[np.int64]:
        """The images that have to be read, in order."""
        return np.flatnonzero(~self.digests.any(1))


def in_files(split: Split) -> bool:
    """Tell whether the images of a split are files, by the first one, or rows of files that may be remembered."""
    with suppress(OSError):
        return len(split) > 0 and (isinstance(split.read(0), Path) or table_mark(split) != 0)
    return False


def remembered(split: Split) -> Remembered:
    """Return what is known of the images of a split, by earlier runs."""
    found = Remembered.nothing(len(split))
    kept = FILES.open(_key(split), _read) if in_files(split) else None
    if kept is None or not len(kept[0]):
        return found
    known, digests, deep = kept
    table = table_mark(split)

    def block(k: int) -> NDArray[np.uint64]:
        if table:  # a cell that is the path of a file has the mark of that, and is read anew
            rows = range(k * TOGETHER, min(len(split), (k + 1) * TOGETHER))
            return np.array([row_mark(table, i) for i in rows], np.uint64)
        paths = (split.read(i) for i in range(k * TOGETHER, min(len(split), (k + 1) * TOGETHER)))
        return np.array([mark_of(path) if isinstance(path, Path) else 0 for path in paths], np.uint64)

    for k, marks in enumerate(in_order(block, -(-len(split) // TOGETHER))):
        places = np.minimum(np.searchsorted(known, marks), len(known) - 1)
        rows = np.flatnonzero((known[places] == marks) & (marks != 0))
        here, there = k * TOGETHER + rows, places[rows]
        found.digests[here], found.deep[here], found.marks[here] = digests[there], deep[there], known[there]
    return found


def remember(split: Split, found: Remembered) -> None:
    """Keep what was found of the images of a split, but for those without a mark or a digest."""
    marks = np.where(found.digests.any(1), found.marks, 0)
    rows = np.argsort(marks, kind="stable")[int((marks == 0).sum()) :]
    if not len(rows):
        return
    with suppress(OSError), FILES.writing(_key(split)) as draft:
        for part in (marks[rows], found.digests[rows], found.deep[rows]):
            draft.write(np.ascontiguousarray(part))


def _key(split: Split) -> str:
    first = split.read(0)
    folder = split.root or (str(first.parent) if isinstance(first, Path) else "".join(split.stored_in[:1]))
    return hashlib.sha256(f"{Path(folder).absolute()}\0{split.name}".encode(errors="surrogateescape")).hexdigest()


def _read(content: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.bool_]]:
    count = len(content) // 41
    marks, digests, deep = np.split(np.array(content[: 41 * count]), [8 * count, 40 * count])
    return marks.view(np.uint64), digests.reshape(count, 32), deep.astype(bool)
