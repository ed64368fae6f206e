"""Which split each row of a table is of: as a column says, in words that the user may explain."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from botzoo.errors import DataError, did_you_mean
from botzoo.sources.annotations.paths import plain_name
from botzoo.sources.layouts.split_names import Said, grouped, guess, is_plain, option, role_of, with_said
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import listing

NOTHING_SAID: Said = {}

BITS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
"""What a cell says that is yes or no, as text in lower case."""

_USUAL = frozenset(["split", "splits", "set", "subset", "usage", "partition", "phase", "fold"])

MOST_WORDS = 100
"""Different cells of a column of splits."""

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
    words = {word.lower(): role for word, role in roles_of(said).items()}
    values = {
        column: {str(cell) for cell in cells if cell is not None}
        for column, cells in columns.items()
        if column != label
    }
    known = {column: _known(column, seen, words) for column, seen in values.items()}
    for column, seen in values.items():
        flag, lower = _FLAGS.get(plain_name(column)), {value.lower() for value in seen}
        if flag and lower and lower <= BITS.keys() and not lower <= words.keys():
            roles = {value: flag if BITS[value.lower()] else "train" for value in seen} | known[column]
            return column, _told(columns[column], roles)
        if seen and seen == known[column].keys():
            return column, _told(columns[column], known[column])
        if plain_name(column) in _TRAIN_FLAGS and len(lower) == 2 and lower <= BITS.keys():
            no, yes = sorted(seen, key=lambda value: BITS[value.lower()])[:2]
            say = option({"train": [yes], "test": [no]})
            raise DataError(
                f"Column {in_quotes(column)} of {name} says which rows are for training: "
                f"say what the others are, such as {say}."
            )
    for column, seen in values.items():
        roles = known[column]
        parts = "train" in roles.values() and len({*roles.values()}) > 1
        if parts or (plain_name(column) in _USUAL and roles) or {value.lower() for value in seen} & words.keys():
            odd = sorted(seen - roles.keys())
            say = option(with_said(said, grouped({value: guess(value) for value in odd[:5]})))
            has = f"Column {in_quotes(column)} of {name} has {listing(odd, 3)}, which is no split"
            labels = f", or --data.label-column {shlex.quote(column)} if it has the labels"
            raise DataError(
                f"{has}: say train, validation or test there, or what is what, such as {say}; none leaves one out{labels}."
            )
    return None


def _known(column: str, seen: set[str], words: Mapping[str, str]) -> dict[str, str]:
    """Return which splits the values of a column are: as the user says, or as they are called.

    In a column of a usual name a value may say more, as PublicTest does, and in others it says nothing else.
    """
    roles = {value: words[value.lower()] for value in seen if value.lower() in words}
    usual = plain_name(column) in _USUAL
    if usual or len(seen) <= MOST_WORDS:
        told = {value: role_of(value) for value in seen - roles.keys() if usual or is_plain(value)}
        roles |= {value: role for value, role in told.items() if role and role != "none"}
    return roles


def _told(cells: list[Any], roles: Mapping[str, str]) -> list[str | None]:
    return [None if cell is None else roles[str(cell)] for cell in cells]


def check_said(name: str, said: Said, used: set[str], images: list[str]) -> None:
    """Raise DataError unless each word of the user's has been found: a table, a value, or a folder of the ``images``."""
    if unknown := [word for word in roles_of(said) if word not in used]:
        folders = sorted({image.split("/")[0] for image in images if "/" in image[1:]})
        among = f"; its images lie in {listing(folders)}" if folders else ""
        is_none = f"which is no table, no split in a column of {name} and no folder"
        has = f"--data.splits names {in_quotes(unknown[0])}, {is_none}{among}"
        raise DataError(f"{has}.{did_you_mean(unknown[0], folders)} Give names that are there, or leave it out.")
