"""The answers as tables: a row for each box, or for each class on an image; see ``botzoo.results.predictions.Predictions``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from botzoo.results.dense.faults import MISPLACED, RIGHT, WORDS, WRONG_CLASS, error_analysis
from botzoo.tasks.task import Answers, Task

Row = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class _Answers:
    """The answers for all images of a split.

    Attributes:
        names: of the N images.
    """

    task: Task
    class_names: Sequence[str] = field(repr=False)
    names: Sequence[str] = field(repr=False)
    answers: Answers = field(repr=False)

    columns: ClassVar[list[str]] = ["file"]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def rows(self) -> Iterator[Row]:
        """Yield the cells of each row, image by image."""
        raise NotImplementedError

    def table(self) -> dict[str, list[Any]]:
        """Return all columns by their names, for ``pandas.DataFrame``."""
        return {column: list(cells) for column, cells in zip(self.columns, self._cells(), strict=True)}

    def _cells(self) -> Sequence[Sequence[Any]]:
        return [*zip(*self.rows(), strict=True)] or [()] * len(self.columns)

    @cached_property
    def evaluation(self) -> Any:
        """The answers as the task evaluates them."""
        return self.task.evaluation(self.answers)

    @property
    def labelled(self) -> bool:
        """Whether what is on the images is known."""
        return set(self.task.of_labels) <= self.answers.keys()

    def not_finite(self) -> int:
        """Return how many images got NaN or an infinite number."""
        numbers = zip(*(each for each in self.answers.values() if each.dtype.kind in "fO"), strict=True)
        return sum(not all(np.isfinite(each).all() for each in of_image) for of_image in numbers)


class BoxAnswers(_Answers):
    """A row for each box that was found: corners in pixels of the picture as it is stored."""

    columns: ClassVar[list[str]] = ["file", "label", "score", "left", "top", "right", "bottom"]

    def rows(self) -> Iterator[Row]:
        for name, found in zip(self.names, self.evaluation.detections, strict=True):
            boxes = zip(found.labels.tolist(), found.scores.tolist(), found.corners.tolist(), strict=True)
            for label, score, corners in boxes:
                yield name, self.class_names[label], score, *corners

    def errors(self) -> tuple[list[str], Iterator[Row]]:
        """Return columns and rows of the wrong boxes and the missed objects, the images with the most of them first."""
        return ["file", "mistake", "label", "answer", "score", *self.columns[3:]], self._errors()

    def _errors(self) -> Iterator[Row]:
        analysed = error_analysis(self.evaluation)
        for i in analysed.worst().tolist():
            one, true, names = analysed.each[i], analysed.true[i], self.class_names
            for k in np.flatnonzero(one.wrong).tolist():
                verdict, at = int(one.verdict[k]), int(one.nearest[k])
                known = RIGHT < verdict <= MISPLACED or verdict == WRONG_CLASS
                label, answer = names[true.labels[at]] if known else "", names[one.found.labels[k]]
                score, corners = float(one.found.scores[k]), one.found.corners[k].tolist()
                yield self.names[i], WORDS[verdict], label, answer, score, *corners
            for k in np.flatnonzero(one.missed).tolist():
                yield self.names[i], "missed", names[true.labels[k]], "", None, *true.corners[k].tolist()


class MaskAnswers(_Answers):
    """A row for each class that an image shows or was said to; shares of the image's pixels that are labelled, in [0, 1]."""

    columns: ClassVar[list[str]] = ["file", "label", "share", "true_share", "iou"]

    def rows(self) -> Iterator[Row]:
        return (row for row, _ in self._rows())

    def _rows(self) -> Iterator[tuple[Row, float]]:
        """Yield each row with the share of the pixels that it has wrong."""
        for name, counts in zip(self.names, self.evaluation.counts, strict=True):
            right, there, said = counts
            pixels = max(int(there.sum()), 1)
            for k in np.flatnonzero((there > 0) | (said > 0)).tolist():
                union = there[k] + said[k] - right[k]
                shares = (float(of[k] / pixels) for of in (said, there))
                yield (name, self.class_names[k], *shares, float(right[k] / union)), float((union - right[k]) / pixels)

    def errors(self) -> tuple[list[str], Iterator[Row]]:
        """Return columns and rows of the classes of images with an IoU below ``LOW``, those of the most pixels first."""
        low = [(row, wrong) for row, wrong in self._rows() if row[-1] < LOW]
        return self.columns, (row for row, _ in sorted(low, key=lambda each: -each[1]))


LOW = 0.5
"""Intersection over union below which a class of an image counts as an error."""
