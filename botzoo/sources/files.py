"""The one door to the files of a data set: what is opened is a regular file, and what foreign text names lies inside.

Files that are found by looking into folders are the user's: his links are followed wherever they lead. Paths in a table's
cell, in JSON or on a card are text of others, which names only what lies in the data set's own folder, links resolved.

A file is known to be the same by its mark: path, size, inode, device, and the times of its last change, of content and of
anything (mtime and ctime, in nanoseconds). Whoever writes into it changes one of them. One that was changed within
``SETTLING`` of being looked at has no mark, since clocks of file systems tick slowly and a second change might leave none.
"""

import bz2
import errno
import gzip
import hashlib
import lzma
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from botzoo.errors import DataError, printable
from botzoo.sources.base import Split
from botzoo.util.outgoing import in_quotes

MAX_BYTES = 1 << 30
"""Most that is read of a file that is read whole, as images are."""

MAX_TEXT = 64 << 20
"""The same of JSON, of cards and of labels."""

SETTLING = 2.0
"""Seconds."""

SPREAD = 0x9E3779B97F4A7C15
"""Odd, so that no two rows have one mark."""

PACKED: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
"""How what begins with these bytes is unpacked."""

# On Windows there are none of them but the last, without which its text mode would change what is read.
_NEVER_WAITING = sum(getattr(os, flag, 0) for flag in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"))

_KINDS = {"d": "a folder", "p": "a FIFO", "c": "a device", "b": "a device", "s": "a socket"}


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to read.

    Raises:
        OSError: there is none, or it is no regular file, which is not read then: a FIFO would wait for ever, and a device
            never end.
    """
    # What was opened is looked at, as a name may lead elsewhere the next moment; a FIFO is not waited for meanwhile.
    try:
        opened = os.open(path, os.O_RDONLY | _NEVER_WAITING)
    except ValueError as error:
        raise OSError("its name holds a NUL, which no file's does") from error
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise _irregular("a socket or a device that is not there") from error
        raise
    try:
        mode = os.fstat(opened).st_mode
        if not stat.S_ISREG(mode):
            raise _irregular(_KINDS.get(stat.filemode(mode)[0], "no file"))
        return os.fdopen(opened, "rb")
    except BaseException:
        os.close(opened)
        raise


def _irregular(kind: str) -> OSError:
    return OSError(f"it is {kind}, and only regular files are read")


def read_file(path: Path, most: int = MAX_BYTES) -> bytes:
    """Return what a regular file of at most ``most`` bytes holds.

    Raises:
        OSError: it has more, or as of ``open_file``.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(f"it has {size:,} bytes, and {most:,} are the most that is read")
        return file.read(size)


def unpacked(content: bytes, most: int) -> bytes:
    """Return what was packed by gzip, bzip2 or xz, as its first bytes tell, or ``content`` as it is.

    Raises:
        OSError: it is damaged, or has more than ``most`` bytes when it is unpacked, of which no more are.
    """
    opened = next((unpack for start, unpack in PACKED.items() if content.startswith(start)), None)
    if opened is None:
        return content
    try:
        with opened(BytesIO(content)) as file:
            found: bytes = file.read(most + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise OSError(f"it is cut off or damaged ({error})") from error
    if len(found) > most:
        raise OSError(f"it has more than {most:,} bytes when it is unpacked, which are the most that is read")
    return found


def read_text(path: Path) -> str:
    """Return JSON or a card.

    Raises:
        FileNotFoundError: there is none.
        DataError: it cannot be read; the message names it.
    """
    with named(path):
        return read_file(path, MAX_TEXT).decode("utf-8", "replace")


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Raise what reading a file leads to as DataError that names it, unless there is none."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}. Mend or remove it.") from error


def own_folders(path: Path) -> list[Path]:
    """Return where the files of the data set in ``path`` may lie: in the Hub's cache its links lead to a folder beside it."""
    snapshots, repository = path.resolve().parents[:2] if len(path.resolve().parents) > 1 else (path, path)
    cached = snapshots.name == "snapshots" and repository.name.startswith(("datasets--", "models--"))
    return [path, repository / "blobs"] if cached else [path]


def inside(named: str, folders: Sequence[Path], where: str) -> Path:
    """Return the file that foreign text names, from the data set's folder on, or from where the user is.

    Args:
        folders: where the data set's files lie, its own folder first.
        where: the text stands, for the error.

    Raises:
        DataError: it lies in none of the folders, links resolved.
    """
    own = [os.path.realpath(folder) for folder in folders]
    try:
        bases = () if "://" in named else (*own[:1], "")
        places = [Path(os.path.realpath(os.path.join(base, named))) for base in bases]  # noqa: PTH118
    except ValueError:  # a NUL
        places = []
    found = [place for place in places if any(place.is_relative_to(folder) for folder in own)]
    if not found:
        lies = f"which is not in the data set's own folder {folders[0]}" if folders else "which is not in the data set"
        raise DataError(f"{where} names {in_quotes(printable(named))}, {lies}: put it there, or remove the mention.")
    return next((place for place in found if place.exists()), found[0])


def mark_of(path: Path) -> int:
    """Return the mark of a file as it is now; 0 of one that is not to be remembered, or is not there."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return 0
    if time.time() - max(found.st_mtime, found.st_ctime) < SETTLING:
        return 0
    facts = found.st_size, found.st_ino, found.st_dev, found.st_mtime_ns, found.st_ctime_ns
    digest = hashlib.blake2b(f"{facts} {path.absolute()}".encode(errors="surrogateescape"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def table_mark(split: Split) -> int:
    """Return the mark of the files that all images of a split are stored in; 0 where there are none or one has no mark."""
    if not split.stored_in:
        return 0
    marks = [mark_of(Path(file)) for file in split.stored_in]
    digest = hashlib.blake2b(f"{marks} {len(split)}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little") if all(marks) else 0


def row_mark(table: int, i: int) -> int:
    """Return the mark of row i of a table that has one."""
    return (table + i * SPREAD) % (1 << 64) if table else 0
