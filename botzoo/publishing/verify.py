"""Whether a published figure holds: weights, class names, images, input, code and accuracy, checked one by one.

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

from botzoo.errors import BotzooError, ConfigError, DataError, ModelError, NetworkError
from botzoo.inference.classifier import Classifier, address_of, advice_offline, open_classifier
from botzoo.publishing.claim import Claim, claim_in_card, claim_in_table, sha256_of
from botzoo.publishing.recipe import read_recipe
from botzoo.publishing.reproduce import known_weights, repository
from botzoo.publishing.usage import HERE, needs_botzoo, usage_code
from botzoo.training.command_line import check_options, made
from botzoo.training.config import DataConfig, TrainConfig
from botzoo.training.data import EvalTransform, Images, eval_batches, read_images
from botzoo.training.engine import make_accelerator, worker_count
from botzoo.training.model import model_folder
from botzoo.training.prepare import find, read_splits
from botzoo.training.sources import ImageData
from botzoo.training.trainer import Evaluation, evaluate

SECONDS = 300
"""The longest that the card's code may take."""

ROUNDED = 0.001
"""Share of the answers, at least one, that may turn over when the same weights see the same images in another arithmetic."""

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
    evaluation: Evaluation
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
    classifier = open_classifier(subject.address)
    yield _check_weights(subject)
    if subject.problem is not None:
        yield Check("recipe", "differs", subject.problem)
    claim = subject.claim
    if claim is None:
        yield Check("accuracy", "unknown", "the card claims no top-1 accuracy with the images it is of")
        return
    try:
        measured = _measure(subject, claim, classifier, dataset)
    except (ConfigError, DataError, NetworkError) as error:
        if dataset is not None:
            raise
        advice = "give the folder or the Hub id of its images with --dataset"
        yield Check("accuracy", "unknown", f"the images of {claim.dataset} cannot be had ({error}); {advice}")
        return
    images, names = _check_images(claim, measured), _check_names(classifier, measured)
    yield names
    yield images
    yield _check_accuracy(claim, measured, same=images.outcome == "agrees", named=names.outcome == "agrees")
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


def _measure(subject: _Subject, claim: Claim, classifier: Classifier, dataset: str | None) -> _Measured:
    config = replace(subject.config, dataset=dataset or claim.dataset, skip_corrupt=True)
    accelerator, _ = make_accelerator(config)
    found = find(config, accelerator)
    images, data = _images(config, found, claim.role, accelerator)
    preprocessing = classifier.preprocessing
    model = classifier.model.to(accelerator.device)
    batches = eval_batches(
        images,
        EvalTransform(preprocessing),
        128,
        rank=0,
        world_size=1,
        workers=worker_count(config, accelerator),
        pin=accelerator.device.type == "cuda",
    )
    evaluation = evaluate(accelerator, model, batches, preprocessing.normalise, len(images))
    model.cpu()
    return _Measured(evaluation, images, data.class_names)


def _images(config: TrainConfig, found: ImageData[Any], role: str, accelerator: Any) -> tuple[Images, ImageData[Any]]:
    """Return the images of a role, read alone where the data set has such a split, else as the run set them aside."""
    if role in found.splits:
        images, _ = read_images(found.splits[role], skip_corrupt=True, cache_bytes=int(DataConfig().cache_gib * 2**30))
        return images, found
    data, every, _ = read_splits(config, found, accelerator)
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


def _check_names(classifier: Classifier, measured: _Measured) -> Check:
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


def _check_accuracy(claim: Claim, measured: _Measured, *, same: bool, named: bool) -> Check:
    top1 = measured.evaluation.top1
    words = (
        f"{top1:.2f} % of {len(measured.evaluation):,}; published {claim.top1:.2f} % (95 % interval {claim.low:.2f} to "
        f"{claim.high:.2f})"
    )
    if not claim.low <= claim.top1 <= claim.high:
        return Check("accuracy", "differs", f"{words}: the published figure lies outside its own interval")
    images = len(measured.evaluation)
    if same and named and abs(top1 - claim.top1) > 100 * max(ROUNDED, 1 / images) + 0.005:
        return Check("accuracy", "differs", f"{words}: of the very same images")
    if claim.low <= top1 <= claim.high:
        return Check("accuracy", "agrees", words)
    if same and named:
        return Check("accuracy", "differs", words)
    return Check("accuracy", "unknown", f"{words}, of other images or classes")


# The code of the card


def _check_code(subject: _Subject, classifier: Classifier, measured: _Measured) -> Check:
    classes, temperature = len(classifier.label_names), classifier.temperature
    if subject.folder is None:
        code = usage_code(subject.address, classes, ours=True, temperature=temperature)
    else:
        card, ours = _card(subject), needs_botzoo(subject.folder)
        stated = _stated_temperature(card)
        codes = (usage_code(a, classes, ours=ours, temperature=stated) for a in (HERE, subject.address))
        printed = next((code for code in codes if code in card), "")
        if not printed:
            return Check("code", "unknown", "the card's is not what botzoo writes, so it is not run")
        if stated != temperature:
            return Check(
                "code", "differs", f"its temperature is {_words(stated)}, that of config.json {_words(temperature)}"
            )
        code = printed.replace(HERE, f"local-dir:{subject.folder.resolve()}")
    answer = _run(code, measured.images)
    expected = classifier.label_names[int(measured.evaluation.predicted[0])]
    if answer.startswith(f"{expected}: "):
        return Check("code", "agrees", "it runs, and answers as the evaluation does")
    return Check("code", "differs", f"it says {answer[:100]!r} of an image that the evaluation takes for {expected!r}")


def _stated_temperature(card: str) -> float | None:
    """Return what the card's code divides the logits by, None where it leaves them as they are."""
    found = re.search(r"^temperature = (\d+(?:\.\d+)?)  #", card, re.M)
    return float(found[1]) if found else None


def _words(temperature: float | None) -> str:
    return "none" if temperature is None else f"{temperature:g}"


def _card(subject: _Subject) -> str:
    assert subject.folder is not None
    return (subject.folder / "README.md").read_text(encoding="utf-8")


def _run(code: str, images: Images) -> str:
    """Return the first line that ``code`` prints of the first image, or the last one that it complains with."""
    with tempfile.TemporaryDirectory() as folder:
        images.image(0).save(
            Path(folder) / "photo.jpg", format="PNG"
        )  # PNG loses nothing; Pillow looks at the contents
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
            return f"nothing within {SECONDS} seconds"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return (lines[0] if done.returncode == 0 else lines[-1]) if lines else "nothing"


def exit_status(checks: list[Check]) -> int:
    """Return 0 where the accuracy agrees and nothing differs, 1 where something differs, 3 where it cannot be checked."""
    if any(check.outcome == "differs" for check in checks):
        return 1
    return 0 if any(check.name == "accuracy" and check.outcome == "agrees" for check in checks) else 3
