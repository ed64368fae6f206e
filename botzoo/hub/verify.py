"""Whether a published figure holds: weights, class names, images, code and the figure, checked one by one.

Nothing that a repository brings is run: the card's code is run only where it is, word for word, the code that botzoo writes.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from botzoo.data import open as opening
from botzoo.data.images import Images, read_images
from botzoo.errors import BotzooError, ConfigError, DataError, ModelError, NetworkError
from botzoo.hub.reproduce import OF_A_RUN, known_weights, repository
from botzoo.inference.load import address_of, advice_offline, load
from botzoo.inference.measure import measure
from botzoo.inference.predict import Model
from botzoo.models.foreign import read_config
from botzoo.models.loading import model_folder
from botzoo.options.command_line import check_options, made
from botzoo.options.config import DataConfig, TrainConfig
from botzoo.results.card.beside import read_recipe
from botzoo.results.card.claim import Claim, claim_in_card, claim_in_table
from botzoo.results.card.usage import HERE, needs_botzoo, possible_readings, usage_code
from botzoo.results.report import checked, not_as_written, run_of
from botzoo.sources.annotated import FOLDERS
from botzoo.sources.files import inside
from botzoo.sources.find import Kind
from botzoo.sources.layouts.archives import folder_of
from botzoo.tasks.find import TASKS, task_of
from botzoo.tasks.task import Task
from botzoo.util.environment import user_path
from botzoo.util.files import sha256_of
from botzoo.util.outgoing import in_quotes, plain
from botzoo.util.text import and_list, interval_words

SECONDS = 300
"""The longest that the card's code may take."""

ROUNDED = 0.001
"""Share of the answers, at least one, that may turn over when the same weights see the same images in another arithmetic."""

OF_PLACES = 0.5
"""Points that a figure of boxes or masks may move so: edges lie a little elsewhere, and few answers are of a rare class."""

NAMES = {task.headline.measure for task in TASKS}
"""The checks of figures."""

DATA_OPTIONS = (
    "image_column",
    "label_column",
    "splits",
    "label_separator",
    "group",
    "crops",
    "val_fraction",
    "split_seed",
    "fold",
)
"""Those of a recipe that say which images were evaluated; ``labels`` and the seed, in no group, are others."""

KINDS: dict[str, Kind] = {"classes": "classify", "boxes": "detect", "masks": "segment"}
"""As what images are evaluated, by what a network gives, see ``Task.gives``."""

Outcome = Literal["agrees", "differs", "unknown"]


class Check(NamedTuple):
    """One thing that was checked: its name, whether it is as published, and what was found, or why nobody can know."""

    name: str
    outcome: Outcome
    words: str


@dataclass(frozen=True)
class _Subject:
    """A published model."""

    address: str
    folder: Path | None  # None for one of our table
    weights: Path | None
    claim: Claim | None
    config: TrainConfig = field(default_factory=TrainConfig)
    card: str = ""
    problem: str | None = None  # what is wrong with its recipe
    dataset: str | None = None  # what the run that it is in was trained on, where that is a folder which is still there


class _Measured(NamedTuple):
    """What the network says of the images."""

    evaluation: Any  # None where it has not the classes that the images are of
    images: Images
    class_names: tuple[str, ...]


def verify(name: str, dataset: str | None = None, labels: str | None = None) -> Iterator[Check]:
    """Yield one check after another of what is published of a model.

    Args:
        name: a name or name.tag of ours, ``hf-hub:owner/name``, ``owner/name``, ``local-dir:PATH``, or the folder of a run.
        dataset: where the images are, as for ``--dataset``; by default where the run that the model is in had them, else
            where the card says. What no more than its name says has to have the very images of the claim.
        labels: the table of their labels, as for ``--labels``; by default that of the recipe, in the folder of the images.

    Raises:
        BotzooError: there is no such model, it cannot be loaded, or the data set given cannot be read.
    """
    subject = _find(name)
    model = load(subject.address)
    claim, task = subject.claim, model.task
    published = claim.weights_sha256 if claim else None
    if subject.weights is None or published is None:
        yield Check("weights", "unknown", "they load; no SHA-256 of them is published")
    elif (found := sha256_of(subject.weights)) == published:
        yield Check("weights", "agrees", f"SHA-256 {found[:12]}... as published")
    else:
        yield Check("weights", "differs", f"SHA-256 {found[:12]}..., published {published[:12]}...: another file")
    if subject.problem is not None:
        yield Check("recipe", "differs", subject.problem)
    if subject.folder is not None and (run := run_of(subject.folder)) is not None:
        yield _check_run(run)
    figure = task.headline.measure
    if claim is None:
        yield Check(figure, "unknown", f"the card claims no {task.headline.figure} with the images it is of")
        return
    if claim.metric != task.headline.metric:
        words = f"the card claims {claim.figure}, which is not the figure of a network for {task.labels}"
        yield Check(figure, "differs", words)
        return
    try:
        measured = _measure(subject, claim, model, dataset, labels)
    except (ConfigError, DataError, NetworkError) as error:
        if dataset is not None:
            raise
        advice = "give the folder or the Hub id of its images with --dataset"
        yield Check(figure, "unknown", f"the images of {claim.dataset} cannot be had ({error}); {advice}")
        return
    yield (names := _check_names(model.label_names, measured.class_names))
    yield (images := _check_images(claim, measured.images))
    if measured.evaluation is None:
        yield Check(figure, "unknown", "the network cannot be evaluated on images of other classes")
        return
    yield _check_figure(claim, task, measured, same=images.outcome == names.outcome == "agrees")
    yield _check_code(subject, model, measured)


def _find(name: str) -> _Subject:
    address = address_of(repository(name))
    if ":" not in address:
        weights = known_weights(address)
        if weights is None:
            raise ModelError(f"{name} has no weights that anything is published of: see botzoo list for others.")
        return _Subject(weights.name, None, weights.path, claim_in_table(weights))
    with advice_offline(name):
        folder = model_folder(address, extras=("README.md", "recipe.yaml"))
    readme = folder / "README.md"
    claim, card = (claim_in_card(readme), readme.read_text(encoding="utf-8")) if readme.is_file() else (None, "")
    own = _dataset_of(folder)
    subject = _Subject(address, folder, folder / "model.safetensors", claim, card=card, dataset=own)
    try:  # whatever is wrong with the recipe, the weights and the code can be checked all the same
        return replace(subject, config=_options(folder / "recipe.yaml"))
    except BotzooError as error:
        return replace(subject, problem=str(error))


def _dataset_of(model: Path) -> str | None:
    """Return the folder that a run was trained on, of the run that a model folder is in, where both are still there."""
    run = run_of(model)
    try:
        own = read_recipe(run / OF_A_RUN).get("dataset") if run is not None else None
        return own if isinstance(own, str) and user_path(own).exists() else None
    except (BotzooError, OSError):  # a damaged file, of which the check of the run tells, or an odd path
        return None


def _check_run(run: Path) -> Check:
    """Compare a model folder with the records of the run that it is in."""
    try:
        others, holds = not_as_written(checked(run))
    except BotzooError as error:
        return Check("run", "differs", str(error))
    if not others:
        return Check("run", "agrees", "its files are as it wrote them, and the card says what they say")
    words = f"{and_list(others)} in {run / 'model'}: not as the run's records have it; botzoo card {run} writes it anew"
    # Words may be added to a card, and a later version may write another.
    return Check("run", "unknown" if holds else "differs", words)


def _options(recipe: Path) -> TrainConfig:
    """Return the options of a recipe that say which images were evaluated; the default ones where there is none."""
    if not recipe.is_file():
        return TrainConfig()
    try:
        found = read_recipe(recipe)
        data = {key: found["data"][key] for key in DATA_OPTIONS if key in found["data"]}
        options = {"seed": found["seed"], "labels": found.get("labels"), "data": data}
    except (TypeError, KeyError) as error:
        raise ModelError(f"{recipe} does not say which images were evaluated (no {error}).") from error
    return made(check_options(options, TrainConfig, str(recipe)), TrainConfig)


def own_table(config: TrainConfig) -> str | None:
    """Return the table of labels that a recipe names: foreign text, which names only what lies in the data set's folder."""
    if config.labels in (None, FOLDERS):
        return config.labels
    return str(inside(config.labels, [folder_of(user_path(config.dataset))], "The recipe"))


def _measure(
    subject: _Subject, claim: Claim, model: Model, dataset: str | None, labels: str | None = None
) -> _Measured:
    config = replace(subject.config, dataset=dataset or subject.dataset or claim.dataset, skip_corrupt=True)
    task, another = model.task, "give another --dataset"
    kind = KINDS[task.gives]
    data = opening.find(config.dataset, config.data, labels=labels or own_table(config), kind=kind)
    here = task_of(data)
    if here != task:
        raise DataError(f"{config.dataset} has {here.labels}, and the network is for {task.labels}: {another}.")
    images: Images
    how = model.preprocessing.decoding
    if claim.role in data.splits:  # read alone, where the run did not set images aside
        cache = int(DataConfig().cache_gib * 2**30)
        images, _ = read_images(data.splits[claim.role], how, skip_corrupt=True, cache_bytes=cache)
    else:
        every: Any
        data, every, _ = opening.read(data, config.data, how, split_seed=config.split_seed, skip_corrupt=True)
        if claim.role not in every:
            raise DataError(f"{config.dataset} has no {claim.role} split, which the figure is of: {another}.")
        images = every[claim.role]
    if dataset is None and data.hub_id is None and images.fingerprint != claim.images_sha256:
        raise DataError(f"{user_path(config.dataset).absolute()} has others")  # of that name, or by now
    if not task.fits(len(model.label_names), len(data.class_names)):
        return _Measured(None, images, data.class_names)
    found = measure(model, images, config)
    return _Measured(found, images, data.class_names)


def _check_names(ours: tuple[str, ...], theirs: tuple[str, ...]) -> Check:
    theirs = tuple(map(plain, theirs))  # as a model's are read
    if ours == theirs:
        return Check("classes", "agrees", f"{len(ours)} names, in the data set's order")
    if all(name == f"class {k}" for k, name in enumerate(ours)) and len(ours) == len(theirs):
        words = f"the weights name none of their {len(ours)} classes; the data set has as many"
        return Check("classes", "unknown", words)
    odd = next((k for k, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    first, second = (names[odd] if odd < len(names) else "none" for names in (ours, theirs))
    words = f"{len(ours)} names, the data set has {len(theirs)}; the first that differs is number {odd}"
    return Check("classes", "differs", f"{words}: {in_quotes(first)}, in the data set {in_quotes(second)}")


def _check_images(claim: Claim, images: Images) -> Check:
    count, found = f"{len(images):,} {claim.role} images", images.fingerprint
    if claim.images_sha256 is None:
        return Check("images", "unknown", f"{count}; no SHA-256 of those it is published of")
    if found == claim.images_sha256:
        return Check("images", "agrees", f"the very {count} it is published of (SHA-256 {found[:12]}...)")
    return Check("images", "unknown", f"{count}, others than the {claim.images:,} it is published of")


def _check_figure(claim: Claim, task: Task, measured: _Measured, *, same: bool) -> Check:
    """Compare the figures: of the very images of the claim by their distance, of others by the published interval."""
    found, name = measured.evaluation, task.headline.measure
    interval = f"95 % interval {interval_words((claim.low, claim.high))}"
    words = f"{found.score:.2f} % of {len(found):,}; published {claim.value:.2f} % ({interval})"
    if task.interval_around and not claim.low <= claim.value <= claim.high:
        return Check(name, "differs", f"{words}: the published figure lies outside its own interval")
    # 0.005, since figures in our table are rounded to two digits
    rounded = 100 * ROUNDED if task.whole_image else OF_PLACES
    if same and abs(found.score - claim.value) > max(rounded, found.one_answer) + 0.005:
        return Check(name, "differs", f"{words}: of the very same images")
    if same or claim.low <= found.score <= claim.high:
        return Check(name, "agrees", words)
    return Check(name, "unknown", f"{words}, of other images or classes")


def _check_code(subject: _Subject, model: Model, measured: _Measured) -> Check:
    code: dict[str, Any] = {"classes": len(model.label_names), "task": model.task, "threshold": model.threshold}
    stated = kept = model.temperature
    ours, addresses = True, [subject.address]
    if subject.folder is not None:
        written = re.search(r"^temperature = (\d+(?:\.\d+)?)  #", subject.card, re.M)
        stated = float(written[1]) if written else None
        ours = needs_botzoo(read_config(subject.folder / "config.json"))
        # never the address of a folder: its name, which anybody may have chosen, would become code
        on_hub = re.fullmatch(r"hf-hub:[\w.-]+/[\w.-]+(@[\w./-]+)?", subject.address)
        addresses = [HERE, *([subject.address] if on_hub else [])]
    printed = None
    for reading, address in product(possible_readings(model.preprocessing.decoding), addresses):
        lines = usage_code(address, ours=ours, temperature=stated, reading=reading, **code)
        if subject.folder is None or lines in subject.card:
            printed, stated = lines, kept if reading.own else stated  # botzoo.load finds the temperature itself
            break
    if printed is None:
        return Check("code", "unknown", "the card's is not what botzoo writes, so it is not run")
    if stated != kept:
        one, other = ("none" if t is None else f"{t:g}" for t in (stated, kept))
        return Check("code", "differs", f"its temperature is {one}, that of config.json {other}")
    answers = run_code(printed, measured.images.stored(measured.evaluation.telling()), subject.folder)
    right, expected = measured.evaluation.confirmed(model.label_names, answers)
    if right:
        return Check("code", "agrees", "it runs, and answers as the evaluation does")
    said = "; ".join(answers)[:100] or "nothing"
    words = f"it says {in_quotes(said)} of an image that the evaluation takes for {in_quotes(expected)}"
    return Check("code", "differs", words)


def run_code(code: str, image: bytes, model: Path | None) -> list[str]:
    """Return the lines that ``code`` prints in a folder with ``model`` and an encoded image, photo.jpg, or its last complaint.

    Nothing but the weights and config.json of ``model`` is there, and no module is imported from it or from that folder.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "photo.jpg").write_bytes(image)  # Pillow looks at the contents, whatever the name
        for name in ("config.json", "model.safetensors") if model is not None else ():
            shutil.copyfile(Path(str(model), name), Path(folder, name))  # so that local-dir:. is the model
        # -I would be stricter, and would lose packages that the user has installed for themselves alone
        words, paths = [sys.executable, "-P", "-c", code], os.environ.get("PYTHONPATH", "").split(os.pathsep)
        foreign = Path(model).resolve() if model is not None else Path(folder)
        paths = [p for p in paths if Path(p).is_absolute() and foreign not in (q := Path(p).resolve(), *q.parents)]
        env = os.environ | {"PYTHONWARNINGS": "ignore", "PYTHONPATH": os.pathsep.join(paths)}
        try:
            done = subprocess.run(
                words, cwd=folder, env=env, capture_output=True, text=True, timeout=SECONDS, check=False
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
