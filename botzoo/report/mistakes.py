"""Which images a page shows: the worst mistakes, and those of each pair of class and answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.pages.thumbnails import thumbnail
from botzoo.report.material import Originals
from botzoo.results.record import RunRecord

WORST = 24  # images in the gallery
FOLDED = 20  # classes of which the matrix has rows of their own
OF_PAIR = 8  # images that are named for a pair of class and answer, if it is a wrong one
OF_RIGHT = 3  # and of those answered right, the least sure
ROOM = 640_000  # characters for the small pictures of pairs, which thousands of classes would want more of
LARGE, SMALL = 144, 72  # longer sides in pixels


class Shown(NamedTuple):
    """An image on the page, with what is said of it."""

    name: str  # its file or row
    label: str
    answer: str
    probability: float  # of the answer, in [0, 1]; NaN where no label is given
    loss: float  # in nats
    pair: str  # class and answer, by which a page finds what belongs together; "" for several labels
    picture: str | None  # as a data: URI
    overlay: str | None = None  # the same, with what spoke for ``reason``
    reason: str = ""  # a class, the answer or, of several labels, the most wrong one


class Pair(NamedTuple):
    """The images of one class that got one answer."""

    key: str
    label: str
    answer: str
    number: int  # of them
    images: Sequence[Shown]  # the first of them, those with the largest loss


class Cell(NamedTuple):
    """A cell of the confusion matrix."""

    number: int  # of images
    share: float  # of the row, in [0, 1]
    pair: str  # key of the ``Pair`` that it opens, "" for none
    title: str
    text: str  # what the cell says


class Matrix(NamedTuple):
    """The confusion matrix, in which the classes that are seldom confused are one."""

    names: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[Cell]]]  # class, its images, its answers
    others: int  # classes that are in one row and column together
    total: str = "images"  # what is in the last column


@dataclass
class Album:
    """Says of evaluated images what a page needs, with small pictures while there is ``room`` for them, in characters."""

    record: RunRecord
    originals: Originals
    room: int = ROOM
    wanting: bool = field(default=False, init=False)  # whether the room did not suffice

    def shown(self, i: int, picture: str | None = None, overlay: str | None = None) -> Shown:
        """Return image i with a picture, as a data: URI, or without one."""
        seen, names = self.record.evaluation, self.record.class_names
        label, answer, probability = seen.said(i, names)
        pair = f"{seen.labels[i]}-{seen.predicted[i]}" if self.record.task.one_label else ""
        return Shown(self.record.image_names[i], label, answer, probability, float(seen.nll[i]), pair, picture, overlay)

    def small(self, i: int) -> Shown:
        """Return image i with a small picture, if there is room for it."""
        self.wanting = self.wanting or self.room <= 0
        picture = self.originals.picture(i) if self.room > 0 else None
        found = thumbnail(picture, SMALL, quality=70) if picture is not None else None
        self.room -= len(found or "")
        return self.shown(i, found)


def worst(record: RunRecord) -> NDArray[np.int64]:
    """Return the wrongly answered images, those with the largest loss first; at most ``WORST``."""
    order = np.argsort(-np.nan_to_num(record.evaluation.nll), kind="stable")
    found: NDArray[np.int64] = order[are_wrong(record)[order]]
    return found[:WORST]


def are_wrong(record: RunRecord) -> NDArray[np.bool_]:
    """Return which images were answered wrongly, bool (N,); of several labels one that is wrong makes an image wrong."""
    seen = record.evaluation
    found: NDArray[np.bool_] = (
        seen.predicted != seen.labels if record.task.one_label else (seen.given != seen.labels).any(1)
    )
    return found


def pairs_of(album: Album, kept: NDArray[np.int64]) -> list[Pair]:
    """Return the pairs of the classes ``kept`` that images have, the commonest mistakes first and right answers last."""
    seen, names = album.record.evaluation, album.record.class_names
    among = np.flatnonzero(np.isin(seen.labels, kept) & np.isin(seen.predicted, kept))
    both = seen.labels[among] * len(names) + seen.predicted[among]
    among = among[np.lexsort((-np.nan_to_num(seen.nll[among]), both))]  # within a pair the largest loss first
    _, starts = np.unique(np.sort(both), return_index=True)
    groups = [rows for rows in np.split(among, starts[1:]) if len(rows)]
    groups.sort(key=lambda rows: (seen.labels[rows[0]] == seen.predicted[rows[0]], -len(rows)))
    return [_pair(album, rows) for rows in groups]


def _pair(album: Album, rows: NDArray[np.int64]) -> Pair:
    names = album.record.class_names
    label, answer = (int(of[rows[0]]) for of in (album.record.evaluation.labels, album.record.evaluation.predicted))
    some = rows[: OF_RIGHT if label == answer else OF_PAIR].tolist()
    return Pair(f"{label}-{answer}", names[label], names[answer], len(rows), [album.small(i) for i in some])


def most_confused(evaluation: Any, classes: int) -> NDArray[np.int64]:
    """Return the classes that the matrix shows, in order: all, or the ``FOLDED`` with the most mistakes."""
    if classes <= FOLDED:
        return np.arange(classes)
    wrong = evaluation.labels != evaluation.predicted
    mistakes = sum(np.bincount(of[wrong], minlength=classes) for of in (evaluation.labels, evaluation.predicted))
    return np.sort(np.argsort(-np.asarray(mistakes), kind="stable")[:FOLDED])


def matrix_of(evaluation: Any, names: Sequence[str], kept: NDArray[np.int64]) -> Matrix:
    """Return the confusion matrix of the classes ``kept``, with a row and a column for all others where there are any."""
    shown, others = len(kept), len(names) - len(kept)
    place = np.full(len(names), shown)
    place[kept] = np.arange(shown)
    size = shown + (others > 0)
    codes = place[evaluation.labels] * size + place[evaluation.predicted]
    counts = np.bincount(codes, minlength=size * size).reshape(size, size)
    heads = [names[k] for k in kept] + [f"{others:,} others"] * (others > 0)
    rows = [(heads[a], f"{counts[a].sum():,}", list(_cells(counts[a], heads, kept, a))) for a in range(size)]
    return Matrix(heads, rows, others)


def _cells(row: NDArray[np.int64], heads: Sequence[str], kept: NDArray[np.int64], a: int) -> Iterator[Cell]:
    for b, count in enumerate(row.tolist()):
        pair = f"{kept[a]}-{kept[b]}" if max(a, b) < len(kept) and count else ""
        title = f"{count:,} of {heads[a]} answered as {heads[b]}"
        yield Cell(count, count / max(int(row.sum()), 1), pair, title, f"{count:,}")
