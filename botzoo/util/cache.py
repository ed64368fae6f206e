"""The folder where results of long work are kept for later runs: its place, size limit and locks."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

STALE_SECONDS = 24 * 3600
"""Age from which an unfinished file counts as left behind by a run that was killed."""


def cache_folder() -> Path:
    """Return ``$BOTZOO_CACHE``, or ``botzoo`` in ``$XDG_CACHE_HOME``, or ``~/.cache/botzoo``."""
    own, shared = os.environ.get("BOTZOO_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own).expanduser() if own else Path(shared or "~/.cache").expanduser() / "botzoo"


def cache_limit() -> float:
    """Return how many bytes all files of decoded images may take: ``$BOTZOO_CACHE_GIB``, by default 20 GiB."""
    with suppress(ValueError):
        return float(os.environ.get("BOTZOO_CACHE_GIB", "20")) * (1 << 30)
    return 20.0 * (1 << 30)


def lock(file: BinaryIO, *, shared: bool) -> bool:
    """Lock an open file, without waiting; return False where a lock of another kind is in the way.

    Where there are no locks, as on Windows and on some file systems, a file counts as not in use.
    """
    try:
        import fcntl

        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


@contextmanager
def part_of(path: Path) -> Iterator[Path]:
    """Give a name beside ``path``, in a folder that is made, to write to; what is not renamed at the end is removed."""
    part = path.with_name(f".{path.stem}.{platform.node()}-{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def prune(folder: Path, limit: float, *, spare: Path | None) -> None:
    """Remove the files not used for the longest time until all take at most ``limit`` bytes, and what killed runs left.

    ``spare`` and the files that are mapped stay in any case.
    """
    with suppress(OSError):
        for part in folder.glob(".*.part"):
            if part.stat().st_mtime < time.time() - STALE_SECONDS:
                part.unlink()
        files = sorted(folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in files)
        for path in files:
            if total > limit and path != spare and not _in_use(path):
                total -= path.stat().st_size
                path.unlink()


def _in_use(path: Path) -> bool:
    try:
        with path.open("rb+") as file:
            return not lock(file, shared=False)
    except OSError:  # it is another user's, or gone
        return True
