"""Unpacking archives into the cache, once.

An archive is foreign: what it names lies inside it, it holds files and folders only, and it grows no further than images do.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import lzma
import math
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, BinaryIO, cast

from botzoo.errors import DataError, printable
from botzoo.sources.files import MAX_TEXT, open_file, read_file
from botzoo.sources.files import PACKED as STREAMS
from botzoo.sources.folders import IMAGE_SUFFIXES, begins_as_image, files_in, is_junk
from botzoo.util.cache import cache_folder, cache_limit, tree, user
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import brief, listing


def _plain(file: Any) -> Any:
    return file


PACKED: dict[str, Callable[[Any], Any] | None] = {
    ".zip": None,
    ".tar": _plain,
    **dict.fromkeys((".tar.gz", ".tgz"), gzip.open),
    **dict.fromkeys((".tar.bz2", ".tbz2", ".tbz"), bz2.open),
    **dict.fromkeys((".tar.xz", ".txz"), lzma.open),
}
"""How what is in a file is unpacked, by the end of its name; None for a zip file."""

_STARTS = {b"PK\3\4": None, **STREAMS}
"""The same by its first bytes, which count where the name says something else."""

SUFFIXES = tuple(PACKED)

MOST_FILES = 5_000_000
MOST_PARTS = 32
"""Folders that a file may lie in, each in the next, and its name."""

MOST_GROWTH = 200
"""Times its own size; pictures of one colour come to a hundred."""

SMALL = 64 << 20
"""Bytes that any archive may hold, and that headers of a tar file may take in all."""

MOST_LISTED = 256 << 20
"""Bytes of a zip file's list of its files, which is read whole: of some two million."""

_CURE = "unpack it, and give the folder"
_READABLE = (*IMAGE_SUFFIXES, ".parquet", ".arrow", ".csv", ".tsv", ".json", ".jsonl")
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".txt", ".json", ".gz", ".bz2", ".xz")
_SHARD_ENDS = ("cls", "label", "labels", "class", "target", "json")


def is_archive(path: Path) -> bool:
    """Tell whether a file is an archive, by its name."""
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def name_of(archive: Path) -> str:
    """Return the name of an archive without its suffixes."""
    return archive.name[: -max(len(end) for end in SUFFIXES if archive.name.lower().endswith(end))]


def is_shard(archive: Path) -> bool:
    """Tell whether a tar file is one of images with a label in a file beside each, as the library webdataset writes them."""
    if archive.suffix.lower() != ".tar":
        return False
    stems: dict[str, set[str]] = {}
    try:
        with open_file(archive) as file, _tar(_Bounded(file, archive, 1 << 62)) as tar:
            while len(stems) < 3 and (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # else it keeps all of them
                stem, _, kind = member.name.removeprefix("./").partition(".")
                if member.isreg() and kind and not is_junk(PurePosixPath(member.name).name):
                    stems.setdefault(stem, set()).add(kind.lower())
    except (OSError, ValueError, tarfile.TarError):
        return False  # unpacking it will say what is wrong
    return any(
        ({"json"} & kinds and "/" not in stem) or kinds & set(_SHARD_ENDS[:-1])
        for stem, kinds in stems.items()
        if any(f".{kind}" in IMAGE_SUFFIXES for kind in kinds)
    )


def unpacked(archive: Path) -> Path:
    """Return the folder in the cache with what an archive holds, unpacked where it is not there.

    Raises:
        DataError: it is damaged, protected, empty or too large, or holds what is no file, lies outside, or is an archive.
    """
    return _unpacked(archive, (cache_folder(), _state(archive)))


def unpacked_together(folder: Path, there: Sequence[Path]) -> Path:
    """Return a folder in the cache with what archives of one ``folder`` hold, each in a folder of its name, and its tables.

    Raises:
        DataError: as ``unpacked``, or two archives have one name.
    """
    if twice := next((each for each in there if [*map(name_of, there)].count(name_of(each)) > 1), None):
        alike = listing([each.name for each in there if name_of(each) == name_of(twice)])
        raise DataError(f"{folder} holds {alike}, which are one split by their names: leave one.")
    files = map(Path, files_in(folder, deep=False))
    tables = [file for file in files if file.name.lower().endswith(_TABLES) and not is_archive(file)]
    parts = (*there, *(table for table in tables if table.stat().st_size <= MAX_TEXT))
    return _unpacked_together(folder, parts, (cache_folder(), *map(_state, parts)))


def _state(path: Path) -> tuple[int, ...]:
    facts = path.stat()
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


@cache
def _unpacked(archive: Path, state: object) -> Path:
    """Return the same, of an archive that has not changed since: one that is asked for image by image is read once."""
    with _unpacking(archive):
        key = hashlib.sha256(f"{_digest(archive)} {archive.name} {user()}".encode()).hexdigest()
        return tree("unpacked", key, lambda into: _unpack(archive, into / archive.name)) / archive.name


@cache
def _unpacked_together(folder: Path, parts: tuple[Path, ...], state: object) -> Path:
    """Return the same, of archives and tables that have not changed since."""

    def fill(into: Path) -> None:
        room = cache_limit()
        for part in parts:
            if is_archive(part):
                room -= _unpack(part, into / "all" / name_of(part), room)
            else:
                (into / "all" / part.name).write_bytes(read_file(part, MAX_TEXT))

    with _unpacking(folder):
        what = [(_digest(part), part.name) for part in parts]
        return tree("unpacked", hashlib.sha256(f"{what} {user()}".encode()).hexdigest(), fill) / "all"


def _digest(path: Path) -> str:
    with open_file(path) as file:
        return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()


@contextmanager
def _unpacking(what: Path) -> Iterator[None]:
    """Raise what the disk leads to as DataError that names an archive or a folder of them."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        cure = "set BOTZOO_CACHE to a folder with more room" if full else _CURE
        raise DataError(f"{what} cannot be unpacked into {cache_folder()} ({brief(error)}): {cure}.") from error


def _unpack(archive: Path, into: Path, room: float = math.inf) -> int:
    """Write all that an archive holds, no more than ``room`` bytes, into a folder; return how many bytes that are."""
    nested, readable, count, writer = "", False, 0, _Writer(archive, room)
    try:
        for name, opened in _members(archive, writer.most):
            if (place := _place_in(archive, name)) is None:
                continue
            count += 1
            start = writer.write(name, opened, into / place)
            nested = name if name.lower().endswith(SUFFIXES) else nested
            readable = readable or name.lower().endswith(_READABLE) or begins_as_image(start)
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{archive} is cut off or damaged ({brief(error)}): get it again.") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise DataError(f"{archive} is cut off or damaged ({brief(error)}): get it again.") from error  # gzip's, bz2's
    except NotImplementedError as error:
        raise DataError(f"{archive} is compressed in a way that is not read ({brief(error)}): {_CURE}.") from error
    if not count:
        raise DataError(f"{archive} holds no files: give one with a folder of images for each class.")
    if nested and not readable:
        raise DataError(f"{archive} holds the archive {in_quotes(printable(nested))}, which is not unpacked: {_CURE}.")
    return writer.bytes


class _Writer:
    """Writes members to the disk, and counts them."""

    def __init__(self, archive: Path, room: float) -> None:
        self.archive, self.files, self.bytes = archive, 0, 0
        self.folders: set[Path] = set()
        self.most = int(min(cache_limit(), room, _may_grow_to(archive)))

    def write(self, name: str, opened: IO[bytes], path: Path) -> bytes:
        """Write a member; return its first bytes."""
        self.files += 1
        self.folders.update(path.parents if path.parent not in self.folders else ())
        if self.files + len(self.folders) > MOST_FILES:
            raise DataError(f"{self.archive} holds more than {MOST_FILES:,} files and folders: {_CURE}.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened, path.open("xb") as file:
                start = b""
                while chunk := opened.read(1 << 20):
                    start = start or chunk[:32]
                    self.bytes += len(chunk)
                    if self.bytes > self.most:
                        raise too_large(self.archive)
                    file.write(chunk)
        except (FileExistsError, NotADirectoryError) as error:
            raise DataError(f"{self.archive} holds {in_quotes(printable(name))} twice: {_CURE}.") from error
        return start


def _may_grow_to(archive: Path) -> int:
    return MOST_GROWTH * archive.stat().st_size + SMALL


def too_large(archive: Path) -> DataError:
    """Return the error on an archive of more than may be unpacked."""
    if _may_grow_to(archive) < cache_limit():
        grows = f"grows to more than {MOST_GROWTH} times its size, as archives do that are made to fill a disk"
        return DataError(f"{archive} {grows}: if it is none, {_CURE}.")
    holds = f"{archive} holds more than the {cache_limit() / (1 << 30):g} GiB that the cache takes"
    return DataError(f"{holds}: {_CURE}, or set BOTZOO_CACHE_GIB to more.")


def _place_in(archive: Path, name: str) -> PurePosixPath | None:
    """Return where a member lies in its archive, None where it is no part of the data; raise where it lies outside."""
    place, on_windows = PurePosixPath(name), PureWindowsPath(name)
    outside = place.is_absolute() or on_windows.anchor or ".." in (*place.parts, *on_windows.parts)
    if outside or "\0" in name or (os.name == "nt" and ":" in name):  # which is a drive, or a stream of a file
        raise DataError(
            f"{archive} names {in_quotes(printable(name))}, which does not lie in it: nothing of it is used."
        )
    if len(on_windows.parts) > MOST_PARTS:
        raise DataError(
            f"{archive} names {in_quotes(printable(name, 60))}, and {MOST_PARTS} folders in each other are the most: {_CURE}."
        )
    return None if not place.parts or any(map(is_junk, place.parts)) else place


def _members(archive: Path, most: int) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and the opened content of each file in an archive; of a tar no more than ``most`` bytes are read."""
    with open_file(archive) as file:
        start = file.read(6)
        file.seek(0)
        packed = next((unpack for mark, unpack in _STARTS.items() if start.startswith(mark)), _by_name(archive))
        yield from _of_zip(archive, file) if packed is None else _of_tar(archive, packed(file), most)


def _by_name(archive: Path) -> Callable[[Any], Any] | None:
    return next(unpack for end, unpack in reversed(PACKED.items()) if archive.name.lower().endswith(end))


def _of_zip(archive: Path, file: BinaryIO) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(cast(BinaryIO, _InParts(file, archive))) as opened:
        for member in opened.infolist():
            if member.is_dir():
                continue
            if stat.S_IFMT(kind := member.external_attr >> 16) and not stat.S_ISREG(kind):
                raise _no_file(archive, member.filename)
            if member.flag_bits & 1:
                raise DataError(f"{archive} is protected by a password: {_CURE}.")
            yield _spelt(member), opened.open(member)


def _spelt(member: zipfile.ZipInfo) -> str:
    """Return the name of a member as it was meant: many programs write UTF-8 without saying so, and some backslashes."""
    name = member.filename
    if not member.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = member.filename
    return name if "/" in name else name.replace("\\", "/")


def _of_tar(archive: Path, file: Any, most: int) -> Iterator[tuple[str, IO[bytes]]]:
    stream = _Bounded(file, archive, most)
    with _tar(stream) as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # else it keeps all of them
            if member.isdir():
                continue
            if not member.isreg() or member.issparse() or member.size < 0:
                raise _no_file(archive, member.name)
            if (content := tar.extractfile(member)) is not None:
                yield member.name, content
        if stream.last != bytes(tarfile.BLOCKSIZE):
            raise ValueError("it does not end as a tar file does")
        while stream.read(1 << 20):  # to the end, where its checksum stands
            pass


def _no_file(archive: Path, name: str) -> DataError:
    return DataError(f"{archive} holds {in_quotes(printable(name))}, which is a link or no plain file: {_CURE}.")


def _tar(stream: _Bounded) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast(BinaryIO, stream), mode="r:")


class _InParts:
    """A zip file of which no more than ``MOST_LISTED`` is read at once, whatever sizes stand in it."""

    def __init__(self, file: BinaryIO, archive: Path) -> None:
        self.file, self.archive = file, archive
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > MOST_LISTED:
            raise DataError(f"{self.archive} lists more files than are read at once, or is damaged: {_CURE}.")
        return self.file.read(size)


class _Bounded:
    """A stream that is read no further than ``most`` bytes and a header for each file, and no more than ``SMALL`` at once."""

    def __init__(self, stream: Any, archive: Path, most: int) -> None:
        self.stream, self.archive, self.most, self.tell = stream, archive, most + SMALL, stream.tell
        self.last = b""

    def seek(self, place: int) -> int:
        if place > self.most:
            raise too_large(self.archive)
        return int(self.stream.seek(place))

    def read(self, size: int) -> bytes:
        if not 0 <= size <= SMALL or self.tell() > self.most:
            raise too_large(self.archive)
        self.last = self.stream.read(size)
        return self.last
