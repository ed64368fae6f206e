"""The figures of every class of the evaluated split, in the card and beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from scipy.sparse import coo_array, csr_array
from sklearn.metrics import precision_recall_fscore_support

from botzoo.tasks.classification import Evaluation, wilson
from botzoo.tasks.multi_label import MultiLabelEvaluation
from botzoo.util.markdown import escaped, table
from botzoo.util.text import counted

FULL_TABLE = 30  # up to so many classes are listed one by one
WORST = 15  # so many of more


class Figures(Protocol):
    """How one class was recognised; shares are in per cent."""

    @property
    def name(self) -> str: ...  # as the data has it
    @property
    def images(self) -> int: ...  # that have it, 1 or more
    @property
    def answers(self) -> int: ...  # how often the network answered with it
    @property
    def counts(self) -> dict[str, int]: ...  # what of it is there, images first
    @property
    def shares(self) -> dict[str, float]: ...  # all figures
    @property
    def intervals(self) -> dict[str, tuple[float, float]]: ...  # 95 %, of those shares that have one
    @property
    def main(self) -> float: ...  # the one that says which class is worst
    @property
    def main_share(self) -> str: ...  # its name

    def cell(self, share: str) -> str: ...  # one of the shares for a table


@dataclass(frozen=True)
class ClassFigures:
    """How one class was recognised; shares are in per cent."""

    name: str  # as the data has it; card and terminal show it by ``botzoo.util.outgoing.shown``
    images: int  # that have it, 1 or more
    answers: int  # how often the network answered with it
    precision: float  # 0 where there are no answers
    recall: float
    f1: float
    main_share: ClassVar[str] = "f1"

    @property
    def shares(self) -> dict[str, float]:
        """All figures in per cent."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}

    @property
    def counts(self) -> dict[str, int]:
        """What of it is in the split."""
        return {"images": self.images}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Of those shares that are shares of images, Wilson's 95 % intervals."""
        right = round(self.recall * self.images / 100)
        found = {"recall": wilson(right, self.images)}
        return found | ({"precision": wilson(right, self.answers)} if self.answers else {})

    @property
    def main(self) -> float:
        """The figure that says which class is worst."""
        return self.shares[self.main_share]

    def cell(self, share: str) -> str:
        """Return one of ``shares`` for a table; of a class that was never answered there is no precision."""
        return f"{self.shares[share]:.1f} %" if self.answers or share != "precision" else "no answer"


@dataclass(frozen=True)
class LabelFigures(ClassFigures):
    """How one label of images with any number of them was recognised."""

    average_precision: float  # needs no threshold; the other shares are those at a probability of 0.5
    main_share: ClassVar[str] = "average_precision"

    @property
    def shares(self) -> dict[str, float]:
        return {"average_precision": self.average_precision, **super().shares}


def class_figures(evaluation: Evaluation, class_names: Sequence[str]) -> list[ClassFigures]:
    """Return the figures of every class that has images in the evaluated split, in the order of ``class_names``."""
    *shares, images = precision_recall_fscore_support(
        evaluation.labels, evaluation.predicted, labels=range(len(class_names)), zero_division=0.0
    )
    answers, rows = np.bincount(evaluation.predicted, minlength=len(class_names)), 100 * np.transpose(shares)
    return [
        ClassFigures(name, int(images[k]), int(answers[k]), *rows[k].tolist())
        for k, name in enumerate(class_names)
        if images[k]
    ]


def label_figures(evaluation: MultiLabelEvaluation, class_names: Sequence[str]) -> list[LabelFigures]:
    """Return the figures of every label that some evaluated image has, in the order of ``class_names``."""
    images, answers, right = evaluation.counts
    shares = right / np.maximum(answers, 1), right / np.maximum(images, 1), 2 * right / np.maximum(images + answers, 1)
    rows = np.column_stack([100 * np.transpose(shares), evaluation.average_precisions])
    return [
        LabelFigures(name, int(images[k]), int(answers[k]), *rows[k].tolist())
        for k, name in enumerate(class_names)
        if images[k]
    ]


def confusions(evaluation: Evaluation, classes: int) -> csr_array:
    """Return how many images of each class (rows) got each answer (columns), int64, shape (K, K).

    It is sparse, as there are no more pairs of class and answer than images: of 20,000 classes all would take 3.2 GB.
    """
    images = np.ones(len(evaluation), np.int64)
    pairs = coo_array((images, (evaluation.labels, evaluation.predicted)), (classes, classes))
    return csr_array(pairs)  # which adds up those of one pair


def per_class(figures: Sequence[Figures], total: int, noun: str, nouns: str) -> Iterator[str]:
    """Yield a table of the ``figures`` of every class with images; of many the worst, where all go into per_class.csv.

    There are ``total`` classes, which are called ``noun``, "class" or "label", and ``nouns`` where they are several.
    """
    heads = {"average_precision": "average precision", "f1": "F1"}
    first = figures[0]
    if len(figures) < total:
        yield f"Not listed, as they have no images in this split: {counted(total - len(figures), noun, nouns)}."
    if total > FULL_TABLE:
        figures, least = worst(figures, WORST), heads.get(first.main_share, first.main_share)
        yield f"The {len(figures)} {nouns} with the lowest {least}; all are in [per_class.csv](per_class.csv)."
    yield table(
        (noun, *first.counts, *(heads.get(share, share) for share in first.shares)),
        ((escaped(f.name), *(f"{n:,}" for n in f.counts.values()), *map(f.cell, f.shares)) for f in figures),
    )


def worst(figures: Sequence[Figures], most: int) -> list[Figures]:
    """Return the classes with the lowest figures, the lowest first, ``most`` at most."""
    return sorted(figures, key=lambda f: f.main)[:most]
