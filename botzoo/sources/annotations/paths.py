"""The files that a table's cells name: looked up among those that were found in the data set's folder, and nowhere else."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from botzoo.errors import DataError
from botzoo.sources.files import inside
from botzoo.sources.folders import IMAGE_SUFFIXES, files_in
from botzoo.sources.layouts.split_names import is_plain, role_of
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import listing

_FILES = "file files filename filepath path paths image images img imagepath imagename imageid id name uri"

PATH_NAMES = frozenset(_FILES.split())
"""Usual names of the column of files, without blanks, dashes and underscores."""

SAMPLE = 2_000
"""Rows that are looked at to find the column of files."""

FEW = 100
"""Cells that name nothing in the data set's folder, and are looked up in the table's."""

WEAK_NAMES = frozenset(["id", "name"])
"""Those of them that numbers and other texts have too."""

DEPTH = 6
"""Folders before a file's name that may be another machine's."""

ENDS = 12
"""Names at the end of an absolute path that are looked at."""

Lookup = Callable[[str], Sequence[int]]


class Found:
    """The images in a folder, links followed as in class folders, by all that they may be called in a table.

    Attributes:
        root: the folder.
        files: their paths, beginning with ``root``; one without a suffix may be an image.
        names: the same from ``root`` on, with slashes.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        found = (file for file in files_in(root) if file.lower().endswith(IMAGE_SUFFIXES) or not Path(file).suffix)
        self.files = list(found)
        self.names = [os.path.relpath(file, root).replace(os.sep, "/") for file in self.files]
        self._roots = {os.path.abspath(root), os.path.realpath(root)}  # noqa: PTH100
        self._at = {name: i for i, name in enumerate(self.names)}
        self._ends: dict[int, dict[str, list[int]]] = {}
        self._deepest = max((name.count("/") for name in self.names), default=0)

    @cached_property
    def _by_stem(self) -> dict[str, list[int]]:
        return _places((_stem(name), i) for i, name in enumerate(self.names))

    @cached_property
    def _folded(self) -> Found:
        """The same images by their names in small letters."""
        other = Found.__new__(Found)
        other.root, other.files, other.names = self.root, self.files, [name.casefold() for name in self.names]
        other._roots, other._at = {root.casefold() for root in self._roots}, {}
        other._ends, other._deepest = {}, self._deepest
        return other

    def _ending(self, parts: int) -> dict[str, list[int]]:
        """Return the files by the last ``parts`` of their paths, with and without suffix."""
        if parts not in self._ends:
            split = ((i, name.split("/")) for i, name in enumerate(self.names) if name.count("/") >= parts - 1)
            ends = [(i, "/".join(each[-parts:])) for i, each in split]
            stems = ((stem, i) for i, end in ends if (stem := _stem(end)) != end)
            self._ends[parts] = _places([*((end, i) for i, end in ends), *stems])
        return self._ends[parts]

    def outside(self, cells: Sequence[Any], folder: Path | None) -> str | None:
        """Return the first of a few cells that names a file in the table's ``folder`` that does not lie in the data set's."""
        if folder is None:
            return None
        for cell in [cell for cell in cells if isinstance(cell, str)][:FEW]:
            with suppress(DataError, OSError):
                place = inside(cell, [folder], "")
                if place.is_file() and not place.is_relative_to(os.path.realpath(self.root)):
                    return cell
        return None

    def role(self, i: int) -> str | None:
        """Return the split whose folder file ``i`` lies in."""
        return self._roles[i]

    @cached_property
    def _roles(self) -> list[str | None]:
        return [_role_in(name.rpartition("/")[0]) for name in self.names]

    @cached_property
    def _known_roles(self) -> set[str | None]:
        return {*self._roles} - {None}

    def places(self, cells: Sequence[Any], folder: Path | None, roles: Sequence[str | None]) -> list[int | None]:
        """Return which file each cell names, None where it names none; all cells are read in one way, the one that finds most.

        Args:
            cells: paths from the table's ``folder``, from the data set's or from where the user is, absolute ones in the data
                set's folder or on another machine, or the ends of paths; with or without suffix, capitals or not.
            roles: the split of each row, as far as it is known: of several files with one name it takes that in its folder,
                and none from another's that the cell does not name itself.

        Raises:
            DataError: a cell may be any of several files.
        """
        best: list[Sequence[int]] = [()] * len(cells)
        for lookup in self._ways(cells, folder):
            found = [lookup(cell.replace("\\", "/")) if isinstance(cell, str) else () for cell in map(as_path, cells)]
            best = max(best, found, key=lambda hits: sum(map(bool, hits)))  # the first of equals
            if all(best):
                break
        return [self._one(*each) for each in zip(cells, best, roles, strict=True)]

    def _one(self, cell: Any, hits: Sequence[int], role: str | None) -> int | None:
        told = _role_in(_folder_of(cell)) if hits and self._known_roles else None
        role = role or told
        if len(hits) > 1 and role and any(map(self.role, hits)):
            hits = [i for i in hits if self.role(i) == role]
        elif hits and role in self._known_roles and self.role(hits[0]) not in (None, role, told):
            return None
        if len(hits) > 1:
            may = f"{in_quotes(str(cell))} may be {listing([self.names[i] for i in hits], 2)}"
            raise DataError(f"{may} in {self.root}: give paths from there on, with their suffix.")
        return hits[0] if hits else None

    def _ways(self, cells: Sequence[Any], folder: Path | None) -> Iterator[Lookup]:
        """Yield how a cell may be meant, the likeliest first."""
        bases = dict.fromkeys(os.path.abspath(base) for base in (folder or self.root, self.root, ""))  # noqa: PTH100
        yield from (self._from(base) for base in bases)
        yield self._by_end
        deepest = max((str(cell).count("/") for cell in cells[:SAMPLE]), default=0)
        yield from (self._without(k) for k in range(1, min(DEPTH, deepest) + 1))
        yield self._by_longest_end
        yield lambda cell: self._folded._by_longest_end(cell.casefold())

    def _from(self, base: str) -> Lookup:
        def lookup(cell: str) -> Sequence[int]:
            whole = os.path.normpath(os.path.join(base, cell))  # noqa: PTH118 (text only: no file is asked for)
            ends = (whole[len(root) + 1 :] for root in self._roots if whole.startswith(root + os.sep))
            return next((hits for end in ends if (hits := self._named(end))), ())

        return lookup

    def _named(self, name: str) -> Sequence[int]:
        return [self._at[name]] if name in self._at else self._by_stem.get(name, ())

    def _by_end(self, cell: str) -> Sequence[int]:
        if hits := self._named(cell):
            return hits
        parts = cell.count("/") + 1
        return self._ending(parts).get(cell, ()) if parts <= self._deepest + 1 else ()

    def _by_longest_end(self, cell: str) -> Sequence[int]:
        """Look a path up by as much of its end as there is here, where it is an absolute one of another machine."""
        parts, ends = cell.split("/"), [cell]
        own = any(cell.startswith(f"{root}/") for root in self._roots)
        if not own and (not parts[0] or re.fullmatch("[A-Za-z]:", parts[0])):
            ends = ["/".join(parts[k:]) for k in range(max(1, len(parts) - ENDS), len(parts)) if ".." not in parts]
        return next((hits for end in ends if (hits := self._by_end(end))), ())

    def _without(self, folders: int) -> Lookup:
        """Look a path up without its first folders, as those of another machine are not here."""
        return lambda cell: () if cell.startswith("/") else self._named("/".join(cell.split("/")[folders:]))


@lru_cache(1 << 16)
def _role_in(folder: str) -> str | None:
    """Return the split that the first part of a folder's path tells that tells one."""
    parts = (part for part in folder.split("/") if is_plain(part))
    return next((role for part in parts if (role := role_of(part)) != "none"), None)


def _folder_of(cell: Any) -> str:
    return str(as_path(cell)).replace("\\", "/").rpartition("/")[0]


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]  # noqa: PTH122 (of a great many)


def differs_in_case(cell: str, name: str) -> bool:
    """Tell whether a table's cell names a file in capitals where it has small letters, or the other way."""
    tail = cell.replace("\\", "/").rpartition("/")[2]
    return tail not in name and tail.casefold() in name.casefold()


def as_path(cell: Any) -> Any:
    """Return a cell as the text of a path: numbers may be ids."""
    return str(cell) if isinstance(cell, int | os.PathLike) and not isinstance(cell, bool) else cell


def plain_name(column: str) -> str:
    """Return a column's name as ``PATH_NAMES`` and the like have it."""
    return "".join(c for c in column.lower() if c not in " _-")


def file_columns(found: Found, columns: dict[str, list[Any]], folder: Path | None) -> list[str]:
    """Return the columns that name files, by a sample of their rows or, where that names none, by all.

    Those come first whose cells have the suffix of an image, then those of a usual name, then all others that have a name, as
    numbers of rows may name files too. Of several in one class it is that which names the most different files. Of those
    without suffix or usual name each is a choice that names half as many; of those that name the same files row by row one
    is enough.
    """
    rows = len(next(iter(columns.values())))
    for step in dict.fromkeys((max(1, rows // SAMPLE), 1)):
        sampled = {column: cells[::step] for column, cells in columns.items()}
        for kind in range(4):
            own = {column: cells for column, cells in sampled.items() if _kind(column, cells) == kind}
            if best := _naming_most(found, own, folder, share=1 if kind < 2 else 0.5):
                return best
    return []


def _kind(column: str, cells: list[Any]) -> int:
    """Return how likely a column is that of the files, 0 for the likeliest."""
    if any(isinstance(cell, str) and cell.lower().endswith(IMAGE_SUFFIXES) for cell in cells):
        return 0
    if plain_name(column) in PATH_NAMES - WEAK_NAMES:
        return 1
    return 3 if re.fullmatch(r"column \d+|Unnamed: \d+", column) else 2


def _naming_most(found: Found, columns: dict[str, list[Any]], folder: Path | None, share: float) -> list[str]:
    """Return the columns that name at least ``share`` of as many different files as the one that names most."""
    different = {column: len(set(map(str, cells))) for column, cells in columns.items()}
    seen: dict[str, list[int | None]] = {}
    most = 0
    for column in sorted(columns, key=different.__getitem__, reverse=True):
        if different[column] >= share * most:  # others cannot name as many
            seen[column] = _sampled(found, columns[column], folder)
            most = max(most, len({*seen[column]} - {None}))
    best = [column for column in columns if most and len({*seen.get(column, ())} - {None}) >= share * most]
    return list({tuple(seen[column]): column for column in reversed(best)}.values())[::-1]


def _sampled(found: Found, cells: list[Any], folder: Path | None) -> list[int | None]:
    different = {str(cell): cell for cell in cells}
    try:
        places = dict(zip(different, found.places([*different.values()], folder, [None] * len(different)), strict=True))
        return [places[str(cell)] for cell in cells]
    except DataError:  # in doubt which files they are, and so files: as many as there are different cells
        known: dict[str, int] = {}
        return [known.setdefault(str(cell), len(known)) for cell in cells]


def _has_suffixes(cells: list[Any]) -> bool:
    return str(next((cell for cell in cells if cell is not None), "")).lower().endswith(IMAGE_SUFFIXES)


def likely_files(columns: dict[str, list[Any]]) -> str:
    """Return the column that is meant to name files, though it names none here."""
    named = [column for column in columns if plain_name(column) in PATH_NAMES]
    ends = [column for column, cells in columns.items() if _has_suffixes(cells)]
    return next(iter((*ends, *named, *columns)))


def _places(named: Any) -> dict[str, list[int]]:
    places: defaultdict[str, list[int]] = defaultdict(list)
    for name, i in named:
        places[name].append(i)
    return dict(places)
