"""The charts and tables of a page, of what the run's folder says."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from botzoo.data.decode import size_of
from botzoo.models.preprocessing import PLAIN
from botzoo.pages.charts import COLOURS, Points, Series, line_chart, scatter_chart
from botzoo.pages.thumbnails import thumbnail
from botzoo.pixels.bands import picture_of
from botzoo.report import dense
from botzoo.report.embedding import Map
from botzoo.report.material import UNREADABLE, Material, Originals
from botzoo.results.calibration import reliability
from botzoo.results.per_class import Figures
from botzoo.results.record import RunRecord
from botzoo.results.words import words_of

CLASSES = 1000  # in the table, at most; of more the worst
POINTS = 400  # of a line, at most
MEASURED = 200  # images whose sizes are looked at
AUGMENTED = 8  # training images that are shown


class Curves(NamedTuple):
    """Charts over the epochs."""

    loss: Markup
    figure: Markup
    rate: Markup


class ClassRow(NamedTuple):
    """A line of the table of classes; shares are in per cent."""

    name: str
    trained: int | None  # training images, None where nobody counted
    figures: Figures


def curves(record: RunRecord) -> Curves | None:
    """Return loss, headline figure and learning rate over the epochs; None of a run without a step."""
    headline = record.task.headline
    train, evaluated = record.of("train"), [*record.of("start"), *record.of("validation")]
    if not train and not evaluated:
        return None
    each = record.facts["schedule"]["steps_per_epoch"]

    def line(name: str, lines: list[dict[str, Any]], key: str, unit: float = 1.0) -> Series:
        few = lines[:: -(-len(lines) // POINTS) or 1]
        return Series(name, [one["step"] / each for one in few], [float(one[key]) / unit for one in few])

    losses, unit = [line("training", train, "loss")], "loss"
    if all(one.get("loss") is not None for one in evaluated):  # a detector has none in evaluation
        losses, unit = [*losses, line("validation", evaluated, "loss")], "loss (nats)"
    figure, highest = f"{headline.figure} (%)", max((one["lr"] for one in train), default=1.0) or 1.0
    power = math.floor(math.log10(highest))
    reached, rates = [line("", evaluated, headline.key)], [line("", train, "lr", 10.0**power)]
    return Curves(
        line_chart("Training and validation loss over the epochs", losses, "epoch", unit, y_low=0.0),
        line_chart(f"Validation {headline.measure} over the epochs", reached, "epoch", figure),
        line_chart("Learning rate over the epochs", rates, "epoch", f"learning rate (1e{power})", y_low=0.0),
    )


def reliability_chart(record: RunRecord) -> Markup | None:
    """Return how often answers are right against how sure they are; None where that is of no use.

    The lines are those of perfect calibration, of the answers as they are, and of those at the temperature if there is one.
    """
    found, seen = record.calibration, record.evaluation
    if found is None:
        return None
    correct = seen.labels == seen.predicted
    series = [Series("", [0, 1], [0, 1], dashed=True), _bins(seen.confidence, correct)]
    if found.sureness is not None:
        series.append(_bins(found.sureness, correct))
    title = "Share of right answers against confidence, by bins of confidence"
    return line_chart(title, series, "confidence", "share right", y_low=0.0, y_high=1.0)


def _bins(confidence: Any, correct: Any) -> Series:
    bins = reliability(confidence, correct)
    return Series("", [each.confidence for each in bins], [each.right for each in bins])


def class_rows(record: RunRecord) -> tuple[list[ClassRow], int]:
    """Return the table of the classes that have images in the split, and how many others it leaves out."""
    counts, names = record.facts["data"]["class_counts"], record.class_names
    trained = dict(zip(names, counts, strict=True)) if counts is not None else {}
    figures = list(words_of(record).figures(record))
    listed = figures if len(figures) <= CLASSES else sorted(figures, key=lambda f: f.main)[:CLASSES]
    rows = [ClassRow(f.name, trained.get(f.name), f) for f in listed]
    return rows, len(figures) - len(rows)


def map_chart(record: RunRecord, found: Map) -> tuple[Markup, list[str]]:
    """Return the chart of a map, and the names of the classes by their colours; of many the rest have one together."""
    seen, names = record.evaluation, record.class_names
    labels = seen.labels[found.rows]
    order = np.argsort(-np.bincount(labels, minlength=len(names)), kind="stable")
    there = [k for k in order.tolist() if (labels == k).any()]
    own = there if len(there) <= COLOURS else there[: COLOURS - 1]
    groups = [(names[k], labels == k) for k in sorted(own)]
    if len(own) < len(there):
        groups.append((f"{len(there) - len(own):,} other classes", ~np.isin(labels, own)))
    points = [_points(record, found, name, which) for name, which in groups]
    title = f"Map of {len(labels):,} images, coloured by class, those with doubtful labels ringed"
    return scatter_chart(title, points), [name for name, _ in groups]


def _points(record: RunRecord, found: Map, name: str, which: Any) -> Points:
    titles = []
    for i in found.rows[which].tolist():
        label, answer, _ = record.evaluation.said(i, record.class_names)
        titles.append(f"{record.image_names[i]}: {label}" + (f", answered {answer}" if answer != label else ""))
    x, y = found.places[which].T.tolist()
    return Points(name, x, y, titles, found.suspected[which].tolist())


def augmented(record: RunRecord, material: Material) -> list[tuple[str, str]]:
    """Return some training images as they are and as the network saw them in the first epoch, as data: URIs."""
    if material.augment is None:
        return []
    found, count = [], min(AUGMENTED, material.training)
    places = np.unique(np.linspace(0, material.training - 1, count).astype(int)).tolist()
    if not record.task.whole_image:
        return [*dense.augmented(record, material, places)]
    for i in places:
        if (picture := material.trained.picture(i)) is not None:
            seen = picture_of(material.augment(picture, (0, i)))
            found.append((thumbnail(picture, 96), thumbnail(seen, 96)))
    return found


def sizes(originals: Originals, images: int) -> tuple[int, int, int, int] | None:
    """Return least, median and largest shorter side, in pixels, of some images as they are stored, and how many these are."""
    if originals.encoded is None:
        return None
    sides = []
    for i in np.unique(np.linspace(0, images - 1, MEASURED).astype(int)).tolist():
        try:
            sides.append(min(size_of(originals.encoded(i), PLAIN)))
        except UNREADABLE:
            continue
    return (min(sides), int(np.median(sides)), max(sides), len(sides)) if sides else None


def spread(counts: Sequence[int] | None) -> tuple[int, int, int] | None:
    """Return least, median and largest number of training images of a class."""
    return (min(counts), int(np.median(counts)), max(counts)) if counts else None
