"""Everything that a run settles before its first step: data, network, optimizer, schedule; nothing is written yet."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import torch
from accelerate import Accelerator
from torch import nn
from tqdm import tqdm

from botzoo.data.images import Images, Unreadable, read_images, unreadable
from botzoo.data.loader import Batch
from botzoo.data.order import Order
from botzoo.data.sampling import class_sampler
from botzoo.data.sources.base import ImageData, Split
from botzoo.data.sources.find import find_images
from botzoo.data.sources.shards import Shards, find_shards
from botzoo.data.splits import in_fold, joined, with_validation, without_test
from botzoo.data.stream import Stream
from botzoo.errors import ConfigError
from botzoo.models.create import Start, create_model
from botzoo.models.preprocessing import Preprocessing
from botzoo.options.config import TrainConfig, fold_of
from botzoo.options.facts import fitted_to
from botzoo.tasks.classification import SINGLE_LABEL
from botzoo.tasks.imbalance import class_weights
from botzoo.tasks.multi_label import MULTI_LABEL
from botzoo.tasks.objective import MultiLabelObjective, Objective
from botzoo.tasks.task import Task
from botzoo.training.autotune.budget import Budget
from botzoo.training.distributed import from_main, make_accelerator, on_each_node, place, same_everywhere
from botzoo.training.optimizer import LrScale, make_optimizer, param_groups
from botzoo.training.schedule import Schedule, fall_epochs
from botzoo.training.sizes import check_sizes, make_order
from botzoo.training.teacher import Teacher, make_teacher
from botzoo.training.trainer import Trainer
from botzoo.tricks import paper_augment
from botzoo.tricks.linear_scaling import linear_scaling
from botzoo.tricks.mixed_precision import Precision

SettledT = TypeVar("SettledT", bound="Settled")


LONG = 10
"""Epochs from which on a run gains by strong crops."""


@dataclass(frozen=True)
class Transfer:
    """What transfer learning adds to training.

    Attributes:
        lr_scale: given the network, returns the factor on the learning rate of each parameter by name.
        set_trainable: given the network and the epoch, freezes and unfreezes its parameters; returns whether any changed.
        describe: given the network, returns lines for the plan.
        shortcut: given what is settled, returns a way to train that does not pass the whole network in every step, or None.
        begin: given what is settled, readies the network for its first step; not called when a run goes on from a later one.
        remark: given all that is settled, returns lines on what in the data is to be looked at, for the end of the plan.
        choose: given what is settled by the options as they are, returns those to train with, and the transfer that belongs
            to them; None to keep both.
        choices: of ``choose``, for the plan: the option with its value, and why.
    """

    lr_scale: Callable[[nn.Module], LrScale] = lambda model: lambda name: 1.0
    set_trainable: Callable[[nn.Module, int], bool] = lambda model, epoch: False
    describe: Callable[[nn.Module], list[str]] = lambda model: []
    shortcut: Callable[[Settled], Shortcut | None] = lambda settled: None
    begin: Callable[[Settled], object] = lambda settled: None
    remark: Callable[[Settled], list[str]] = lambda settled: []
    choose: Callable[[Settled], tuple[TrainConfig, Transfer] | None] = lambda settled: None
    choices: tuple[str, ...] = ()


class Shortcut(Protocol):
    """A way to train a part of the network, on something computed once in the place of images."""

    @property
    def trainer(self) -> Trainer:
        """Of that part."""

    @property
    def whole(self) -> Trainer:
        """Of the whole network."""

    def describe(self) -> str:
        """Say what is trained on, for the plan."""

    def train_batches(self, order: Order, first: int, last: int) -> Iterator[list[Batch]]:
        """Yield this process's micro-batches of each step of [first, last)."""

    def eval_batches(self, order: Order, role: str) -> Iterator[Batch]:
        """Yield this process's share of a split in order."""

    def finished(self, job: SettledT) -> SettledT:
        """Return the run with the whole network again, the judged part in its place."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What is settled before a single image is read.

    Attributes:
        train_size: side of the training crops in pixels; with progressive resizing of those of the first epochs.
        later_size: side of the training crops of the last epochs.
        task: whether an image has one label or any number, and how answers are judged.
    """

    data: ImageData[Split] | ImageData[Shards]
    model: nn.Module
    architecture: str
    preprocessing: Preprocessing
    start: Start
    train_size: int
    later_size: int
    teacher: Teacher | None = None
    task: Task = SINGLE_LABEL

    @property
    def largest_size(self) -> int:
        """Side of the largest training crops of any epoch, in pixels."""
        return max(self.train_size, self.later_size)


@dataclass(frozen=True, kw_only=True)
class Settled(Draft):
    """Everything that a run has settled before it makes its folder.

    Attributes:
        epochs: of the run, not a whole number where the last one is cut short.
        budget: what --budget came to, None without it.
        batch_reason: why --batch-size auto took what it did, None without it.
        shortcut: where only a part of the network is passed in training, which ``trainer`` is of then.
    """

    config: TrainConfig
    transfer: Transfer
    accelerator: Accelerator
    precision: Precision
    images: dict[str, Images] | dict[str, Stream]
    left_out: list[Unreadable]
    crop_min: float
    hflip: float
    order: Order
    epochs: float
    schedule: Schedule
    trainer: Trainer
    budget: Budget | None = None
    batch_reason: str | None = None
    shortcut: Shortcut | None = None

    @property
    def whole(self) -> Trainer:
        """The trainer of the whole network, also where a part of it is trained."""
        return self.trainer if self.shortcut is None else self.shortcut.whole


def _draft(
    config: TrainConfig, data: ImageData[Any], transfer: Transfer, accelerator: Accelerator
) -> tuple[Draft, torch.optim.Optimizer]:
    """Return the draft of a run on ``data``, whose splits are those of the run."""
    model, preprocessing, start = _make_model(config, len(data.class_names))
    architecture = str(model.pretrained_cfg["architecture"])  # type: ignore[index]
    model = place(model, config, accelerator)
    transfer.describe(model)
    train_size = preprocessing.train_size(config.data.train_scale)
    later_size = preprocessing.size if config.data.train_scale_epochs is not None else train_size
    teacher = _make_teacher(config, data, preprocessing, max(train_size, later_size), accelerator)
    optimizer = _make_optimizer(config, model, transfer, accelerator)
    settle_epochs(config, make_order(config, config.data.epoch_images or len(data.train), accelerator))
    draft = Draft(
        data=data,
        model=model,
        architecture=architecture,
        preprocessing=preprocessing,
        start=start,
        train_size=train_size,
        later_size=later_size,
        teacher=teacher,
        task=MULTI_LABEL if data.multi_label else SINGLE_LABEL,
    )
    return draft, optimizer


def preflight(config: TrainConfig, accelerator: Accelerator, transfer: Transfer | None = None) -> None:
    """Raise what a run of ``config`` would raise before it reads its images: of data set, network, teacher and batch."""
    found = find(config, accelerator)
    if found.multi_label:
        raise ConfigError(f"Runs are compared by top-1, and images of {config.dataset} may have several labels each.")
    _draft(config, _cut(config, found), transfer or Transfer(), accelerator)


def set_up(config: TrainConfig, transfer: Transfer) -> Settled:
    """Settle everything that can be refused, cheapest first."""
    accelerator, precision = make_accelerator(config)
    config = replace(config, mixed_precision=precision.name)  # a run that is resumed goes on in the same arithmetic
    found = find(config, accelerator)
    cut = _cut(config, found)
    draft, optimizer = _draft(config, cut, transfer, accelerator)
    if config.data.streaming:
        return _settle(config, transfer, accelerator, precision, draft, optimizer, _streams(config, cut, accelerator))
    data, images, left_out = read_splits(config, found, accelerator)
    draft = replace(draft, data=data)
    return _settle(config, transfer, accelerator, precision, draft, optimizer, images, left_out)


def with_choices(settled: Settled) -> Settled:
    """Return what is settled by the options that suit the data, where the transfer chooses any; images are not read again.

    Raises:
        BotzooError: as ``set_up``.
    """
    chosen = settled.transfer.choose(settled)
    if chosen is None:
        return settled
    return anew(settled, *chosen)


def anew(settled: Settled, config: TrainConfig, transfer: Transfer) -> Settled:
    """Return what is settled by other options on the same images, which are not read again; raises as ``set_up``."""
    accelerator, precision = settled.accelerator, settled.precision
    draft, optimizer = _draft(config, settled.data, transfer, accelerator)
    return _settle(config, transfer, accelerator, precision, draft, optimizer, settled.images, settled.left_out)


def _settle(
    config: TrainConfig,
    transfer: Transfer,
    accelerator: Accelerator,
    precision: Precision,
    draft: Draft,
    optimizer: torch.optim.Optimizer,
    images: dict[str, Images] | dict[str, Stream],
    left_out: Sequence[Unreadable] = (),
) -> Settled:
    data = draft.data
    order = make_order(config, config.data.epoch_images or len(images["train"]), accelerator)
    if not config.data.streaming:
        labels: Any = images["train"].labels  # type: ignore[union-attr]
        order = replace(order, sampler=class_sampler(labels, config.data.sampling))
    if order.batch_size > len(images["train"]):  # where --data.epoch-images is more than there are
        raise ConfigError(
            f"--batch-size is {order.batch_size} and there are {len(images['train'])} training images: give as many or fewer."
        )
    epochs = settle_epochs(config, order)
    schedule = make_schedule(config, order, epochs)
    trainer = Trainer(
        accelerator,
        draft.model,
        optimizer,
        _make_objective(config, data),
        draft.preprocessing,
        schedule,
        seed=config.seed,
        clip_grad=config.optim.clip_grad,
        ema_decay=config.ema,
        channels_last=config.engine.channels_last,
        teacher=draft.teacher,
    )
    check_sizes(trainer, {draft.preprocessing.size, draft.train_size})
    crop_min = config.data.crop_min or _usual_crop(config, data.mirrored, epochs)
    hflip = config.data.hflip if config.data.hflip is not None else 0.5 if data.mirrored else 0.0
    settled = Settled(
        **vars(draft),
        config=config,
        transfer=transfer,
        accelerator=accelerator,
        precision=precision,
        images=images,
        left_out=list(left_out),
        crop_min=crop_min,
        hflip=hflip,
        order=order,
        epochs=epochs,
        schedule=schedule,
        trainer=trainer,
    )
    shortcut = transfer.shortcut(settled)
    return settled if shortcut is None else replace(settled, trainer=shortcut.trainer, shortcut=shortcut)


def find(config: TrainConfig, accelerator: Accelerator) -> ImageData[Any]:
    """Find the data set, without the splits that a run of ``config`` leaves unread; of shards the main process counts for all.

    Raises:
        DataError, NetworkError: see ``find_images``.
    """
    columns = {"image_column": config.data.image_column, "label_column": config.data.label_column}
    found: ImageData[Any]
    if config.data.streaming:
        found = from_main(accelerator, lambda: find_shards(config.dataset, classes=config.data.classes, **columns))
    else:
        found = find_images(config.dataset, **columns)
    if config.data.fold is not None:
        return joined(found)
    return found if config.data.test_split else without_test(found)


def _cuts(config: TrainConfig) -> Iterator[Callable[[ImageData[Split]], ImageData[Split]]]:
    """Yield how the splits of a run are taken from those of its data set, one after the other."""
    seed = config.split_seed
    if config.data.fold is not None:
        fold, folds = fold_of(config.data.fold)
        yield lambda data: in_fold(data, fold, folds, seed)
    yield lambda data: with_validation(data, config.data.val_fraction, seed)


def _cut(config: TrainConfig, found: ImageData[Any]) -> ImageData[Any]:
    """Return the data set with the splits of a run; shards are taken as they are."""
    if found.multi_label:
        _check_several(config, found)
    for cut in () if config.data.streaming else _cuts(config):
        found = cut(found)
    return found


def _make_model(config: TrainConfig, num_classes: int) -> tuple[nn.Module, Preprocessing, Start]:
    torch.manual_seed(config.seed)
    model, preprocessing, start = create_model(
        config.model,
        num_classes,
        pretrained=config.pretrained,
        scratch=config.scratch,
        img_size=config.img_size,
        zero_gamma=config.zero_gamma,
        xavier_init=config.xavier_init,
        drop_rate=config.drop_rate,
    )
    if config.paper_augment and config.scratch:
        preprocessing = replace(preprocessing, mean=paper_augment.MEAN, std=paper_augment.STD)
    return model, preprocessing, start


def _make_optimizer(
    config: TrainConfig, model: nn.Module, transfer: Transfer, accelerator: Accelerator
) -> torch.optim.Optimizer:
    optim, fused = config.optim, accelerator.device.type == "cuda"
    groups = param_groups(model, optim.weight_decay, config.no_bias_decay, transfer.lr_scale(model))
    return make_optimizer(config.optimizer, groups, config.lr, optim.momentum, optim.betas, fused=fused)


def _check_several(config: TrainConfig, data: ImageData[Any]) -> None:
    """Raise ConfigError for an option that presumes one label for each image."""
    given = {
        f"--label-smoothing {config.label_smoothing:g}": config.label_smoothing,
        f"--distillation {config.distillation}": config.distillation,
        f"--class-weights {config.class_weights}": config.class_weights != "none",
        f"--data.sampling {config.data.sampling}": config.data.sampling != "uniform",
        f"--soup {config.soup}": config.soup is not None,
        f"--data.fold {config.data.fold}": config.data.fold is not None,
    }
    if named := [option for option, used in given.items() if used]:
        raise ConfigError(
            f"{' and '.join(named)} need one label for each image, and images of {data.name} may have several: leave "
            f"{'it' if len(named) == 1 else 'them'} out."
        )


def _make_objective(config: TrainConfig, data: ImageData[Any]) -> Objective:
    num_classes = len(data.class_names)
    if data.multi_label:
        return MultiLabelObjective(num_classes, mixup_alpha=config.mixup, seed=config.seed, cutmix_alpha=config.cutmix)
    counts = data.train.class_counts(num_classes)
    if counts is None and config.class_weights != "none":
        raise ConfigError(
            f"--class-weights {config.class_weights} needs the number of images of each class, which these shards do not "
            "tell: leave it out."
        )
    return Objective(
        num_classes,
        config.label_smoothing,
        config.mixup,
        config.seed,
        config.label_smoothing_over,
        cutmix_alpha=config.cutmix,
        temperature=config.distill.temperature,
        distill_weight=config.distill.weight,
        class_weights=class_weights(counts, config.class_weights) if counts is not None else None,
    )


def _usual_crop(config: TrainConfig, mirrored: bool, epochs: float) -> float:
    """Return the smallest training crop where none is given: few epochs do not suffice to learn from small pieces."""
    if config.paper_augment:
        return paper_augment.CROP_MIN
    if not mirrored:  # characters fill their images
        return 0.8
    return 0.35 if epochs >= LONG else 0.7


def _make_teacher(
    config: TrainConfig, data: ImageData[Any], student: Preprocessing, crop: int, accelerator: Accelerator
) -> Teacher | None:
    if config.distillation is None:
        return None
    memory_format = torch.channels_last if config.engine.channels_last else torch.contiguous_format
    return make_teacher(config.distillation, data.class_names, student, crop, accelerator, memory_format)


def read_splits(
    config: TrainConfig, found: ImageData[Split], accelerator: Accelerator
) -> tuple[ImageData[Split], dict[str, Images], list[Unreadable]]:
    """Decode and check every image of every split; the test split is only read here, and evaluated once, at the end.

    The validation split, where it has to be set aside, and the folds are drawn from the images that can be read.
    """
    quiet = not (accelerator.is_main_process and sys.stderr.isatty())
    images: dict[str, Images] = {}
    left_out: list[Unreadable] = []
    room = int(config.data.cache_gib * (1 << 30))
    for role, split in found.splits.items():

        def bar(items: Iterable[Any], total: int, role: str = role) -> Iterator[Any]:
            return iter(tqdm(items, f"reading {role} images", total, leave=False, disable=quiet, unit="img"))

        first = partial(on_each_node, accelerator)
        images[role], bad = read_images(split, skip_corrupt=True, cache_bytes=room, progress=bar, first=first)
        left_out += bad
        room -= images[role].cached_bytes
    same_everywhere(accelerator, [split.fingerprint for split in images.values()], "images", "the data set")
    if left_out and not config.skip_corrupt:
        raise unreadable(left_out, sum(map(len, found.splits.values())))
    readable: dict[str, Any] = {role: read.split for role, read in images.items()}
    data = replace(found, **readable)
    for cut in _cuts(config):
        data = cut(data)
        images = {role: images.get(role, images["train"]).only(split) for role, split in data.splits.items()}
    return data, images, left_out


def _streams(config: TrainConfig, data: ImageData[Shards], accelerator: Accelerator) -> dict[str, Stream]:
    buffer, skip = config.data.shuffle_buffer, config.skip_corrupt
    streams = {role: Stream(shards, buffer, skip) for role, shards in data.splits.items()}
    same_everywhere(accelerator, [stream.fingerprint for stream in streams.values()], "shards", "the data set")
    return streams


def settle_epochs(config: TrainConfig, order: Order) -> float:
    """Return the epochs asked for, or enough for 100 steps, at least 3 and at most 30.

    Of --steps they need not be whole; a --budget that is still to be settled gets a number for the time being.

    Raises:
        ConfigError: they are too few for the warmup or the milestones.
    """
    if config.steps is not None:
        epochs = config.steps / order.steps_per_epoch
        fitted_to(config, epochs)
        return int(epochs) if epochs.is_integer() else epochs
    whole = config.epochs or min(30, max(3, math.ceil(100 / order.steps_per_epoch)))
    if config.budget is None:
        fitted_to(config, whole)
    return whole


def resettled(settled: SettledT, config: TrainConfig, order: Order) -> SettledT:
    """Return ``settled`` with another configuration and order, and with what follows from them.

    Raises:
        ConfigError: the epochs are too few for the warmup, the milestones or progressive resizing.
    """
    epochs = settle_epochs(config, order)
    schedule = make_schedule(config, order, epochs)
    settled.trainer.schedule = schedule
    crop_min = config.data.crop_min or _usual_crop(config, settled.data.mirrored, epochs)
    return replace(settled, config=config, order=order, epochs=epochs, schedule=schedule, crop_min=crop_min)


def make_schedule(config: TrainConfig, order: Order, epochs: float) -> Schedule:
    """Return the learning rate of every step of so many ``epochs``, the last of which may be cut short."""
    optim = config.optim
    peak = linear_scaling(config.lr, order.batch_size) if config.linear_scaling else config.lr
    total = round(epochs * order.steps_per_epoch)
    warmup_steps = min(round(config.warmup * order.steps_per_epoch), total - 1)
    falls = fall_epochs(optim.decay, epochs, optim.milestones, optim.decay_every)
    steps = tuple(epoch * order.steps_per_epoch for epoch in falls)
    return Schedule(peak, total, warmup_steps, config.cosine, steps, optim.factor)
