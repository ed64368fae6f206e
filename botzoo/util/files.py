"""Files and folders that are written whole or not at all, with their digest where they are believed later, and free names."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IMODE
from typing import Any, TypeVar

from botzoo.util.outgoing import as_json, public, squeezed

log = logging.getLogger("botzoo")

T = TypeVar("T")

JSON_BYTES = 16 << 20
JSON_DEPTH = 50
"""The largest JSON file that somebody else may have written, and lists and objects within one another in any."""

SEAL = "# sha256: "
"""Begins the first line of a text with the SHA-256 of the rest; JSON has it as its first value, by that name."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` to write a file or folder to, which takes the place of ``path`` at the end.

    What was written is on the disk before it is renamed, so that a power cut leaves the old one or the new one; an old folder
    may then have a dot before its name and .old behind. If the block raises, ``path`` stays as it was and nothing is left
    beside it. A folder is replaced with all that it holds.

    Raises:
        OSError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    _remove(part)  # of a process that was killed while it wrote
    try:
        yield part
        for file in (*part.rglob("*"), part) if part.is_dir() else (part,):
            sync(file)
        if not part.is_dir() or not path.exists():
            part.replace(path)
        else:  # a folder takes the place of an empty one only: the old one goes when the new one is there
            old = path.with_name(f".{path.name}.old")
            _remove(old)
            path.replace(old)
            part.replace(path)
            _remove(old)
        sync(path.parent)
    finally:
        _remove(part)


def take_mode(path: Path, like: Path) -> None:
    """Let those read ``path`` who may read ``like``: safetensors leaves its files to their owner alone, whatever the umask."""
    with suppress(OSError):
        path.chmod(S_IMODE(like.stat().st_mode))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def own_folder(path: Path) -> Path:
    """Make the folder ``path``, unless it is there; one of its own takes the place of a link to another."""
    if path.is_symlink():
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)
    return path


def no_link(path: Path) -> Path:
    """Return ``path``, to be appended to: a copy takes its place where it is a link, so that nothing else is changed."""
    if path.is_symlink():
        kept = path.read_bytes() if path.exists() else b""
        with written_whole(path) as part:
            part.write_bytes(kept)
    return path


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, whole or not at all."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Any, *, exact: bool = False, seal: bool = False) -> None:
    """Write values as JSON, indented, whole or not at all; addresses lose their secrets unless values stay ``exact``.

    With ``seal`` the first value is the SHA-256 of the others, for ``read_sealed``.
    """
    values = values if exact else public(values)
    write_text(path, _as_json({"sha256": _sha256(_as_json(values)), **values} if seal else values))


def sealed(text: str) -> str:
    """Return a text with a first line that holds the SHA-256 of the rest, for ``read_sealed``."""
    return f"{SEAL}{_sha256(text)}\n{text}"


def read_sealed(path: Path, *, edited: bool = False) -> str:
    """Return a text without its SHA-256; with ``edited`` one that has none is taken as it is.

    Raises:
        OSError: it cannot be read.
        ValueError: it was changed since it was written, has no SHA-256, or is no UTF-8.
    """
    rest, digest = path.read_text(encoding="utf-8"), None
    if rest.startswith(SEAL):
        digest, _, rest = rest.removeprefix(SEAL).partition("\n")
    elif rest.startswith("{"):
        values = parse_json(rest)
        digest, rest = values.pop("sha256", None), _as_json(values)
    elif rest.startswith("#"):  # the line of the digest, damaged itself
        digest = "damaged"
    if digest is None and not edited:
        raise ValueError("it has no SHA-256")
    if digest not in (None, _sha256(rest)):
        raise ValueError("its SHA-256 differs")
    return rest


def read_json(path: Path) -> Any:
    """Return what a JSON file holds that anybody may have written.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than ``JSON_BYTES``, or ``parse_json`` does not take it, or it holds NaN.
    """
    with path.open("rb") as file:
        start = file.read(JSON_BYTES + 1)
    if len(start) > JSON_BYTES:
        raise ValueError(f"it is larger than {JSON_BYTES >> 20} MiB")
    return parse_json(start.decode(), _refuse)


def parse_json(text: str, constant: Callable[[str], Any] = float) -> Any:
    """Return the value of a JSON text; ``constant`` makes one of NaN and of the infinite numbers.

    Raises:
        ValueError: it is no JSON, or has more than ``JSON_DEPTH`` lists and objects within one another.
    """
    too_deep = f"more than {JSON_DEPTH} lists and objects are within one another"
    try:
        found = json.loads(text, parse_constant=constant)
    except RecursionError as error:
        raise ValueError(too_deep) from error
    level = [found]
    for _ in range(JSON_DEPTH + 1):  # whatever walks through it later has no limit of its own
        nests = [each for each in level if isinstance(each, dict | list)]
        level = [value for nest in nests for value in (nest.values() if isinstance(nest, dict) else nest)]
    if level:
        raise ValueError(too_deep)
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _as_json(values: Any) -> str:
    return as_json(values, indent=2) + "\n"


def read_or_copy(path: Path, parse: Callable[[str], T], *, edited: bool = False, say: bool = True) -> T:
    """Return what ``parse`` makes of a sealed text in a run's folder, or of its copy in the newest checkpoint that has one.

    Raises:
        OSError: as ``read_sealed``, or from ``parse``, of ``path``; and there is no such copy.
        ValueError: likewise.
    """
    try:
        return parse(read_sealed(path, edited=edited))
    except (OSError, ValueError) as error:
        for copy in sorted(path.parent.glob(f"checkpoints/step-*/{path.name}"), reverse=True):
            with suppress(OSError, ValueError):
                found = parse(read_sealed(copy))
                why = error.strerror if isinstance(error, OSError) else squeezed(error)
                if say:
                    log.warning("%s is not as the run wrote it (%s): %s is taken in its place.", path, why, copy)
                return found
        raise


def differing_from(digests: dict[str, str], folder: Path) -> str | None:
    """Return the name of a file in ``folder`` whose SHA-256 is not that of ``digests``, or that is missing; None for none."""
    wrong = (name for name, digest in digests.items() if ".." in Path(name).parts or not _is(folder / name, digest))
    return next(wrong, None)


def _is(file: Path, digest: str) -> bool:
    try:
        return file.is_file() and sha256_of(file) == digest
    except OSError:
        return False


def digests_of(files: Sequence[Path], folder: Path) -> dict[str, str]:
    """Return the SHA-256 of files in ``folder`` by their names in it."""
    return {file.relative_to(folder).as_posix(): sha256_of(file) for file in files}


def set_aside(path: Path) -> None:
    """Rename a file or folder that is damaged, if it is there, so that it counts for nothing and its place is free."""
    if not path.exists():
        return
    aside = path.with_name(f"damaged-{path.name}")
    _remove(aside)
    path.rename(aside)


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
