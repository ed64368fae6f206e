"""Columns whose cells are lists of labels, as where an image shows several things: read into one 0 or 1 for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError

MultiHot = NDArray[np.uint8]
"""Shape (N, K): whether image n has label k, 0 or 1."""


def element(feature: Any) -> Any | None:
    """Return the type of what the lists of a column hold, None where its cells are no lists."""
    import datasets

    if isinstance(feature, datasets.List | datasets.LargeList):
        return feature.feature
    return feature[0] if isinstance(feature, list) and feature else None


def check_element(name: str, column: str, inner: Any) -> None:
    """Raise DataError unless lists of ``inner`` can be lists of labels."""
    kind = getattr(inner, "dtype", "") if element(inner) is None else "list"
    if kind.rstrip("0123456789") in ("int", "uint", "bool") or kind in ("string", "large_string"):
        return
    what = f"lists of {kind or inner}" if kind != "list" else "lists of lists"
    raise DataError(
        f"Column {column!r} of {name} holds {what}: the labels of an image must be a list of class numbers, of text, or of 0 "
        "and 1 for each class. Name another one with --data.label-column."
    )


def read_lists(
    name: str, cells: dict[str, Sequence[Any]], declared: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, MultiHot]]:
    """Return the names of the classes and, for each split, which labels its images have.

    Args:
        name: of the data set, for messages.
        cells: for each split, the training split among them, a list of labels for each image; it may be empty.
        declared: the names of the classes, which the labels are numbers of; None where they are found in the training split.
            There, lists of 0 and 1 that are all as long, of 2 or more, say of each class whether it is there; its name is not
            known. All other labels, text or whole numbers, are names themselves.

    Raises:
        DataError: an image has no list, or a label that is no class.
    """
    for role, rows in cells.items():
        if None in rows:
            raise DataError(
                f"Row {rows.index(None)} of the {role} split of {name} has no list of labels: give an empty one to an image "
                "that has none."
            )
    if declared is None and (classes := _indicators(cells["train"])):
        names = tuple(f"class {k}" for k in range(classes))
        return names, {role: _from_indicators(name, role, rows, classes) for role, rows in cells.items()}
    known = range(len(declared)) if declared is not None else sorted(_distinct(cells["train"]))
    index = {label: k for k, label in enumerate(known)}
    names = tuple(map(str, declared if declared is not None else known))
    return names, {role: _from_labels(name, role, rows, index, names) for role, rows in cells.items()}


def _distinct(rows: Sequence[list[Any]]) -> set[Any]:
    return {label for row in rows for label in row if label is not None}


def _indicators(rows: Sequence[list[Any]]) -> int:
    """Return the number of classes where every row says of each one whether it is there, else 0."""
    lengths = {len(row) for row in rows}
    values = {value for row in rows for value in row}
    plain = all(isinstance(value, bool | int) for value in values)
    equal = len(lengths) == 1 and min(lengths) >= 2
    return lengths.pop() if equal and plain and values <= {0, 1} else 0


def _from_indicators(name: str, role: str, rows: Sequence[list[Any]], classes: int) -> MultiHot:
    for i, row in enumerate(rows):
        if len(row) != classes or not set(row) <= {0, 1}:
            raise DataError(
                f"Row {i} of the {role} split of {name} has the labels {_shown(row)}: as in the training split, there must be "
                f"{classes} of them, each 0 or 1."
            )
    return np.array(rows, np.uint8).reshape(len(rows), classes)


def _from_labels(
    name: str, role: str, rows: Sequence[list[Any]], index: dict[Any, int], names: tuple[str, ...]
) -> MultiHot:
    found = np.zeros((len(rows), len(index)), np.uint8)
    for i, row in enumerate(rows):
        for label in row:
            if label not in index:
                known = f"{len(names)} classes: {', '.join(map(repr, names[:5]))}{', ...' if len(names) > 5 else ''}"
                raise DataError(
                    f"Row {i} of the {role} split of {name} has label {label!r}, which is none of its {known}. Mend or remove "
                    "it."
                )
            found[i, index[label]] = 1
    return found


def _shown(row: list[Any]) -> str:
    text = repr(row)
    return text if len(text) <= 60 else f"{text[:60]}..."
