"""Images whose labels stand in a table: one that the user names, or one of a usual name in their folder."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from botzoo.errors import DataError
from botzoo.sources.annotations.find import Tables, beside, check_once, other_tables, tables_in
from botzoo.sources.annotations.images import ROLES, annotated
from botzoo.sources.annotations.paths import Found
from botzoo.sources.annotations.table import SUFFIXES, Table, holds_no_pictures, read_frame, read_table
from botzoo.sources.base import ImageData, OwnNames, Source, SourceOptions, Split, checked
from botzoo.sources.folders import IMAGE_SUFFIXES, files_in
from botzoo.sources.layouts.class_folders import Folders
from botzoo.sources.tables import as_splits
from botzoo.util.text import listing

FOLDERS = "folders"
"""What --labels takes for the class folders, where a table says otherwise."""


class Annotated(Source):
    """Folders of images with a table of labels in them, and tables themselves, which lie beside their images.

    Class folders come before a table that nobody named, as long as both say the same.
    """

    def recognises(self, name: str, path: Path) -> bool:
        if path.is_file():
            suffix = path.suffix.lower()
            return suffix in SUFFIXES and (suffix != ".parquet" or holds_no_pictures(path))
        if not path.is_dir() or not (tables_in(path) or other_tables(path)):
            return False
        return any(file.lower().endswith(IMAGE_SUFFIXES) for file in files_in(path))

    def open(self, name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
        if isinstance(options.labels, str) and options.labels == FOLDERS:
            return Folders().open(name, path, options)
        if path.is_file() and options.labels is None:
            return annotated(name, Found(path.parent), _read(beside(path)), options)
        if not path.is_dir():
            given = f"--labels {options.labels}" if isinstance(options.labels, str | os.PathLike) else "a DataFrame"
            raise DataError(f"{name} is no folder, and {given} is of images in one: give it with --dataset.")
        if options.labels is not None:
            data = annotated(name, Found(path), _named(path, options), options)
            return replace(data, in_memory=not isinstance(options.labels, str | os.PathLike))
        return _by_itself(name, path, options)

    def own_names(self, name: str, path: Path, options: SourceOptions) -> OwnNames:
        try:
            data = self.open(name, path, options)
        except DataError:  # as class folders of other names may lead to, and those are what is asked for
            return Folders().own_names(name, path, options)
        counts = {role: split.class_counts(len(data.class_names)) for role, split in data.splits.items()}
        return {role: [data.class_names[k] for k in count.nonzero()[0]] for role, count in counts.items()}


def _read(tables: Tables) -> list[Table]:
    """Read tables that belong together, that of the training split first."""
    check_once(tables)
    return [read_table(tables[role], role) for role in (None, *ROLES) if role in tables]


def _named(path: Path, options: SourceOptions) -> list[Table]:
    """Return the tables that the user gave: the path of one, from where he is or in ``path``, or DataFrames."""
    labels = options.labels
    if not isinstance(labels, str | os.PathLike):
        frames: dict[Any, Any] = as_splits("labels", labels, options)[0] if isinstance(labels, dict) else {None: labels}
        called = {None: "the DataFrame"} | {role: f"the {role} DataFrame" for role in ROLES}
        return [read_frame(called[role], frames[role], role) for role in called if role in frames]
    file = Path(labels).expanduser()
    if not file.exists() and not file.is_absolute() and (path / file).exists():
        file = path / file
    return _read(beside(file) if file.is_file() else {None: file})


def _by_itself(name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
    """Return what class folders say or else the one table that is there; raise DataError where there is a choice."""
    found, choices, unfit = Found(path), dict[Path, ImageData[Split]](), dict[Path, DataError]()
    for tables in tables_in(path):
        first = next(iter(tables.values()))
        try:
            choices[first] = annotated(name, found, _read(tables), options)
        except DataError as error:
            unfit[first] = error
    try:
        checked(folders := Folders().open(name, path, options))
    except DataError as error:
        no_folders = error
    else:
        return _beside_folders(path, folders, choices, unfit)
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


def _beside_folders(
    path: Path, folders: ImageData[Split], tables: dict[Path, ImageData[Split]], unfit: dict[Path, DataError]
) -> ImageData[Split]:
    """Return the data set of class folders, with a note on each table; raise DataError where one says otherwise."""
    notes = [f"not used: {_inside(path, str(table))}, as there are class folders" for table in unfit]
    for table, data in tables.items():
        if other := _differs(folders, data):
            raise DataError(
                f"{folders.name} has the class folders {listing(folders.class_names, 3)}, and {table} has other {other}: "
                f"give {_command(table)}, or --labels {FOLDERS}."
            )
        same = "as the class folders say the same; --labels would read it"
        notes.append(f"not used: {_inside(path, str(table))}, {same}")
    return replace(folders, notes=(*folders.notes, *notes))


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
