"""Images whose labels stand in a table: one that the user names, or one of a usual name in their folder."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from botzoo.errors import DataError
from botzoo.sources.annotations.find import Chosen, beside, chosen, other_tables, tables_in, with_said
from botzoo.sources.annotations.images import ROLES, annotated
from botzoo.sources.annotations.paths import Found
from botzoo.sources.annotations.table import (
    NoLabelsError,
    Table,
    holds_no_pictures,
    is_frame,
    kind_of,
    read_frame,
    read_table,
)
from botzoo.sources.base import ImageData, OwnNames, Source, SourceOptions, Split, checked
from botzoo.sources.folders import IMAGE_SUFFIXES, files_in
from botzoo.sources.layouts.archives import place_of
from botzoo.sources.layouts.class_folders import HERE, Folders
from botzoo.sources.tables import as_splits
from botzoo.util.environment import user_path
from botzoo.util.text import listing

FOLDERS = "folders"
"""What --labels takes for the class folders, where a table says otherwise."""

MOST_LOOKED_AT = 5
"""Tables of other names that are read, to learn whether they are of labels."""


class Annotated(Source):
    """Folders of images with a table of labels in them, and tables themselves, which lie beside their images.

    Class folders come before a table that nobody named, as long as both say the same.
    """

    def recognises(self, name: str, path: Path) -> bool:
        if path.is_file():
            kind = kind_of(path)
            return kind is not None and (kind != ".parquet" or holds_no_pictures(path))
        if not path.is_dir() or not (tables_in(path) or other_tables(path)):
            return False
        return any(file.lower().endswith(IMAGE_SUFFIXES) for file in files_in(path))

    def open(self, name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
        if isinstance(options.labels, str) and options.labels == FOLDERS:
            return Folders().open(name, path, options)
        if path.is_file() and options.labels is None:
            return _of_file(name, Found(path.parent), path, options)
        if not path.is_dir():
            given = f"--labels {options.labels}" if isinstance(options.labels, str | os.PathLike) else "a DataFrame"
            raise DataError(f"{name} is no folder, and {given} is of images in one: give it with --dataset.")
        if options.labels is not None:
            data = _named(name, path, options)
            return replace(data, in_memory=not isinstance(options.labels, str | os.PathLike))
        return _by_itself(name, path, options)

    def own_names(self, name: str, path: Path, options: SourceOptions) -> OwnNames:
        try:
            data = self.open(name, path, options)
        except DataError:  # as class folders of other names may lead to, and those are what is asked for
            return Folders().own_names(name, path, options)
        counts = {role: split.class_counts(len(data.class_names)) for role, split in data.splits.items()}
        return {role: [data.class_names[k] for k in count.nonzero()[0]] for role, count in counts.items()}


def _read(tables: Chosen) -> list[Table]:
    return [read_table(path, role) for role, path in tables]


def _of_file(name: str, found: Found, file: Path, options: SourceOptions) -> ImageData[Split]:
    """Return the images that a table names, and those beside it of other splits."""
    if not file.is_file():
        read_table(file)  # which says what is wrong with it
    tables, rest = with_said(beside(file), file.parent, options.splits)
    if not tables:
        raise DataError(f"--data.splits leaves {file} out, and no other table is there: leave it in.")
    return annotated(name, found, _read(tables), replace(options, splits=rest))


def _named(name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
    """Return the images of a folder by the tables that the user gave.

    They are the path of one, from where he is or in the folder, or DataFrames, or what a label list in JSON may hold.
    """
    labels = options.labels
    if isinstance(labels, str | os.PathLike):
        file = user_path(labels)
        if not file.exists() and not file.is_absolute() and (path / file).exists():
            file = path / file
        return _of_file(name, Found(path), _alone_in(file), options)
    frames: dict[Any, Any] = {None: labels}
    if isinstance(labels, dict) and any(map(is_frame, labels.values())):
        frames, options = as_splits("labels", labels, options)[0], replace(options, splits={})
    called = {None: "the DataFrame" if is_frame(labels) else "labels"} | {
        role: f"the {role} DataFrame" for role in ROLES
    }
    tables = [read_frame(called[role], frames[role], role) for role in called if role in frames]
    return annotated(name, Found(path), tables, options)


def _alone_in(file: Path) -> Path:
    """Return the table that a zip file or a folder holds alone; any other file as it is.

    Raises:
        DataError: it holds several, or none.
    """
    inside = place_of(file)
    if not inside.is_dir():
        return inside
    there = sorted(each for each in map(Path, files_in(inside)) if kind_of(each))
    if len(there) == 1:
        return there[0]
    tables = [str(each.relative_to(inside)) for each in there]
    if not tables:
        raise DataError(f"{file} holds no table: give a file of labels, such as labels.csv.")
    raise DataError(f"{file} holds the tables {listing(tables)}: name one, such as {file / tables[0]}.")


def _by_itself(name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
    """Return what class folders say or else the one table that is there; raise DataError where there is a choice."""
    found, choices, unfit = Found(path), dict[Path, ImageData[Split]](), dict[Path, DataError]()
    for tables, rest in [] if HERE in options.splits.get("train", ()) else chosen(path, options.splits):
        first = tables[0][1]
        try:
            read = _read(tables)
        except DataError as error:
            unfit[first] = NoLabelsError(str(error))
            continue
        try:
            choices[first] = annotated(name, found, read, replace(options, splits=rest))
        except DataError as error:
            unfit[first] = error
    of_table = options.image_column or options.label_column or options.group in _columns_of(choices)
    try:
        checked(folders := Folders().open(name, path, options))
    except DataError as error:
        no_folders = error
    else:
        if not (of_table and choices):
            return _beside_folders(path, found, folders, choices, unfit, options)
    if len(choices) > 1:
        have = f"{name} has several tables of labels, {listing([each.name for each in choices])}"
        raise DataError(f"{have}: name one with {_command(next(iter(choices)))}.")
    if choices:
        notes = [f"not used: {_inside(path, f'{table}: {error}')}".rstrip(".") for table, error in unfit.items()]
        data = next(iter(choices.values()))
        return replace(data, notes=(*data.notes, *notes))
    if unfit:
        raise next(iter(unfit.values()))
    if others := other_tables(path):
        has = f"Or, if {others[0].name} has the labels of its images, give {_command(others[0])}."
        raise DataError(f"{no_folders} {has}") from no_folders
    raise no_folders


def _columns_of(choices: dict[Path, ImageData[Split]]) -> set[str]:
    return {column for data in choices.values() for column in data.train.columns}


def _beside_folders(
    path: Path,
    found: Found,
    folders: ImageData[Split],
    choices: dict[Path, ImageData[Split]],
    unfit: dict[Path, DataError],
    options: SourceOptions,
) -> ImageData[Split]:
    """Return the data set of class folders, with a note on each table; raise DataError where one may say otherwise."""
    have = f"{folders.name} has the class folders {listing(folders.class_names, 3)}"
    for table, data in choices.items():
        if other := _differs(folders, data):
            raise DataError(f"{have}, and {table} has other {other}: give {_command(table)}, or --labels {FOLDERS}.")
    for table, error in unfit.items():
        if not isinstance(error, NoLabelsError):
            raise DataError(f"{have}, and {table} is in doubt: {error} Or give --labels {FOLDERS}.") from error
    same = "as the class folders say the same; --labels would read it"
    notes = [f"not used: {_inside(path, str(table))}, as there are class folders" for table in unfit]
    notes += [f"not used: {_inside(path, str(table))}, {same}" for table in choices]
    others = other_tables(path)
    for table in others[:MOST_LOOKED_AT]:
        if options.group is not None and _has_column(table, options.group):
            raise DataError(f"--data.group {options.group} is a column of {table}: give {_command(table)} too.")
        if _says_else(table, found, folders, options):
            raise DataError(f"{have}, and {table} may hold the labels: give {_command(table)}, or --labels {FOLDERS}.")
    if others:
        notes.append(f"not used: {listing([table.name for table in others])}, as there are class folders")
    return replace(folders, notes=(*folders.notes, *notes))


def _has_column(table: Path, column: str) -> bool:
    try:
        return column in read_table(table).columns
    except DataError:
        return False


def _says_else(table: Path, found: Found, folders: ImageData[Split], options: SourceOptions) -> bool:
    """Tell whether a table of any name has labels of the images that are not those of the class folders.

    Where the folders are called as parts, it is enough that it names images.
    """
    try:
        read = read_table(table)
    except DataError:
        return False
    try:
        data = annotated(folders.name, found, [read], replace(options, splits={}))
    except NoLabelsError:
        return False
    except DataError:
        return _are_parts(folders.class_names)
    return bool(_differs(folders, data))


def _are_parts(names: Sequence[str]) -> bool:
    """Tell whether folders are called as the parts of one: part_1, part_2; images-a, images-b; batch1, batch2."""
    ends = [re.fullmatch(r"(.*?)[\W_]*(\d+|(?<![^\W_])[A-Za-z])", name) for name in names]
    return all(ends) and len({end[1].lower() for end in ends if end}) == 1


def _inside(path: Path, text: str) -> str:
    """Return a note in which files are named from the data set's folder on: where that lies stays private."""
    return text.replace(os.path.join(path, ""), "")  # noqa: PTH118


def _differs(folders: ImageData[Split], table: ImageData[Split]) -> str:
    """Return what a table says otherwise than the class folders, in whatever words: labels or splits; nothing if none."""
    other = f"labels, {listing(table.class_names, 3)}"
    if any(split.labels.ndim > 1 for split in table.splits.values()):
        return other
    classes, labels = (
        {split.describe(i): (role, int(k)) for role, split in data.splits.items() for i, k in enumerate(split.labels)}
        for data in (folders, table)
    )
    pairs = {(classes[file][1], k) for file, (_, k) in labels.items() if file in classes}
    if not len(pairs) == len({k for k, _ in pairs}) == len({label for _, label in pairs}):
        return other
    told = len(table.splits) > 1  # one split alone is what a table has that says nothing of splits
    apart = told and any(classes[file][0] != role for file, (role, _) in labels.items() if file in classes)
    return f"splits, {listing(list(table.splits))}" if apart else ""


def _command(table: Path) -> str:
    return f"--labels {shlex.quote(str(table))}"
