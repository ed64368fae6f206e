"""The figures of every class of the evaluated split, in the card and beside it."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from botzoo.tasks.classification import Evaluation
from botzoo.tasks.multi_label import MultiLabelEvaluation
from botzoo.util.files import written_whole
from botzoo.util.markdown import escaped, table

FULL_TABLE = 30
"""Up to so many classes are listed one by one; of more, the worst ones."""

WORST = 15


@dataclass(frozen=True)
class ClassFigures:
    """How one class was recognised.

    Attributes:
        name: the class.
        images: that have it, 1 or more.
        answers: how often the network answered with it.
        precision, recall, f1: in per cent; precision is 0 where there are no answers.
    """

    name: str
    images: int
    answers: int
    precision: float
    recall: float
    f1: float

    @property
    def shares(self) -> dict[str, float]:
        """All figures in per cent."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}

    @property
    def main(self) -> float:
        """The figure that says which class is worst."""
        return self.f1

    def cell(self, share: str, none: str = "never answered") -> str:
        """Return one of ``shares`` for a table; ``none`` in place of the precision where there are no answers."""
        return f"{self.shares[share]:.1f} %" if self.answers or share != "precision" else none


@dataclass(frozen=True)
class LabelFigures(ClassFigures):
    """How one label of images with any number of them was recognised.

    Attributes:
        average_precision: in per cent; needs no threshold, while the others are those at a probability of 0.5.
    """

    average_precision: float

    @property
    def shares(self) -> dict[str, float]:
        return {"average_precision": self.average_precision, **super().shares}

    @property
    def main(self) -> float:
        return self.average_precision


def class_figures(evaluation: Evaluation, class_names: Sequence[str]) -> list[ClassFigures]:
    """Return the figures of every class that has images in the evaluated split, in the order of ``class_names``."""
    every = range(len(class_names))
    precision, recall, f1, images = precision_recall_fscore_support(
        evaluation.labels, evaluation.predicted, labels=every, zero_division=0.0
    )
    answers = np.bincount(evaluation.predicted, minlength=len(class_names))
    return [
        ClassFigures(
            class_names[k], int(images[k]), int(answers[k]), *(100 * float(x[k]) for x in (precision, recall, f1))
        )
        for k in every
        if images[k]
    ]


def label_figures(evaluation: MultiLabelEvaluation, class_names: Sequence[str]) -> list[LabelFigures]:
    """Return the figures of every label that some evaluated image has, in the order of ``class_names``."""
    precision, recall, f1, images = precision_recall_fscore_support(
        evaluation.labels, evaluation.given, average=None, zero_division=0.0
    )
    answers = evaluation.given.sum(0)
    shares = np.column_stack([100 * precision, 100 * recall, 100 * f1, evaluation.average_precisions]).tolist()
    return [
        LabelFigures(name, int(images[k]), int(answers[k]), *shares[k])
        for k, name in enumerate(class_names)
        if images[k]
    ]


def confusions(evaluation: Evaluation, classes: int) -> NDArray[np.int64]:
    """Return how many images of each class (rows) got each answer (columns), int64, shape (K, K)."""
    matrix: NDArray[np.int64] = confusion_matrix(evaluation.labels, evaluation.predicted, labels=range(classes))
    return matrix


def per_class(figures: Sequence[ClassFigures], total: int, noun: str, nouns: str) -> Iterator[str]:
    """Yield a table of the classes with images; of many the worst, where all go into per_class.csv beside the card.

    Args:
        figures: of every class that has images, one or more.
        total: of all classes.
        noun: what a class is called, "class" or "label", and ``nouns`` several of them.
    """
    heads = {"average_precision": "average precision", "f1": "F1"}
    shares = list(figures[0].shares)
    if len(figures) < total:
        yield f"{total - len(figures)} {nouns} have no images in this split and are not listed."
    if total > FULL_TABLE:
        figures = sorted(figures, key=lambda f: f.main)[:WORST]
        least = heads[next(share for share in heads if share in shares)]
        yield f"The {len(figures)} {nouns} with the lowest {least}; all are in [per_class.csv](per_class.csv)."
    yield table(
        (noun, "images", *(heads.get(share, share) for share in shares)),
        ((escaped(f.name), f"{f.images:,}", *map(f.cell, shares)) for f in figures),
    )


def write_per_class(path: Path, noun: str, figures: Sequence[ClassFigures]) -> None:
    """Write the figures of every class that has images as CSV, shares in per cent."""
    with written_whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([noun, "images", "answers", *figures[0].shares])
        for f in figures:
            writer.writerow([f.name, f.images, f.answers, *(round(share, 2) for share in f.shares.values())])
