"""The metrics besides the headline figure, for card, page, Hub and terminal; ``RunRecord.metrics`` has them as numbers."""

from collections.abc import Iterator

from huggingface_hub import EvalResult

from botzoo.results.card.claim import eval_result
from botzoo.results.record import RunRecord
from botzoo.tasks.metrics.metric import ENOUGH, Measured
from botzoo.tasks.metrics.resampling import RESAMPLES
from botzoo.util.markdown import table
from botzoo.util.text import and_list, counted, under

IN_TERMINAL = 3
"""Metrics that the summary names besides the one that chose the epoch; the card has all of them."""


def eval_results(record: RunRecord) -> list[EvalResult]:
    """Return those of the metrics that the Hub knows."""
    return [
        eval_result(record, m.metric.hub, m.metric.title, m.value, (m.low, m.high))
        for m in record.metrics
        if m.metric.hub is not None
    ]


def metrics_section(record: RunRecord) -> Iterator[str]:
    """Yield the table of all metrics that are defined, and the notes on it."""
    yield "### Other metrics"
    yield table(
        (f"on {record.split_text}", "value", "95 % interval", "what it is"),
        (
            (m.metric.title, m.metric.text(m.value), f"{m.interval} {m.metric.unit}", m.metric.says)
            for m in record.metrics
        ),
    )
    yield from metrics_notes(record)


def metrics_notes(record: RunRecord) -> Iterator[str]:
    """Yield how the intervals of the metrics were made, and what is not known."""
    few = [m for m in record.metrics if m.resamples < RESAMPLES]
    how = f"The intervals are percentiles of {RESAMPLES:,} bootstrap resamples of the {units(record)}, seed 0"
    if few:
        what = "percentiles" if few[0].resamples >= ENOUGH else "the value more or less 1.96 standard deviations"
        how += f"; of {and_list([m.metric.title for m in few])}, which take long, {what} of {few[0].resamples}"
    chose = f" {record.criterion.figure[0].upper()}{record.criterion.figure[1:]} chose the epoch."
    yield f"{how}.{chose if record.criterion.metric is not None else ''}"
    if lost := undefined(record):
        names, why = lost
        yield f"Not known: {and_list(names)} ({why})."


def undefined(record: RunRecord) -> tuple[list[str], str] | None:
    """Return the metrics that are not known here, and why; None where all are."""
    there = {m.metric.name for m in record.metrics}
    gone = [metric for metric in record.task.metrics if metric.name not in there and not metric.ordered]
    unkept = not record.evaluation.has_scores and all(metric.ranks for metric in gone)
    why = "too many probabilities to keep them" if unkept else "the images show one class only"
    return ([metric.title for metric in gone], why) if gone else None


def metrics_lines(record: RunRecord) -> Iterator[str]:
    """Yield the lines of the terminal's summary: what chose the epoch, with its interval, and the first of the others."""
    chosen = record.criterion.metric
    chose = [m for m in record.metrics if m.metric == chosen]
    lines = [f"{_short(m)} (95 % interval {m.interval}), which chose the epoch" for m in chose]
    others = [_short(m) for m in record.metrics if m.metric != chosen]
    lines.append(", ".join(others[:IN_TERMINAL]))
    if lost := undefined(record):
        names, why = lost
        lines.append(f"without {', '.join(names)}: {why}")
    yield from under("metrics", lines)


def _short(m: Measured) -> str:
    return f"{m.metric.title} {m.metric.text(m.value)}"


def units(record: RunRecord) -> str:
    """Return what is drawn for a resample: images, or so many groups of them."""
    groups = record.evaluation.groups
    return "images" if groups is None else counted(int(groups.max()) + 1, "group of images", "groups of images")


def interval_note(record: RunRecord) -> str:
    """Return what to add to an interval of groups, "" where the images are independent."""
    return "" if record.evaluation.groups is None else f", over {units(record)}"
