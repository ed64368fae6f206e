"""Files and folders that are written whole or not at all, and names that are free."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from botzoo.util.outgoing import as_json, public


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` to write a file or folder to, which takes the place of ``path`` at the end.

    What was written is on the disk before it is renamed, so that a power cut leaves the old one or the new one. If the
    block raises, ``path`` stays as it was and nothing is left beside it. A folder is replaced with all that it holds.

    Raises:
        OSError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    _remove(part)  # of a process that was killed while it wrote
    try:
        yield part
        for file in (*part.rglob("*"), part) if part.is_dir() else (part,):
            sync(file)
        if part.is_dir():
            _remove(path)
        part.replace(path)
        sync(path.parent)
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, whole or not at all."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Any, *, exact: bool = False) -> None:
    """Write values as JSON, indented, whole or not at all; addresses lose their secrets unless values stay ``exact``."""
    write_text(path, as_json(values if exact else public(values), indent=2) + "\n")


def sync(path: Path) -> None:
    """Have the system write a file or folder to the disk now, where it lets us ask for that."""
    with suppress(PermissionError):  # folders cannot be opened on Windows
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def free_name(path: Path, ending: str = "") -> Path:
    """Return ``path`` and ``ending``, with a number between them where that exists."""
    free, number = path.with_name(f"{path.name}{ending}"), 1
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}{ending}")
    return free
