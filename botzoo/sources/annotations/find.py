"""Which tables of labels lie in a folder, and which belong together: one for each split."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from botzoo.sources.annotations.table import LISTS, PACKED, SUFFIXES, holds_no_pictures, kind_of, stem_of
from botzoo.sources.base import SPLIT_NAMES
from botzoo.sources.folders import files_in, subfolders
from botzoo.sources.layouts.split_names import Said, asking

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
        if stem_of(Path(name)) in USUAL:
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
    twins = (each for role, path in tables.items() if role for each in _of_one_role(path))
    lists = any(map(_is_list, tables.values()))
    there = list(dict.fromkeys((*tables.values(), *twins, *_tables(folder, lists=lists).values())))
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
    alone = {role: _alone(role, path, named, said) for role, path in tables.items() if role not in replaced}
    left = [(role, path) for role, path in alone.items() if path]
    mine = [(role, path) for role, path in found.values() if role != "none"]
    order = (None, "train", "validation", "test")
    rest = {role: [word for word in words if word not in found] for role, words in said.items()}
    return sorted([*left, *mine], key=lambda pair: order.index(pair[0])), {
        r: words for r, words in rest.items() if words
    }


def _called(table: Path, word: str, folder: Path) -> bool:
    """Tell whether the user's word is the name of a table, with or without suffix, or of the split's folder it lies in."""
    names = [table.name, stem_of(table), *([table.parent.name] if table.parent != folder else [])]
    return word.lower() in map(str.lower, names)


def other_tables(folder: Path) -> list[Path]:
    """Return the tables in a folder that have other names, and may be of anything."""
    known = {path for tables in tables_in(folder) for path in tables.values()}
    return [path for path in _tables(folder).values() if path not in known]


def _tables(folder: Path, *, lists: bool = False) -> dict[str, Path]:
    """Return the tables in a folder by their names in lower case, without those of parquet that may hold pictures.

    ``lists`` are among them where it is asked for; what is packed is not, where the same lies there unpacked.
    """
    files = ((name, path) for name, path in sorted(_tables_by_name(folder).items()) if path.is_file())
    there = {name: path for name, path in files if lists or not _is_list(path)}
    own = {name: path for name, path in there.items() if not (name.endswith(PACKED[1:]) and path.stem.lower() in there)}
    return {name: path for name, path in own.items() if path.suffix.lower() != ".parquet" or holds_no_pictures(path)}


def _is_list(path: Path) -> bool:
    return path.name.lower().endswith(LISTS)


def beside(path: Path) -> Tables:
    """Return a table that the user named and those of the other splits beside it: test_x.csv goes with train_x.csv."""
    names = sorted(SPLIT_NAMES, key=len, reverse=True)
    word = _split_word(path)
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


def _split_word(path: Path) -> re.Match[str] | None:
    names = sorted(SPLIT_NAMES, key=len, reverse=True)
    return re.search(rf"(?i)(?<![a-z])({'|'.join(names)})(?![a-z])", path.stem)


def _alone(role: str | None, path: Path, named: Collection[Path], said: Said) -> Path | None:
    """Return the table of a split, of all of one role those that the user does not name: there may be val.csv and dev.csv.

    Raises:
        DataError: several are left.
    """
    left = [each for each in (_of_one_role(path) if role else [path]) if each not in named]
    if len(left) > 1:
        in_folders = left[0].parent != left[1].parent
        words = [each.parent.name if in_folders else each.name for each in left]
        likely = {str(role): words[:1], "none": words[1:]}
        raise asking(
            str(path.parent.parent if in_folders else path.parent),
            f"which are all tables of the {role} split",
            likely,
            said,
        )
    return left[0] if left else None


def _of_one_role(path: Path) -> list[Path]:
    """Return a table and those beside it of the same split: their names, or those of their folders, tell nothing else."""
    if word := _split_word(path):
        start, end = path.name[: word.start()], path.name[word.end() :]
        alike = {
            f"{start}{each}{end}".lower() for each, role in SPLIT_NAMES.items() if role == SPLIT_NAMES[word[1].lower()]
        }
        return [other for name, other in sorted(_tables_by_name(path.parent).items()) if name in alike]
    role, above = SPLIT_NAMES.get(path.parent.name.lower()), path.parent.parent
    folders = [each for each in subfolders(above) if SPLIT_NAMES.get(each.lower()) == role] if role else []
    return [other for each in folders if (other := above / each / path.name).is_file()] or [path]


def _tables_by_name(folder: Path) -> dict[str, Path]:
    names = (path for path in map(Path, files_in(folder, deep=False)) if kind_of(path) is not None)
    return {path.name.lower(): path for path in names}
