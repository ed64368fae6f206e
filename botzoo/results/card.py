"""The model card: what a finished run knows of itself, for people (README.md) and for the Hub (its front matter)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from huggingface_hub import EvalResult
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from botzoo.results.calibration import BINS, Calibration, calibrate
from botzoo.results.front_matter import eval_result
from botzoo.results.per_class import ClassFigures, class_figures, per_class
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
from botzoo.results.usage import folder_temperature
from botzoo.tasks.classification import Evaluation, wilson
from botzoo.training.run import Result
from botzoo.util.markdown import counted, escaped, quoted, table


def write_card(result: Result, found: Calibration | None = None) -> Path:
    """Write ``README.md`` into the model folder, with confusion.png and, for many classes, per_class.csv beside it.

    Args:
        result: of a finished run, whose model folder holds config.json already, with the temperature where one is kept.
        found: its calibration, where that is known already.

    Returns:
        The path of the card.
    """
    names = result.job.data.class_names
    figures = class_figures(result.evaluation, names)
    draw_confusion(result.evaluation, names, result.model_folder / "confusion.png", split_text(result))
    told = _results(result, figures, found or calibration(result))
    return save_card(result, _eval_results(result), _opening(result), told, limits(_limit_lines(result, figures)))


# The figures


def _eval_results(result: Result) -> list[EvalResult]:
    metrics = {"top-1": "accuracy", "top-5": "top_5_accuracy"}
    return [
        eval_result(result, metrics[name], f"{name} accuracy", 100 * correct / images, (low, high))
        for name, correct, images, low, high in accuracies(result)
    ]


def accuracies(result: Result) -> Iterator[tuple[str, int, int, float, float]]:
    """Yield name, images right, images and the 95 % interval in per cent of top-1, and of top-5 if classes > 5."""
    n = len(result.evaluation)
    rows = [("top-1", result.evaluation.correct)]
    if len(result.job.data.class_names) > 5:
        rows.append(("top-5", int(result.evaluation.in_top5.sum())))
    for name, correct in rows:
        yield name, correct, n, *wilson(correct, n)


def confusions(evaluation: Evaluation, class_names: Sequence[str]) -> NDArray[np.int64]:
    """Return the images by class (rows) and answer (columns)."""
    matrix: NDArray[np.int64] = confusion_matrix(
        evaluation.labels, evaluation.predicted, labels=range(len(class_names))
    )
    return matrix


def _commonest_confusions(result: Result, limit: int = 10) -> list[tuple[str, str, int, int]]:
    """Return class, wrong answer, how often, and the images of the class; the commonest first."""
    matrix = confusions(result.evaluation, result.job.data.class_names)
    images = matrix.sum(1)
    wrong = matrix - np.diag(np.diag(matrix))
    names = result.job.data.class_names
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = [tuple(map(int, np.unravel_index(i, wrong.shape))) for i in order]
    return [(names[i], names[j], int(wrong[i, j]), int(images[i])) for i, j in pairs if wrong[i, j]]


def draw_confusion(evaluation: Evaluation, class_names: Sequence[str], path: Path, title: str) -> None:
    """Draw the confusion matrix as a PNG, shares by row as colours; counts in the cells up to 20 classes."""
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    matrix = confusions(evaluation, class_names)
    share = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    count = len(class_names)
    side = min(max(4.5, 2.2 + 0.42 * count if count <= 30 else 2.2 + 0.13 * count), 22)
    figure = Figure(figsize=(side + 1, side), dpi=100 if count <= 30 else 130, layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(share, cmap="Blues", norm=PowerNorm(0.5, 0, 100))  # shows the rare confusions too
    figure.colorbar(picture, ax=axes, shrink=0.7, label="% of the class's images")
    axes.set(xlabel="answer", ylabel="class")
    axes.set_title(title, parse_math=False)
    if count <= 150:
        size = 9 if count <= 30 else 6
        labels = [_drawable(name, k) for k, name in enumerate(class_names)]
        axes.set_xticks(range(count), labels, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(range(count), labels, fontsize=size, parse_math=False)
    if count <= 20:
        for i, j in np.argwhere(matrix > 0).tolist():
            colour = "white" if share[i, j] > 30 else "black"
            axes.text(j, i, str(matrix[i, j]), ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(path)


def _drawable(name: str, number: int, longest: int = 24) -> str:
    """Return ``name`` on one line, or the class's number where matplotlib's font lacks a letter of it."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    name = " ".join(name.split())
    if not name or any(font.get_char_index(ord(letter)) == 0 for letter in name):
        return str(number)
    return name if len(name) <= longest else name[: longest - 1] + "…"


# The sections


def _opening(result: Result) -> Iterator[str]:
    wrong = len(result.evaluation) - result.evaluation.correct
    harm = (
        "images that may show none of its classes, nor for decisions in which one wrong answer does harm: it classified"
    )
    return opening(
        result,
        "An image classifier",
        f"answers with one of {len(result.job.data.class_names)} classes",
        f"{harm} {wrong:,} of {split_text(result)} wrongly",
    )


def _results(result: Result, figures: list[ClassFigures], found: Calibration) -> Iterator[str]:
    yield "## Results"
    yield table(
        (f"on {split_text(result)}", "accuracy", "95 % interval", "images right"),
        (
            (name, f"{100 * correct / n:.2f} %", f"{low:.2f} to {high:.2f} %", f"{correct:,} of {n:,}")
            for name, correct, n, low, high in accuracies(result)
        ),
    )
    yield looked_at(result)
    commonest = 100 * max(f.images for f in figures) / len(result.evaluation)
    yield (
        f"{conditions(result)}; the interval is Wilson's. Mean negative log-likelihood {result.evaluation.loss:.4f} nats. "
        f"Always answering with the commonest class would reach {commonest:.1f} %."
    )
    if result.evaluation.skewed:
        sizes = [f.images for f in figures]
        yield (
            f"Balanced accuracy, the mean recall of the classes: {result.evaluation.balanced_accuracy:.2f} %. Each class "
            f"counts alike in it, the largest with {max(sizes):,} of these images and the smallest with {min(sizes):,}."
        )
    yield from _calibration(result, found)
    yield "### Class by class"
    yield from per_class(figures, len(result.job.data.class_names), "class", "classes", result.model_folder)
    yield from _confusion_section(result)
    yield from learning_curve(result, "accuracy")


def calibration(result: Result) -> Calibration:
    """Return how sure the network is, against how often it is right."""
    judged, held_out = result.evaluation, result.held_out
    other = (held_out.log_p, held_out.labels) if held_out is not None and held_out.log_p is not None else None
    log_p = judged.log_p if held_out is None or other is not None else None
    return calibrate(judged.confidence, judged.labels == judged.predicted, log_p, judged.labels, other)


def _calibration(result: Result, found: Calibration) -> Iterator[str]:
    rows = [("as it is", f"{100 * found.before:.2f} %")]
    if found.after is not None:
        rows.append((f"logits divided by the temperature {found.temperature:.3g}", f"{100 * found.after:.2f} %"))
    yield "### Calibration"
    yield table(("how sure it is, against how often it is right", "expected calibration error"), rows)
    bins = f"In {BINS} bins of confidence, of equal width."
    if found.after is None:
        yield f"{bins} No temperature was fitted: {_no_temperature(found)}."
        return
    if found.cross_fitted:
        how = (
            "Each fifth of these images was judged with the temperature that fits the other four best, as there is no test "
            "split; the one given here fits all of them best"
        )
    else:
        how = "The temperature is the one that fits the validation images best, none of which is judged here"
    if folder_temperature(result.model_folder) is not None:
        use = (
            "It is kept beside the weights, not in them: the code above and `botzoo predict` divide the logits by it, the "
            "pipeline of transformers does not"
        )
    else:
        use = "It is not kept, as it makes calibration error or negative log-likelihood no smaller on these images"
    yield f"{bins} {how} (least negative log-likelihood). {use}."


def _no_temperature(found: Calibration) -> str:
    if found.endless:
        return "none from 1/20 to 20 fits best, as where every answer is right"
    return "the images were too few, or the answers too many to be kept"


def _confusion_section(result: Result) -> Iterator[str]:
    yield "### Confusions"
    rows = _commonest_confusions(result)
    if rows:
        yield table(
            ("class", "answer", "images", "of the class"),
            ((escaped(a), escaped(b), str(k), f"{100 * k / n:.1f} %") for a, b, k, n in rows),
        )
    else:
        yield "No image was classified wrongly."
    yield "![Confusion matrix](confusion.png)"


def _limit_lines(result: Result, figures: list[ClassFigures]) -> Iterator[str]:
    worst = min(figures, key=lambda f: (f.recall, -f.images))
    if worst.recall < 100:
        yield (
            f"Weakest class: of {counted(worst.images, 'image')} of {quoted(worst.name)} it recognised "
            f"{round(worst.recall * worst.images / 100):,}."
        )
    yield from never_answered(figures, "answered")
    yield from roughness(result, figures, "accuracy", "classes")
    yield from imbalance(result, "The training images are unbalanced")
    yield "It answers every image with one of its classes, also where none of them is right."
