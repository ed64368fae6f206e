"""Archives: unpacked once, into the cache, and read there as the folder that was packed.

An archive is foreign: what it names lies inside it, it holds files and folders only, and it grows no further than images do.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, BinaryIO, cast

from botzoo.errors import DataError, printable
from botzoo.sources.base import ImageData, OwnNames, Source, SourceOptions, Split
from botzoo.sources.files import PACKED as STREAMS
from botzoo.sources.files import open_file
from botzoo.sources.folders import IMAGE_SUFFIXES, begins_as_image, files_in, is_image, is_junk, subfolders
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
_SHARD_ENDS = ("cls", "label", "labels", "class", "target", "json")


class Archives(Source):
    """A zip or tar file of any data set that can be a folder, or a folder with such a file and nothing else.

    Args:
        source_of: tells what kind of data set a folder is.
    """

    def __init__(self, source_of: Callable[[str, Path, SourceOptions], Source | None]) -> None:
        self.source_of = source_of

    def recognises(self, name: str, path: Path) -> bool:
        return _archive(path) is not None or _folder_in(path) is not None

    def open(self, name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
        with self._inside(name, path, options) as (source, folder, shown):
            data = source.open(name, folder, options)
            parts: dict[str, Any] = {role: _shown(split, folder, shown) for role, split in data.splits.items()}
        notes = [note.replace(str(folder), shown) for note in data.notes]
        return replace(data, **parts, notes=(f"{shown} is unpacked in the cache", *notes))

    def own_names(self, name: str, path: Path, options: SourceOptions) -> OwnNames:
        with self._inside(name, path, options) as (source, folder, _):
            return source.own_names(name, folder, options)

    @contextmanager
    def _inside(self, name: str, path: Path, options: SourceOptions) -> Iterator[tuple[Source, Path, str]]:
        """Give what reads an unpacked archive, its folder, and what that is called instead, in errors too."""
        archive, inner = _archive(path) or _folder_in(path) or path, PurePosixPath()
        if _archive(path) is None:
            inner = PurePosixPath(path.relative_to(archive))
        if _is_shard(archive):
            raise DataError(f"{name} is a .tar shard: read it with --data.streaming.")
        whole = unpacked(archive)
        if ".." in inner.parts or not (whole / inner).is_dir():
            there = listing(subfolders(whole))
            raise DataError(f"There is no folder {inner} in {archive}, which has {there}: give one of these.")
        folder = whole / inner if inner.parts else _around_tables(whole)
        shown = str(archive / folder.relative_to(whole))
        source = self.source_of(name, folder, options)
        if source is None or isinstance(source, Archives):
            raise DataError(f"{shown} holds no images: give one with a folder of images for each class.")
        try:
            yield source, folder, shown
        except DataError as error:
            raise DataError(str(error).replace(str(folder), shown)) from error


def _around_tables(folder: Path) -> Path:
    """Return the folder that a table of labels lies in, where an archive holds one folder with other files than images."""
    there = [entry for entry in folder.iterdir() if not is_junk(entry.name)]
    alone = there[0] if len(there) == 1 and there[0].is_dir() else None
    return alone if alone and any(not is_image(file) for file in files_in(alone, deep=False)) else folder


def _shown(split: Split, folder: Path, shown: str) -> Split:
    describe = partial(_instead, split.describe, str(folder), shown)
    return replace(split, describe=describe, root=split.root.replace(str(folder), shown))


def _instead(describe: Callable[[int], str], folder: str, shown: str, i: int) -> str:
    return describe(i).replace(folder, shown)


def is_archive(path: Path) -> bool:
    """Tell whether a file is an archive, by its name."""
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def _archive(path: Path) -> Path | None:
    """Return the archive that a data set is, or the only thing that is in its folder."""
    if path.is_dir():
        with os.scandir(path) as entries:  # of a million files two are looked at
            there = list(islice((Path(entry.path) for entry in entries if not is_junk(entry.name)), 2))
        return there[0] if len(there) == 1 and is_archive(there[0]) and not _is_shard(there[0]) else None
    return path if is_archive(path) else None


def _folder_in(path: Path) -> Path | None:
    """Return the archive of a folder that is named as if the archive were one: photos.zip/train."""
    return None if path.exists() else next((above for above in path.parents if is_archive(above)), None)


def folder_of(path: Path) -> Path:
    """Return the folder that is read where a data set is an archive, or a folder in one; else ``path``."""
    archive = _archive(path)
    return _around_tables(unpacked(archive)) if archive and not _is_shard(archive) else place_of(path)


def place_of(path: Path) -> Path:
    """Return where a file or folder is that is named as if its archive were a folder: photos.zip/test; else ``path``."""
    if not path.exists() or is_archive(path):
        for above in (path, *path.parents):
            if is_archive(above):
                return unpacked(above) / path.relative_to(above)
    return path


def _is_shard(archive: Path) -> bool:
    """Tell whether a tar file is one of images with a label in a file beside each, as the library webdataset writes them."""
    if archive.suffix.lower() != ".tar":
        return False
    stems: dict[str, set[str]] = {}
    try:
        with open_file(archive) as file, _tar(_Bounded(file, archive, 1 << 62)) as tar:
            while len(stems) < 3 and (member := tar.next()) is not None:
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
    state = archive.stat()
    return _unpacked(archive, (cache_folder(), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns))


@cache
def _unpacked(archive: Path, state: object) -> Path:
    """Return the same, of an archive that has not changed since: one that is asked for image by image is read once."""
    try:
        with open_file(archive) as file:
            digest = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
        key = hashlib.sha256(f"{digest} {archive.name} {user()}".encode()).hexdigest()
        return tree("unpacked", key, partial(_unpack, archive)) / archive.name
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        cure = "set BOTZOO_CACHE to a folder with more room" if full else _CURE
        raise DataError(f"{archive} cannot be unpacked into {cache_folder()} ({brief(error)}): {cure}.") from error


def _unpack(archive: Path, into: Path) -> None:
    """Write all that an archive holds into a folder of its name in ``into``."""
    nested, readable, count, writer = "", False, 0, _Writer(archive)
    try:
        for name, opened in _members(archive, writer.most):
            if (place := _place(archive, name)) is None:
                continue
            count += 1
            start = writer.write(name, opened, into / archive.name / place)
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


class _Writer:
    """Writes members to the disk, and counts them."""

    def __init__(self, archive: Path) -> None:
        self.archive, self.files, self.bytes = archive, 0, 0
        self.folders: set[Path] = set()
        self.most = int(min(cache_limit(), _may_grow_to(archive)))

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


def _place(archive: Path, name: str) -> PurePosixPath | None:
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
