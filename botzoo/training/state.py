"""A run as it goes: its parts, where it stands, and what is known of it."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

from botzoo.data.images import Unreadable
from botzoo.data.loader import LoadedSplit
from botzoo.data.order import Order
from botzoo.errors import ConfigError
from botzoo.models.create import Network
from botzoo.models.preprocessing import Preprocessing
from botzoo.options.choices import Choice
from botzoo.options.config import TrainConfig
from botzoo.options.facts import flag, giving_way, options_of
from botzoo.sources.base import ImageData
from botzoo.tasks.metrics.metric import Criterion, criterion
from botzoo.tasks.task import Evaluation, Task
from botzoo.training.recording.checkpoint import Progress
from botzoo.training.recording.history import History
from botzoo.training.steps.feed import Feed
from botzoo.training.steps.schedule import Schedule, make_schedule
from botzoo.training.steps.teacher import Teacher
from botzoo.training.steps.trainer import Trainer
from botzoo.tricks import paper_augment
from botzoo.tricks.mixed_precision import Precision
from botzoo.util.text import and_list

LONG = 10
"""Epochs from which on a run gains by strong crops."""

REPLACED = {
    "model": ("scratch", "pretrained"),
    "transform": ("paper_augment",),
    "loss": ("mixup", "cutmix", "label_smoothing", "class_weights", "distillation"),
}
"""Options that an object of a user's own takes the place of."""


@dataclass(frozen=True)
class Own:
    """Objects of a user's own, in the place of what options name; a run with them cannot be repeated from its folder alone.

    Attributes:
        data: images in memory, of any kind that ``botzoo.sources.memory.in_memory`` takes.
        labels: a DataFrame of the labels of images in a folder, or a dict of them by split.
        model: a network that returns logits (N, K).
        transform: makes pixels of a PIL image in training.
        loss: a scalar, of logits float32 (N, K) and labels.
    """

    data: Any = None
    labels: Any = None
    model: nn.Module | None = None
    transform: Callable[..., Any] | None = None
    loss: Callable[[Tensor, Tensor], Tensor] | None = None

    def fitted(self, config: TrainConfig, given: Collection[str]) -> TrainConfig:
        """Return ``config`` without what the objects take the place of.

        Raises:
            ConfigError: such an option was given.
        """
        for name in self.names:
            known = options_of(type(config))
            used = [option for option in REPLACED.get(name, ()) if known[option].in_use(getattr(config, option))]
            if named := [flag(option, getattr(config, option)) for option in used if option in given]:
                raise ConfigError(f"A {name} of your own replaces {and_list(named)}: leave one of the two out.")
            config = giving_way(config, used, given)  # a recipe's option gives way in silence
        return config

    def refuse(self, why: str) -> None:
        """Raise ConfigError where any of it is given; ``why`` says what the images have that does not go with it."""
        if self.names:
            raise ConfigError(
                f"Images have {why}, and {and_list(self.names)} of your own are for classes: leave them out."
            )

    @property
    def names(self) -> list[str]:
        """What of it is given."""
        return [name for name, value in vars(self).items() if value is not None]


NOTHING = Own()


@dataclass(frozen=True)
class Draft:
    """A run whose images are read and whose network is there, while its options may still change.

    Attributes:
        config, choices: the options so far, and those among them that were chosen for the user, with reasons.
        given: names of the options that the user gave, dotted where they stand in a group.
        accelerator: device, processes and autocast.
        precision: the arithmetic, and why.
        data: class names, notes and splits, as cut for the run.
        task: what is predicted.
        images: of each split, by role: train, validation and, where there is one, test.
        left_out: images that cannot be read.
        network: with its initial weights, on its device.
        teacher: of distillation.
    """

    config: TrainConfig
    given: frozenset[str]
    accelerator: Accelerator
    precision: Precision
    data: ImageData[Any]
    images: Mapping[str, LoadedSplit]
    left_out: list[Unreadable]
    network: Network
    task: Task
    teacher: Teacher | None = None
    choices: tuple[Choice, ...] = ()
    own: Own = NOTHING


@dataclass(frozen=True)
class Asked:
    """Images that the finished network is asked about, besides those that the run is evaluated on."""

    images: LoadedSplit
    labelled: bool  # whether anybody knows their labels
    again: bool  # whether they are those of a split that is evaluated anyway


@dataclass
class Run:
    """One training run, as its callbacks see it.

    Attributes:
        config: the options; batch size, input size, precision, crops and flips are numbers by now.
        accelerator, precision, data, images, left_out, network, task, teacher, choices: see ``Draft``.
        order: which images each process sees at which step.
        feed: gives the batches of them.
        trainer: takes the steps, on the whole network or on a part of it; has the learning rate of every step.
        place: the run's folder, None until all that can be refused has been.
        asked: what --predict asks about, by its name in the run's folder.
        progress: steps taken, best epoch and the like, as in the newest checkpoint.
        start: the evaluation of the validation split that epochs have to beat; None where none was made before the first step.
        history: the lines of metrics.jsonl.
        facts: what run.json says.
    """

    config: TrainConfig
    accelerator: Accelerator
    precision: Precision
    data: ImageData[Any]
    images: Mapping[str, LoadedSplit]
    left_out: list[Unreadable]
    network: Network
    task: Task
    teacher: Teacher | None
    choices: tuple[Choice, ...]
    order: Order
    trainer: Trainer
    feed: Feed
    place: Path | None = None
    asked: dict[str, Asked] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    start: Evaluation | None = None
    history: History = field(default_factory=lambda: History(None))
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The run's folder.

        Raises:
            RuntimeError: there is none yet.
        """
        if self.place is None:
            raise RuntimeError("The run has no folder yet: it is made after on_train_start.")
        return self.place

    @property
    def model(self) -> nn.Module:
        """The bare network; a part of it may be trained alone, see ``trainer``."""
        return self.network.model

    @property
    def preprocessing(self) -> Preprocessing:
        """How the network wants its input."""
        return self.network.preprocessing

    @property
    def schedule(self) -> Schedule:
        """The learning rate of every step, and how many steps there are."""
        return self.trainer.schedule

    @property
    def criterion(self) -> Criterion:
        """What chooses the epoch."""
        return criterion(self.task, self.config.select_by)

    def score(self, evaluation: Evaluation) -> float:
        """Return by how much an evaluation of the validation split is chosen, the highest being best."""
        return self.criterion.points(self.criterion.of(evaluation))

    @property
    def epochs(self) -> float:
        """Of the whole run; not a whole number where the last one is cut short."""
        epochs = self.schedule.total_steps / self.order.steps_per_epoch
        return int(epochs) if epochs.is_integer() else epochs

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return bool(self.accelerator.is_main_process)

    @property
    def epochs_done(self) -> int:
        """The epoch, counted from 1, that the last step belongs to; 0 before the first."""
        return math.ceil(self.progress.step / self.order.steps_per_epoch)

    def epoch_of(self, step: int) -> int:
        """Return the epoch, counted from 0, that a step belongs to."""
        return step // self.order.steps_per_epoch

    def set_length(self, steps: int, warmup: float | None = None) -> None:
        """Let the run have so many steps, at a new schedule; ``warmup``, in epochs, is the configuration's by default.

        Crops that nobody chose follow from the length the first time, and stay as they are when it changes again: how images
        are augmented should not depend on the clock.
        """
        config, epochs = self.config, steps / self.order.steps_per_epoch
        warmup = config.warmup if warmup is None else warmup
        crops = self.feed.whole.scales is None
        crop_min = config.data.crop_min or (usual_crop(config, self.data.mirrored, epochs) if crops else None)
        data = replace(config.data, crop_min=crop_min)
        self.config = replace(config, budget=None, epochs=None, steps=steps, warmup=warmup, data=data)
        self.feed.whole.crop_min = crop_min or 1.0
        self.trainer.schedule = make_schedule(self.config, self.order)


def usual_crop(config: TrainConfig, mirrored: bool, epochs: float) -> float:
    """Return the smallest training crop where none is given: few epochs do not suffice to learn from small pieces."""
    if config.paper_augment:
        return paper_augment.CROP_MIN
    if not mirrored:  # characters fill their images
        return 0.8
    return 0.35 if epochs >= LONG else 0.7  # the paper's 0.08 is for 120 epochs of 1.3 million images
