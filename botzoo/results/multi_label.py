"""What card and terminal say of a network that gives an image any number of labels; see ``botzoo.results.words.Words``."""

from collections.abc import Iterator

import numpy as np
from huggingface_hub import EvalResult

from botzoo.results.card import sections
from botzoo.results.card.claim import eval_result
from botzoo.results.classification import note as wilson_note
from botzoo.results.metrics import eval_results as other_results
from botzoo.results.metrics import interval_note, metrics_lines, metrics_section, units
from botzoo.results.per_class import LabelFigures, label_figures, per_class
from botzoo.results.record import RunRecord
from botzoo.tasks.multi_label import RESAMPLES
from botzoo.util.markdown import quoted, table
from botzoo.util.text import counted, interval_words

NOUN, NOUNS = "label", "labels"


def figures(record: RunRecord) -> list[LabelFigures]:
    return label_figures(record.evaluation, record.class_names)


def eval_results(record: RunRecord) -> list[EvalResult]:
    headline, seen = record.task.headline, record.evaluation
    return [eval_result(record, headline.metric, headline.figure, seen.score, seen.interval()), *other_results(record)]


def opening(record: RunRecord) -> Iterator[str]:
    seen, labels = record.evaluation, len(record.class_names)
    right = int((seen.labels == seen.given).all(1).sum())  # one wrong label makes an image wrong
    return sections.opening_of(
        record,
        "A multi-label image classifier",
        f"says of each of {counted(labels, 'label')}, one by one, whether an image has it; it may have several, or none",
        "decisions in which one wrong answer does harm: at a threshold of 0.5 it gave "
        f"{right:,} of {record.split_text} the very labels they have",
    )


def results(record: RunRecord) -> Iterator[str]:
    every, seen = figures(record), record.evaluation
    over = f"mean over {counted(len(every), 'label')}"
    yield "## Results"
    rows = [("mAP", f"{seen.score:.2f} %", f"{interval_words(seen.interval())} %", f"average precision, {over}")]
    yield table((f"on {record.split_text}", "value", "95 % interval", "of"), rows)
    yield sections.looked_at(record)
    # Of images in random order the precision is the label's share of them, at any threshold.
    chance = 100 * float(np.mean([f.images for f in every])) / len(seen)
    yield (
        f"{sections.conditions(record)}; the interval is that of {RESAMPLES} bootstrap resamples of the {units(record)}, seed "
        f"0. Ranking the images by chance would give an mAP of about {chance:.1f} %."
    )
    yield from metrics_section(record)
    yield "### Label by label"
    yield from per_class(every, len(record.class_names), NOUN, NOUNS)
    yield "Average precision needs no threshold; the other figures are those of a probability over 0.5."
    yield from sections.learning_curve(record)


def note(record: RunRecord) -> str:
    return (
        f"{wilson_note(record)} Average precision needs no threshold, the others are those of a probability over 0.5."
    )


def limits(record: RunRecord) -> Iterator[str]:
    every = figures(record)
    worst = min(every, key=lambda f: (f.average_precision, -f.images))  # of equals the one with the most images
    yield f"Weakest label: {quoted(worst.name)}, with an average precision of {worst.average_precision:.1f} %."
    yield from sections.never_answered(every, "gave the label")
    yield from sections.roughness(record, every, NOUNS)
    yield from sections.imbalance(record, "The labels are unequally frequent among the training images")
    yield "The threshold of 0.5 was not tuned, and no probability was calibrated."


def terminal(record: RunRecord) -> Iterator[str]:
    seen = record.evaluation
    interval = f"95 % interval {interval_words(seen.interval())}{interval_note(record)}"
    yield f"{'result':10} mAP {seen.score:.2f} % on {record.split_text} ({interval})"
    yield f"{'':10} {sections.chosen_remark(record)}"
    yield from metrics_lines(record)
