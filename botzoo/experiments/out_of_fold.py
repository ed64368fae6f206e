"""The answers of all folds in one table: each image once, by the network that has not seen it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import BotzooError
from botzoo.results.predictions import ImageAnswer, Predictions, predictions, without_correct, write_rows
from botzoo.results.record import RunRecord
from botzoo.training.steps.evaluation import KEPT

log = logging.getLogger("botzoo")

FIRST = len(ImageAnswer._fields)
"""Columns before that of the fold."""


def write_out_of_fold(folder: Path, names: Sequence[str]) -> None:
    """Write predictions.csv and errors.csv of the runs ``names``, such as fold-1, into the folder that they are in.

    They are as those of one run, with a column more that says which fold an image was in. Where a run is no longer as it was
    written, that is said, and nothing is written.

    Raises:
        OSError: a file cannot be written.
    """
    try:
        parts = [predictions(RunRecord.load(folder / name)) for name in names]
    except BotzooError as error:
        log.warning("predictions.csv of all folds is not written. %s", error)
        return
    folds = [int(name.rpartition("-")[2]) for name in names]
    whole = [part for part in parts if isinstance(part, Predictions)]
    if len(whole) == len(parts):
        _write_images(folder, together(whole), np.repeat(folds, [len(part) for part in parts]))
        return
    columns = [*parts[0].columns, "fold"]  # a row is no image, but a box or a class on an image
    every = ((*row, fold) for part, fold in zip(parts, folds, strict=True) for row in part.rows())
    write_rows(folder / "predictions.csv", columns, every)


def _write_images(folder: Path, whole: Predictions, folds: NDArray[np.int64]) -> None:
    columns = [*whole.columns[:FIRST], "fold", *whole.columns[FIRST:]]

    def rows(which: NDArray[np.int64]) -> Iterator[tuple[Any, ...]]:
        return ((*row[:FIRST], k, *row[FIRST:]) for row, k in zip(whole.rows(which), folds[which], strict=True))

    write_rows(folder / "predictions.csv", columns, rows(np.arange(len(whole))))
    write_rows(folder / "errors.csv", *without_correct(columns, rows(whole.wrong())))


def together(parts: Sequence[Predictions]) -> Predictions:
    """Return the answers of several runs as those of one, without the optional ones where they would take too much room."""
    first, names = parts[0], list(chain.from_iterable(part.names for part in parts))
    kept = [name for name in first.answers if all(name in part.answers for part in parts)]
    if sum(part.answers[name].nbytes for part in parts for name in kept if name in first.task.optional) > KEPT:
        kept = [name for name in kept if name not in first.task.optional]
    return replace(
        first, names=names, answers={name: np.concatenate([part.answers[name] for part in parts]) for name in kept}
    )
