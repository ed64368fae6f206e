"""Which tables of labels lie in a folder, and which belong together: one for each split."""

from __future__ import annotations

import os
import re
from pathlib import Path

from botzoo.sources.annotations.table import SUFFIXES, holds_no_pictures
from botzoo.sources.base import SPLIT_NAMES
from botzoo.sources.folders import files_in, subfolders
from botzoo.sources.layouts.split_names import Said

USUAL = ("metadata", "labels", "annotations", "_classes")
"""Names of tables of labels, without suffix; those of splits are others."""

Tables = dict[str | None, Path]
"""Tables that belong together, by the split that each is of; None for one of all."""


Chosen = list[tuple[str | None, Path]]
"""The same, of which several may be of one split."""


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


def chosen(folder: Path, said: Said) -> list[tuple[Chosen, Said]]:
    """Return ``with_said`` of each of ``tables_in``, or of the tables that the user names for training."""
    known = tables_in(folder)
    trained = any(_called(path, word, folder) for word in said.get("train", ()) for path in _tables(folder).values())
    if trained:
        known = [tables for tables in known if "train" in tables][:1] or [{}]
    return [(tables, rest) for tables, rest in (with_said(each, folder, said) for each in known) if tables]


def with_said(tables: Tables, folder: Path, said: Said) -> tuple[Chosen, Said]:
    """Return tables with the splits that the user says, that of training first, and what he says of other things.

    What he calls none is left out; what he says of a split replaces what names tell of it.
    """
    there = list(dict.fromkeys((*tables.values(), *_tables(folder).values())))
    found = {
        word: (role, path)
        for role, words in said.items()
        for word in words
        if (path := next((each for each in there if _called(each, word, folder)), None))
    }
    named = {path for _, path in found.values()}
    replaced = {role for role, _ in found.values()} | (
        {None} if any(r == "train" for r, _ in found.values()) else set()
    )
    left = [(role, path) for role, path in tables.items() if path not in named and role not in replaced]
    mine = [(role, path) for role, path in found.values() if role != "none"]
    order = (None, "train", "validation", "test")
    rest = {role: [word for word in words if word not in found] for role, words in said.items()}
    return sorted([*left, *mine], key=lambda pair: order.index(pair[0])), {
        r: words for r, words in rest.items() if words
    }


def _called(table: Path, word: str, folder: Path) -> bool:
    """Tell whether the user's word is the name of a table, with or without suffix, or of the split's folder it lies in."""
    names = [table.name, table.stem, *([table.parent.name] if table.parent != folder else [])]
    return word.lower() in map(str.lower, names)


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
    found: Tables = {SPLIT_NAMES[name]: other for name, other in places.items() if other and other.is_file()}
    found["train"] = path
    return found if len(found) > 1 else {None: path}


def _tables_by_name(folder: Path) -> dict[str, Path]:
    names = (path for path in map(Path, files_in(folder, deep=False)) if path.suffix.lower() in SUFFIXES)
    return {path.name.lower(): path for path in names}
