"""The pictures of a finished run, as matplotlib figures; ``botzoo.util.pictures.drawn`` saves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from botzoo.errors import printable
from botzoo.results.calibration import Calibration, reliability
from botzoo.results.per_class import confusions
from botzoo.results.record import RunRecord
from botzoo.util.pictures import label, new_figure

PICTURED = 1000  # classes at most whose confusions are drawn: of more, each would be a pixel or less

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def curve_figure(record: RunRecord) -> Figure:
    """Return the learning curve: the loss in nats, and what chose the epoch, over the epochs."""
    by, validation = record.criterion, [*record.of("start"), *record.of("validation")]
    figure = new_figure(9, 3.6)
    left, right = figure.subplots(1, 2)

    def plot(axes: Axes, lines: list[dict[str, Any]], key: str, style: str, **how: Any) -> None:
        epochs = [line["step"] / record.facts["schedule"]["steps_per_epoch"] for line in lines]
        axes.plot(epochs, [line[key] for line in lines], style, **how)

    plot(left, record.of("train"), "loss", ".-", lw=1, ms=3, label="training")
    known = all(line.get("loss") is not None for line in validation)  # a detector has none in evaluation
    if known:
        plot(left, validation, "loss", "o-", label="validation")
    left.set(xlabel="epoch", ylabel="loss (nats)" if known else "loss", ylim=(0, None))
    left.legend()
    plot(right, validation, by.key, "o-", color="C1")
    if validation:
        best = max(validation, key=lambda line: by.points(line[by.key]))
        right.axhline(best[by.key], color="grey", lw=0.8, ls=":")
        when = f"after epoch {best['epoch']}" if best["epoch"] else "at the start"
        right.set_title(f"best {by.text(best[by.key])} {when}", fontsize=10)
    right.set(xlabel="epoch", ylabel=f"validation {by.figure} ({by.unit})")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_xlim(0, None)
    title = f"{record.facts['network']['architecture']} on {record.facts['data']['title']}"
    figure.suptitle(label(title), fontsize=11)
    return figure


def confusion_figure(record: RunRecord) -> Figure:
    """Return the confusion matrix, shares by row as colours; counts in the cells up to 20 classes; at most ``PICTURED``."""
    names, count = record.class_names, len(record.class_names)
    matrix = confusions(record.evaluation, count).toarray()
    share = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = min(max(4.5, 2.2 + 0.42 * count if count <= 30 else 2.2 + 0.13 * count), 22)
    figure = new_figure(side + 1, side, dpi=100 if count <= 30 else 130)
    from matplotlib.colors import PowerNorm

    axes = figure.subplots()
    picture = axes.imshow(share, cmap="Blues", norm=PowerNorm(0.5, 0, 100))  # shows the rare confusions too
    figure.colorbar(picture, ax=axes, shrink=0.7, label="% of the class's images")
    axes.set(xlabel="answer", ylabel="class")
    axes.set_title(label(record.split_text))
    if count <= 150:  # nor the names of more
        size = 9 if count <= 30 else 6
        labels = [label(printable(name, 24), str(k)) for k, name in enumerate(names)]
        axes.set_xticks(range(count), labels, rotation=90, fontsize=size)
        axes.set_yticks(range(count), labels, fontsize=size)
    if count <= 20:  # of more the numbers could not be read
        for i, j in np.argwhere(matrix > 0).tolist():
            colour = "white" if share[i, j] > 30 else "black"
            axes.text(j, i, str(matrix[i, j]), ha="center", va="center", color=colour, fontsize=8)
    return figure


def reliability_figure(record: RunRecord, found: Calibration) -> Figure:
    """Return the share of right answers against confidence, before and, where one was fitted, at the temperature."""
    seen = record.evaluation
    correct = seen.labels == seen.predicted
    figure = new_figure(4.5, 4.2)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ":", color="grey", label="calibrated")
    confidences = {"as it is": seen.confidence, f"at temperature {found.temperature or 1:.3g}": found.sureness}
    for name, confidence in confidences.items():
        if confidence is not None:
            bins = reliability(confidence, correct)
            axes.plot([each.confidence for each in bins], [each.right for each in bins], "o-", ms=4, label=name)
    axes.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
