"""Archives as data sets: one, or one for each split side by side, read in the cache as the folder that was packed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from botzoo.errors import ConfigError, DataError
from botzoo.sources.base import ImageData, OwnNames, Source, SourceOptions, Split
from botzoo.sources.folders import IMAGE_SUFFIXES, files_in, is_image, is_junk, subfolders
from botzoo.sources.layouts.split_names import is_plain, role_of
from botzoo.sources.layouts.unpacking import SUFFIXES, is_archive, is_shard, name_of, unpacked, unpacked_together
from botzoo.util.text import and_list, listing


class Archives(Source):
    """A zip or tar file of any data set that can be a folder, or a folder with such a file and nothing else.

    So is a folder with such a file for each split, as ``train.zip`` and ``test.zip``, and tables of labels at most.

    Args:
        source_of: tells what kind of data set a folder is.
    """

    def __init__(self, source_of: Callable[[str, Path, SourceOptions], Source | None]) -> None:
        self.source_of = source_of

    def recognises(self, name: str, path: Path) -> bool:
        return _archive(path) is not None or _folder_in(path) is not None or bool(_side_by_side(path))

    def open(self, name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
        with self._inside(name, path, options) as (source, place):
            data = source.open(name, place.folder, options)
            parts: dict[str, Any] = {role: split.called(place.shown) for role, split in data.splits.items()}
        return replace(data, **parts, notes=(place.note, *map(place.shown, data.notes)))

    def own_names(self, name: str, path: Path, options: SourceOptions) -> OwnNames:
        with self._inside(name, path, options) as (source, place):
            return source.own_names(name, place.folder, options)

    @contextmanager
    def _inside(self, name: str, path: Path, options: SourceOptions) -> Iterator[tuple[Source, _Place]]:
        """Give what reads unpacked archives, and their place; in errors it is called as the archives are."""
        place = _place_beside(path) if _side_by_side(path) else self._place(name, path)
        source = self.source_of(name, place.folder, options)
        if source is None or isinstance(source, Archives):
            raise DataError(f"{place.name} holds no images: give one with a folder of images for each class.")
        try:
            yield source, place
        except (ConfigError, DataError) as error:
            raise type(error)(place.shown(str(error))) from error

    def _place(self, name: str, path: Path) -> _Place:
        """Return the place of one archive, or of a folder in it."""
        archive, inner = _archive(path) or _folder_in(path) or path, PurePosixPath()
        if _archive(path) is None:
            inner = PurePosixPath(path.relative_to(archive))
        if is_shard(archive):
            raise DataError(f"{name} is a .tar shard: read it with --data.streaming.")
        whole = unpacked(archive)
        if ".." in inner.parts or not (whole / inner).is_dir():
            there = listing(subfolders(whole))
            raise DataError(f"There is no folder {inner} in {archive}, which has {there}: give one of these.")
        folder = whole / inner if inner.parts else _around_tables(whole)
        shown = str(archive / folder.relative_to(whole))
        return _Place(folder, shown, f"{shown} is unpacked in the cache", {str(folder): shown})


@dataclass(frozen=True)
class _Place:
    """Where a data set is unpacked.

    Attributes:
        folder: in the cache.
        name: what the user calls it.
        note: that it is unpacked.
        calls: paths in the cache, and what they are called instead.
    """

    folder: Path
    name: str
    note: str
    calls: dict[str, str]

    def shown(self, text: str) -> str:
        """Return a text in which places are called as the user knows them."""
        for inside, called in self.calls.items():
            text = text.replace(inside, called)
        return text


def _place_beside(path: Path) -> _Place:
    """Return the place of a folder with an archive for each split."""
    there = _side_by_side(path)
    folder = unpacked_together(path, there)
    calls = {f"{folder / name_of(each)}{os.sep}": f"{each}{os.sep}" for each in there}
    note = f"{and_list([each.name for each in there])} are unpacked in the cache, and read as folders of these names"
    return _Place(folder, str(path), note, calls | {str(folder): str(path)})


def _around_tables(folder: Path) -> Path:
    """Return the folder that a table of labels lies in, where an archive holds one folder with other files than images."""
    there = [entry for entry in folder.iterdir() if not is_junk(entry.name)]
    alone = there[0] if len(there) == 1 and there[0].is_dir() else None
    return alone if alone and any(not is_image(file) for file in files_in(alone, deep=False)) else folder


def _archive(path: Path) -> Path | None:
    """Return the archive that a data set is, or the only thing that is in its folder."""
    if path.is_dir():
        with os.scandir(path) as entries:  # of a million files two are looked at
            there = list(islice((Path(entry.path) for entry in entries if not is_junk(entry.name)), 2))
        return there[0] if len(there) == 1 and is_archive(there[0]) and not is_shard(there[0]) else None
    return path if is_archive(path) else None


def _side_by_side(path: Path) -> list[Path]:
    """Return the archives in a folder that holds one for each split, by their names, and else no folders and no images."""
    there: list[Path] = []
    if not path.is_dir():
        return there
    with os.scandir(path) as entries:
        for entry in (each for each in entries if not is_junk(each.name)):
            if entry.is_dir() or entry.name.lower().endswith((*IMAGE_SUFFIXES, ".parquet")):
                return []
            there += [Path(entry.path)] if entry.name.lower().endswith(SUFFIXES) and entry.is_file() else []
    roles = {role_of(name_of(each)) for each in there if is_plain(name_of(each))}
    return sorted(there) if len(there) > 1 and "train" in roles and not any(map(is_shard, there)) else []


def _folder_in(path: Path) -> Path | None:
    """Return the archive of a folder that is named as if the archive were one: photos.zip/train."""
    return None if path.exists() else next((above for above in path.parents if is_archive(above)), None)


def folder_of(path: Path) -> Path:
    """Return the folder that is read where a data set is an archive, or a folder in one; else ``path``."""
    if there := _side_by_side(path):
        return unpacked_together(path, there)
    archive = _archive(path)
    return _around_tables(unpacked(archive)) if archive and not is_shard(archive) else place_of(path)


def place_of(path: Path) -> Path:
    """Return where a file or folder is that is named as if its archive were a folder: photos.zip/test; else ``path``.

    Of archives side by side it may be named by the folder that each is read as: photos/test for photos/test.zip.
    """
    if not path.exists() or is_archive(path):
        for above in (path, *path.parents):
            if is_archive(above):
                return unpacked(above) / path.relative_to(above)
    if not path.exists():
        around = next((above for above in path.parents if above.is_dir()), path)
        if there := _side_by_side(around):
            return unpacked_together(around, there) / path.relative_to(around)
    return path
