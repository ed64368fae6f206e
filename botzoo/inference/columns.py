"""Predictions in columns of one's own, one row an image, as competitions want them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import NamedTuple

from botzoo.errors import ConfigError
from botzoo.inference.prediction import Prediction
from botzoo.util.outgoing import csv_line
from botzoo.util.text import few


class Answered(NamedTuple):
    """An image and what a network says of it."""

    name: str  # path in the folder that was given
    shares: dict[int, float]  # probabilities of the classes named, by their numbers
    given: list[tuple[str, float]]  # the one class, or the labels, that it answers with, and their probabilities


Cell = Callable[[Answered], str]

ALL = "classes"
"""Stands for a column of each class."""

COLUMNS: dict[str, Cell] = {
    "file": lambda answered: answered.name,
    "id": lambda answered: id_of(answered.name),
    "label": lambda answered: ", ".join([label for label, _ in answered.given]),
    "probability": lambda answered: f"{min(share for _, share in answered.given):.6f}" if answered.given else "",
}
"""What does not depend on the classes. Of several labels the probability is the smallest."""


@dataclass(frozen=True)
class Columns:
    """The columns of a CSV file with one row an image.

    Attributes:
        cells: what stands in each, by its heading.
        every_class: whether the predictions have to have all classes.
        ids: whether the images need names that differ without folder and suffix.
        one_label: whether each image has one label, and not any number of them.
    """

    cells: dict[str, Cell]
    every_class: bool
    ids: bool
    one_label: bool

    def check(self, names: Iterable[str]) -> None:
        """Raise ConfigError where two images would have one id."""
        first: dict[str, str] = {}
        for name in names if self.ids else ():
            if (other := first.setdefault(id_of(name), name)) != name:
                both = f"{other} and {name} have the id {id_of(name)!r} both"
                raise ConfigError(f"--columns has id, and {both}: write file in its place.")

    def lines(self, answers: Iterable[tuple[str, Prediction]]) -> Iterator[str]:
        """Yield the headings, and a line for each image, of its name and what is said of it."""
        yield csv_line(self.cells)
        for name, found in answers:
            given = found.top[:1] if self.one_label else [each for each in found.top if each[1] > 0.5]
            answered = Answered(name, dict(zip(found.indices, found.probabilities, strict=True)), given)
            yield csv_line([cell(answered) for cell in self.cells.values()])


def read_columns(text: str, label_names: Sequence[str], *, one_label: bool = True) -> Columns:
    """Return the columns that a text names: "id,label", "Id=id,Breed=label" with headings of one's own, "id,classes".

    A class stands for its probability. A name with a comma in it stands in double quotes.

    Raises:
        ConfigError: one of them is no column, or two have one heading.
    """
    of_classes: dict[str, Cell] = {name: partial(_share_of, k) for k, name in enumerate(label_names)}
    known, asked, columns = of_classes | COLUMNS, set[str](), list[tuple[str, Cell]]()
    for part in _parts(text):
        heading, equals, named = part.partition("=")
        heading, what = (heading, named) if equals and part not in known else (part, part)
        if what != ALL and what not in known:
            there = f"There are {', '.join([*COLUMNS, ALL])}, and the classes {few(label_names)}."
            accepted = [*COLUMNS, ALL, *label_names]
            raise ConfigError(f"--columns has {what!r}, which is no column.", value=what, accepted=accepted, cure=there)
        asked.add(what)
        columns += of_classes.items() if what == ALL else [(heading, known[what])]
    heading, count = Counter(heading for heading, _ in columns).most_common(1)[0]
    if count > 1:
        raise ConfigError(f"--columns has {count} columns with the heading {heading!r}: leave all but one out.")
    return Columns(dict(columns), not asked <= {*COLUMNS}, "id" in asked, one_label)


def _parts(text: str) -> list[str]:
    try:
        return next(csv.reader([text], skipinitialspace=True)) or [""]
    except csv.Error as error:
        raise ConfigError(
            f"--columns {text} is no line of CSV ({error}): give names with a comma between them."
        ) from error


def id_of(name: str) -> str:
    """Return the name of an image without its folder and suffix."""
    return PurePath(name).stem


def _share_of(k: int, answered: Answered) -> str:
    return f"{answered.shares[k]:.6f}"
