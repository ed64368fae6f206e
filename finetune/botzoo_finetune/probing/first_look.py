"""The first look at a data set: a linear probe, what it says, and the options that are chosen by it."""

import hashlib
import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import nn

from botzoo.data.images import Images
from botzoo.errors import ConfigError, DataError
from botzoo.options.accepted import seconds_of
from botzoo.options.choices import Choice
from botzoo.options.config import TrainConfig
from botzoo.results.per_class import class_figures
from botzoo.results.summary import class_table
from botzoo.sources.base import ImageData
from botzoo.training import distributed, setup
from botzoo.training.autotune.speed import images_per_second
from botzoo.training.callbacks import Callback
from botzoo.training.plan import fit_lines, input_lines
from botzoo.training.recording.folder import check_output
from botzoo.training.sizes import make_order
from botzoo.training.state import Draft, Own, Run
from botzoo.util.environment import user_path
from botzoo.util.files import write_json
from botzoo.util.private import forget_prepared
from botzoo.util.text import counted, few, under
from botzoo_finetune import auto
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.probing import outcomes
from botzoo_finetune.probing import probe as probes
from botzoo_finetune.transfer.features import Extractor, unmeasured

log = logging.getLogger("botzoo")

T = TypeVar("T")
LOOKED_AT = {"train": 10_000, "validation": 2_000}
"""Images that a run looks at before its first step, at most; --probe looks at all."""


class Look:
    """A network's first look at a data set: what is asked for is taken from where it was kept, or fitted on its features.

    The test split is not looked at. Every process has to ask for the same, and gets the same.

    The network is looked at as it is when the first question is asked.

    Raises:
        ConfigError: the data set is not probed, see ``no_probe``.
    """

    def __init__(self, run: Draft | Run) -> None:
        if (why := no_probe(run)) is not None:
            raise ConfigError(f"{why[0].upper()}{why[1:]}: leave it out.")
        self.run, self._extract = run, Extractor(run)
        self.seconds = 0.0  # that fitting, or finding what was kept, took until now, features included
        self.kept = True  # whether all that was asked for was kept from before

    @property
    def after(self) -> str:
        """How long it took, in words."""
        return "as kept from before" if self.kept else f"after {self.seconds:.1f} s"

    @cached_property
    def probe(self) -> probes.Probe:
        """The best classifier, fitted on the training images and evaluated on the validation images.

        Raises:
            ConfigError: the images are streamed.
            DataError: the features of all training images are the same.
            ModelError: features are NaN or infinite.
        """
        classes, seed = len(self.run.data.class_names), self.run.config.seed
        return self._asked(outcomes.PROBE, lambda: probes.probe(*self._rows, classes, seed))

    @cached_property
    def outlook(self) -> probes.Outlook:
        """What else the features tell of images of one label each.

        Raises:
            BotzooError: as of ``probe``.
        """
        found, seed = self.probe, self.run.config.seed
        return self._asked(outcomes.OUTLOOK, lambda: probes.outlook(found, *self._rows, seed))

    @cached_property
    def start(self) -> probes.Linear:
        """The classifier that fine-tuning starts from.

        Raises:
            BotzooError: as of ``probe``.
        """
        found, seed = self.probe, self.run.config.seed
        return self._asked(outcomes.START, lambda: probes.gentle(found, *self._rows[:2], seed))

    @cached_property
    def _rows(self) -> tuple[Any, Any, Any, Any]:
        """Features and labels of the training images, then those of the validation images."""
        pairs = [(self._extract(role), self.run.images[role]) for role in LOOKED_AT]
        if probes.all_alike(pairs[0][0]):
            seen = f"the {len(pairs[0][0]):,} training images that {self.run.network.architecture} has looked at"
            why = "are all alike to it, so it cannot learn to tell them apart: look at the files; --check lists equal ones"
            why += "".join(f" ({line.partition(': ')[2]})" for line in fit_lines(self.run)) + "."
            raise DataError(f"{self.run.data.name}: {seen} {why}")
        return tuple(part for rows, images in pairs for part in (rows, images.labels))  # type: ignore[return-value]

    def _asked(self, form: outcomes.Form[T], fit: Callable[[], T]) -> T:
        began, accelerator = time.perf_counter(), self.run.accelerator
        features, classes = [self._extract.key(role) for role in LOOKED_AT], len(self.run.data.class_names)
        # What an outcome is kept by: the features with their labels, and all that fitting depends on.
        parts = form.name, features, classes, self.run.config.seed, probes.constants()
        key = hashlib.sha256(repr(parts).encode()).hexdigest()
        found = distributed.from_main(accelerator, lambda: outcomes.recall(form, key))
        if found is None:
            _ = self._rows  # every machine computes its own

            def fitted() -> T:
                outcome = fit()
                outcomes.keep(form, key, outcome)
                return outcome

            found = distributed.from_main(accelerator, fitted)
            self.kept = False
        self.seconds += time.perf_counter() - began
        return found


def no_probe(run: Draft | Run) -> str | None:
    """Return why a data set is not probed, None where it is."""
    name, classes = run.data.name, len(run.data.class_names)
    if not run.task.whole_image:
        return f"a probe is of images as a whole; those of {name} have {run.task.labels}"
    most = probes.MOST_CLASSES
    return f"a probe is of {most:,} classes at most; {name} has {classes:,}" if classes > most else None


def facts(draft: Draft) -> auto.Facts:
    """Return what is known of a data set and a network before the first step, the probe of a part of the images included."""
    images, config = draft.images["train"], draft.config
    assert isinstance(images, Images)
    several = not draft.task.one_label
    counts = images.labels.sum(0) if several else np.bincount(images.labels, minlength=len(draft.data.class_names))
    order = make_order(config, len(images), draft.accelerator)
    epochs = config.steps / order.steps_per_epoch if config.steps is not None else config.epochs
    return auto.Facts(
        images=len(images),
        classes=len(counts),
        smallest=int(counts.min()),
        largest=int(counts.max()),
        side=_side(images),
        input_side=math.sqrt(draft.network.preprocessing.shape.area),
        mirrored=draft.data.mirrored,
        probe=None if several or no_probe(draft) is not None else Look(in_part(draft)).probe.evaluation.top1,
        gpu=draft.accelerator.device.type != "cpu",
        epochs=epochs,
        several=several,
        optimizer=config.optimizer,
        batch_norm=has_batch_norm(draft.network.model),
        base_batch=256 if config.linear_scaling else order.batch_size,
    )


def _side(images: Images) -> float:
    """Return the median side of images in pixels, of each the root of width times height."""
    heights, widths = images.shapes.astype(float).T[:2]
    return float(np.median(np.sqrt(heights * widths)))


def has_batch_norm(model: nn.Module) -> bool:
    """Tell whether a network has BatchNorm, as ResNets and most that take images of any shape have."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


RunT = TypeVar("RunT", Draft, Run)


def in_part(run: RunT, looked_at: Mapping[str, int] = LOOKED_AT) -> RunT:
    """Return a run on some of its images, those of each class in proportion: enough for a first look, and soon seen."""
    images = {}
    for role, most in looked_at.items():
        whole = run.images[role]
        assert isinstance(whole, Images)
        labels: Any = whole.labels
        rows = probes.subset(labels, most, run.config.seed)
        images[role] = whole if len(rows) == len(whole) else whole.only(whole.split.take(rows))
    return replace(run, images=images)


class ChooseForData(Callback):
    """Chooses the options that suit images and network, each with its reason, in the place of those that are not given.

    Where a --budget is short, a smaller input is among them; it is tried out only where it may come to a choice: of a
    ResNet or its like that takes any size, and of a known batch. The speed is measured with ``others``, the callbacks that
    set what is trained.
    """

    looks_at_train = True

    def __init__(self, others: Sequence[Callback] = ()) -> None:
        self.others = others

    def smallest_crop(self, config: TrainConfig, data: ImageData[Any], gpu: bool) -> float | None:
        """Return what suits the longest run that may be chosen; other rules hold of a --budget, steps and characters."""
        if config.budget is not None or config.steps is not None or config.paper_augment or not data.mirrored:
            return None
        images = len(data.train)
        return auto.crop_for(images * (config.epochs or auto.length_for(images, gpu, easy=False)[2]))

    def on_resolve(self, draft: Draft) -> Iterator[Choice]:
        """Choose; a smaller input first, since a probe at another size says something else."""
        if not draft.task.whole_image:  # what suits it the task has chosen
            return
        smaller = None if auto.stands_aside("img_size", draft.given) else self._smaller_input(draft)
        if smaller is not None:
            yield smaller
            draft = setup.with_choices(draft, [smaller])
        yield from (choice for choice in auto.choose(facts(draft)) if not auto.stands_aside(choice.option, draft.given))
        yield Choice("auto", False, "", "")  # a run that is resumed or reproduced does not choose again

    def _smaller_input(self, draft: Draft) -> Choice | None:
        config, images, preprocessing = draft.config, draft.images["train"], draft.network.preprocessing
        own, smaller = preprocessing.shape, preprocessing.train_size(auto.SMALLER)
        if config.budget is None or config.batch_size == "auto" or not has_batch_norm(draft.network.model):
            return None
        if own.oblong:  # somebody chose that for images of such a shape
            return None
        assert isinstance(images, Images)
        sizes = _side(images), own.height, smaller.height
        if auto.smaller_input(*sizes, in_time=0) is None:
            return None
        seconds = seconds_of(config.budget)
        run = setup.build(draft)
        run.trainer.start_epoch()
        in_time = seconds * images_per_second(run, self.others, seconds)
        forget_prepared(run.accelerator, run.model)  # the network is wrapped anew for the run
        return auto.smaller_input(*sizes, in_time=in_time)


class LookOnly(Callback):
    """Asks for all training images to be decoded beforehand, so that all broken ones are named at once."""

    looks_at_train = True


def set_up_look(config: FinetuneConfig, given: Collection[str] | None = None, own: Own | None = None) -> Run:
    """Return what a run of ``config`` would begin with, of which the images are looked at and not trained on.

    Raises:
        BotzooError: what a run would raise before its first step.
    """
    return setup.set_up(unmeasured(config), [LookOnly()], given, own)


def probe_images(config: FinetuneConfig, given: Collection[str] | None = None, own: Own | None = None) -> Look:
    """Probe the data set, say what was found, and write it as probe.json into --output, where that is given.

    Raises:
        BotzooError: what a run would raise before its first step.
    """
    folder = new_folder(config, "--probe")
    look = reported(set_up_look(config, given, own))
    for line in lines(look):
        log.info("%s", line)
    if folder is not None:
        distributed.on_main(look.run.accelerator, lambda: keep_json(folder / "probe.json", as_json(look)))
    return look


def reported(run: Run) -> Look:
    """Return the look that is reported of.

    Raises:
        ConfigError: an image may have several labels, or none as a whole.
    """
    if not run.task.one_label:
        have = "may have several" if run.task.whole_image else f"have {run.task.labels}"
        raise ConfigError(
            f"A probe is reported of one class of each image; those of {run.data.name} {have}: leave it out."
        )
    return Look(run)


def new_folder(config: FinetuneConfig, flag: str) -> Path | None:
    """Return the folder that a look at the data with ``flag`` is to be written into, None where there is no --output.

    Raises:
        ConfigError: it is in use, or there is nothing to look with.
    """
    if config.scratch:
        raise ConfigError(f"--scratch has no features to {flag}: leave one of the two out.")
    check_output(config, resumable=False)
    return None if config.output is None else user_path(config.output)


def keep_json(path: Path, values: dict[str, Any]) -> None:
    """Write what was seen into a new folder, or an empty one, and say where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, values)
    log.info("%-10s %s", "written", path)


def lines(look: Look) -> Iterator[str]:
    """Yield the report for the terminal: the probe, what more images would bring, and how each class fares."""
    run, probe, evaluation, seen = look.run, look.probe, look.probe.evaluation, look.outlook
    low, high = evaluation.interval()
    network, sizes = run.network, ", ".join(f"{len(images):,} {role}" for role, images in run.images.items())
    one_each = "default: every class has one image only of those it is chosen on"
    how = f"{probe.folds}-fold cross-validation" if probe.folds else one_each
    share = f"top-1 {evaluation.top1:.2f} % on {counted(len(evaluation), 'validation image')}"
    more = seen.with_twice_the_images
    names = run.data.class_names
    classes = f"{counted(len(names), 'class', 'classes')} ({few(names)})"
    yield from under("data", [f"{run.data.name}: {sizes} images in {classes}"])
    width = len(probe.linear.weight[0])
    what = f"{network.architecture} from {network.start.source}, frozen: {width:,} features"
    yield from under("model", [what, *network.start.notes])
    yield from under("input", [*input_lines(network), *fit_lines(run)])
    fit = f"linear classifier of {counted(probe.images, 'training image')} (logistic regression, C {probe.strength:g}, {how})"
    near = f"its {counted(seen.neighbours, 'nearest training image')} alone: {seen.knn_top1:.2f} %"
    error = f"expected calibration error {100 * probe.calibration_error:.1f} %"
    first = f"{share} (95 % interval {low:.2f} to {high:.2f}), {look.after}"
    yield from under("probe", [first, fit, near, error])
    curve = ", ".join(f"{counted(n, 'image')}: {top1:.1f} %" for n, top1 in seen.curve)
    twice = f"what twice as many would bring cannot be told from {counted(len(evaluation), 'validation image')}"
    if more is not None:
        twice = f"twice as many: about {more:.1f} %, if the error goes on falling as it has"
    yield from under("more data", [curve, twice])
    yield from class_table(class_figures(evaluation, run.data.class_names))
    yield from under("next", ["the same command without --probe fine-tunes, starting from this classifier"])


def as_json(look: Look) -> dict[str, Any]:
    """Return what probe.json says."""
    run, probe, seen = look.run, look.probe, look.outlook
    return {
        "dataset": run.data.name,
        "model": run.network.start.source,
        "images": {role: len(images) for role, images in run.images.items()},
        "split": "validation",
        "top1": probe.evaluation.top1,
        "interval_95": probe.evaluation.interval(),
        "calibration_error": probe.calibration_error,
        "nearest_neighbours": {"k": seen.neighbours, "top1": seen.knn_top1},
        "c": probe.strength,
        "folds": probe.folds,
        "curve": [{"images": n, "top1": top1} for n, top1 in seen.curve],
        "with_twice_the_images": seen.with_twice_the_images,
        "classes": [vars(figures) for figures in class_figures(probe.evaluation, run.data.class_names)],
        "seconds": round(look.seconds, 2),
        "kept_from_before": look.kept,
    }
