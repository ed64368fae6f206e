"""The sections that the cards of all tasks share, and the sentences that those of one task are made with.

Every sentence and figure comes from the ``Result`` of the run. What is not known is said to be unknown or left out; no
field is left for somebody to fill in.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard

from botzoo.data.sources.base import ImageData
from botzoo.models.cost import count_parameters
from botzoo.models.create import Start
from botzoo.models.layers import trained_norms
from botzoo.models.licence import forbids_commerce, inherited_license
from botzoo.results.front_matter import card_data, data_title, known_license
from botzoo.results.per_class import FULL_TABLE, ClassFigures
from botzoo.results.usage import (
    HERE,
    HERE_FOR_TRANSFORMERS,
    HERE_NOTE,
    folder_config,
    folder_temperature,
    needs_botzoo,
    usage_code,
)
from botzoo.training.folder import Facts
from botzoo.training.optimizer import has_momentum
from botzoo.training.plan import decay_words
from botzoo.training.run import Result, program
from botzoo.training.soup import outcome_of
from botzoo.util.markdown import counted, escaped, quoted, table
from botzoo.util.text import duration, epochs_words

OPEN_LICENCE = re.compile(r"The licence of these weights is not set, since (.+)\. Choose one before publishing.*")

NOT_SETTINGS = {
    *("dataset", "model", "output", "scratch", "tracker", "checkpoint_every", "keep_checkpoints", "skip_corrupt"),
    *("data.cache_gib", "engine.device", "engine.workers", "engine.log_every", "push_to", "private", "license"),
}
"""Options that say nothing of what was learned, or that the card states elsewhere."""


def save_card(
    result: Result,
    figures: list[EvalResult],
    opening: Iterable[str],
    results: Iterable[str],
    limits: Iterable[str],
) -> Path:
    """Write ``README.md`` into the model folder: the front matter with ``figures``, and all sections, iterables of blocks."""
    path = result.model_folder / "README.md"
    told = (opening, use(result), data_section(result), results, training(result))
    body = "\n\n".join(block for section in (*told, limits, licence(result), credit(result)) for block in section)
    ModelCard(f"---\n{card_data(result, figures).to_yaml()}\n---\n\n{body}\n").save(path)
    return path


def opening(result: Result, kind: str, does: str, harm: str) -> Iterator[str]:
    """Yield the section on what the network is.

    Args:
        result: of the run.
        kind: of network, such as "An image classifier".
        does: what it says of an image; the names of the classes follow.
        harm: what it is not for.
    """
    job, names, size = result.job, result.job.data.class_names, result.job.preprocessing.size
    some = ", ".join(escaped(name) for name in names[:20])
    rest = f", and {len(names) - 20} more (all in config.json)" if len(names) > 20 else ""
    yield f"# {escaped(job.folder.resolve().name)}"
    yield (
        f"{kind}: `{job.architecture}` ({count_parameters(job.model)[0]:,} parameters), {_origin(job.start)} on "
        f"{_data_name(job.data)}. It takes RGB images at {size} x {size} pixels and {does}: {some}{rest}."
    )
    yield f"It is for images like those it learned from, and a start for fine-tuning on others. It is not for {harm}."


def _origin(start: Start) -> str:
    return "trained from random weights" if start.report is None else f"fine-tuned from `{_short(start.source)}`"


def use(result: Result) -> Iterator[str]:
    """Yield the section with the code that asks the network about an image."""
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


def data_section(result: Result) -> Iterator[str]:
    """Yield the section on the images of the run."""
    data, facts = result.job.data, result.facts
    yield "## Data"
    streamed = result.job.config.data.streaming
    hashed = "the names, sizes and image counts of its shards" if streamed else "its images and labels in order"
    yield table(
        ("split", "images", f"SHA-256 of {hashed}"),
        ((role, f"{facts['images'][role]:,}", f"`{sha}`") for role, sha in facts["fingerprints"].items()),
    )
    notes = [f"{note[0].upper()}{note[1:]}." for note in map(escaped, data.notes)]
    if not set_aside(data):
        notes.append("The validation split is the data set's own.")
    else:
        how = "" if data.multi_label else ", class by class,"
        notes.append(f"They were drawn at random{how} with seed {result.job.config.split_seed}.")
    if lost := len(result.job.left_out):
        notes.append(f"Left out as unreadable: {counted(lost, 'image')}.")
    yield " ".join(notes)


def set_aside(data: ImageData[Any]) -> bool:
    """Tell whether the validation split was taken from the training images."""
    return any(note.startswith("no validation split") for note in data.notes)


def _data_name(data: ImageData[Any]) -> str:
    if data.hub_id:
        return f"[{data.hub_id}](https://huggingface.co/datasets/{data.hub_id})"
    if data.name == "digits":
        return "digits (8 x 8 pixel digits that come with scikit-learn)"
    return f"the images in a folder named {escaped(data_title(data))}"


def split_text(result: Result) -> str:
    """Return how many images of which split were evaluated."""
    return f"{len(result.evaluation):,} {result.split} images"


def looked_at(result: Result) -> str:
    """Return what the evaluated images were used for before, and what the validation images say where those are others."""
    return f"{chosen_remark(result)}{_on_validation(result)}"


def conditions(result: Result) -> str:
    """Return how images were prepared for the figures, and in which arithmetic."""
    p = result.job.preprocessing
    crop = f"One {p.crop_mode} crop at {p.size} px after resizing ({p.interpolation}, crop {p.crop_pct:g})"
    return f"{crop}, in {result.job.precision.name}"


def learning_curve(result: Result, figure: str) -> Iterator[str]:
    """Yield the picture of the learning curve where there is one."""
    if (result.model_folder / "learning_curve.png").exists():
        yield f"![Loss and validation {figure} over the epochs](learning_curve.png)"


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


def training(result: Result) -> Iterator[str]:
    """Yield the section on how the network was trained."""
    job, facts, schedule = result.job, result.facts, result.job.schedule
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", facts["command"])), default=0))
    decay = decay_words(job.config, job.epochs, job.task.figure)
    warm = f"{schedule.warmup_steps:,} steps of warmup, then " if schedule.warmup_steps else ""
    early = "; it stopped early, without a gain for some time" if result.steps < schedule.total_steps else ""
    cut = ", which was cut short" if result.best_epoch > job.epochs else ""
    yield "## Training"
    yield f"{fence}sh\n{without_folders(facts['command'])}\n{fence}"
    if job.start.report is not None:
        loaded, new = len(job.start.report.loaded), len(job.model.state_dict()) - len(job.start.report.loaded)
        yield f"It started from `{_short(job.start.source)}`: {counted(loaded, 'tensor')} from there, {new:,} new."
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
    yield table(("setting", "value"), ((f"`{key}`", f"`{value}`") for key, value in _settings(result)))
    yield f"They are options in recipe.yaml too, for `{program(facts['command'])} --config recipe.yaml`.{_refits(facts)}"
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    yield (
        f"It took {duration(facts['seconds'])} on {escaped(facts['hardware'])} and was finished on {facts['finished']}, "
        f"with Python {facts['python']}, {versions}."
    )


def _refits(facts: Facts) -> str:
    """Return what the recipe cannot say of a run with a budget: that its number of steps changed on its way."""
    if not (refits := facts.get("budget", {}).get("refits")):
        return ""
    changes = ", then ".join(f"{steps:,} from step {step:,} on" for step, steps in refits)
    return (
        f" The steps were counted anew on the way to keep to the time: {changes}. A training by the recipe has the last "
        "number of them from its start, so its learning rate may be another until then."
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
        "optim.momentum": not has_momentum(config.optimizer),
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


def limits(lines: Iterable[str]) -> Iterator[str]:
    """Yield the section on what it cannot do: ``lines``, and those that hold for every run."""
    always = (
        "One run with one seed; another seed gives a somewhat different figure.",
        "It was measured on images of the same source as those it learned from; how it does on others is not known.",
    )
    yield "## Limits and known failures"
    yield "\n".join(f"- {line}" for line in (*lines, *always))


def roughness(result: Result, figures: Sequence[ClassFigures], figure: str, nouns: str) -> Iterator[str]:
    """Yield what too few images leave open: of the whole ``figure``, and of single ``nouns``, "classes" or "labels"."""
    low, high = result.evaluation.interval()
    if high - low > 2:
        half = (high - low) / 2
        images = f"{len(result.evaluation):,} images"
        yield f"{images} settle the {figure} to about ± {half:.1f} points; smaller differences mean nothing."
    if (fewest := min(figures, key=lambda f: f.images)).images < 50:
        rough = counted(fewest.images, "image")
        yield f"Figures of single {nouns} are rough: {quoted(fewest.name)} was judged on {rough} of it."


def never_answered(figures: Sequence[ClassFigures], answered: str) -> Iterator[str]:
    """Yield the classes that images have and that were never ``answered``, which says how."""
    for f in figures:
        if not f.answers and len(figures) <= FULL_TABLE:
            yield f"It never {answered} {quoted(f.name)}, though it saw {counted(f.images, 'image')} of it."


def imbalance(result: Result, so: str) -> Iterator[str]:
    """Yield the commonest and the rarest class in training where one has twice the images of the other; ``so`` is before."""
    names = result.job.data.class_names
    counts = result.job.data.train.class_counts(len(names))
    if counts is not None and counts.max() >= 2 * counts.min():
        many, few = (quoted(names[int(k)]) for k in (counts.argmax(), counts.argmin()))
        yield f"{so}: {counts.max():,} of {many}, {counts.min():,} of {few}."


def licence(result: Result) -> Iterator[str]:
    """Yield the section on the licence of the weights."""
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


def credit(result: Result) -> Iterator[str]:
    """Yield the section on whose work it builds upon."""
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
