"""Which split each row of a table is of: as a column says, in words that the user may explain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botzoo.errors import DataError, did_you_mean
from botzoo.sources.annotations.paths import plain_name
from botzoo.sources.base import SPLIT_NAMES
from botzoo.sources.layouts.split_names import Said, grouped, guess, option, with_said
from botzoo.util.text import listing

NOTHING_SAID: Said = {}

BITS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
"""What a cell says that is yes or no, as text in lower case."""

_USUAL = frozenset(["split", "splits", "set", "subset", "partition", "phase", "fold"])

_FLAGS = {**dict.fromkeys(("isvalid", "isval", "isvalidation"), "validation"), "istest": "test"}
"""Names of columns, as ``plain_name`` has them, that say of each row whether it is of a split; the others are for training."""

_TRAIN_FLAGS = frozenset(("istrain", "istraining"))


def roles_of(said: Said) -> dict[str, str]:
    """Return what the user says that each of his words is."""
    return {word: role for role, words in said.items() for word in words}


def split_column(
    name: str, columns: Mapping[str, list[Any]], label: str | None, said: Said = NOTHING_SAID
) -> tuple[str, list[str | None]] | None:
    """Return the column that says which split each row is of, and what it says, by role; None where there is none.

    Args:
        name: of the table, for messages.
        columns: that name no files.
        label: the column of labels, where the user names it.
        said: what values of the column are, by the user; ``none`` is a role too then.

    Raises:
        DataError: a column is called split, or has a word of the user's, and holds something else too.
    """
    words = roles_of(said)
    known = {**SPLIT_NAMES, **{word.lower(): role for word, role in words.items()}}
    values = {
        column: {str(cell).lower() for cell in cells if cell is not None}
        for column, cells in columns.items()
        if column != label
    }
    for column, seen in values.items():
        flag = _FLAGS.get(plain_name(column))
        if flag and seen and seen <= BITS.keys() and not seen <= known.keys():
            roles = {value: flag if bit else "train" for value, bit in BITS.items()} | {
                w: known[w] for w in words if w in seen
            }
            return column, _told(columns[column], roles)
        if seen and seen <= known.keys():
            return column, _told(columns[column], known)
        if plain_name(column) in _TRAIN_FLAGS and len(seen) == 2 and seen <= BITS.keys():
            no, yes = sorted(
                {str(cell) for cell in columns[column] if cell is not None}, key=lambda c: BITS[c.lower()]
            )[:2]
            say = option({"train": [yes], "test": [no]})
            raise DataError(
                f"Column {column!r} of {name} says which rows are for training: say what the others are, such as {say}."
            )
    for column, seen in values.items():
        doubtful = plain_name(column) in _USUAL and seen & known.keys()
        if doubtful or seen & {word.lower() for word in words}:
            odd = sorted({str(cell) for cell in columns[column] if str(cell).lower() in seen - known.keys()})
            say = option(with_said(said, grouped({value: guess(value) for value in odd[:5]})))
            has = f"Column {column!r} of {name} has {listing(odd, 3)}, which is no split"
            raise DataError(
                f"{has}: say train, validation or test there, or what is what, such as {say}; none leaves one out."
            )
    return None


def _told(cells: list[Any], roles: Mapping[str, str]) -> list[str | None]:
    return [None if cell is None else roles[str(cell).lower()] for cell in cells]


def check_said(name: str, said: Said, used: set[str], images: list[str]) -> None:
    """Raise DataError unless each word of the user's has been found: a table, a value, or a folder of the ``images``."""
    if unknown := [word for word in roles_of(said) if word not in used]:
        folders = sorted({image.split("/")[0] for image in images if "/" in image[1:]})
        among = f"; its images lie in {listing(folders)}" if folders else ""
        is_none = f"which is no table, no split in a column of {name} and no folder"
        has = f"--data.splits names {unknown[0]!r}, {is_none}{among}"
        raise DataError(f"{has}.{did_you_mean(unknown[0], folders)} Give names that are there, or leave it out.")
