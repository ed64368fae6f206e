"""From tables and the files that were found to the splits of a data set; all that is decided on the way is said."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError, printable
from botzoo.sources.annotations.labels import Answers, read_answers
from botzoo.sources.annotations.paths import PATH_NAMES, Found, differs_in_case, file_columns, likely_files, plain_name
from botzoo.sources.annotations.splits import check_said, roles_of, split_column
from botzoo.sources.annotations.table import NoLabelsError, Table
from botzoo.sources.base import Columns, Files, ImageData, Labels, SourceOptions, Split
from botzoo.sources.labels import read_labels
from botzoo.sources.layouts.split_names import Said, option
from botzoo.sources.tables import pick_column
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import and_list, counted, listing

ROLES = ("train", "validation", "test")

MakeSplit = Callable[[str, list[int], Labels, Columns], Split]
"""Makes a split of its role, the places of its images, their labels, and what else a table says of them."""


@dataclass
class Rows:
    """The rows of all tables, one after the other.

    Attributes:
        tables: that they are of.
        paths: what stands in the columns of files.
        places: which image that is, None for none.
        roles: the split of each, where something tells it.
        columns: all others, but those of splits.
        notes: what was decided.
        words: what the user says of splits, as far as it was found.
    """

    tables: list[Table] = field(default_factory=list)
    paths: list[Any] = field(default_factory=list)
    places: list[int | None] = field(default_factory=list)
    roles: list[str | None] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    words: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """What the tables are called in messages."""
        return and_list(list(dict.fromkeys(table.name for table in self.tables)))

    def place(self, row: int) -> int:
        """Return which image a row is of that is of one."""
        place = self.places[row]
        assert place is not None
        return place

    def add(
        self,
        table: Table,
        image: str,
        places: Callable[[list[str | None]], list[int | None]],
        options: SourceOptions,
    ) -> None:
        """Add the rows of a table; ``places`` are found, given the split of each row.

        Raises:
            DataError: a column says of some rows which split they are of, and of others nothing or something else.
        """
        before, known = len(self.paths), {c: cells for c, cells in table.columns.items() if c != image}
        split, roles = split_column(table.name, known, options.label_column, options.splits) or (
            None,
            [table.role] * len(table),
        )
        if split and (missing := sum(role is None for role in roles)):
            say = f"{missing:,} of {len(roles):,} rows of {table.name} say nothing in {in_quotes(split)}"
            raise DataError(f"{say}: mend or remove them.")
        if split:
            self.notes.append(f"splits are those in column {in_quotes(split)}{_joined(known[split], roles)}")
            values = {str(cell).lower() for cell in known[split]}
            self.words |= {word for word in roles_of(options.splits) if word.lower() in values}
        self.places += places(roles)
        self.tables.append(table)
        self.paths += table.columns[image]
        self.roles += roles
        for column, cells in known.items():
            if column != split:
                self.columns.setdefault(column, [None] * before).extend(cells)
        for cells in self.columns.values():
            cells += [None] * (len(self.paths) - len(cells))


def _joined(cells: Sequence[Any], roles: Sequence[str | None]) -> str:
    """Return which words are one split, where there are several, for a note."""
    words = {role: sorted({str(cell) for cell, own in zip(cells, roles, strict=True) if own == role}) for role in ROLES}
    return "".join(f"; {and_list(each)} are {role}" for role, each in words.items() if len({*map(str.lower, each)}) > 1)


def annotated(name: str, found: Found, tables: Sequence[Table], options: SourceOptions) -> ImageData[Split]:
    """Return the images that tables name as a data set, with notes on columns, counts, and what is not used.

    Args:
        name: of the data set.
        found: its images.
        tables: one, or one for each split, that of training first.
        options: what the user says of it.

    Raises:
        DataError: columns are missing or a choice; no file is named, or one twice with different labels; labels are no
            classes, missing everywhere, or not those of the training rows.
    """
    rows, root = Rows(), os.path.join(found.root, "")  # noqa: PTH118
    for table in tables:
        try:
            _add(rows, table, found, options)
        except DataError as error:
            if table.role != "test":  # which often has no files, or no labels, as they are kept secret
                raise
            rows.notes.append(f"not used: {_shown(table, found)}, of the test split: {error}".rstrip("."))
    _say_unused(rows, found)
    _by_folder(rows, found, options.splits)

    used: set[int] = set()

    def make(role: str, places: list[int], labels: Labels, columns: Columns) -> Split:
        used.update(places)
        files = Files([found.files[place] for place in places])
        return Split(role, labels, files.read, files.describe, root=root, columns=columns)

    data = as_data(name, rows, found.names, make, options, lambda table: _shown(table, found))
    return replace(data, notes=(*data.notes, *_unlabelled(found, used)))


def as_data(
    name: str, rows: Rows, images: Sequence[str], make: MakeSplit, options: SourceOptions, shown: Callable[[Table], str]
) -> ImageData[Split]:
    """Return a data set of the rows that have an image and a label, each image once.

    Args:
        name: of the data set.
        rows: of all tables; those without a split are for training.
        images: names of the images, for messages.
        make: makes a split.
        options: what the user says of it.
        shown: tells what a table is called in notes.

    Raises:
        DataError: as ``annotated``.
    """
    check_said(rows.name, options.splits, rows.words, list(images))
    classes_only = all(os.path.basename(table.name).lower() == "_classes.csv" for table in rows.tables)  # noqa: PTH119
    training = {column: cells for column, cells in rows.columns.items() if column in rows.tables[0].columns}
    answers = read_answers(
        rows.name, training, options.label_column, options.label_separator, all_are_classes=classes_only
    )
    where = (
        f"column {in_quotes(answers.columns[0])}" if len(answers.columns) == 1 else f"{len(answers.columns)} columns"
    )
    of = dict.fromkeys(shown(table) for table in rows.tables if answers.columns[0] in table.columns)
    rows.notes.insert(0, f"labels are those in {where} of {and_list([*of])}, {answers.words}")
    kept = _kept(rows, images, answers)
    if not kept.get("train"):
        raise DataError(f"{rows.name} has no row for training with an image and a label: add some.")
    _check_trained(rows, answers, kept)
    used = {label for each in kept.values() for row in each for label in answers.cells[row] or ()}
    # a row without an image may have a name that no other has
    names = [label for label in answers.names if answers.declared or label in used]
    number = {label: k for k, label in enumerate(names)}
    lists = {
        role: [[number[label] for label in answers.cells[row] or ()] for row in each] for role, each in kept.items()
    }
    raw: dict[str, Sequence[Any]] = {
        role: cells if answers.several else [cell[0] for cell in cells] for role, cells in lists.items()
    }
    class_names, labels = read_labels(name, raw, names, lists=answers.several)
    others = {column: cells for column, cells in rows.columns.items() if column not in answers.columns}
    if unused := [column for column in others if column not in (options.group, options.label_column)]:
        rows.notes.append(f"not used: {'column' if len(unused) == 1 else 'columns'} {listing(unused)}")
    splits = {}
    for role, of_images in labels.items():
        columns = {column: _picked(cells, kept[role]) for column, cells in others.items()}
        splits[role] = make(role, [rows.place(row) for row in kept[role]], of_images, columns)
    parts = splits["train"], splits.get("validation"), splits.get("test")
    return ImageData(name, class_names, *parts, notes=tuple(rows.notes), declared=answers.declared)


def _shown(table: Table, found: Found) -> str:
    """Return what a table is called where the place of its folder stays private."""
    if table.folder is None:
        return table.name
    path = os.path.relpath(table.name, found.root)
    return os.path.basename(path) if path.startswith(os.pardir) else path  # noqa: PTH119


def _add(rows: Rows, table: Table, found: Found, options: SourceOptions) -> None:
    """Find a table's column of files, and add its rows."""
    image = _file_column(table, found, options)
    if table.header and plain_name(image) not in PATH_NAMES and found.places([image], table.folder, [None]) != [None]:
        table = table.without_header()  # what stands over the column is a file
        image = _file_column(table, found, options)
    if not table.header:
        called = ", ".join(table.columns)
        rows.notes.append(f"{_shown(table, found)} has no line that names its columns, which are called {called}")
    cells = table.columns[image]
    before = len(rows.places)
    rows.add(table, image, lambda roles: found.places(cells, table.folder, roles), options)
    named = len({*rows.places[before:]} - {None})
    if not named:
        raise _nothing_named(table, image, found)
    pairs = [(str(cell), found.names[i]) for cell, i in zip(cells, rows.places[before:], strict=True) if i is not None]
    example = next(
        (f", '{printable(cell, 60)}' for one is {in_quotes(name)}" for cell, name in pairs if cell != name), ""
    )
    count = f"{named:,} of {len(found.files):,} images"
    rows.notes.append(f"column {in_quotes(image)} of {_shown(table, found)} names {count}{example}")
    lost = [cell for cell, place in zip(cells, rows.places[before:], strict=True) if place is None]
    if outside := found.outside(lost, table.folder):
        rows.notes.append(f"{printable(outside, 60)} lies beside {_shown(table, found)}, {_wider(table)}")
    if odd := [cell for cell, name in pairs if differs_in_case(cell, name)]:
        rows.notes.append(f"{len(odd):,} of them differ in capitals only, such as {printable(odd[0], 60)}")


def _file_column(table: Table, found: Found, options: SourceOptions) -> str:
    """Return a table's column of files."""
    candidates = [] if options.image_column else file_columns(found, table.columns, table.folder)
    if options.image_column or candidates:
        return pick_column(table.name, "image", options.image_column, list(table.columns), candidates)
    raise _nothing_named(table, likely_files(table.columns), found)


def _nothing_named(table: Table, image: str, found: Found) -> DataError:
    cells = listing([str(cell)[:60] for cell in table.columns[image] if cell is not None], 2) or "nothing"
    files = listing(found.names, 2) or "no images"
    outside = found.outside(table.columns[image], table.folder)
    return NoLabelsError(
        f"{table.name} names no image in {found.root}: its column {in_quotes(image)} has {cells}, and the folder {files}. "
        f"{'' if outside is None else f'{printable(outside, 60)} lies beside the table, {_wider(table)}. '}"
        "Give the folder of the images with --dataset, or another column with --data.image-column."
    )


def _wider(table: Table) -> str:
    return f"outside of the data set's folder: --dataset {shlex.quote(str(table.folder))} has both"


def _say_unused(rows: Rows, found: Found) -> None:
    """Note the rows without a file and the files without a row."""
    missing = [str(path)[:60] for path, place in zip(rows.paths, rows.places, strict=True) if place is None]
    if missing:
        count = f"{len(missing):,} of {len(rows.paths):,} rows"
        rows.notes.append(f"not used: {count}, without a file, such as {listing(missing, 2)}")
    named = {place for place in rows.places if place is not None}
    if others := [name for i, name in enumerate(found.names) if i not in named and "." in os.path.basename(name)]:  # noqa: PTH119
        rows.notes.append(f"not used: {counted(len(others), 'image')} without a row, such as {listing(others, 2)}")


def _unlabelled(found: Found, used: set[int]) -> Iterator[str]:
    """Yield how a trained network is asked of folders in which no image is used."""
    folders = {i: name.rpartition("/")[0] for i, name in enumerate(found.names) if "." in name.rpartition("/")[2]}
    left = set(folders.values()) - {folder for i, folder in folders.items() if i in used} - {""}
    for folder in sorted(left)[:3]:
        command = f"botzoo predict {shlex.quote(os.path.join(found.root, folder))} --model RUN"  # noqa: PTH118
        yield f"what is in the images of {folder}, the trained network says with {command}"


def _by_folder(rows: Rows, found: Found, said: Said) -> None:
    """Take the splits from folders called train, test and the like, where nothing else tells and all files lie in them.

    Where the user names folders, files in others are for training unless their folder tells something else.

    Raises:
        DataError: some files lie in the folder of another split than training, and some in none.
    """
    if any(rows.roles):
        return
    words = {word: role for word, role in roles_of(said).items() if any(f"/{word}/" in f"/{n}" for n in found.names)}
    if words:
        own = [next((words[word] for word in words if f"/{word}/" in f"/{name}"), None) for name in found.names]
        rows.roles = [None if i is None else own[i] or found.role(i) or "train" for i in rows.places]
        rows.words |= words.keys()
        rows.notes.append("splits are the folders that the files lie in, as --data.splits says")
        return
    there = [None if place is None else found.role(place) for place in rows.places]
    known = {role for role, place in zip(there, rows.places, strict=True) if place is not None}
    if len(known) > 1 and None in known and known != {None, "train"}:
        lost = next(found.names[p] for p, own in zip(rows.places, there, strict=True) if p is not None and own is None)
        lie = f"{rows.name} names images in folders of the splits {listing(sorted(filter(None, known)))}, and others outside"
        folder = lost.rpartition("/")[0]
        say = f", or say what is what, such as {option({'none': [folder]})}" if folder else ""
        cure = f"add a column 'split' with train, validation or test{say}"
        raise DataError(f"{lie}, such as {in_quotes(lost)}: {cure}.")
    if "train" in known and len(known) > 1 and None not in known:
        rows.roles = there
        rows.notes.append("splits are the folders that the files lie in")


def _kept(rows: Rows, images: Sequence[str], answers: Answers) -> dict[str, list[int]]:
    """Return, by role, the rows that have an image and a label, each image once."""
    kept: dict[str, list[int]] = {}
    first: dict[int, int] = {}
    without = dict.fromkeys(ROLES, 0)
    again = 0
    for row, (place, known, labels) in enumerate(zip(rows.places, rows.roles, answers.cells, strict=True)):
        role = known or "train"
        if place is None or role == "none":
            continue
        if labels is None:
            without[role] += 1
        elif first.setdefault(place, row) != row:
            _check_same(rows, images[place], answers, first[place], row)
            again += 1
        else:
            kept.setdefault(role, []).append(row)
    if left := rows.roles.count("none"):
        rows.notes.append(f"not used: {counted(left, 'row')} that --data.splits leaves out")
    if again:
        rows.notes.append(
            f"counted once: {counted(again, 'more row', 'more rows')} of images that have one, saying the same"
        )
    for role, count in without.items():
        if count and role == "test" and role not in kept:
            rows.notes.append("the test split has no labels, so it is not used")
        elif count:
            rows.notes.append(f"not used: {counted(count, 'row')} of the {role} split without a label")
    return {role: kept[role] for role in ROLES if role in kept}


def _check_same(rows: Rows, image: str, answers: Answers, *pair: int) -> None:
    """Raise DataError unless two rows of one image say the same."""
    one, other = (rows.roles[row] or "train" for row in pair)
    if one != other:
        raise DataError(
            f"{in_quotes(image)} is in the {one} split and in the {other} split of {rows.name}: remove one."
        )
    labels = [sorted(answers.cells[row] or ()) for row in pair]
    if labels[0] != labels[1]:
        said = " and ".join(listing(each) or "no label" for each in labels)
        cure = "remove one; several labels of an image stand in one row, as a|b"
        raise DataError(f"{in_quotes(image)} has two rows in {rows.name}, which say {said}: {cure}.")


def _check_trained(rows: Rows, answers: Answers, kept: dict[str, list[int]]) -> None:
    trained = {label for row in kept["train"] for label in answers.cells[row] or ()}
    for role, each in kept.items():
        for row in each:
            if unknown := [label for label in answers.cells[row] or () if label not in trained]:
                has = (
                    f"The {role} split of {rows.name} has the label {in_quotes(unknown[0])}, which no training row has"
                )
                raise DataError(f"{has}: add some, or remove those rows.")


def _picked(cells: Sequence[Any], rows: Sequence[int]) -> NDArray[np.object_]:
    picked = np.empty(len(rows), object)  # filled one by one: of lists of one length it would have more axes
    for i, row in enumerate(rows):
        picked[i] = cells[row]
    return picked
