"""Tables as people have them, CSV, TSV, JSON lines, parquet or a DataFrame, as columns of plain cells."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from botzoo.errors import DataError
from botzoo.sources.annotations.lists import rows_of_json, rows_of_text
from botzoo.sources.annotations.paths import as_path
from botzoo.sources.files import MAX_TEXT, named, open_file, read_file, unpacked
from botzoo.sources.folders import IMAGE_SUFFIXES
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import brief, counted, listing

PACKED = ("", ".gz", ".bz2", ".xz")
"""What may stand behind the suffix of a table that is text."""

SUFFIXES = (*(f"{kind}{end}" for kind in (".csv", ".tsv", ".jsonl", ".ndjson") for end in PACKED), ".parquet")
"""How tables are called."""

LISTS = tuple(f"{kind}{end}" for kind in (".txt", ".json") for end in PACKED)
"""How label lists are called; of a name like theirs are other things too, so that one is read only if the user names it."""

_ENDS = (*SUFFIXES, *LISTS)

MAX_COLUMNS = 20_000
"""More are no table of labels: one column for each of the 18,000 classes of Open Images is the most that is known."""

MAX_NAME = 1_000

MAX_ROWS = 20_000_000

MAX_PARQUET = 1 << 30
"""Most bytes of the columns of a parquet table, before compression."""

_KINDS = 'a file, a DataFrame, {"1.jpg": "cat", ...} or [["1.jpg", "cat"], ...]'

SHORT = 64
"""Most bytes in a cell, on average, that are taken for text: fewer than those of the smallest PNG."""


class NoLabelsError(DataError):
    """A table is none of labels: it cannot be read, names no image of the data set, or has no column of classes."""


@dataclass(frozen=True)
class Table:
    """Columns of cells, all of one length: text without blanks around it, numbers, truth values, lists of these, or None.

    Attributes:
        name: for messages: its path as the user knows it.
        folder: that it lies in; None of a DataFrame.
        role: the split that its name tells: train, validation or test.
        header: whether its columns have names of their own.
    """

    name: str
    columns: dict[str, list[Any]]
    folder: Path | None = None
    role: str | None = None
    header: bool = True

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def without_header(self) -> Table:
        """Return the table with the line of its names as its first row."""
        named = enumerate(self.columns.items(), 1)
        return replace(self, columns={f"column {k}": [tidy(name), *cells] for k, (name, cells) in named}, header=False)


def kind_of(path: Path) -> str | None:
    """Return the suffix of a table or a label list, such as .csv, in small letters and without that of its packing."""
    name = path.name.lower()
    if not name.endswith(_ENDS):  # as nearly all of a great many files
        return None
    return f".{next(end for end in _ENDS if name.endswith(end)).split('.')[1]}"


def stem_of(path: Path) -> str:
    """Return the name of a table without its suffixes."""
    return path.name[: path.name.lower().rindex(kind_of(path) or path.suffix.lower())]


def read_table(path: Path, role: str | None = None) -> Table:
    """Read a file; no type is guessed: the cells of CSV and TSV are text, so that 007 stays 007.

    Raises:
        DataError: it is missing, too large, damaged, of another kind or encoding, or has no rows.
    """
    kind, name, header = kind_of(path), str(path), True
    try:
        if kind == ".parquet":
            columns = _read_parquet(path)
        elif kind in (".jsonl", ".ndjson"):
            columns = _read_lines(path, _text(path))
        elif kind == ".json":
            columns, header = _read_json(path, _text(path))
        elif kind is not None:
            columns, header = _read_csv(path, _text(path), kind)
        else:
            most = ", ".join(end for end in _ENDS if end.count(".") == 1)
            raise DataError(f"{name} is no table: give a file whose name ends in {most}, or in one of these and .gz.")
    except FileNotFoundError as error:
        raise DataError(f"There is no table {name}: check the path.") from error
    return _filled(Table(name, columns, path.parent, role, header))


def read_frame(name: str, frame: Any, role: str | None = None) -> Table:
    """Return a DataFrame of pandas or polars, an Arrow table, or a list or dict as a JSON file may hold it, as a table.

    Raises:
        DataError: it is none of them, is empty, or has two columns of one name.
    """
    if isinstance(frame, dict | list | tuple):
        return _read_objects(name, frame, role)
    levels = getattr(getattr(frame, "index", None), "names", ())
    if named_levels := [level for level in levels if level is not None and level not in frame.columns]:
        frame = frame.reset_index(named_levels)  # of pandas: an index with a name is a column as any other
    names = getattr(frame, "column_names", None) or getattr(frame, "columns", None)
    if names is None or not hasattr(frame, "__getitem__"):
        raise DataError(f"The labels are of type {type(frame).__name__}: give {_KINDS}.")
    _check_once(f"The labels of {name}", list(map(str, names)))
    cells = {
        str(column): values.to_list() if hasattr(values := frame[column], "to_list") else values for column in names
    }
    return _filled(Table(name, {column: [*map(tidy, values)] for column, values in cells.items()}, role=role))


def _read_objects(name: str, found: Any, role: str | None) -> Table:
    try:
        rows, header = rows_of_json(_plain(found))
    except (ValueError, RecursionError) as error:
        has = f"The labels are a {type(found).__name__} of {len(found):,}, which does not say which file has which"
        raise DataError(f"{has}: give {_KINDS}.") from error
    return _filled(Table(name, _columns_of(name, rows), role=role, header=header))


def _plain(found: Any) -> Any:
    """Return lists and dicts as JSON has them."""
    if isinstance(found, dict):
        return {str(key): _plain(value) for key, value in found.items()}
    return [_plain(value) for value in found] if isinstance(found, list | tuple) else tidy(as_path(found))


def _filled(table: Table) -> Table:
    if not table.columns or not len(table):
        raise DataError(f"{table.name} is empty: give it a row for each image, with its file and its label.")
    return table


def is_frame(data: Any) -> bool:
    """Tell whether an object is a DataFrame, without an import of the libraries that have them."""
    return hasattr(data, "columns") and hasattr(data, "__getitem__") and not isinstance(data, type)


def tidy(cell: Any) -> Any:
    """Return a cell as ``Table`` has it; NaN and empty text are None."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):  # of pandas
        return None
    if getattr(cell, "ndim", None) == 0 or (
        type(cell).__module__ == "numpy" and hasattr(cell, "item") and not cell.ndim
    ):
        cell = cell.item()
    if hasattr(cell, "as_py"):  # of Arrow
        cell = cell.as_py()
    if isinstance(cell, bytes):
        try:
            cell = cell.decode("utf-8")
        except UnicodeDecodeError:
            return cell
    if isinstance(cell, str):
        text = cell.strip()
        return None if text.lower() in ("", "nan") else text
    if isinstance(cell, float) and math.isnan(cell):
        return None
    if isinstance(cell, list | tuple | set | frozenset) or getattr(cell, "ndim", None) == 1:
        return [tidy(inner) for inner in cell]
    return cell


def _text(path: Path) -> str:
    with named(path):
        content = unpacked(read_file(path, MAX_TEXT), MAX_TEXT)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content[:4096]:
        raise DataError(f"{path} is in UTF-16, or no text: save it as UTF-8.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not in UTF-8 (line {line}, byte {content[error.start]:#04x}): save it as that."
        ) from error


def _read_csv(path: Path, text: str, kind: str) -> tuple[dict[str, list[Any]], bool]:
    """Return the columns, and whether the first line names them: it does not where the name of a file stands in it."""
    if kind == ".txt":
        return _read_list(path, text)
    tabs = kind == ".tsv"
    delimiter = "\t" if tabs else _delimiter(text[: text.find("\n") + 1] or text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=not tabs, strict=True)
    rows = _csv_rows(path, reader)
    first = next(rows, [])
    header = not any(cell.strip().lower().endswith(IMAGE_SUFFIXES) for cell in first)
    names = _names(path, first if header else [""] * len(first))
    rows = rows if header else chain([first], rows)
    whole = []
    for row in rows:
        if len(row) != len(names):
            has = f"Line {reader.line_num} of {path} has {counted(len(row), 'cell')}, and its first line {len(names)}"
            raise DataError(f"{has}: mend it, with quotes around cells that have a {in_quotes(delimiter)} in them.")
        whole.append(row)
    columns = zip(*whole, strict=True) if whole else [()] * len(names)
    return {name: _each_once(cells) for name, cells in zip(names, columns, strict=True)}, header


def _read_list(path: Path, text: str) -> tuple[dict[str, list[Any]], bool]:
    """Return the columns of a label list, and whether its first line names them."""
    try:
        rows, header = rows_of_text(text)
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path} is no label list ({brief(error)}): give a file and its label on each line.") from error
    names = _names(path, rows[0] if header else [""] * len(rows[0] if rows else ()))
    rows = rows[1:] if header else rows
    if odd := next((row for row in rows if len(row) != len(names)), None):
        has = f"{path} has {counted(len(names), 'cell')} in its first line, and {len(odd)} in that of {in_quotes(odd[0][:60])}"
        raise DataError(f"{has}: mend it, with tabs between cells that hold blanks.")
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return {name: _each_once(cells) for name, cells in zip(names, columns, strict=True)}, header


def _each_once(cells: Sequence[str]) -> list[Any]:
    """Return cells as ``tidy`` has them, equal ones as one object."""
    known = {cell: tidy(cell) for cell in set(cells)}
    return [known[cell] for cell in cells]


def _csv_rows(path: Path, reader: Any) -> Iterator[list[str]]:
    """Yield the rows that are not blank."""
    try:
        yield from (row for row in reader if any(row))
    except csv.Error as error:
        raise DataError(f"Line {reader.line_num} of {path} cannot be read ({brief(error)}): mend it.") from error


def _delimiter(line: str) -> str:
    """Return what stands between the cells of a file's first line: a spreadsheet of other countries writes semicolons."""
    return next((mark for mark in ("\t", ",", ";") if mark in line), ",")


def _names(path: Path, row: Sequence[str]) -> list[str]:
    """Return the names of columns; one without a name, as pandas writes its index, gets one."""
    names = [name.strip() or f"column {k}" for k, name in enumerate(row, 1)]
    if len(names) > MAX_COLUMNS or max(map(len, names), default=0) > MAX_NAME:
        most = f"{MAX_COLUMNS:,} with names of {MAX_NAME:,} letters are the most that are read"
        raise DataError(f"The first line of {path} names {len(names):,} columns: {most}.")
    _check_once(str(path), names)
    return names


def _check_once(where: str, names: Sequence[str]) -> None:
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise DataError(f"{where} has several columns with the name {listing(twice)}: give each its own.")


def _read_json(path: Path, text: str) -> tuple[dict[str, list[Any]], bool]:
    """Return the columns of a JSON file, and whether they have names of their own."""
    try:
        rows, named = rows_of_json(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({brief(error)}): mend it.") from error
    return _columns_of(path, rows), named


def _read_lines(path: Path, text: str) -> dict[str, list[Any]]:
    return _columns_of(path, _rows_in_lines(path, text))


def _rows_in_lines(path: Path, text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"Line {number} of {path} is no JSON ({brief(error)}): mend it.") from error
        if not isinstance(row, dict):
            raise DataError(
                f'Line {number} of {path} is not {{"name": value, ...}}: give one such line for each image.'
            )
        yield row


def _columns_of(path: Path | str, rows: Iterable[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return rows as columns; groups in a cell, such as boxes, are no labels."""
    columns: dict[str, list[Any]] = {}
    for count, row in enumerate(rows):
        try:
            cells = {name: None if isinstance(cell, dict) else tidy(cell) for name, cell in row.items()}
        except RecursionError as error:
            raise DataError(f"Row {count} of {path} holds lists in each other: mend it.") from error
        for name in cells:
            if name not in columns:
                columns[name] = [None] * count
        if len(columns) > MAX_COLUMNS or len(columns) * count > 20 * MAX_ROWS:
            raise DataError(f"The rows of {path} have {len(columns):,} different names: too many to be columns.")
        for name, column in columns.items():
            column.append(cells.get(name))
    return columns


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    """Return the columns that may be files, labels or splits; those of a data set's pictures are not even read."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    with named(path), open_file(path) as file:
        try:
            facts = ParquetFile(file)
            schema = facts.schema_arrow  # made anew each time that it is asked for
            _check_once(str(path), schema.names)
            if (count := len(schema.names)) > MAX_COLUMNS:
                raise DataError(f"{path} has {count:,} columns: {MAX_COLUMNS:,} are the most that are read.")
            kept, rows = plain_columns(facts), facts.metadata.num_rows
            sizes = _bytes_by_column(facts)
            size = sum(sizes[name] for name in kept)
            if size > MAX_PARQUET or rows > MAX_ROWS:
                most = f"{MAX_ROWS:,} and {MAX_PARQUET:,} are the most that is read"
                raise DataError(f"{path} has {rows:,} rows and {size:,} bytes: {most}.")
            kinds = dict(zip(schema.names, schema.types, strict=True))
            texts = [name for name in kept if _is_text(kinds[name])]
            read = ParquetFile(file, read_dictionary=texts).read(kept)  # a text of a million rows is held once
            columns = dict(zip(read.column_names, read.columns, strict=True))
            return {name: [tidy(cell) for cell in _cells(columns[name])] for name in kept}
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            why = brief(error)
            raise DataError(f"{path} is damaged or no parquet file ({why}): get it again, or remove it.") from error


def plain_columns(file: Any) -> list[str]:
    """Return the columns of a ``ParquetFile`` that may be names of files or labels.

    They are of text, numbers, truth values, or lists of these, or of bytes that are too few to be pictures.
    """
    from pyarrow import types

    binary = (types.is_binary, types.is_large_binary, types.is_binary_view)
    few, schema, sizes = SHORT * max(1, file.metadata.num_rows), file.schema_arrow, _bytes_by_column(file)
    return [
        name
        for name, kind in zip(schema.names, schema.types, strict=True)
        if _is_plain(kind) or (any(is_kind(kind) for is_kind in binary) and sizes[name] <= few)
    ]


def holds_no_pictures(path: Path) -> bool:
    """Tell whether nothing in a parquet file may be pictures; False where it is none."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with open_file(path) as file:
            opened = ParquetFile(file)
            return bool(plain_columns(opened) == opened.schema_arrow.names)
    except (ArrowException, OSError, ValueError):
        return False


def _bytes_by_column(file: Any) -> Counter[str]:
    """Return how many bytes each column takes; those of a structure are named column.part."""
    sizes: Counter[str] = Counter()
    names = set(file.schema_arrow.names)
    for group in map(file.metadata.row_group, range(file.metadata.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            parts = chunk.path_in_schema.split(".")
            ends = (".".join(parts[:k]) for k in range(len(parts), 0, -1))  # a name may have dots itself
            sizes[next((end for end in ends if end in names), "")] += chunk.total_uncompressed_size
    return sizes


def _cells(column: Any) -> Iterator[Any]:
    import pyarrow as pa

    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type):
            values = chunk.dictionary.to_pylist()
            yield from (None if index is None else values[index] for index in chunk.indices.to_pylist())
        else:
            yield from chunk.to_pylist()


def _is_text(kind: Any) -> bool:
    return str(kind) in ("string", "large_string")


def _is_plain(kind: Any) -> bool:
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    tests = types.is_integer, types.is_floating, types.is_boolean, types.is_string_view, types.is_null
    return _is_text(kind) or any(is_kind(kind) for is_kind in tests)
