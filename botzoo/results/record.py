"""A finished run as its folder tells it: plain values, from which everything else in this package is made."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from botzoo.errors import CheckpointError
from botzoo.models.folder import config_sha256
from botzoo.models.foreign import decoding_in, read_config, temperature_in, threshold_in
from botzoo.models.licence import combined_license
from botzoo.models.preprocessing import Size
from botzoo.options.command_line import made
from botzoo.options.config import TrainConfig
from botzoo.results.calibration import Calibration, calibrate, confidence_at
from botzoo.results.card.usage import Reading, reading_of
from botzoo.tasks.answers import read_answers
from botzoo.tasks.find import task_named
from botzoo.tasks.metrics.metric import Criterion, Measured, criterion, measured
from botzoo.tasks.rejection import Rejection, rejection
from botzoo.tasks.task import Task
from botzoo.training.recording.predict import IS_NAME
from botzoo.training.soup import Soup
from botzoo.util.files import differing_from, parse_json, read_sealed
from botzoo.util.nested import flat
from botzoo.util.outgoing import public
from botzoo.util.text import and_list, brief, counted, one_fold, program
from botzoo.util.yaml_files import parse_yaml


@dataclass(frozen=True)
class RunRecord:
    """What a finished run left behind."""

    folder: Path  # of the run; its name here may be another by now than the one it was trained under
    options: dict[str, Any]  # config.yaml: as they took effect, those of a group in a dictionary of their own
    facts: dict[str, Any]  # run.json; see botzoo.training.recording.facts
    history: list[dict[str, Any]]  # the lines of metrics.jsonl
    model_config: dict[str, Any]  # config.json of the model folder
    evaluation: Any  # of the kept weights on the split that the figures are of, as the task makes it
    held_out: Any = None  # the same on the validation split, where ``split`` is "test": for what is fitted afterwards
    image_names: list[str] = field(default_factory=list)  # of ``evaluation``: paths in the data set's folder, or rows

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the folder of a finished run.

        Raises:
            CheckpointError: it is no run, has not finished, or a file of it is missing, damaged, edited or of another botzoo.
            ConfigError: an option in config.yaml is out of its range.
        """
        if not (folder / "config.yaml").is_file():
            raise CheckpointError(f"{folder} is not the folder of a run: it has no config.yaml.{one_fold(folder)}")
        if not (folder / "model" / "config.json").is_file():
            raise CheckpointError(f"The run in {folder} has not finished: go on with it by --resume {folder}.")
        options = _read(folder / "config.yaml", parse_yaml)
        facts = _read(folder / "run.json", parse_json)
        known = flat(facts)
        if missing := [key for key, kind in NEEDED.items() if not isinstance(known.get(key, ...), kind)]:
            raise CheckpointError(
                f"{folder / 'run.json'} has no {', no '.join(missing[:3])}: the run has not finished, or another version of "
                f"botzoo wrote it. Go on with it by --resume {folder}."
            )
        files = facts.get("files")
        if not isinstance(files, dict):
            raise CheckpointError(
                f"{folder / 'run.json'} has no files and digests: --resume {folder} evaluates it anew."
            )
        if name := differing_from(files, folder):
            raise _changed(folder, name)
        history = _read(folder / "metrics.jsonl", lambda text: {"lines": [*map(parse_json, text.splitlines())]})
        model_config = public(read_config(folder / "model" / "config.json"))
        if config_sha256(folder / "model") != facts.get("config_sha256"):
            raise _changed(folder, "model/config.json")
        task, roles = task_named(facts["task"]), {facts["split"], "validation"}
        read = {role: read_answers(folder / "evaluation" / f"{role}.parquet") for role in roles}
        names, answers = read[facts["split"]]
        held_out = task.evaluation(read["validation"][1]) if facts["split"] == "test" else None
        return cls(folder, options, facts, history["lines"], model_config, task.evaluation(answers), held_out, names)

    @property
    def task(self) -> Task:
        return task_named(self.facts["task"])

    @cached_property
    def config(self) -> TrainConfig:
        """The options that every kind of training has."""
        return made(self.options, TrainConfig)

    @property
    def model_folder(self) -> Path:
        """Where timm finds the model."""
        return self.folder / "model"

    @property
    def program(self) -> str:
        """The words of the run's command before its options, such as ``botzoo train``."""
        return program(self.facts["command"])

    @property
    def class_names(self) -> list[str]:
        """Of the K classes."""
        return list(self.facts["data"]["class_names"])

    @property
    def split(self) -> str:
        """Role of the split that ``evaluation`` is of: "test" where there is one, else "validation"."""
        return str(self.facts["split"])

    @property
    def size(self) -> Size:
        """Of the network's input, in pixels."""
        return Size.of(self.facts["input"]["size"])

    @property
    def reading(self) -> Reading:
        """What its images need of a reader's code."""
        return reading_of(decoding_in(self.model_config), self.facts["data"].get("kinds", {}))

    @property
    def chosen_on_split(self) -> bool:
        """Whether the evaluated images also chose the epoch, so that the figure flatters."""
        return self.split == "validation"

    @property
    def predicted(self) -> list[str]:
        """What else --predict asked for, by the names in evaluation/: a split, or a folder of images.

        Raises:
            CheckpointError: one of them is no name that a run gives.
        """
        names: list[str] = self.facts.get("predicted", [])
        wrong = [name for name in names if not (isinstance(name, str) and IS_NAME.fullmatch(name))]
        if wrong:  # it becomes a part of a path
            named = f"{self.folder / 'run.json'} names {wrong[0]!r} as predicted"
            raise CheckpointError(f"{named}, which no run does: put it back.")
        return names

    @property
    def split_text(self) -> str:
        """How many images of which split were evaluated."""
        return counted(len(self.evaluation), f"{self.split} image")

    def of(self, split: str) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl on one split."""
        return [line for line in self.history if line["split"] == split]

    @property
    def license(self) -> str | None:
        """Of the trained weights, None where nobody has chosen one yet."""
        weights, data = self.facts["network"]["license"], self.facts["data"]["license"]
        return combined_license(weights, data, self.config.license)

    @property
    def temperature(self) -> float | None:
        """What config.json says that the logits are to be divided by."""
        return temperature_in(self.model_config)

    @property
    def threshold(self) -> float | None:
        """What config.json says that the probability of an answer must be at least."""
        return threshold_in(self.model_config)

    @cached_property
    def soup(self) -> Soup | None:
        """What came of averaging epochs; None without --soup, or where there was only one to average."""
        if (found := self.facts.get("soup")) is None:
            return None
        return Soup.of_facts(found, self.criterion)

    @property
    def averaged(self) -> tuple[int, ...]:
        """The epochs whose weights were averaged; none where those of one epoch are kept."""
        return self.soup.epochs if self.soup is not None and self.soup.taken else ()

    @property
    def kept(self) -> str:
        """What the weights are of, in words."""
        if self.averaged:
            return f"epochs {and_list(self.averaged)}, averaged"
        best = self.facts["best_epoch"]
        return f"epoch {best}" if best else "the start, the frozen network with a linear classifier"

    @property
    def gain(self) -> str | None:
        """What the kept weights have gained over what the run started from, in words; None where that was not compared."""
        by, start, epochs = self.criterion, self.of("start"), self.of("validation")
        if start and epochs and not self.facts["best_epoch"]:
            best = max(epochs, key=lambda line: by.points(line[by.key]))  # of equals the earliest
            before = f"validation {by.figure} {by.text(start[0][by.key])}: {self.kept}, is kept"
            return f"{before}, as no epoch is better (epoch {best['epoch']}: {by.text(best[by.key])})"
        if (found := self.facts.get("gain")) is None:
            return None
        low, high = found["interval_95"]
        figures = f"validation {self.task.headline.figure} {found['start']:.2f} -> {found['score']:.2f} %"
        points = f"{found['gain']:+.2f} points (95 % interval {low:+.2f} to {high:+.2f}, paired over the images)"
        chose = "epochs" if self.averaged else "epoch"
        images = f"{counted(found['images'], 'validation image')}, which also chose the {chose}"
        so = "no clear gain" if low <= 0 else "a gain"
        return f"{figures} from the frozen network with a linear classifier to {self.kept}: {points} on {images}; {so}"

    @property
    def criterion(self) -> Criterion:
        """What chose the epoch."""
        return criterion(self.task, self.config.select_by)

    @cached_property
    def metrics(self) -> list[Measured]:
        """The metrics besides the headline figure, as far as they are defined; what presumes an order only where it chose."""
        chosen = self.criterion.metric
        shown = [metric for metric in self.task.metrics if not metric.ordered or metric == chosen]
        return measured(shown, self.evaluation, len(self.class_names))

    @cached_property
    def rejection(self) -> Rejection | None:
        """The least probability of an answer at the temperature kept; None without --reject.

        It is fitted on the validation split, whether or not the evaluated images are others.
        """
        if self.config.reject is None:
            return None
        held_out = self.held_out if self.held_out is not None else self.evaluation
        return rejection(self.config.reject, self._sureness(held_out), self._sureness(self.evaluation))

    def _sureness(self, seen: Any) -> tuple[Any, Any]:
        """Return the confidence of each answer at the temperature kept, and whether it is right."""
        kept = self.temperature is not None and seen.log_p is not None
        sure = confidence_at(seen.log_p, self.temperature or 1.0) if kept else seen.confidence
        return sure, seen.labels == seen.predicted

    @cached_property
    def calibration(self) -> Calibration | None:
        """How sure the network is, against how often it is right; None for a task without one answer to an image."""
        if not self.task.one_label:
            return None
        seen, held_out = self.evaluation, self.held_out
        other = (held_out.log_p, held_out.labels) if held_out is not None and held_out.log_p is not None else None
        log_p = seen.log_p if held_out is None or other is not None else None  # never fitted on test images
        return calibrate(seen.confidence, seen.labels == seen.predicted, log_p, seen.labels, other)


NEEDED: dict[str, Any] = {
    **dict.fromkeys(("name", "task", "split", "command", "hardware", "python", "finished", "public.dataset"), str),
    **dict.fromkeys(("precision.name", "precision.reason", "data.title", "data.hashed", "network.architecture"), str),
    **dict.fromkeys(("network.source", "input.crop_mode", "input.interpolation"), str),
    **dict.fromkeys(("data.hub_id", "data.license", "network.base_model", "network.license"), str | None),
    **dict.fromkeys(("steps", "best_epoch", "network.parameters"), int),
    **dict.fromkeys(("schedule.total_steps", "schedule.warmup_steps", "schedule.steps_per_epoch"), int),
    **dict.fromkeys(("seconds", "input.crop_pct", "schedule.peak", "schedule.epochs"), int | float),
    **{
        "input.size": int | list,
        "network.loaded": int | None,
        "data.class_counts": list | None,
        "data.set_aside": bool,
    },
    **dict.fromkeys(("data.class_names", "data.notes"), list),
}
"""What run.json says of a finished run, and of which type."""


def _changed(folder: Path, name: str) -> CheckpointError:
    is_wrong = "is not as the run wrote it (its SHA-256 differs)" if (folder / name).exists() else "is missing"
    return CheckpointError(
        f"{folder / name} {is_wrong}: put it back, or remove {folder / 'model'} and evaluate the run by --resume {folder}."
    )


def _read(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        lines = path.suffix == ".jsonl"  # run.json has the digest of those
        found = public(parse(path.read_text(encoding="utf-8") if lines else read_sealed(path)))
        if not isinstance(found, dict):
            raise ValueError("it holds no names and values")
        return found
    except (OSError, ValueError) as error:
        reason, run = brief(error) if path.is_file() else "there is no such file", path.parent
        raise CheckpointError(
            f"{path} cannot be read ({reason}): put it back, or do the run's end again by --resume {run}."
        ) from error
