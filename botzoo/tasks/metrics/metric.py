"""The metrics that people choose by, besides the headline figure: their names, what they choose, and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.tasks.metrics.resampling import RESAMPLES, percentiles, resamples

FEWEST = 25  # resamples, from which the deviation is still known to about 15 %
ENOUGH = 200  # resamples, below which percentiles are rough, and the interval is that of a normal distribution
FIGURES = 1 << 18  # of classes and resamples that are in memory at once
WORK = 1 << 26  # numbers of all resamples together, of a metric that ranks all images for each class


class Metric(NamedTuple):
    """A figure of an evaluation of N images.

    Attributes:
        name: as one types it.
        title: in a table.
        says: what it is, in words.
        of: the figure in per cent, of log-loss in nats, shape (R,), given what ``Evaluation.weighted`` returns for R
            resamples; NaN where it is not defined.
        hub: its name on the Hub, None where that has no such metric.
        ranks: whether it ranks all images for each class: it needs the probabilities of all classes and takes the longest.
        ordered: whether it presumes that the classes stand in an order; such a one is shown only where it is asked for.
    """

    name: str
    title: str
    says: str
    of: Callable[[Any], NDArray[np.float64]]
    hub: str | None = None
    ranks: bool = False
    ordered: bool = False

    @property
    def key(self) -> str:
        """Its name in metrics.jsonl."""
        return self.name.replace("-", "_")

    @property
    def unit(self) -> Literal["%", "nats"]:
        return "nats" if self.name == "log-loss" else "%"

    def text(self, value: float) -> str:
        """Return a value with its unit."""
        return f"{value:.4f} nats" if self.unit == "nats" else f"{value:.2f} %"


class Measured(NamedTuple):
    """A metric of an evaluation: its value, and the 95 % interval of that from ``low`` to ``high``."""

    metric: Metric
    value: float
    low: float
    high: float
    resamples: int

    @property
    def interval(self) -> str:
        """In words, without the unit."""
        digits = 4 if self.metric.unit == "nats" else 2
        return f"{self.low:.{digits}f} to {self.high:.{digits}f}"


class Criterion(NamedTuple):
    """What chooses the epoch: the headline figure, or a metric.

    Attributes:
        figure: its short name, such as top-1.
        key: its name in metrics.jsonl.
        metric: None for the headline figure.
    """

    figure: str
    key: str
    metric: Metric | None = None

    @property
    def unit(self) -> str:
        return "%" if self.metric is None else self.metric.unit

    @property
    def ranks(self) -> bool:
        """Whether it needs the probabilities of all classes."""
        return self.metric is not None and self.metric.ranks

    def of(self, evaluation: Any) -> float:
        """Return its value, in per cent or nats."""
        return float(evaluation.score) if self.metric is None else value_of(self.metric, evaluation)

    def points(self, value: float) -> float:
        """Return a value as a score, of which the highest is best; given a score, the value again."""
        return -value if self.unit == "nats" else value

    def figures(self, evaluation: Any) -> dict[str, float]:
        """Return what metrics.jsonl has of an evaluation: the usual figures, and the criterion beside them."""
        figures: dict[str, float] = evaluation.figures
        return figures if self.metric is None else {**figures, self.key: self.of(evaluation)}

    def text(self, value: float) -> str:
        """Return a value with its unit."""
        return f"{value:.2f} %" if self.metric is None else self.metric.text(value)

    def beside(self, evaluation: Any) -> str:
        """Return name and value for beside headline figure and loss, "" where the criterion is one of these."""
        stands_there = self.metric is None or self.unit == "nats"  # the loss does
        return "" if stands_there else f", {self.figure} {self.text(self.of(evaluation))}"


def criterion(task: Any, name: str | None) -> Criterion:
    """Return what chooses the epoch of a run with ``task``: its metric of that name, by default the headline figure."""
    if name is None:
        return Criterion(task.headline.figure, task.headline.key)
    (metric,) = (metric for metric in task.metrics if metric.name == name)
    return Criterion(metric.title, metric.key, metric)


def value_of(metric: Metric, evaluation: Any) -> float:
    """Return the figure itself; NaN where it is not defined or the probabilities that it needs were not kept."""
    known: dict[str, float] = evaluation.known
    if metric.name not in known:
        lacking = metric.ranks and not evaluation.has_scores
        known[metric.name] = float("nan") if lacking else float(metric.of(evaluation.weighted())[0])
    return known[metric.name]


def measured(metrics: Sequence[Metric], evaluation: Any, classes: int) -> list[Measured]:
    """Return those of the ``metrics`` that are defined, each with a bootstrap interval over the images or their groups.

    Percentiles of 1,000 resamples; fewer of a metric that ranks more than 67,000 images times ``classes``, since that would
    take long. From below 200 the interval is the value more or less 1.96 deviations of what at least 25 resamples give.
    """
    values = {metric: value for metric in metrics if np.isfinite(value := value_of(metric, evaluation))}
    few = int(np.clip(WORK // (len(evaluation) * classes), FEWEST, RESAMPLES))
    rows = max(1, FIGURES // classes)
    found: dict[Metric, Measured] = {}
    for ranks, count in ((False, RESAMPLES), (True, few)):
        these = [metric for metric in values if metric.ranks == ranks]
        parts: dict[Metric, list[NDArray[np.float64]]] = {metric: [] for metric in these}
        for times in resamples(len(evaluation), count, evaluation.groups) if these else ():
            for first in range(0, len(times), rows):
                weighted = evaluation.weighted(times[first : first + rows])
                for metric in these:
                    parts[metric].append(metric.of(weighted))
        for metric in these:
            drawn = np.concatenate(parts[metric])
            found[metric] = Measured(metric, values[metric], *_interval(metric, values[metric], drawn), count)
    return [found[metric] for metric in values]


def _interval(metric: Metric, value: float, drawn: NDArray[np.float64]) -> tuple[float, float]:
    drawn = drawn[~np.isnan(drawn)]  # those of a resample with images of one class only
    if len(drawn) >= ENOUGH or not metric.ranks:
        return percentiles(drawn)
    half = 1.96 * float(drawn.std(ddof=1))
    return max(value - half, 0.0), min(value + half, 100.0)
