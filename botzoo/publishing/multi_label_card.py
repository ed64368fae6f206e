"""The card of a network that gives an image any number of labels: what differs from ``card``."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from huggingface_hub import EvalResult
from sklearn.metrics import precision_recall_fscore_support

from botzoo.publishing.card import (
    FULL_TABLE,
    WORST,
    _count,
    _credit,
    _data,
    _data_name,
    _licence,
    _on_validation,
    _origin,
    _quoted,
    _split_text,
    _table,
    _text,
    _training,
    _use,
    card_data,
    chosen_remark,
    data_title,
    save_card,
)
from botzoo.publishing.claim import metric_args, sha256_of
from botzoo.training.model import count_parameters
from botzoo.training.multi_label import RESAMPLES, MultiLabelEvaluation
from botzoo.training.run import Result


@dataclass(frozen=True)
class LabelFigures:
    """How one label was recognised in the evaluated split.

    Attributes:
        name: the label.
        images: that have it, 1 or more.
        answers: images that were given it.
        average_precision: in per cent; needs no threshold.
        precision, recall, f1: at a probability of 0.5, in per cent; precision is 0 where there are no answers.
    """

    name: str
    images: int
    answers: int
    average_precision: float
    precision: float
    recall: float
    f1: float


def label_figures(evaluation: MultiLabelEvaluation, class_names: tuple[str, ...]) -> list[LabelFigures]:
    """Return the figures of every label that some evaluated image has, in the order of ``class_names``."""
    truth, given = evaluation.labels, evaluation.answers
    precision, recall, f1, images = precision_recall_fscore_support(truth, given, average=None, zero_division=0.0)
    at_half = 100 * np.stack([precision, recall, f1], 1)
    return [
        LabelFigures(
            name, int(images[k]), int(given[:, k].sum()), float(evaluation.average_precisions[k]), *at_half[k].tolist()
        )
        for k, name in enumerate(class_names)
        if images[k]
    ]


def write_multi_label_card(result: Result) -> Path:
    """Write ``README.md`` into the model folder, with per_class.csv beside it for many labels; return the card's path."""
    figures = label_figures(result.evaluation, result.job.data.class_names)
    if len(result.job.data.class_names) > FULL_TABLE:
        _write_csv(result.model_folder / "per_class.csv", figures)
    sections = (
        _what(result),
        _use(result),
        _data(result),
        _results(result, figures),
        _training(result),
        _limits(result, figures),
        _licence(result),
        _credit(result),
    )
    return save_card(result, card_data(result, "mean_average_precision", _eval_results(result)), sections)


def _eval_results(result: Result) -> list[EvalResult]:
    """Return the figure for the Hub; the image size is in its name, since else the Hub merges those of several sizes."""
    judged: MultiLabelEvaluation = result.evaluation
    weights = sha256_of(result.model_folder / "model.safetensors")
    images_sha256 = result.facts["fingerprints"][result.split]
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Multi-label Image Classification",
            dataset_type=result.job.data.hub_id or data_title(result.job.data),
            dataset_name=data_title(result.job.data),
            dataset_split=result.job.data.splits[result.split].name,
            metric_type="mean_average_precision",
            metric_name=f"mAP at {result.job.preprocessing.size} px",
            metric_value=round(judged.score, 3),
            metric_args=metric_args(result.split, len(judged), judged.interval(), images_sha256, weights),
        )
    ]


def _what(result: Result) -> Iterator[str]:
    job, judged, size = result.job, result.evaluation, result.job.preprocessing.size
    names = job.data.class_names
    some = ", ".join(_text(name) for name in names[:20])
    rest = f", and {len(names) - 20} more (all in config.json)" if len(names) > 20 else ""
    yield f"# {_text(job.folder.resolve().name)}"
    yield (
        f"A multi-label image classifier: `{job.architecture}` ({count_parameters(job.model)[0]:,} parameters), "
        f"{_origin(job.start)} on {_data_name(job.data)}. It takes RGB images at {size} x {size} pixels and says of each of "
        f"{len(names)} labels, one by one, whether an image has it; it may have several, or none: {some}{rest}."
    )
    right = int((judged.labels == judged.answers).all(1).sum())
    yield (
        "It is for images like those it learned from, and a start for fine-tuning on others. It is not for decisions in which "
        f"one wrong answer does harm: at a threshold of 0.5 it gave {right:,} of {_split_text(result)} the very labels "
        "they have."
    )


def _results(result: Result, figures: list[LabelFigures]) -> Iterator[str]:
    judged, p = result.evaluation, result.job.preprocessing
    low, high = judged.interval()
    over = f"mean over {len(figures)} labels"
    yield "## Results"
    yield _table(
        (f"on {_split_text(result)}", "value", "95 % interval", "of"),
        (
            ("mAP", f"{judged.score:.2f} %", f"{low:.2f} to {high:.2f} %", f"average precision, {over}"),
            ("micro F1", f"{judged.f1('micro'):.2f} %", "", "all answers at a threshold of 0.5"),
            ("macro F1", f"{judged.f1('macro'):.2f} %", "", f"the same, {over}"),
        ),
    )
    yield f"{chosen_remark(result)}{_on_validation(result)}"
    chance = 100 * float(np.mean([f.images for f in figures])) / len(judged)
    yield (
        f"One {p.crop_mode} crop at {p.size} px after resizing ({p.interpolation}, crop {p.crop_pct:g}), in "
        f"{result.job.precision.name}; the interval is that of {RESAMPLES} bootstrap resamples of the images, seed 0. Mean "
        f"binary cross-entropy of an image, summed over its labels, {judged.loss:.4f} nats. Ranking the images by chance "
        f"would give an mAP of about {chance:.1f} %."
    )
    yield from _per_label(result, figures)
    if (result.model_folder / "learning_curve.png").exists():
        yield "![Loss and validation mAP over the epochs](learning_curve.png)"


def _per_label(result: Result, figures: list[LabelFigures]) -> Iterator[str]:
    yield "### Label by label"
    total = len(result.job.data.class_names)
    if len(figures) < total:
        yield f"{total - len(figures)} labels occur on no image of this split and are not listed."
    if total > FULL_TABLE:
        figures = sorted(figures, key=lambda f: f.average_precision)[:WORST]
        yield f"The {len(figures)} labels with the lowest average precision; all are in [per_class.csv](per_class.csv)."
    yield _table(
        ("label", "images", "average precision", "precision", "recall", "F1"),
        (
            (
                _text(f.name),
                f"{f.images:,}",
                f"{f.average_precision:.1f} %",
                _precision(f),
                f"{f.recall:.1f} %",
                f"{f.f1:.1f} %",
            )
            for f in figures
        ),
    )
    yield "Average precision needs no threshold; the other figures are those of a probability over 0.5."


def _precision(figures: LabelFigures) -> str:
    return f"{figures.precision:.1f} %" if figures.answers else "never answered"


def _limits(result: Result, figures: list[LabelFigures]) -> Iterator[str]:
    yield "## Limits and known failures"
    yield "\n".join(f"- {line}" for line in _limit_lines(result, figures))


def _limit_lines(result: Result, figures: list[LabelFigures]) -> Iterator[str]:
    worst = min(figures, key=lambda f: (f.average_precision, -f.images))
    yield f"Weakest label: {_quoted(worst.name)}, with an average precision of {worst.average_precision:.1f} %."
    for f in figures:
        if not f.answers and len(figures) <= FULL_TABLE:
            yield f"It never gave the label {_quoted(f.name)}, though it saw {_count(f.images, 'image')} of it."
    low, high = result.evaluation.interval()
    if high - low > 2:
        yield (
            f"{len(result.evaluation):,} images settle the mAP to about ± {(high - low) / 2:.1f} points; smaller differences "
            "mean nothing."
        )
    if (fewest := min(figures, key=lambda f: f.images)).images < 50:
        rough = _count(fewest.images, "image")
        yield f"Figures of single labels are rough: {_quoted(fewest.name)} was judged on {rough} that have it."
    counts = result.job.data.train.class_counts(len(result.job.data.class_names))
    if counts is not None and counts.max() >= 2 * counts.min():
        many, few = (_quoted(result.job.data.class_names[int(k)]) for k in (counts.argmax(), counts.argmin()))
        yield f"The labels are unequally frequent in training: {counts.max():,} images of {many}, {counts.min():,} of {few}."
    yield "The threshold of 0.5 was not tuned, and no probability was calibrated."
    yield "One run with one seed; another seed gives a somewhat different figure."
    yield "It was measured on images of the same source as those it learned from; how it does on others is not known."


def _write_csv(path: Path, figures: Iterable[LabelFigures]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "images", "answers", "average_precision", "precision", "recall", "f1"])
        for f in figures:
            shares = (f.average_precision, f.precision, f.recall, f.f1)
            writer.writerow([f.name, f.images, f.answers, *(round(share, 2) for share in shares)])
