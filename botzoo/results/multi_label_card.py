"""The card of a network that gives an image any number of labels: what differs from ``card``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from huggingface_hub import EvalResult

from botzoo.results.front_matter import eval_result
from botzoo.results.per_class import LabelFigures, label_figures, per_class
from botzoo.results.sections import (
    conditions,
    imbalance,
    learning_curve,
    limits,
    looked_at,
    never_answered,
    opening,
    roughness,
    save_card,
    split_text,
)
from botzoo.tasks.multi_label import RESAMPLES, MultiLabelEvaluation
from botzoo.training.run import Result
from botzoo.util.markdown import quoted, table


def write_multi_label_card(result: Result) -> Path:
    """Write ``README.md`` into the model folder, with per_class.csv beside it for many labels; return the card's path."""
    figures = label_figures(result.evaluation, result.job.data.class_names)
    told = limits(_limit_lines(result, figures))
    return save_card(result, [_eval_result(result)], _opening(result), _results(result, figures), told)


def _eval_result(result: Result) -> EvalResult:
    judged: MultiLabelEvaluation = result.evaluation
    task, words = result.job.task, "Multi-label Image Classification"
    return eval_result(result, task.metric, task.figure, judged.score, judged.interval(), words)


def _opening(result: Result) -> Iterator[str]:
    judged, labels = result.evaluation, len(result.job.data.class_names)
    right = int((judged.labels == judged.answers).all(1).sum())
    return opening(
        result,
        "A multi-label image classifier",
        f"says of each of {labels} labels, one by one, whether an image has it; it may have several, or none",
        "decisions in which one wrong answer does harm: at a threshold of 0.5 it gave "
        f"{right:,} of {split_text(result)} the very labels they have",
    )


def _results(result: Result, figures: Sequence[LabelFigures]) -> Iterator[str]:
    judged, over = result.evaluation, f"mean over {len(figures)} labels"
    low, high = judged.interval()
    yield "## Results"
    yield table(
        (f"on {split_text(result)}", "value", "95 % interval", "of"),
        (
            ("mAP", f"{judged.score:.2f} %", f"{low:.2f} to {high:.2f} %", f"average precision, {over}"),
            ("micro F1", f"{judged.f1('micro'):.2f} %", "", "all answers at a threshold of 0.5"),
            ("macro F1", f"{judged.f1('macro'):.2f} %", "", f"the same, {over}"),
        ),
    )
    yield looked_at(result)
    chance = 100 * float(np.mean([f.images for f in figures])) / len(judged)
    yield (
        f"{conditions(result)}; the interval is that of {RESAMPLES} bootstrap resamples of the images, seed 0. Mean binary "
        f"cross-entropy of an image, summed over its labels, {judged.loss:.4f} nats. Ranking the images by chance would give "
        f"an mAP of about {chance:.1f} %."
    )
    yield "### Label by label"
    yield from per_class(figures, len(result.job.data.class_names), "label", "labels", result.model_folder)
    yield "Average precision needs no threshold; the other figures are those of a probability over 0.5."
    yield from learning_curve(result, "mAP")


def _limit_lines(result: Result, figures: Sequence[LabelFigures]) -> Iterator[str]:
    worst = min(figures, key=lambda f: (f.average_precision, -f.images))
    yield f"Weakest label: {quoted(worst.name)}, with an average precision of {worst.average_precision:.1f} %."
    yield from never_answered(figures, "gave the label")
    yield from roughness(result, figures, "mAP", "labels")
    yield from imbalance(result, "The labels are unequally frequent among the training images")
    yield "The threshold of 0.5 was not tuned, and no probability was calibrated."
