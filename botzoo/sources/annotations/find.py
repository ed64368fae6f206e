"""Which tables of labels lie in a folder, and which belong together: one for each split."""

from __future__ import annotations

import os
import re
from pathlib import Path

from botzoo.errors import DataError
from botzoo.sources.annotations.table import SUFFIXES, holds_no_pictures
from botzoo.sources.base import SPLIT_NAMES
from botzoo.sources.folders import files_in, subfolders

USUAL = ("metadata", "labels", "annotations", "_classes")
"""Names of tables of labels, without suffix; those of splits are others."""

Tables = dict[str | None, Path]
"""Tables that belong together, by the split that each is of; None for one of all."""


def tables_in(folder: Path) -> list[Tables]:
    """Return the tables of labels in a folder by their usual names: each entry would do, so that two are a choice."""
    found: list[Tables] = []
    here = _tables(folder)
    for suffix in SUFFIXES:
        found += [{None: here[f"{name}{suffix}"]} for name in USUAL if f"{name}{suffix}" in here]
        splits: Tables = {SPLIT_NAMES[s]: here[f"{s}{suffix}"] for s in reversed(SPLIT_NAMES) if f"{s}{suffix}" in here}
        found += [splits] if "train" in splits else []
    parts = {
        SPLIT_NAMES[part.lower()]: _tables(folder / part) for part in subfolders(folder) if part.lower() in SPLIT_NAMES
    }
    for name in parts.get("train", ()):
        if os.path.splitext(name)[0] in USUAL:  # noqa: PTH122
            found.append({role: tables[name] for role, tables in parts.items() if name in tables})
    return found


def other_tables(folder: Path) -> list[Path]:
    """Return the tables in a folder that have other names, and may be of anything."""
    known = {path for tables in tables_in(folder) for path in tables.values()}
    return [path for path in _tables(folder).values() if path not in known]


def _tables(folder: Path) -> dict[str, Path]:
    """Return the tables in a folder by their names in lower case, without those of parquet that may hold pictures."""
    files = ((name, path) for name, path in sorted(_tables_by_name(folder).items()) if path.is_file())
    return {name: path for name, path in files if path.suffix.lower() != ".parquet" or holds_no_pictures(path)}


def beside(path: Path) -> Tables:
    """Return a table that the user named and those of the other splits beside it: test_x.csv goes with train_x.csv."""
    names = sorted(SPLIT_NAMES, key=len, reverse=True)
    word = re.search(rf"(?i)(?<![a-z])({'|'.join(names)})(?![a-z])", path.stem)
    if word and SPLIT_NAMES[word[1].lower()] == "train":
        known, start, end = _tables_by_name(path.parent), path.name[: word.start()], path.name[word.end() :]
        places = {name: known.get(f"{start}{name}{end}".lower()) for name in names}
    elif SPLIT_NAMES.get(path.parent.name.lower()) == "train":
        folders = {entry.name.lower(): entry for entry in path.parent.parent.iterdir() if entry.is_dir()}
        places = {name: folders[name] / path.name for name in names if name in folders}
    else:
        return {None: path}
    there = [(name, other) for name, other in places.items() if other and other.is_file() and other != path]
    found: Tables = {"train": path}
    for name, other in there:
        if found.setdefault(SPLIT_NAMES[name], other) != other:
            raise _twice(SPLIT_NAMES[name], found[SPLIT_NAMES[name]], other)
    return found if len(found) > 1 else {None: path}


def check_once(tables: Tables) -> None:
    """Raise DataError where another table beside these is of the same split: val.csv and dev.csv."""
    for role, path in tables.items():
        if SPLIT_NAMES.get(path.stem.lower()) == role:
            for other in sorted(_tables_by_name(path.parent).values()):
                if other != path and (other.suffix, SPLIT_NAMES.get(other.stem.lower())) == (path.suffix, role):
                    raise _twice(role, *sorted((path, other)))


def _twice(role: str | None, one: Path, other: Path) -> DataError:
    return DataError(f"{one} and {other.name} are both tables of the {role} split: rename or remove one.")


def _tables_by_name(folder: Path) -> dict[str, Path]:
    names = (path for path in map(Path, files_in(folder, deep=False)) if path.suffix.lower() in SUFFIXES)
    return {path.name.lower(): path for path in names}
