"""From options to a run that is ready for its first step; nothing is written yet, and all that can be refused is refused.

The order is that of cost: what takes a moment to refuse, such as a wrong name, is looked at before the images are read.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from botzoo.data.images import Images, Unreadable, read_images, unreadable
from botzoo.data.order import Order
from botzoo.data.sampling import class_sampler
from botzoo.data.sources.base import ImageData, Split
from botzoo.data.sources.find import find_images
from botzoo.data.sources.shards import Shards, find_shards
from botzoo.data.splits import in_fold, joined, with_validation, without_test
from botzoo.data.stream import Stream
from botzoo.errors import ConfigError
from botzoo.models.create import Network, create_model
from botzoo.options.choices import Choice
from botzoo.options.choices import with_choices as chosen
from botzoo.options.config import TrainConfig, check_epochs, fold_of
from botzoo.tasks.find import task_of
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import (
    from_main,
    make_accelerator,
    on_each_node,
    place,
    same_everywhere,
    worker_count,
)
from botzoo.training.feed import ImageFeed
from botzoo.training.optimizer import make_optimizer, param_groups
from botzoo.training.schedule import make_schedule
from botzoo.training.sizes import check_sizes, make_order
from botzoo.training.state import Draft, Run, usual_crop
from botzoo.training.teacher import Teacher, make_teacher
from botzoo.training.trainer import Trainer
from botzoo.tricks import paper_augment
from botzoo.util.text import epochs_words

WARMUP = 0.2
"""Share of the run that a warmup takes which nobody asked for, where the usual one is not shorter than the run."""


@dataclass(frozen=True)
class Own:
    """Objects of a user's own, in the place of what options name; a run with them cannot be repeated from its folder alone.

    Attributes:
        data: images in memory, as ``botzoo.data.sources.memory.in_memory`` makes it.
        model: a network that returns logits (N, K).
        transform: makes pixels of a PIL image in training.
        loss: a scalar, of logits float32 (N, K) and labels.
    """

    data: ImageData[Any] | None = None
    model: nn.Module | None = None
    transform: Callable[..., Any] | None = None
    loss: Callable[[Tensor, Tensor], Tensor] | None = None

    @property
    def names(self) -> list[str]:
        """What of it is given."""
        return [name for name, value in vars(self).items() if value is not None]


def set_up(
    config: TrainConfig,
    callbacks: Sequence[Callback] = (),
    given: Collection[str] = (),
    own: Own | None = None,
    *,
    resumed: bool = False,
) -> Run:
    """Return a run that is ready for its first step.

    Args:
        config: everything that a user can choose.
        callbacks: may choose options that are not ``given``, and change or refuse what is built.
        given: names of the options that the user gave, dotted where they stand in a group; others may give way.
        own: objects of a user's own in the place of what options name.
        resumed: whether the options were chosen when the run began.

    Raises:
        BotzooError: anything that a user can mend, in one line.
    """
    draft = open_draft(config, given, callbacks, own or Own())
    for callback in () if resumed else callbacks:
        draft = with_choices(draft, callback.on_resolve(draft))
    run = build(draft)
    for callback in callbacks:
        callback.on_setup(run)
    return run


def open_draft(
    config: TrainConfig, given: Collection[str] = (), callbacks: Sequence[Callback] = (), own: Own = Own()
) -> Draft:
    """Return a run whose images are read and whose network is there; refuse all else that does not depend on what follows."""
    accelerator, precision = make_accelerator(config)
    config = replace(config, mixed_precision=precision.name)  # a run that is resumed goes on in the same arithmetic
    found = find(config, accelerator)
    task = task_of(found)
    task.check(config, found)
    data = cut(config, found)
    network = make_network(config, len(data.class_names), accelerator)
    for callback in callbacks:
        callback.on_network(network)
    teacher = make_teacher_of(config, data, network, accelerator)
    # Built and thrown away: a wrong optimizer or too few epochs are told of before the images are read.
    make_optimizer_of(config, network.model, accelerator)
    resolved(config, given, make_order(config, config.data.epoch_images or len(data.train), accelerator), data.mirrored)
    images: Mapping[str, Images | Stream]
    if config.data.streaming:
        images, left_out = open_streams(config, data, accelerator), list[Unreadable]()
    else:
        data, images, left_out = read_splits(config, found, accelerator)
    return Draft(config, frozenset(given), accelerator, precision, data, images, left_out, network, task, teacher)


def check(
    config: TrainConfig, accelerator: Accelerator, callbacks: Sequence[Callback] = (), given: Collection[str] = ()
) -> None:
    """Raise what a run of ``config`` would raise before it reads its images: of data set, network, teacher and batch.

    Args:
        config, callbacks, given: see ``set_up``.
        accelerator: any of this process.
    """
    found = find(config, accelerator)
    if found.multi_label:
        raise ConfigError(f"Runs are compared by top-1, and images of {config.dataset} may have several labels each.")
    data = cut(config, found)
    network = make_network(config, len(data.class_names), accelerator)
    for callback in callbacks:
        callback.on_network(network)
    make_teacher_of(config, data, network, accelerator)
    make_optimizer_of(config, network.model, accelerator)
    order = make_order(config, config.data.epoch_images or len(data.train), accelerator)
    resolved(config, given, order, data.mirrored)


def with_choices(draft: Draft, choices: Iterable[Choice]) -> Draft:
    """Return the draft with options that were chosen; the network is made anew where its input gets another size.

    Raises:
        ConfigError: what was chosen does not go with what was given.
    """
    if not (choices := tuple(choices)):
        return draft
    config = chosen(draft.config, choices)
    network, teacher = draft.network, draft.teacher
    if config.img_size != draft.config.img_size:
        network = make_network(config, len(draft.data.class_names), draft.accelerator)
        teacher = make_teacher_of(config, draft.data, network, draft.accelerator)
    return replace(draft, config=config, network=network, teacher=teacher, choices=(*draft.choices, *choices))


def build(draft: Draft) -> Run:
    """Return the run of a draft: batch order, optimizer, objective, schedule and trainer.

    Raises:
        ConfigError: the batch or the image size does not fit.
    """
    config, data, network, accelerator = draft.config, draft.data, draft.network, draft.accelerator
    order = make_order(config, config.data.epoch_images or len(draft.images["train"]), accelerator)
    if (labels := getattr(draft.images["train"], "labels", None)) is not None:
        order = replace(order, sampler=class_sampler(labels, config.data.sampling))
    if order.batch_size > len(draft.images["train"]):  # where --data.epoch-images is more than there are
        raise ConfigError(
            f"--batch-size is {order.batch_size} and there are {len(draft.images['train'])} training images: give as many or "
            "fewer."
        )
    preprocessing = network.preprocessing
    config, choices = resolved(config, draft.given, order, data.mirrored, preprocessing.size)
    train_size = preprocessing.train_size(config.data.train_scale)
    feed = ImageFeed(
        draft.images,
        preprocessing,
        train_size,
        preprocessing.size if config.data.train_scale_epochs is not None else train_size,
        config.data.train_scale_epochs,
        config.data.crop_min or 1.0,  # unknown as long as a budget has not set the length
        config.data.hflip or 0.0,
        config.seed,
        config.augment,
        config.paper_augment,
        worker_count(config, accelerator),
        accelerator.device.type == "cuda",
    )
    trainer = Trainer(
        accelerator,
        network.model,
        make_optimizer_of(config, network.model, accelerator),
        draft.task.objective(config, data.class_names, data.train.class_counts(len(data.class_names))),
        preprocessing,
        make_schedule(config, order),
        seed=config.seed,
        clip_grad=config.optim.clip_grad,
        ema_decay=config.ema,
        channels_last=config.engine.channels_last,
        teacher=draft.teacher,
    )
    check_sizes(trainer, {preprocessing.size, train_size})
    return Run(
        config,
        accelerator,
        draft.precision,
        data,
        draft.images,
        draft.left_out,
        network,
        draft.task,
        draft.teacher,
        (*draft.choices, *choices),
        order,
        trainer,
        feed,
    )


def resolved(
    config: TrainConfig, given: Collection[str], order: Order, mirrored: bool, size: int | None = None
) -> tuple[TrainConfig, list[Choice]]:
    """Return the options with numbers in the place of what was left open, and what had to give way, with reasons.

    The length that a --budget will set stays open, and with it the crops that depend on it.

    Raises:
        ConfigError: the epochs are too few for a warmup, milestones or progressive resizing that was asked for.
    """
    choices: list[Choice] = []
    epochs: float
    if config.steps is not None:
        epochs = config.steps / order.steps_per_epoch
        named = f"the {epochs_words(epochs)} of its {config.steps:,} steps; or give more of them"
    else:
        epochs = config.epochs or min(30, max(3, math.ceil(100 / order.steps_per_epoch)))
        named = f"the {epochs} epochs that such a data set gets by default; or give --epochs"
    if config.budget is None:
        if config.warmup >= epochs and "warmup" not in given:
            warmup = float(f"{WARMUP * epochs:.3g}")
            choices = [Choice("warmup", warmup, f"a fifth of the run, which has {epochs_words(epochs)}", "a default")]
            config = chosen(config, choices)
        check_epochs(config, epochs, named)
        crop_min = config.data.crop_min or usual_crop(config, mirrored, epochs)
        config = replace(config, data=replace(config.data, crop_min=crop_min))
        config = config if config.steps is not None else replace(config, epochs=int(epochs))
    hflip = config.data.hflip if config.data.hflip is not None else 0.5 if mirrored else 0.0
    config = replace(config, batch_size=order.batch_size, data=replace(config.data, hflip=hflip))
    return (replace(config, img_size=size) if size is not None else config), choices


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


def cut(config: TrainConfig, found: ImageData[Any]) -> ImageData[Any]:
    """Return the data set with the splits of a run; shards are taken as they are."""
    for step in () if config.data.streaming else _cuts(config):
        found = step(found)
    return found


def make_network(config: TrainConfig, num_classes: int, accelerator: Accelerator) -> Network:
    """Return the network with its initial weights, on its device; new layers are drawn from the run's seed."""
    torch.manual_seed(config.seed)
    network = create_model(
        config.model,
        num_classes,
        pretrained=config.pretrained,
        scratch=config.scratch,
        img_size=config.img_size,
        zero_gamma=config.zero_gamma,
        xavier_init=config.xavier_init,
        drop_rate=config.drop_rate,
    )
    preprocessing = network.preprocessing
    if config.paper_augment and config.scratch:
        preprocessing = replace(preprocessing, mean=paper_augment.MEAN, std=paper_augment.STD)
    return replace(network, model=place(network.model, config, accelerator), preprocessing=preprocessing)


def make_teacher_of(
    config: TrainConfig, data: ImageData[Any], network: Network, accelerator: Accelerator
) -> Teacher | None:
    """Return the teacher of distillation, None without one."""
    if config.distillation is None:
        return None
    memory_format = torch.channels_last if config.engine.channels_last else torch.contiguous_format
    student, scale = network.preprocessing, config.data.train_scale
    largest = student.size if config.data.train_scale_epochs is not None else 0
    crop = max(student.train_size(scale), largest)
    return make_teacher(config.distillation, data.class_names, student, crop, accelerator, memory_format)


def make_optimizer_of(config: TrainConfig, model: nn.Module, accelerator: Accelerator) -> torch.optim.Optimizer:
    """Return the optimizer over all parameters; frozen ones are among them, since they may be trained later."""
    optim, fused = config.optim, accelerator.device.type == "cuda"
    groups = param_groups(model, optim.weight_decay, config.no_bias_decay)
    return make_optimizer(config.optimizer, groups, config.lr, optim.momentum, optim.betas, fused=fused)


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


def open_streams(config: TrainConfig, data: ImageData[Shards], accelerator: Accelerator) -> dict[str, Stream]:
    buffer, skip = config.data.shuffle_buffer, config.skip_corrupt
    streams = {role: Stream(shards, buffer, skip) for role, shards in data.splits.items()}
    same_everywhere(accelerator, [stream.fingerprint for stream in streams.values()], "shards", "the data set")
    return streams
