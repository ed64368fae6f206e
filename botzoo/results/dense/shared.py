"""What the words on boxes and those on masks have in common."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.results.card import sections
from botzoo.results.dense.figures import Figure
from botzoo.results.record import RunRecord
from botzoo.util.markdown import table
from botzoo.util.text import under

PICTURE = "answers.png"
"""The picture of some answers, beside the weights."""
DRAWN = Path("evaluation") / PICTURE
"""The same in the run's folder, which draws it at its end: nobody may have its images later."""


TELLING = 0.2
"""Share of the mistakes from which on a kind of them is worth a word."""


class Confusion(NamedTuple):
    """Which classes were taken for which.

    Attributes:
        counts: int64, shape (K, K) or, with ``more``, (K + 1, K + 1); rows are what is there.
        total: what the total of a row is called.
        says: how the table is to be read, in sentences.
        cell: writes a count, given the row's total, and the total, given the ``whole``.
        whole: what the totals of rows are shares of.
        more: names of the last row and the last column, that are no class.
    """

    counts: NDArray[np.int64]
    total: str
    says: str
    cell: Callable[[int, int], str]
    whole: int = 1
    more: tuple[str, str] | None = None


def figures_table(record: RunRecord, found: Sequence[Figure]) -> str:
    """Return the table of the figures over all classes."""
    rows = ((f.name, f.texts[0], f.texts[1] + " %" * (not np.isnan(f.value)), f.says) for f in found)
    return table((f"on {record.split_text}", "value", "95 % interval", "what it is"), rows)


def shown_answers(record: RunRecord, marks: str) -> Iterator[str]:
    """Yield the picture of some answers where it is there; ``marks`` says how it is to be read."""
    picture = [*sections.picture(record, "What is there, and what was found", PICTURE)]
    if picture:
        yield "### Answers"
        yield (
            f"Some of the {record.split} images, from one with a good answer to one with a bad one: on the left what is "
            f"there, on the right what was found; {marks}."
        )
        yield from picture


def terminal_lines(record: RunRecord, found: Sequence[Figure], *more: str) -> Iterator[str]:
    """Yield the lines for the terminal: the headline figure, the others, and what ``more`` there is to say."""
    first, *others = found
    value, interval = first.texts
    yield f"{'result':10} {first.name} {value} on {record.split_text} (95 % interval {interval})"
    yield f"{'':10} {sections.chosen_remark(record)}"
    yield from under("metrics", [*filter(None, [", ".join(f"{f.name} {f.texts[0]}" for f in others)]), *more])
