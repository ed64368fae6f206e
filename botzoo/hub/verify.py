"""Whether a published figure holds: weights, class names, images, input, code and the figure, checked one by one.

Nothing that a repository brings is run: the card's code is run only where it is, word for word, the code that botzoo writes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from accelerate import Accelerator
from PIL.Image import Image

from botzoo.data import open as opening
from botzoo.data.images import Images, read_images
from botzoo.data.sources.base import ImageData
from botzoo.data.transforms import EvalTransform
from botzoo.errors import BotzooError, ConfigError, DataError, ModelError, NetworkError
from botzoo.hub.reproduce import known_weights, repository
from botzoo.inference.load import address_of, advice_offline, load
from botzoo.inference.predict import Model
from botzoo.models.foreign import read_config
from botzoo.models.loading import model_folder
from botzoo.options.command_line import check_options, made
from botzoo.options.config import DataConfig, TrainConfig
from botzoo.results.claim import Claim, claim_in_card, claim_in_table
from botzoo.results.recipe import read_recipe
from botzoo.results.usage import HERE, needs_botzoo, usage_code
from botzoo.tasks.find import TASKS, task_of
from botzoo.tasks.task import Task
from botzoo.training.distributed import make_accelerator, worker_count
from botzoo.training.evaluation import evaluate
from botzoo.util.files import sha256_of

SECONDS = 300
"""The longest that the card's code may take."""

ROUNDED = 0.001
"""Share of the answers, at least one, that may turn over when the same weights see the same images in another arithmetic."""

NAMES = {task.headline.measure for task in TASKS}
"""The checks of figures."""

Outcome = Literal["agrees", "differs", "unknown"]


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: what.
        outcome: whether it is as published, or why nobody can know.
        words: what was found.
    """

    name: str
    outcome: Outcome
    words: str


@dataclass(frozen=True)
class _Subject:
    """A published model: its folder, where it has one, what is claimed of it, and the options it was trained with.

    ``problem`` is what is wrong with its recipe, where that cannot be read.
    """

    name: str
    address: str
    folder: Path | None
    weights: Path | None
    claim: Claim | None
    config: TrainConfig
    problem: str | None = None


@dataclass(frozen=True)
class _Measured:
    """What the network says of the images; ``evaluation`` is None where it has not the classes that they are of."""

    evaluation: Any
    images: Images
    class_names: tuple[str, ...]


def verify(name: str, dataset: str | None = None) -> Iterator[Check]:
    """Yield one check after another of what is published of a model.

    Args:
        name: a name or name.tag of ours, ``hf-hub:owner/name``, ``owner/name``, ``local-dir:PATH``, or the folder of a run.
        dataset: where the images are, as for ``--dataset``; by default where the card says.

    Raises:
        BotzooError: there is no such model, it cannot be loaded, or the data set given cannot be read.
    """
    subject = _find(name)
    classifier = load(subject.address)
    yield _check_weights(subject)
    if subject.problem is not None:
        yield Check("recipe", "differs", subject.problem)
    claim, task = subject.claim, task_of(classifier)
    figure = task.headline.measure
    if claim is None:
        yield Check(figure, "unknown", f"the card claims no {task.headline.figure} with the images it is of")
        return
    if claim.metric != task.headline.metric:
        words = f"the card claims {claim.figure}, which is not the figure of a network for {task.labels}"
        yield Check(figure, "differs", words)
        return
    try:
        measured = _measure(subject, claim, classifier, dataset)
    except (ConfigError, DataError, NetworkError) as error:
        if dataset is not None:
            raise
        advice = "give the folder or the Hub id of its images with --dataset"
        yield Check(figure, "unknown", f"the images of {claim.dataset} cannot be had ({error}); {advice}")
        return
    images, names = _check_images(claim, measured), _check_names(classifier, measured)
    yield names
    yield images
    if measured.evaluation is None:
        yield Check(figure, "unknown", "the network cannot be evaluated on images of other classes")
        return
    yield _check_figure(claim, task, measured, same=images.outcome == "agrees", named=names.outcome == "agrees")
    yield _check_code(subject, classifier, measured)


def _find(name: str) -> _Subject:
    address = address_of(repository(name))
    if ":" not in address:
        weights = known_weights(address)
        if weights is None:
            raise ModelError(
                f"{name} has no weights of which anything is published here: botzoo list shows those that have."
            )
        return _Subject(name, weights.name, None, weights.path, claim_in_table(weights), TrainConfig())
    with advice_offline(name):
        folder = model_folder(address, extras=("README.md", "recipe.yaml"))
    card = folder / "README.md"
    claim = claim_in_card(card) if card.is_file() else None
    subject = _Subject(name, address, folder, folder / "model.safetensors", claim, TrainConfig())
    try:
        return replace(subject, config=_options(folder / "recipe.yaml"))
    except BotzooError as error:
        return replace(subject, problem=str(error))


def _options(recipe: Path) -> TrainConfig:
    """Return the options of a recipe that say which images were evaluated; the default ones where there is none.

    Raises:
        BotzooError: it cannot be read, or does not say it.
    """
    if not recipe.is_file():
        return TrainConfig()
    try:
        found = read_recipe(recipe)
        data = {
            key: found["data"][key]
            for key in ("image_column", "label_column", "val_fraction", "split_seed", "fold")
            if key in found["data"]
        }
        options = {"seed": found["seed"], "data": data}
    except (TypeError, KeyError) as error:
        raise ModelError(f"{recipe} does not say which images were evaluated (no {error}).") from error
    return made(check_options(options, TrainConfig, str(recipe)), TrainConfig)


def _measure(subject: _Subject, claim: Claim, classifier: Model, dataset: str | None) -> _Measured:
    config = replace(subject.config, dataset=dataset or claim.dataset, skip_corrupt=True)
    accelerator, _ = make_accelerator(config)
    found = opening.find(config.dataset, config.data)
    here, there = task_of(found), task_of(classifier)
    if here != there:
        raise DataError(
            f"{config.dataset} has {here.labels}, and the network is for {there.labels}: give another --dataset."
        )
    images, data = _images(config, found, claim.role, accelerator)
    fits = there.fits(len(classifier.label_names), len(data.class_names))
    evaluation = _evaluate(config, classifier, images, accelerator) if fits else None
    return _Measured(evaluation, images, data.class_names)


def _evaluate(config: TrainConfig, classifier: Model, images: Images, accelerator: Accelerator) -> Any:
    preprocessing = classifier.preprocessing
    model = classifier.module.to(accelerator.device)
    batches = images.eval_batches(
        EvalTransform(preprocessing),
        128,
        rank=0,
        world_size=1,
        workers=worker_count(config, accelerator),
        pin=accelerator.device.type == "cuda",
    )
    found = evaluate(accelerator, model, batches, preprocessing.normalise, len(images), task_of(classifier))
    model.cpu()
    return found


def _images(
    config: TrainConfig, found: ImageData[Any], role: str, accelerator: Accelerator
) -> tuple[Images, ImageData[Any]]:
    """Return the images of a role, read alone where the data set has such a split, else as the run set them aside."""
    if role in found.splits:
        images, _ = read_images(found.splits[role], skip_corrupt=True, cache_bytes=int(DataConfig().cache_gib * 2**30))
        return images, found
    every: Any
    data, every, _ = opening.read(found, config.data, split_seed=config.split_seed, skip_corrupt=True)
    if role not in every:
        raise DataError(f"{config.dataset} has no {role} split, which the figure is of: give another --dataset.")
    return every[role], data


def _check_weights(subject: _Subject) -> Check:
    published = subject.claim.weights_sha256 if subject.claim else None
    if subject.weights is None or published is None:
        return Check("weights", "unknown", "they load; no SHA-256 of them is published")
    found = sha256_of(subject.weights)
    if found == published:
        return Check("weights", "agrees", f"SHA-256 {found[:12]}... as published")
    return Check("weights", "differs", f"SHA-256 {found[:12]}..., published {published[:12]}...: another file")


def _check_names(classifier: Model, measured: _Measured) -> Check:
    ours, theirs = classifier.label_names, measured.class_names
    if ours == theirs:
        return Check("classes", "agrees", f"{len(ours)} names, in the data set's order")
    if all(name == f"class {k}" for k, name in enumerate(ours)) and len(ours) == len(theirs):
        return Check(
            "classes", "unknown", f"the weights name none of their {len(ours)} classes; the data set has as many"
        )
    odd = next((k for k, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    first, second = (names[odd] if odd < len(names) else "none" for names in (ours, theirs))
    words = f"{len(ours)} names, the data set has {len(theirs)}; the first that differs is number {odd}"
    return Check("classes", "differs", f"{words}: {first!r}, in the data set {second!r}")


def _check_images(claim: Claim, measured: _Measured) -> Check:
    count, found = len(measured.images), measured.images.fingerprint
    if claim.images_sha256 is None:
        return Check("images", "unknown", f"{count:,} {claim.role} images; no SHA-256 of those it is published of")
    if found == claim.images_sha256:
        return Check(
            "images", "agrees", f"the very {count:,} {claim.role} images it is published of (SHA-256 {found[:12]}...)"
        )
    return Check(
        "images", "unknown", f"{count:,} {claim.role} images, others than the {claim.images:,} it is published of"
    )


def _check_figure(claim: Claim, task: Task, measured: _Measured, *, same: bool, named: bool) -> Check:
    """Compare the figures: of the very images of the claim by their distance, of others by the published interval."""
    found, name = measured.evaluation, task.headline.measure
    interval = f"95 % interval {claim.low:.2f} to {claim.high:.2f}"
    words = f"{found.score:.2f} % of {len(found):,}; published {claim.value:.2f} % ({interval})"
    if task.interval_around and not claim.low <= claim.value <= claim.high:
        return Check(name, "differs", f"{words}: the published figure lies outside its own interval")
    if same and named:
        if abs(found.score - claim.value) <= max(100 * ROUNDED, found.one_answer) + 0.005:
            return Check(name, "agrees", words)
        return Check(name, "differs", f"{words}: of the very same images")
    if claim.low <= found.score <= claim.high:
        return Check(name, "agrees", words)
    return Check(name, "unknown", f"{words}, of other images or classes")


# The code of the card


def _check_code(subject: _Subject, classifier: Model, measured: _Measured) -> Check:
    code: dict[str, Any] = {"classes": len(classifier.label_names), "task": task_of(classifier)}
    temperature = classifier.temperature
    if subject.folder is None:
        printed = usage_code(subject.address, ours=True, temperature=temperature, **code)
    else:
        card, stated = _card(subject), _stated_temperature(_card(subject))
        ours = needs_botzoo(read_config(subject.folder / "config.json"))
        known = (usage_code(a, ours=ours, temperature=stated, **code) for a in (HERE, subject.address))
        found = next((lines for lines in known if lines in card), None)
        if found is None:
            return Check("code", "unknown", "the card's is not what botzoo writes, so it is not run")
        if stated != temperature:
            return Check(
                "code", "differs", f"its temperature is {_words(stated)}, that of config.json {_words(temperature)}"
            )
        printed = found.replace(HERE, f"local-dir:{subject.folder.resolve()}")
    evaluation = measured.evaluation
    answers = _run(printed, measured.images.image(evaluation.telling()))
    right, expected = evaluation.confirmed(classifier.label_names, answers)
    if right:
        return Check("code", "agrees", "it runs, and answers as the evaluation does")
    said = "; ".join(answers)[:100] or "nothing"
    return Check("code", "differs", f"it says {said!r} of an image that the evaluation takes for {expected!r}")


def _stated_temperature(card: str) -> float | None:
    """Return what the card's code divides the logits by, None where it leaves them as they are."""
    found = re.search(r"^temperature = (\d+(?:\.\d+)?)  #", card, re.M)
    return float(found[1]) if found else None


def _words(temperature: float | None) -> str:
    return "none" if temperature is None else f"{temperature:g}"


def _card(subject: _Subject) -> str:
    assert subject.folder is not None
    return (subject.folder / "README.md").read_text(encoding="utf-8")


def _run(code: str, image: Image) -> list[str]:
    """Return the lines that ``code`` prints of an image, or the last one that it complains with."""
    with tempfile.TemporaryDirectory() as folder:
        image.save(Path(folder) / "photo.jpg", format="PNG")  # PNG loses nothing; Pillow looks at the contents
        try:
            done = subprocess.run(
                [sys.executable, "-c", code],
                cwd=folder,
                env=os.environ | {"PYTHONWARNINGS": "ignore"},
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [f"nothing within {SECONDS} seconds"]
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"nothing but exit status {done.returncode}"])[-1:]
    return done.stdout.strip().splitlines()


def exit_status(checks: list[Check]) -> int:
    """Return 0 where the figure agrees and nothing differs, 1 where something differs, 3 where it cannot be checked."""
    if any(check.outcome == "differs" for check in checks):
        return 1
    return 0 if any(check.name in NAMES and check.outcome == "agrees" for check in checks) else 3
