"""What the page shows of boxes and masks: the worst answers beside what is there, and which classes were confused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.pages.overlays import Marks, overlay
from botzoo.pages.palette import colour_of, rounds
from botzoo.pages.thumbnails import thumbnail
from botzoo.pixels.bands import Picture, picture_of
from botzoo.report.material import UNREADABLE, Material
from botzoo.report.mistakes import FOLDED, Cell, Matrix
from botzoo.results.dense.looking import Look, Network
from botzoo.results.dense.shared import Confusion
from botzoo.results.record import RunRecord
from botzoo.results.words import dense_words
from botzoo.util.outgoing import shown

WORST = 12  # images in the gallery
SIDE = 360  # longer side of its pictures, in pixels
LISTED = 60  # classes of the legend


class Beside(NamedTuple):
    """An image on the page, with what is there and what was found as data: URIs; None where it cannot be shown."""

    name: str  # its file or row
    line: str  # how good the answer is
    true: str | None
    found: str | None


class Key(NamedTuple):
    """A line of the legend."""

    name: str
    colour: str  # as CSS has it
    turn: int  # how many classes before it have its colour


def worst(record: RunRecord, material: Material) -> tuple[list[Beside], list[Key], int]:
    """Return the worst answers, the legend of their classes, and how many answers are not perfect."""
    words, seen, names = dense_words(record), record.evaluation, record.class_names
    losses = words.losses(seen)
    order = np.argsort(-losses, kind="stable")
    order = order[losses[order] > 0]
    network = network_of(record, material)
    beside, on_them = [], list[int]()
    for i in order[:WORST].tolist():
        marks = _marks(record, material, i, network)
        sources = []
        for of in marks[1]:
            on_them += of.classes() if of is not None else []
            sources.append(_drawn(marks[0], of, names))
        beside.append(Beside(record.image_names[i], words.line(seen, i), *sources))
    return beside, legend(on_them, names), len(order)


def network_of(record: RunRecord, material: Material) -> Network | None:
    """Return the network of the material as one that can be asked about single images."""
    model = material.model
    return Network(record.task, model.module, model.preprocessing) if model is not None else None


def _marks(
    record: RunRecord, material: Material, i: int, network: Network | None
) -> tuple[Picture | None, tuple[Marks | None, Marks | None]]:
    """Return the picture of evaluated image ``i`` and its marks; None for what cannot be had."""
    picture = material.evaluated.picture(i)
    if picture is None:
        return None, (None, None)
    try:
        look = Look(picture, partial(material.evaluated.target_of, i), network)
        return picture, dense_words(record).marks(record.evaluation, i, look)
    except UNREADABLE:  # its mask is gone
        material.evaluated.lost.add(i)
        return None, (None, None)


def _drawn(picture: Picture | None, marks: Marks | None, names: Sequence[str]) -> str | None:
    if picture is None or marks is None:
        return None
    return thumbnail(overlay(picture, marks, names, SIDE), SIDE, quality=82)


def legend(classes: Sequence[int], names: Sequence[str]) -> list[Key]:
    """Return the legend of some classes, in their order; of many the first ``LISTED``."""
    known = sorted({k for k in classes if k < len(names)})
    return [Key(shown(names[k]), "rgb({}, {}, {})".format(*colour_of(k)), rounds(k)) for k in known[:LISTED]]


def matrix_of(record: RunRecord) -> tuple[Matrix | None, str]:
    """Return which classes were taken for which, and how that is to be read; None where it is not known."""
    found, names = dense_words(record).confusion(record), record.class_names
    if found is None:
        return None, ""
    kept = most_confused(found.counts[: len(names), : len(names)])
    counts = folded(found.counts, kept, len(names))
    others = len(names) - len(kept)
    heads = [names[k] for k in kept] + [f"{others:,} others"] * (others > 0)
    rows, columns = ([*heads, name] for name in found.more) if found.more is not None else (heads, heads)
    lines = [
        (row, found.cell(int(each.sum()), found.whole), list(_cells(each, row, columns, found)))
        for row, each in zip(rows, counts, strict=True)
    ]
    return Matrix(columns, lines, others, found.total), found.says


def most_confused(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the classes that the matrix shows, in order: all, or the ``FOLDED`` with the most mistakes."""
    wrong = counts - np.diag(counts.diagonal())
    order = np.argsort(-(wrong.sum(0) + wrong.sum(1)), kind="stable")
    return np.sort(order[:FOLDED])


def folded(counts: NDArray[np.int64], kept: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return counts with a row and a column for each class ``kept``, one for all others, and those that are no class."""
    place = np.full(len(counts), len(kept))
    place[kept] = np.arange(len(kept))
    place[classes:] = len(kept) + (len(kept) < classes) + np.arange(len(counts) - classes)
    size = int(place.max()) + 1
    found = np.zeros((size, size), np.int64)
    np.add.at(found, (place[:, None], place[None]), counts)
    return found


def _cells(counts: NDArray[np.int64], row: str, columns: Sequence[str], found: Confusion) -> Iterator[Cell]:
    total = int(counts.sum())
    for column, count in zip(columns, counts.tolist(), strict=True):
        text = found.cell(count, total)
        yield Cell(count, count / max(total, 1), "", f"{text} of {row} as {column}", text)


def augmented(record: RunRecord, material: Material, places: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Yield training images as they are and as the network saw them in the first epoch, with what is there on both."""
    words, names = dense_words(record), record.class_names
    for i in places:
        picture = material.trained.picture(i)
        if picture is None or material.augment is None:
            continue
        target = material.trained.target_of(i)
        pixels, moved, _ = material.augment.pair(picture, target, (0, i))
        both = ((picture, target), (picture_of(pixels), moved))
        before, after = (overlay(each, words.there(of, each.size), names, SIDE // 2) for each, of in both)
        yield thumbnail(before, SIDE // 2), thumbnail(after, SIDE // 2)
