"""From labels as they stand, numbers or names, one or a list of them for each image, to the numbers of the classes."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from botzoo.errors import DataError, printable
from botzoo.sources.base import UNLABELLED, Labels
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import and_list, counted, listing

_UNSAID = frozenset(("", "na", "n/a", "<na>", "#n/a", "nan", "null", "none", "nil", "?", "-", "--"))
"""What programs write for a label that nobody knows, in small letters; each may as well be a class."""


def unsaid(labels: Iterable[Any]) -> list[str]:
    """Return a line on labels that may mean that nothing is known, with how many rows have each; none where there are none.

    So does -1 beside two other numbers or more.
    """
    counts = Counter(map(str, labels))
    found = [label for label in counts if label.strip().lower() in _UNSAID]
    if {"-1"} < counts.keys() and len(counts) > 2 and all(re.fullmatch(r"-?\d+", label) for label in counts):
        found.append("-1")
    rows = [f"{in_quotes(label)} in {counted(counts[label], 'row')}" for label in found]
    each = "is a class as any other" if len(rows) == 1 else "are classes as any others"
    return [f"{and_list(rows)} {each}: leave those cells empty if it means that nothing is known"] if rows else []


def element(feature: Any) -> Any | None:
    """Return the type of what the lists of a column hold, None where its cells are no lists."""
    import datasets

    if isinstance(feature, datasets.List | datasets.LargeList):
        return feature.feature
    return feature[0] if isinstance(feature, list) and feature else None


def read_labels(
    name: str, raw: dict[str, Sequence[Any]], declared: Sequence[str] | None, *, lists: bool
) -> tuple[tuple[str, ...], dict[str, Labels]]:
    """Return the class names and the labels of each split but a test split without any; ``UNLABELLED`` where there is none.

    Args:
        raw: by role, the label of each image as it stands, or with ``lists`` its list of them; None where it has none.
        declared: the names of the classes, which the labels are numbers of; None where the labels are the names.

    Raises:
        DataError: an image has no list, or a label in it that is no class.
    """
    if lists:
        # A test split whose labels are kept secret has none at all; elsewhere a missing list is an error.
        if raw.get("test") and all(value is None for value in raw["test"]):
            raw = {role: cells for role, cells in raw.items() if role != "test"}
        return _read_lists(name, raw, declared)
    known = range(len(declared)) if declared is not None else sorted({v for v in raw["train"] if v is not None})
    index = {value: i for i, value in enumerate(known)}

    labels: dict[str, Labels] = {}
    for role, cells in raw.items():
        kept_secret = role == "test" and index.keys().isdisjoint(cells)
        if declared is None and not kept_secret:
            for i, value in enumerate(cells):
                if value not in index and value not in (None, UNLABELLED):
                    raise _unknown_label(f"Row {i} of the {role} split of {name}", value, list(map(str, known)))
        # a number that is no class stays as it is, so that the error can state it
        numbers = [index.get(v, UNLABELLED if declared is None or v is None else v) for v in cells]
        labels[role] = np.array(numbers, np.int64)
    return tuple(declared if declared is not None else map(str, known)), labels


def _unknown_label(where: str, label: Any, names: Sequence[str]) -> DataError:
    none_of = f"which is none of its {len(names)} classes: {listing(names)}"
    return DataError(f"{where} has label {in_quotes(label)}, {none_of}. Mend or remove it.")


def _read_lists(
    name: str, cells: dict[str, Sequence[Any]], declared: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, Labels]]:
    """Return the names of the classes and which of them each image has, as ``read_labels``; lists may be empty.

    Where no names are declared, lists of 0 and 1 in the training split, all of one length of 2 or more, say of each class
    whether it is there; its name is not known. All other labels, text or whole numbers, are names themselves.
    """
    for role, rows in cells.items():
        if None in rows:
            where = f"Row {rows.index(None)} of the {role} split of {name}"
            raise DataError(f"{where} has no list of labels: give an empty one to an image that has none.")
    train = cells["train"]
    lengths, values = {len(row) for row in train}, {value for row in train for value in row}
    indicators = len(lengths) == 1 and min(lengths) >= 2 and values <= {0, 1}
    if declared is None and indicators and all(isinstance(value, bool | int) for value in values):  # 1.0 would do as 1
        classes = min(lengths)
        for role, rows in cells.items():
            for i, row in enumerate(rows):
                if len(row) != classes or not set(row) <= {0, 1}:
                    where = f"Row {i} of the {role} split of {name} has the labels {printable(repr(row), 60)}"
                    raise DataError(f"{where}: as in training, there must be {classes} of them, each 0 or 1.")
        hot: dict[str, Labels] = {
            role: np.array(rows, np.uint8).reshape(len(rows), classes) for role, rows in cells.items()
        }
        return tuple(f"class {k}" for k in range(classes)), hot
    known = range(len(declared)) if declared is not None else sorted(values - {None})
    names = tuple(map(str, declared if declared is not None else known))
    index = {label: k for k, label in enumerate(known)}
    found: dict[str, Labels] = {role: np.zeros((len(rows), len(index)), np.uint8) for role, rows in cells.items()}
    for role, rows in cells.items():
        for i, row in enumerate(rows):
            for label in row:
                if label not in index:
                    raise _unknown_label(f"Row {i} of the {role} split of {name}", label, names)
                found[role][i, index[label]] = 1
    return names, found
