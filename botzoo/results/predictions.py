"""The answer for each image: rows for Python, and predictions.csv and errors.csv in the run's folder, a view of evaluation/.

A table may have as many rows as a data set has images. It is made block by block, and written as it is made.
"""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.results.dense.tables import BoxAnswers, MaskAnswers
from botzoo.results.record import RunRecord
from botzoo.tasks.answers import read_answers
from botzoo.tasks.task import Answers, PerImage, Task
from botzoo.util.files import written_whole
from botzoo.util.outgoing import csv_line

log = logging.getLogger("botzoo")

WIDE = 100  # up to so many classes each have a column
TOP = 5  # classes that are named of more
AT_ONCE = 1024  # images whose rows are in memory
DIGITS = 6  # behind the point, of probabilities and losses in files


class ImageAnswer(NamedTuple):
    """What a network answered for one image; None where nobody knows its label.

    The loss is in nats. The probability is that of the answer, in (0, 1]; of several labels the smallest, NaN where none is
    given.
    """

    file: str  # path of the image within the data set's folder, or its row
    label: str | None  # the true class; where an image may have any number of labels, all of them, joined by ", "
    answer: str  # in the same form
    probability: float
    loss: float | None
    correct: bool | None


@dataclass(frozen=True)
class Predictions:
    """The answers for all images of a split, as a table with a row for each; its columns begin as ``ImageAnswer`` does.

    Behind these stand, where the probabilities of all classes were kept, those of each class, ``p_cat``, or the likeliest
    ones by name and probability, ``top1`` and ``p_top1`` to ``top5`` and ``p_top5``.

    Attributes:
        names: of the images.
        form: which of the two it is; None is wide up to ``WIDE`` classes.
    """

    task: Task
    class_names: Sequence[str] = field(repr=False)
    names: Sequence[str] = field(repr=False)
    answers: Answers = field(repr=False)
    form: Literal["wide", "top"] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[ImageAnswer]:
        for rows, block in self._blocks(np.arange(len(self))):
            yield from map(ImageAnswer._make, zip(*_first_columns([self.names[i] for i in rows], block), strict=True))

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns."""
        if self._block(slice(0, 1)).probabilities is None:
            return [*ImageAnswer._fields]
        if self.wide:
            return [*ImageAnswer._fields, *(f"p_{name}" for name in self.class_names)]
        ranks = range(1, min(TOP, len(self.class_names)) + 1)
        return [*ImageAnswer._fields, *(f"{part}{rank}" for rank in ranks for part in ("top", "p_top"))]

    @property
    def wide(self) -> bool:
        """Whether each class has a column."""
        return self.form == "wide" or (self.form is None and len(self.class_names) <= WIDE)

    @property
    def labelled(self) -> bool:
        """Whether the true classes are known."""
        return set(self.task.of_labels) <= self.answers.keys()

    def rows(self, which: NDArray[np.int64] | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield the cells of each image, or of the images ``which``, int64 (n,), in that order."""
        for rows, block in self._blocks(np.arange(len(self)) if which is None else which):
            yield from zip(*_first_columns([self.names[i] for i in rows], block), *self._others(block), strict=True)

    def table(self) -> dict[str, list[Any]]:
        """Return all columns by their names, for ``pandas.DataFrame``; files have the same with numbers of six digits."""
        return dict(zip(self.columns, map(list, zip(*self.rows(), strict=True)), strict=True))

    def wrong(self) -> NDArray[np.int64]:
        """Return the places, int64 (n,), of the images that were answered wrongly, the largest loss first.

        Raises:
            DataError: the true classes are not known.
        """
        if not self.labelled:
            raise DataError("Nobody knows the true classes of these images, so none is known to be wrong.")
        needed = {name: each for name, each in self.answers.items() if name not in self.task.optional}
        plain = replace(self, answers=needed)
        found, losses = [], []
        for rows, block in plain._blocks(np.arange(len(self))):
            assert block.correct is not None
            assert block.loss is not None
            found.append(rows[~block.correct])
            losses.append(block.loss[~block.correct])
        order = np.argsort(-np.concatenate(losses), kind="stable")
        return np.concatenate(found)[order]

    def errors(self) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """Return columns and rows of the images that were answered wrongly, the largest loss first; errors as of ``wrong``."""
        return without_correct(self.columns, self.rows(self.wrong()))

    def not_finite(self) -> int:
        """Return how many images got NaN or an infinite number."""
        kept = [
            each for name, each in self.answers.items() if name not in self.task.optional and each.dtype.kind == "f"
        ]
        finite = [np.isfinite(each).reshape(len(self), -1).all(1) for each in kept]
        return int((~np.logical_and.reduce(finite)).sum())

    def _others(self, block: PerImage) -> list[list[Any]]:
        """Return the columns that stand behind the first ones."""
        if block.probabilities is None:
            return []
        if self.wide:
            return [*block.probabilities.T.tolist()]
        best = np.argsort(-block.probabilities, 1, kind="stable")[:, :TOP]
        shares = np.take_along_axis(block.probabilities, best, 1)
        names = [[self.class_names[k] for k in column] for column in best.T.tolist()]
        return [*chain.from_iterable(zip(names, shares.T.tolist(), strict=True))]

    def _blocks(self, which: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], PerImage]]:
        for first in range(0, len(which), AT_ONCE):
            yield (rows := which[first : first + AT_ONCE]), self._block(rows)

    def _block(self, rows: NDArray[np.int64] | slice) -> PerImage:
        return self.task.per_image({name: each[rows] for name, each in self.answers.items()}, self.class_names)


def _first_columns(names: list[str], block: PerImage) -> list[Sequence[Any]]:
    """Return what ``ImageAnswer`` has, as columns."""
    nothing = [None] * len(names)
    loss, correct = (nothing if each is None else each.tolist() for each in (block.loss, block.correct))
    return [names, block.label or nothing, block.answer, block.probability.tolist(), loss, correct]


TABLES: dict[str, type[BoxAnswers | MaskAnswers]] = {"detection": BoxAnswers, "segmentation": MaskAnswers}
"""Of the tasks whose answers are not one row an image."""


def predictions(record: RunRecord, split: str | None = None) -> Predictions | BoxAnswers | MaskAnswers:
    """Return the answers for a split, or for a folder by its name here: by default for the split that the figures are of.

    Raises:
        DataError: the run has no answers for it.
        CheckpointError: they cannot be read.
    """
    split = record.split if split is None else split
    kept = [record.split, *(role for role in ("validation", *record.predicted) if role != record.split)]
    if split not in kept:
        raise DataError(
            f"{record.folder} has no answers for {split!r}: give one of {', '.join(kept)}, or train with --predict.",
            value=split,
            accepted=kept,
        )
    names, answers = record.image_names, record.evaluation.answers
    if split != record.split:
        names, answers = read_answers(record.folder / "evaluation" / f"{split}.parquet")
    given = record.task, record.class_names, names, answers
    other = TABLES.get(record.task.name)
    return other(*given) if other is not None else Predictions(*given, record.config.predictions)


def write_predictions(record: RunRecord) -> None:
    """Write predictions.csv and errors.csv of the split that the figures are of, and of others those with ``-NAME`` behind.

    There is no file of errors where the true classes are not known.

    Raises:
        CheckpointError: answers cannot be read.
        OSError: a file cannot be written.
    """
    for split in dict.fromkeys([record.split, *record.predicted]):
        ending = "" if split == record.split else f"-{split}"
        found = predictions(record, split)
        if odd := found.not_finite():
            log.warning("answers for %s that are no finite numbers: %d; their cells are empty", split, odd)
        write_rows(record.folder / f"predictions{ending}.csv", found.columns, found.rows())
        if found.labelled:
            write_rows(record.folder / f"errors{ending}.csv", *found.errors())


def write_rows(path: Path, columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table row by row, whole or not at all; numbers are rounded, what is no finite number is an empty cell."""
    with written_whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        for row in chain([columns], rows):
            file.write(csv_line([_cell(value) if isinstance(value, float) else value for value in row]) + "\n")


def without_correct(
    columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Return columns and rows of wrong answers without the column that says so."""
    at = columns.index("correct")
    return [*columns[:at], *columns[at + 1 :]], ((*row[:at], *row[at + 1 :]) for row in rows)


def _cell(value: float) -> float | None:
    return round(value, DIGITS) + 0.0 if math.isfinite(value) else None  # + 0.0, as there is a -0.0
