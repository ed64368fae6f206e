"""What a table says of its images: which of its columns are labels, and whether an image has one of them or several."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.sources.annotations.paths import plain_name
from botzoo.sources.annotations.splits import BITS
from botzoo.sources.annotations.table import NoLabelsError
from botzoo.sources.labels import unsaid
from botzoo.sources.tables import LABEL_NAMES, pick_column
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import and_list, listing

_MORE = "classname labelname category categories tag tags classes species breed diagnosis y"

USUAL = frozenset([*map(plain_name, LABEL_NAMES), *_MORE.split()])
"""Names of columns of labels, as ``plain_name`` has them."""

FEW = 100
"""Whole numbers that leave gaps are classes where there are no more different ones; more are taken for measurements."""

SEPARATORS = {"|": "|", ";": ";", ",": ",", " ": "space"}
"""What stands between several labels in one cell, and what each is called in an option; none means that none does."""

MAX_LABEL = 1_000
"""Letters; a label that has more is none."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WHOLE = re.compile(r"([+-]?\d+)\.0+")


@dataclass(frozen=True)
class Answers:
    """The labels of the rows of a table.

    Attributes:
        cells: of each row the names of its labels, None where it says nothing.
        names: of all classes, in their order.
        several: whether an image may have any number of labels.
        columns: that they stand in.
        words: how they were read.
        declared: whether the names stand at the head of columns, so that a class without images is one all the same.
    """

    cells: list[list[str] | None]
    names: tuple[str, ...]
    several: bool
    columns: tuple[str, ...]
    words: str
    declared: bool = False


def read_answers(
    name: str, columns: dict[str, list[Any]], asked: str | None, separator: str | None, *, all_are_classes: bool = False
) -> Answers:
    """Find the labels among columns that name no files, and read them.

    Whole numbers are the names of classes where they run without gaps from 0 or 1, or are at most ``FEW`` different ones. All
    others, and fractions, are measurements, which no classifier learns.

    Args:
        name: of the table, for messages.
        columns: cells as in ``Table``.
        asked: the column that the user names, or several, with commas between them, that are 0 and 1 for one class each.
        separator: what stands between several labels in a cell, ``space``, or ``none``; None where nobody has said.
        all_are_classes: whether every column is known to be 0 and 1 for one class.

    Raises:
        DataError: there is no such column, or a choice; or what stands in it are no classes.
    """
    if asked is not None and asked not in columns and "," in asked:
        wanted = [part.strip() for part in asked.split(",")]
        for part in wanted:
            pick_column(name, "label", part, list(columns), [])
        if wrong := next((part for part in wanted if not _is_binary(columns[part])), None):
            holds = f"Column {in_quotes(wrong)} of {name} holds {_shown(columns[wrong])}"
            raise DataError(f"{holds}: several columns need 0 and 1 in each.")
        return _one_hot({part: columns[part] for part in wanted})
    told = {c: cells for c, cells in columns.items() if any(cell is not None for cell in cells)}
    binary = {column: cells for column, cells in told.items() if _is_binary(cells)}
    if all_are_classes and asked is None:
        if wrong := next((column for column in told if column not in binary), None):
            raise DataError(
                f"Column {in_quotes(wrong)} of {name} holds {_shown(told[wrong])}: 0 or 1 for each class is needed."
            )
        return _one_hot(binary)
    marked = {column: cells for column, cells in told.items() if column in binary or _are_marks(cells)}
    if asked is None and len(marked) >= 2 and _only_one_hot(told, marked):
        _check_whole(name, marked)
        return _one_hot(marked)
    found = _candidates(told, binary) if asked is None else []
    try:
        column = pick_column(name, "label", asked, list(columns), found)
    except DataError as error:
        if asked is None and not found:
            raise NoLabelsError(str(error)) from error
        raise
    return _read_column(name, column, columns[column], separator)


def _candidates(told: dict[str, list[Any]], binary: dict[str, list[Any]]) -> list[str]:
    """Return the columns that may be the labels: those with a usual name, or else those that sort the rows into classes."""
    found = [column for column in told if plain_name(column) in USUAL]
    if not found:
        found = [column for column, cells in told.items() if column not in binary and _sorts(cells)]
        if len(binary) > 1:  # a choice, as it is said
            return [*found, ",".join(binary)]
        found = found or list(binary)
    same: list[str] = []
    for column in sorted(found, key=lambda column: _are_numbers(told[column])):  # words before the numbers of the same
        if not any(_same_classes(told[column], told[other]) for other in same):
            same.append(column)
    return same


def _only_one_hot(told: dict[str, list[Any]], binary: dict[str, list[Any]]) -> bool:
    """Tell whether columns of 0 and 1 are the labels: nothing else may be, or each row has exactly one 1 in them."""
    others = [column for column in told if column not in binary]
    if any(plain_name(column) in USUAL for column in told):
        return False
    bits = _bits(list(binary.values()))
    exclusive = len(binary) > 2 and (bits[(bits >= 0).any(1)].clip(0).sum(1, np.int64) == 1).all()
    return bool(exclusive) or not any(_sorts(told[column]) for column in others)


def _check_whole(name: str, columns: dict[str, list[Any]]) -> None:
    """Raise DataError where a column has -1 besides 0 and 1, or an empty cell in a row that says something of another."""
    bits = _bits(list(columns.values()))
    empty = np.array([[cell is None for cell in cells] for cells in columns.values()]).T
    some = ~empty.all(1, keepdims=True)
    unclear = np.asarray(((bits < 0) & some).any(0))
    clean = [column for column, doubtful in zip(columns, unclear.tolist(), strict=True) if not doubtful]
    for what, where in (("-1", (bits < 0) & ~empty), ("empty cells", empty & some)):
        if where.any():
            has = [f"{in_quotes(column)} ({n:,})" for column, n in zip(columns, where.sum(0), strict=True) if n]
            others = f"; the others are {','.join(clean)}" if clean else ""
            shown = f"{and_list(has[:5])}{', and more' * (len(has) > 5)}"
            cure = "put 0 or 1 there, or name the columns that are labels with --data.label-column A,B"
            raise DataError(f"{name} has {what} in columns of 0 and 1, {shown}: {cure}{others[:200]}.")


def _are_marks(cells: Sequence[Any]) -> bool:
    """Tell whether all cells are 0, 1 or, for what is not certain, -1."""
    seen = {cell for cell in cells if isinstance(cell, str | int | float)}
    return len(seen) > 1 and _are_numbers(cells) and {float(cell) for cell in seen} <= {-1.0, 0.0, 1.0}


def _bit(cell: Any) -> int | None:
    """Return 0 or 1 for a cell that is one of the two, in whatever type."""
    if isinstance(cell, bool | int | float):
        return int(cell) if cell in (0, 1) else None
    return BITS.get(cell.lower()) if isinstance(cell, str) else None


def _is_binary(cells: Sequence[Any]) -> bool:
    if not all(isinstance(cell, str | int | float | None) for cell in cells):
        return False
    different = set(cells) - {None}
    return bool(different) and all(_bit(cell) is not None for cell in different)


def _bits(columns: Sequence[Sequence[Any]]) -> NDArray[np.int8]:
    """Return K columns of N cells as 0 and 1, and -1 for an empty cell; shape (N, K)."""
    bits = np.empty((len(columns[0]), len(columns)), np.int8)
    for j, cells in enumerate(columns):
        known = {cell: -1 if (bit := _bit(cell)) is None else bit for cell in set(cells)}
        bits[:, j] = [known[cell] for cell in cells]
    return bits


def _one_hot(columns: dict[str, list[Any]]) -> Answers:
    """Read columns of 0 and 1, one for each class; a row with an empty cell says nothing."""
    names, bits = tuple(columns), _bits(list(columns.values()))
    rows = [[names[k] for k in np.flatnonzero(row)] if row.min() >= 0 else None for row in bits]
    several = any(row is not None and len(row) != 1 for row in rows)
    words = f"0 or 1 for each of {listing(names)}; " + (
        "several labels to an image" if several else "always a single 1"
    )
    return Answers(rows, names, several, names, words, declared=True)


def _sorts(cells: Sequence[Any]) -> bool:
    """Tell whether cells may be classes: text or lists, some of which come more than once, or few whole numbers."""
    seen = [cell for cell in cells if cell is not None]
    if any(isinstance(cell, list) for cell in seen):
        return all(isinstance(cell, list) and all(isinstance(inner, str) for inner in cell) for cell in seen)
    if not all(isinstance(cell, str | int | bool) for cell in seen):
        return False
    counts = Counter(map(str, seen))
    return 1 < len(counts) < len(seen) and (not _are_numbers(seen) or _are_classes(counts))


def _are_numbers(cells: Iterable[Any]) -> bool:
    seen = [cell for cell in cells if cell is not None]
    return bool(seen) and all(
        isinstance(cell, int | float) or (isinstance(cell, str) and _NUMBER.fullmatch(cell) is not None)
        for cell in seen
    )


def _are_classes(numbers: Iterable[str]) -> bool:
    """Tell whether different whole numbers, as text, are taken for classes; see ``read_answers``."""
    found = {int(number) if re.fullmatch(r"[+-]?\d{1,18}", number) else None for number in numbers}
    whole = {number for number in found if number is not None}
    return found == whole and (len(whole) <= FEW or whole in ({*range(len(whole))}, {*range(1, len(whole) + 1)}))


def _same_classes(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Tell whether two columns say the same in other words: each value of one goes with one of the other."""
    pairs = {(str(a), str(b)) for a, b in zip(first, second, strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _read_column(name: str, column: str, cells: list[Any], separator: str | None) -> Answers:
    where = f"Column {in_quotes(column)} of {name}"
    seen = [cell for cell in cells if cell is not None]
    if not seen:
        raise DataError(f"{where} is empty: it says nothing of any image. Name another one with --data.label-column.")
    if all(isinstance(cell, str) and cell.startswith("[") and cell.endswith("]") for cell in seen):
        cells = [None if cell is None else _written_list(where, cell) for cell in cells]
    if any(isinstance(cell, list) for cell in cells):
        return _of_lists(where, column, cells)
    known = _names_of(where, cells)
    mark = _separator(where, [cell for cell in known if cell is not None], separator)
    if mark is not None:
        parts = [None if cell is None else map(str.strip, cell.split(mark)) for cell in known]
        lists = [None if cell is None else [part for part in cell if part] for cell in parts]
        words = f"several in a cell, with {in_quotes(SEPARATORS.get(mark, mark))} between them"
        return Answers(lists, _sorted(where, lists), True, (column,), _with_unsaid(words, lists))
    single = [None if cell is None else [cell] for cell in known]
    different = len({cell for cell in known if cell is not None})
    if different == len(seen) > 2:
        raise DataError(
            f"{where} is different in each of its {len(seen):,} rows, such as {_shown(seen)}: labels are shared by images. "
            "Name another one with --data.label-column."
        )
    words = "one to an image" + ("; the numbers are the names of the classes" if _are_numbers(seen) else "")
    return Answers(single, _sorted(where, single), False, (column,), _with_unsaid(words, single))


def _with_unsaid(words: str, cells: Iterable[list[str] | None]) -> str:
    return "; ".join([words, *unsaid(label for cell in cells for label in cell or ())])


def _of_lists(where: str, column: str, cells: Sequence[Any]) -> Answers:
    """Read lists of names; where each has exactly one, an image has one label."""
    lists = [cell if cell is None or isinstance(cell, list) else [cell] for cell in cells]
    told = [cell for cell in lists if cell is not None]
    length = len(told[0]) if len({*map(len, told)}) == 1 else 0
    if length > 1 and all(_bit(bit) is not None for cell in told for bit in cell):
        hot = {f"class {k}": [None if cell is None else cell[k] for cell in lists] for k in range(length)}
        return replace(_one_hot(hot), columns=(column,))
    names = iter(_names_of(where, [label for cell in lists for label in cell or ()]))
    known: list[list[str] | None] = [None if cell is None else [next(names) or "" for _ in cell] for cell in lists]
    if all(cell is None or len(cell) == 1 for cell in known):
        words = _with_unsaid("lists, always of one: one label to an image", known)
        return Answers(known, _sorted(where, known), False, (column,), words)
    words = _with_unsaid("lists: several labels to an image", known)
    return Answers(known, _sorted(where, known), True, (column,), words)


def _written_list(where: str, cell: str) -> list[Any]:
    """Return the list that a cell of text holds, as Python or JSON write them."""
    try:
        found = json.loads(cell if '"' in cell else cell.replace("'", '"'))
    except (ValueError, RecursionError):
        found = [part.strip(" '\"") for part in cell[1:-1].split(",") if part.strip()]
    if any(isinstance(label, list | dict) for label in found):
        raise DataError(f"{where} holds {in_quotes(cell)}: a label is a word or a number.")
    return [str(label) for label in found]


def _names_of(where: str, cells: Sequence[Any]) -> list[str | None]:
    """Return cells as names of classes; raise DataError where they are measurements or no labels at all."""
    seen = [cell for cell in cells if cell is not None]
    if wrong := next((cell for cell in seen if not isinstance(cell, str | int | float)), None):
        raise DataError(
            f"{where} holds {in_quotes(str(wrong)[:60])}: labels must be whole numbers or text, or lists of these."
        )
    if not _are_numbers(seen):
        return [None if cell is None else str(cell) for cell in cells]
    text = [None if cell is None else str(int(cell) if isinstance(cell, bool) else cell) for cell in cells]
    # 3.0 is what a column of whole numbers becomes where one of them was missing
    whole = [None if cell is None else _without_zeros(cell) for cell in text]
    different = {cell for cell in whole if cell is not None}
    if not _are_classes(different):
        are_whole = all(re.fullmatch(r"[+-]?\d+", cell) for cell in different)
        kind = "whole numbers" if are_whole else "numbers with fractions"
        raise DataError(
            f"{where} holds {len(different):,} different {kind}, such as {_shown(seen)}: they are taken for measurements, and "
            "only classes are learned. Make classes of them, with words such as 'low' and 'high', or name another column with "
            "--data.label-column."
        )
    return whole


def _without_zeros(number: str) -> str:
    found = _WHOLE.fullmatch(number)
    return found[1] if found else number


def _separator(where: str, cells: Sequence[str], asked: str | None) -> str | None:
    """Return what stands between the labels in a cell; None where each is one label.

    Bars and semicolons always do. Commas and blanks, which names have too, do where each part is also the whole of another
    cell; where parts only come in several cells they may, and the user is asked.
    """
    if asked is not None:
        return None if asked == "none" else next((mark for mark, word in SEPARATORS.items() if word == asked), asked)
    different = set(cells)
    for mark in SEPARATORS:
        composed = [cell for cell in different if mark in cell]
        if not composed:
            continue
        if mark in "|;":
            return mark
        parts = Counter(part for cell in composed for part in {each.strip() for each in cell.split(mark)} if part)
        if all(part in different for part in parts):
            return mark
        if all(count > 1 or part in different for part, count in parts.items()) and len(composed) > 2:
            word = SEPARATORS[mark]
            raise DataError(
                f"{where} has {_shown(sorted(composed))}, which may be one name or several labels each: say so with "
                f"--data.label-separator {word}, or --data.label-separator none."
            )
    return None


def _sorted(where: str, cells: Iterable[list[str] | None]) -> tuple[str, ...]:
    """Return all names, in the order of text, or of numbers where all are; raise DataError for one that is too long."""
    names = {name for cell in cells for name in cell or ()}
    if (most := max(map(len, names), default=0)) > MAX_LABEL:
        raise DataError(f"{where} holds a label of {most:,} letters, and {MAX_LABEL:,} are the most: shorten it.")
    by_number: Callable[[str], Any] = lambda name: (int(name), name)  # noqa: E731
    return tuple(sorted(names, key=by_number if all(re.fullmatch(r"[+-]?\d{1,18}", name) for name in names) else None))


def _shown(cells: Iterable[Any]) -> str:
    seen = dict.fromkeys("empty cells" if cell is None else in_quotes(str(cell)[:40]) for cell in cells)
    return ", ".join([*seen][:3])
