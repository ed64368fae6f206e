"""The model card: what a finished run knows of itself, for people (README.md) and for the Hub (its front matter).

Every sentence and figure comes from the ``Result`` of the run. What is not known is said to be unknown or left out; no
field is left for somebody to fill in.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from botzoo.models.foreign import temperature_in
from botzoo.publishing.calibration import BINS, Calibration, calibrate
from botzoo.publishing.claim import metric_args, sha256_of
from botzoo.training.batch_norm import trained_norms
from botzoo.training.licence import forbids_commerce, inherited_license, settle_license
from botzoo.training.model import Start, count_parameters
from botzoo.training.plan import decay_words, duration, epochs_words
from botzoo.training.run import Result, program
from botzoo.training.soup import outcome_of
from botzoo.training.sources import ImageData
from botzoo.training.trainer import Evaluation, wilson

HERE = "local-dir:."
"""Address of the model in the card's code; a published copy has ``hf-hub:owner/name`` in its place."""

HERE_FOR_TRANSFORMERS = 'model="."'

HERE_NOTE = (
    f"`{HERE}` is the folder that this card lies in, here the current one; the address of a published copy is "
    "`hf-hub:owner/name`. "
)

OPEN_LICENCE = re.compile(r"The licence of these weights is not set, since (.+)\. Choose one before publishing.*")

FULL_TABLE = 30
"""Up to so many classes are listed one by one; of more, the worst ones."""

WORST = 15

HUB_LICENSES = frozenset(
    {
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "mpl-2.0", "gpl-3.0", "agpl-3.0", "openrail"),
        *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"),
        *("apple-ascl", "apple-amlr", "gemma"),
    }
)
"""Names that the Hub knows as ``license``; any other goes there as ``other`` with its name beside it."""

NOT_SETTINGS = {
    *("dataset", "model", "output", "scratch", "tracker", "checkpoint_every", "keep_checkpoints", "skip_corrupt"),
    *("data.cache_gib", "engine.device", "engine.workers", "engine.log_every", "push_to", "private", "license"),
}
"""Options that say nothing of what was learned, or that the card states elsewhere."""


@dataclass(frozen=True)
class ClassFigures:
    """How one class of the evaluated split was recognised.

    Attributes:
        name: the class.
        images: images of it, 1 or more.
        answers: how often the network answered with it.
        precision, recall, f1: in per cent; precision is 0 where there are no answers.
    """

    name: str
    images: int
    answers: int
    precision: float
    recall: float
    f1: float


def write_card(result: Result, found: Calibration | None = None) -> Path:
    """Write ``README.md`` into the model folder, with confusion.png and, for many classes, per_class.csv beside it.

    Args:
        result: of a finished run, whose model folder holds config.json already, with the temperature where one is kept.
        found: its calibration, where that is known already.

    Returns:
        The path of the card.
    """
    folder = result.model_folder
    figures = class_figures(result.evaluation, result.job.data.class_names)
    draw_confusion(result.evaluation, result.job.data.class_names, folder / "confusion.png", _split_text(result))
    if len(result.job.data.class_names) > FULL_TABLE:
        _write_csv(folder / "per_class.csv", figures)
    sections = (
        _what(result),
        _use(result),
        _data(result),
        _results(result, figures, found or calibration(result)),
        _training(result),
        _limits(result, figures),
        _licence(result),
        _credit(result),
    )
    return save_card(result, card_data(result, "accuracy", _eval_results(result)), sections)


def save_card(result: Result, data: ModelCardData, sections: Iterable[Iterable[str]]) -> Path:
    """Write front matter and sections, each an iterable of blocks, as ``README.md`` into the model folder."""
    path = result.model_folder / "README.md"
    body = "\n\n".join(block for section in sections for block in section)
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n").save(path)
    return path


def card_data(result: Result, metric: str, figures: list[EvalResult]) -> ModelCardData:
    """Return the front matter, for the Hub's search and widgets; ``metric`` is the main one, as the Hub names it."""
    base = result.job.start.base_model
    return ModelCardData(
        model_name=result.job.folder.resolve().name,
        library_name="timm",
        pipeline_tag="image-classification",
        tags=["image-classification", "timm", "botzoo"],
        **license_fields(known_license(result)),
        base_model=base,
        base_model_relation="finetune" if base else None,
        datasets=[result.job.data.hub_id] if result.job.data.hub_id else None,
        metrics=[metric],
        eval_results=figures,
    )


def license_fields(license: str | None) -> dict[str, Any]:
    """Return a licence as the front matter has it: a name that the Hub does not list goes beside ``other``."""
    listed = license is None or license in HUB_LICENSES
    return {"license": license if listed else "other", "license_name": None if listed else license}


def known_license(result: Result) -> str | None:
    """Return the licence of the trained weights, None where nobody has chosen one yet."""
    job = result.job
    return settle_license(job.start.license, job.data.license, job.config.license)


def class_figures(evaluation: Evaluation, class_names: Sequence[str]) -> list[ClassFigures]:
    """Return the figures of every class that has images in the evaluated split, in the order of ``class_names``."""
    every = range(len(class_names))
    precision, recall, f1, images = precision_recall_fscore_support(
        evaluation.labels, evaluation.predicted, labels=every, zero_division=0.0
    )
    answers = np.bincount(evaluation.predicted, minlength=len(class_names))
    return [
        ClassFigures(
            class_names[k], int(images[k]), int(answers[k]), *(100 * float(x[k]) for x in (precision, recall, f1))
        )
        for k in every
        if images[k]
    ]


# The figures


def _eval_results(result: Result) -> list[EvalResult]:
    """Return the figures for the Hub; the image size is in their names, since else the Hub merges them."""
    weights = sha256_of(result.model_folder / "model.safetensors")
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Image Classification",
            dataset_type=result.job.data.hub_id or data_title(result.job.data),
            dataset_name=data_title(result.job.data),
            dataset_split=result.job.data.splits[result.split].name,
            metric_type="accuracy" if name == "top-1" else "top_5_accuracy",
            metric_name=f"{name} accuracy at {result.job.preprocessing.size} px",
            metric_value=round(100 * correct / images, 3),
            metric_args=metric_args(
                result.split, images, (low, high), result.facts["fingerprints"][result.split], weights
            ),
        )
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


def _write_csv(path: Path, figures: Iterable[ClassFigures]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "images", "answers", "precision", "recall", "f1"])
        for f in figures:
            writer.writerow([f.name, f.images, f.answers, *(round(x, 2) for x in (f.precision, f.recall, f.f1))])


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


def _what(result: Result) -> Iterator[str]:
    job, names, size = result.job, result.job.data.class_names, result.job.preprocessing.size
    some = ", ".join(_text(name) for name in names[:20])
    rest = f", and {len(names) - 20} more (all in config.json)" if len(names) > 20 else ""
    yield f"# {_text(job.folder.resolve().name)}"
    yield (
        f"An image classifier: `{job.architecture}` ({count_parameters(job.model)[0]:,} parameters), "
        f"{_origin(job.start)} on {_data_name(job.data)}. It takes RGB images at {size} x {size} pixels and answers "
        f"with one of {len(names)} classes: {some}{rest}."
    )
    wrong = len(result.evaluation) - result.evaluation.correct
    yield (
        "It is for images like those it learned from, and a start for fine-tuning on others. It is not for images that may "
        "show none of its classes, nor for decisions in which one wrong answer does harm: it classified "
        f"{wrong:,} of {_split_text(result)} wrongly."
    )


def _origin(start: Start) -> str:
    return "trained from random weights" if start.report is None else f"fine-tuned from `{_short(start.source)}`"


def _use(result: Result) -> Iterator[str]:
    config = folder_config(result.model_folder)
    ours = needs_botzoo(result.model_folder)
    first = "import botzoo  # names the network to timm\n" if ours else ""
    yield "## How to use it"
    if ours:
        yield f"timm has no `{config['architecture']}`: `pip install botzoo`, and import it first."
    elif config["model_args"] or config["architecture"] != result.job.architecture:
        args = ", ".join(f"{key}={value!r}" for key, value in config["model_args"].items())
        given = f" with `{args}`" if args else ""
        yield f"To timm the network is `{config['architecture']}`{given}; loading it needs no botzoo."
    several, temperature = result.job.data.multi_label, folder_temperature(result.model_folder)
    classes = len(result.job.data.class_names)
    code = usage_code(HERE, classes, ours=ours, several=several, temperature=temperature)
    yield f"```python\n{code}```"
    yield f"{HERE_NOTE}With transformers:"
    yield f"""```python
{first}from transformers import pipeline

print(pipeline("image-classification", {HERE_FOR_TRANSFORMERS})("photo.jpg"))
```"""
    yield f"To fine-tune it on your own images: `botzoo-finetune --model {HERE} --dataset FOLDER`."


def usage_code(
    address: str, classes: int, *, ours: bool, several: bool = False, temperature: float | None = None
) -> str:
    """Return the Python lines with which a card shows how to ask the network at ``address`` about photo.jpg.

    Args:
        address: of the model, as timm takes it.
        classes: K; the likeliest three of them are printed.
        ours: whether timm alone has no such network.
        several: whether an image may have any number of labels; all over one half are printed.
        temperature: what the logits are divided by; None leaves them as they are.
    """
    first = "import botzoo  # names the network to timm\n" if ours else ""
    kept, logits = "", "model(transform(image).unsqueeze(0))"
    if temperature is not None:
        kept = f"temperature = {temperature:g}  # fitted after training: the shares are as sure as they are right\n"
        logits = f"({logits} / temperature)"
    if several:
        ask = f"""    shares = {logits}.sigmoid()[0]
for share, name in zip(shares.tolist(), label_names):
    if share > 0.5:
        print(f"{{name}}: {{share:.1%}}")"""
    else:
        ask = f"""    shares, classes = {logits}.softmax(1)[0].topk({min(3, classes)})
for share, k in zip(shares.tolist(), classes.tolist()):
    print(f"{{label_names[k]}}: {{share:.1%}}")"""
    return f"""{first}import timm
import torch
from PIL import Image, ImageOps

model = timm.create_model("{address}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
label_names = model.pretrained_cfg["label_names"]  # as in config.json
{kept}
image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")  # upright, as in training
with torch.inference_mode():
{ask}
"""


def _data(result: Result) -> Iterator[str]:
    data, facts = result.job.data, result.facts
    yield "## Data"
    streamed = result.job.config.data.streaming
    hashed = "the names, sizes and image counts of its shards" if streamed else "its images and labels in order"
    yield _table(
        ("split", "images", f"SHA-256 of {hashed}"),
        ((role, f"{facts['images'][role]:,}", f"`{sha}`") for role, sha in facts["fingerprints"].items()),
    )
    notes = [f"{note[0].upper()}{note[1:]}." for note in map(_text, data.notes)]
    if not set_aside(data):
        notes.append("The validation split is the data set's own.")
    else:
        how = "" if data.multi_label else ", class by class,"
        notes.append(f"They were drawn at random{how} with seed {result.job.config.split_seed}.")
    if lost := len(result.job.left_out):
        notes.append(f"Left out as unreadable: {_count(lost, 'image')}.")
    yield " ".join(notes)


def _results(result: Result, figures: list[ClassFigures], found: Calibration) -> Iterator[str]:
    yield "## Results"
    yield _table(
        (f"on {_split_text(result)}", "accuracy", "95 % interval", "images right"),
        (
            (name, f"{100 * correct / n:.2f} %", f"{low:.2f} to {high:.2f} %", f"{correct:,} of {n:,}")
            for name, correct, n, low, high in accuracies(result)
        ),
    )
    yield f"{chosen_remark(result)}{_on_validation(result)}"
    p = result.job.preprocessing
    commonest = 100 * max(f.images for f in figures) / len(result.evaluation)
    yield (
        f"One {p.crop_mode} crop at {p.size} px after resizing ({p.interpolation}, crop {p.crop_pct:g}), in "
        f"{result.job.precision.name}; the interval is Wilson's. Mean negative log-likelihood "
        f"{result.evaluation.loss:.4f} nats. Always answering with the commonest class would reach {commonest:.1f} %."
    )
    if result.evaluation.skewed:
        sizes = [f.images for f in figures]
        yield (
            f"Balanced accuracy, the mean recall of the classes: {result.evaluation.balanced_accuracy:.2f} %. Each class "
            f"counts alike in it, the largest with {max(sizes):,} of these images and the smallest with {min(sizes):,}."
        )
    yield from _calibration(result, found)
    yield from _per_class(result, figures)
    yield from _confusion_section(result)
    if (result.model_folder / "learning_curve.png").exists():
        yield "![Loss and validation accuracy over the epochs](learning_curve.png)"


def _on_validation(result: Result) -> str:
    chosen = [r for r in result.job.history.of("validation") if r["epoch"] == result.best_epoch]
    if result.chosen_on_split or not chosen:
        return ""
    taken = result.soup is not None and result.soup.taken
    score = result.soup.score.top1 if result.soup is not None and taken else chosen[0][result.job.task.key]
    return f" The validation images, which did, gave {score:.2f} %."


def chosen_remark(result: Result) -> str:
    """Return what the evaluated images were used for before."""
    what = "the epochs that were averaged" if result.soup is not None and result.soup.taken else "the epoch"
    if result.chosen_on_split:
        return f"These images also chose {what}, so expect a little less on new ones."
    return f"These images were looked at once, at the end; they did not choose {what}."


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
    yield _table(("how sure it is, against how often it is right", "expected calibration error"), rows)
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


def _per_class(result: Result, figures: list[ClassFigures]) -> Iterator[str]:
    yield "### Class by class"
    total = len(result.job.data.class_names)
    if total > FULL_TABLE:
        figures = sorted(figures, key=lambda f: f.f1)[:WORST]
        yield f"The {len(figures)} classes with the lowest F1; all are in [per_class.csv](per_class.csv)."
    elif len(figures) < total:
        yield f"{total - len(figures)} classes have no images in this split and are not listed."
    yield _table(
        ("class", "images", "precision", "recall", "F1"),
        (
            (_text(f.name), f"{f.images:,}", f"{f.precision:.1f} %" if f.answers else "never answered",
             f"{f.recall:.1f} %", f"{f.f1:.1f} %")
            for f in figures
        ),
    )  # fmt: skip


def _confusion_section(result: Result) -> Iterator[str]:
    yield "### Confusions"
    rows = _commonest_confusions(result)
    if rows:
        yield _table(
            ("class", "answer", "images", "of the class"),
            ((_text(a), _text(b), str(k), f"{100 * k / n:.1f} %") for a, b, k, n in rows),
        )
    else:
        yield "No image was classified wrongly."
    yield "![Confusion matrix](confusion.png)"


def _training(result: Result) -> Iterator[str]:
    job, facts, schedule = result.job, result.facts, result.job.schedule
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", facts["command"])), default=0))
    decay = decay_words(job.config, job.epochs)
    warm = f"{schedule.warmup_steps:,} steps of warmup, then " if schedule.warmup_steps else ""
    early = "; it stopped early, without a gain for some time" if result.steps < schedule.total_steps else ""
    cut = ", which was cut short" if result.best_epoch > job.epochs else ""
    yield "## Training"
    yield f"{fence}sh\n{without_folders(facts['command'])}\n{fence}"
    if job.start.report is not None:
        loaded, new = len(job.start.report.loaded), len(job.model.state_dict()) - len(job.start.report.loaded)
        yield f"It started from `{_short(job.start.source)}`: {_count(loaded, 'tensor')} from there, {new:,} new."
    yield from _teacher(result)
    yield from _soup(result)
    averaged = result.soup is not None and result.soup.taken
    after = (
        f"best epoch on the validation split was {result.best_epoch}{cut}"
        if averaged
        else f"weights kept are those after epoch {result.best_epoch}{cut}, the best on the validation split"
    )
    yield (
        f"{result.steps:,} of {schedule.total_steps:,} planned steps ({epochs_words(job.epochs)}){early}. The {after}. "
        f"Learning rate {schedule.peak:.4g}: {warm}{decay}. Arithmetic in {job.precision.name} ({job.precision.reason}), "
        "weights in fp32. The settings as they took effect:"
    )
    yield _table(("setting", "value"), ((f"`{key}`", f"`{value}`") for key, value in _settings(result)))
    yield f"They are options in recipe.yaml too, for `{program(facts['command'])} --config recipe.yaml`."
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    yield (
        f"It took {duration(facts['seconds'])} on {_text(facts['hardware'])} and was finished on {facts['finished']}, "
        f"with Python {facts['python']}, {versions}."
    )


def _soup(result: Result) -> Iterator[str]:
    """Yield what was tried with --soup and what came of it."""
    if (soup := result.soup) is None:
        return
    method = (
        "[model soup](https://arxiv.org/abs/2203.05482) of the best epochs, each kept where the validation split gains"
    )
    tried = ", ".join(str(trial.epochs[-1]) for trial in soup.trials)
    statistics = (
        "; BatchNorm's statistics, where it was trained, were measured anew" if trained_norms(result.job.model) else ""
    )
    yield (
        f"Greedy {method}: to epoch {soup.ingredients[0].epoch} were added, one by one, {tried}. In the end "
        f"{outcome_of(soup)}{statistics if soup.taken else ''}."
    )


def _teacher(result: Result) -> Iterator[str]:
    teacher, constants = result.job.teacher, result.job.config.distill
    if teacher is None:
        return
    license = teacher.start.license
    licensed = f"licence `{license}`" if license not in (None, "unknown") else "of unknown licence"
    yield (
        f"It learned from a teacher too (distillation, T = {constants.temperature:g}, weight {constants.weight:g}): "
        f"`{_short(teacher.start.source)}` ({count_parameters(teacher.model)[0]:,} parameters, {licensed}), which answered to "
        f"the same images at {teacher.size} px. SHA-256 of its tensors: `{teacher.sha256}`."
    )


def _settings(result: Result) -> Iterator[tuple[str, str]]:
    job = result.job
    values: dict[str, Any] = asdict(job.config)
    groups = {key: value for key, value in values.items() if isinstance(value, dict)}
    flat = {key: value for key, value in values.items() if key not in groups}
    flat |= {f"{group}.{key}": value for group, inner in groups.items() for key, value in inner.items()}
    flat |= {"epochs": job.epochs} if job.config.steps is None else {}
    flat |= {"batch_size": job.order.batch_size, "img_size": job.preprocessing.size}
    flat |= {"mixed_precision": job.precision.name, "data.hflip": job.hflip, "data.crop_min": job.crop_min}
    config, decay = job.config, job.config.optim.decay
    without_effect = {
        "zero_gamma": not config.scratch,
        "xavier_init": not config.scratch,
        "label_smoothing_over": not config.label_smoothing,
        "optim.decay": config.cosine,
        "data.test_split": config.data.test_split,
        "optim.decay_every": decay != "exponential",
        "optim.decay_patience": decay != "plateau",
    }
    without_effect |= {key: not value for key, value in flat.items() if key.startswith("augment.")}
    without_effect |= {key: job.teacher is None for key in flat if key.startswith("distill.")}
    if job.teacher is not None:
        flat["distillation"] = job.teacher.start.source
    for key, value in flat.items():
        if value is not None and key not in NOT_SETTINGS and not without_effect.get(key):
            yield key, _short(value) if isinstance(value, str) else json.dumps(value)


def _limits(result: Result, figures: list[ClassFigures]) -> Iterator[str]:
    yield "## Limits and known failures"
    yield "\n".join(f"- {line}" for line in _limit_lines(result, figures))


def _limit_lines(result: Result, figures: list[ClassFigures]) -> Iterator[str]:
    worst = min(figures, key=lambda f: (f.recall, -f.images))
    if worst.recall < 100:
        yield (
            f"Weakest class: of {_count(worst.images, 'image')} of {_quoted(worst.name)} it recognised "
            f"{round(worst.recall * worst.images / 100):,}."
        )
    for f in figures:
        if not f.answers and len(figures) <= FULL_TABLE:
            yield f"It never answered {_quoted(f.name)}, though it saw {_count(f.images, 'image')} of it."
    _, _, n, low, high = next(accuracies(result))
    if high - low > 2:
        half = (high - low) / 2
        yield f"{n:,} images settle the accuracy to about ± {half:.1f} points; smaller differences mean nothing."
    if (fewest := min(figures, key=lambda f: f.images)).images < 50:
        rough = _count(fewest.images, "image")
        yield f"Figures of single classes are rough: {_quoted(fewest.name)} was judged on {rough}."
    counts = result.job.data.train.class_counts(len(result.job.data.class_names))
    if counts is not None and counts.max() >= 2 * counts.min():
        many, few = (_quoted(result.job.data.class_names[int(k)]) for k in (counts.argmax(), counts.argmin()))
        yield f"The training images are unbalanced: {counts.max():,} of {many}, {counts.min():,} of {few}."
    yield "One run with one seed; another seed gives a somewhat different figure."
    yield "It was measured on images of the same source as those it learned from; how it does on others is not known."
    yield "It answers every image with one of its classes, also where none of them is right."


def _licence(result: Result) -> Iterator[str]:
    license, data, start = known_license(result), result.job.data, result.job.start
    extra = ", which forbids commercial use" if forbids_commerce(license) else ""
    yield "## Licence"
    if license is None:
        yield (
            f"The licence of these weights is not set, since {_why_open(result)}. Choose one before publishing, with "
            "`--license`."
        )
    elif inherited_license(start.license, data.license) is None:
        yield f"`{license}`{extra}: chosen by who trained it, since {_why_open(result)}."
    else:
        yield f"`{license}`{extra}: the licence of the weights that it started from, `{_short(start.source)}`."
    if re.search(r"in(1k|12k|21k|22k)|tin\d", start.source):
        yield (
            "The first weights were trained on ImageNet or a part of it, whose terms of access (non-commercial "
            "research) are separate from the licence of a weight file."
        )
    terms = f"`{data.license}`" if data.license else "not known to this card: look it up where the images come from"
    yield f"The licence of the data set is separate; that of {_data_name(data)} is {terms}."


def _why_open(result: Result) -> str:
    """Return why the licence of the trained weights has to be chosen."""
    start = result.job.start
    if start.report is None:
        return "it started from random weights"
    if start.license in (None, "unknown"):
        return f"that of `{_short(start.source)}` is not known"
    return f"that of the data forbids commercial use, which `{start.license}`, that of `{_short(start.source)}`, allows"


def _credit(result: Result) -> Iterator[str]:
    yield "## Credit"
    lines = [
        "Method: T. He, Z. Zhang, H. Zhang, Z. Zhang, J. Xie, M. Li, *Bag of Tricks for Image Classification with "
        "Convolutional Neural Networks*, CVPR 2019, [arXiv:1812.01187](https://arxiv.org/abs/1812.01187).",
        "Networks and layers: [timm](https://github.com/huggingface/pytorch-image-models) by Ross Wightman and others.",
    ]
    if "gluon" in result.job.start.source:
        lines.append("First weights: [GluonCV](https://github.com/dmlc/gluon-cv), converted by timm.")
    elif result.job.start.base_model:
        hub_id = result.job.start.base_model
        lines.append(f"First weights: [{hub_id}](https://huggingface.co/{hub_id}).")
    lines.append("Trained with botzoo.")
    yield "\n".join(f"- {line}" for line in lines)


# Words


def folder_config(model_folder: Path) -> dict[str, Any]:
    """Return config.json."""
    config: dict[str, Any] = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    return config


def folder_temperature(model_folder: Path) -> float | None:
    """Return the temperature in config.json, None where it has none."""
    return temperature_in(folder_config(model_folder))


def needs_botzoo(model_folder: Path) -> bool:
    """Tell whether timm alone has no network of the name in config.json."""
    return str(folder_config(model_folder)["architecture"]).endswith("_bot")


def set_aside(data: ImageData[Any]) -> bool:
    """Tell whether the validation split was taken from the training images."""
    return any(note.startswith("no validation split") for note in data.notes)


def data_title(data: ImageData[Any]) -> str:
    """Return the data set's name, of a folder the last part only: where it lay is nobody's business."""
    return data.name if data.hub_id or data.name == "digits" else Path(data.name).expanduser().resolve().name


def _data_name(data: ImageData[Any]) -> str:
    if data.hub_id:
        return f"[{data.hub_id}](https://huggingface.co/datasets/{data.hub_id})"
    if data.name == "digits":
        return "digits (8 x 8 pixel digits that come with scikit-learn)"
    return f"the images in a folder named {_text(data_title(data))}"


def _split_text(result: Result) -> str:
    return f"{len(result.evaluation):,} {result.split} images"


def without_folders(command: str) -> str:
    """Return a command with absolute paths cut to their last part: where something lay is nobody's business."""

    def cut(word: str) -> str:
        found = re.fullmatch(r"((?:--[\w.-]+=)?(?:local-dir:)?)([/~].*)", word, re.S)
        return found[1] + Path(found[2]).name if found else word

    words = shlex.split(command)
    kept = [cut(word) for word in words]
    return command if kept == words else shlex.join(kept)


def _short(source: str) -> str:
    """Return ``source`` without the folders before a path's last two parts, and on one line."""
    kind, colon, rest = source.rpartition(":")
    local = kind == "local-dir" or source.endswith(".safetensors")
    return f"{kind}{colon}{'/'.join(Path(rest).parts[-2:])}" if local else source


def _text(text: str) -> str:
    """Return ``text`` as Markdown that shows it as it is, on one line."""
    line = " ".join(text.split())
    return re.sub(r"([\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", line) or "(no name)"


def _quoted(name: str) -> str:
    return f'"{_text(name)}"'


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
