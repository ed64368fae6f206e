"""From options to a run that is ready for its first step; nothing is written yet, and all that can be refused is refused.

The order is that of cost: what takes a moment to refuse, such as a wrong name, is looked at before the images are read.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import nn

from botzoo.data import open as opening
from botzoo.data.decode import REDUCED
from botzoo.data.loader import LoadedSplit
from botzoo.data.order import Order, class_sampler
from botzoo.data.transforms import OwnTransform
from botzoo.errors import BotzooError, ConfigError
from botzoo.models.create import Network, adopt, create_model
from botzoo.models.preprocessing import Preprocessing, Side
from botzoo.options.choices import Choice
from botzoo.options.choices import with_choices as chosen
from botzoo.options.config import DataConfig, TrainConfig
from botzoo.options.facts import Need, differing, fitted_to, giving_way, presuming, refuse
from botzoo.sources.base import ImageData, Split
from botzoo.tasks.find import task_of
from botzoo.tasks.objective import OwnObjective
from botzoo.tasks.task import Task
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import from_main, make_accelerator, on_each_node, place, same_everywhere, worker_count
from botzoo.training.sizes import check_sizes, make_order
from botzoo.training.state import NOTHING, Draft, Own, Run, usual_crop
from botzoo.training.steps.feed import ImageFeed
from botzoo.training.steps.optimizer import make_optimizer, param_groups
from botzoo.training.steps.schedule import make_schedule
from botzoo.training.steps.selection import check_evaluated, check_selection
from botzoo.training.steps.teacher import Teacher, decoding_notes, make_teacher
from botzoo.training.steps.trainer import Trainer
from botzoo.training.steps.tricks import batch_tricks, tricks_in_use
from botzoo.tricks import paper_augment
from botzoo.util.text import counted, epochs_words


def set_up(
    config: TrainConfig,
    callbacks: Sequence[Callback] = (),
    given: Collection[str] | None = None,
    own: Own | None = None,
    *,
    resumed: bool = False,
) -> Run:
    """Return a run that is ready for its first step.

    Args:
        config, own: see ``train``.
        callbacks: may choose options that are not ``given``, and change or refuse what is built.
        given: names of the options that the user gave, dotted where they stand in a group, while others may give way; by
            default those that differ from the defaults.
        resumed: whether the options were chosen when the run began.

    Raises:
        BotzooError: anything that a user can mend, in one line.
    """
    given = differing(config) if given is None else given
    draft = open_draft(config, given, callbacks, own or NOTHING, resumed=resumed)
    for callback in () if resumed else callbacks:  # each sees what those before it have chosen
        draft = with_choices(draft, callback.on_resolve(draft))
    run = build(draft)
    if draft.own.names:
        run.facts["own"] = draft.own.names
    for callback in callbacks:
        callback.on_setup(run)
    return run


def check(
    config: TrainConfig,
    accelerator: Accelerator,
    callbacks: Sequence[Callback] = (),
    given: Collection[str] | None = None,
) -> Task:
    """Raise what a run of ``config`` would raise before it reads its images; return what it is asked to predict."""
    return task_of(open_parts(config, accelerator, callbacks, differing(config) if given is None else given).found)


class Parts(NamedTuple):
    """What is there before the images are read: options that go together, and what they name."""

    config: TrainConfig
    found: ImageData[Any]
    network: Network
    teacher: Teacher | None
    choices: tuple[Choice, ...]


def open_parts(
    config: TrainConfig,
    accelerator: Accelerator,
    callbacks: Sequence[Callback],
    given: Collection[str],
    own: Own = NOTHING,
    *,
    resumed: bool = False,
) -> Parts:
    """Return the parts of a run, after all that can be refused without the images."""
    dataset = config.dataset if own.data is None else own.data
    labels = config.labels if own.labels is None else own.labels
    by_main, on_nodes = partial(from_main, accelerator), partial(on_each_node, accelerator)
    found = opening.find(dataset, config.data, by_main, labels, config.task, on_nodes)
    task = task_of(found)
    lacking = [
        need for need, there in ((Need.ONE_LABEL, task.one_label), (Need.WHOLE_IMAGE, task.whole_image)) if not there
    ]
    for need in lacking:  # a recipe's label smoothing gives way, one that was asked for is refused
        config = giving_way(config, presuming(config, need), given)
    if not task.whole_image:
        own.refuse(task.labels)
    task.check(config, found)
    choices = () if resumed else tuple(task.choices(config, found, given))
    config = chosen(config, choices)
    channels = opening.decoding_of(found, config.data).channels
    data = opening.cut(found, config.data, config.split_seed)  # as far as names and labels go
    check_evaluated(data, task)
    known = data.validation.labels if isinstance(data.validation, Split) else None  # shards have them with the images
    check_selection(config.select_by, task, len(data.validation or ()), known, len(data.class_names))
    if channels != 3:
        config = giving_way(config, presuming(config, Need.COLOURS), given)
        refuse(config, Need.COLOURS, f"and those of {found.name} have {channels}")
    network = make_network(config, task, len(data.class_names), accelerator, own.model, channels)
    for callback in callbacks:
        callback.on_network(network)
    teacher = make_teacher_of(config, data, network, accelerator)
    # Built and thrown away: a wrong optimizer or too few epochs are told of before the images are read.
    make_optimizer_of(config, network.model, accelerator)
    resolved(config, given, make_order(config, config.data.epoch_images or len(data.train), accelerator), data.mirrored)
    return Parts(config, found, network, teacher, choices)


def open_draft(
    config: TrainConfig,
    given: Collection[str],
    callbacks: Sequence[Callback] = (),
    own: Own = NOTHING,
    *,
    resumed: bool = False,
) -> Draft:
    """Return a run whose images are read and whose network is there, while its options may still change."""
    config = own.fitted(config, given)
    accelerator, precision = make_accelerator(config)
    config = replace(config, mixed_precision=precision.name)  # a run that is resumed goes on in the same arithmetic
    parts = open_parts(config, accelerator, callbacks, given, own, resumed=resumed)
    config, found, network, teacher, choices = parts
    crops = smallest_crop(config, found, accelerator, callbacks)
    kept, shrunk = (partial(tell, found, config.data) for tell in (opening.are_kept, opening.are_shrunk))
    side = needed_side(config, network.preprocessing, crops, own, kept, shrunk)
    config = replace(config, data=replace(config.data, side=side))  # before a crop is chosen: resumed, it is the same
    data, images, left_out = opening.read(
        found,
        config.data,
        split_seed=config.split_seed,
        skip_corrupt=config.skip_corrupt,
        by_header=not any(callback.looks_at_train for callback in callbacks),
        copies=opening.COPIES[config.data.copies],
        bars=None if accelerator.is_main_process else False,
        on_each_node=partial(on_each_node, accelerator),
        same_everywhere=partial(same_everywhere, accelerator),
    )
    config = replace(config, data=copied(config.data, images["train"]))
    notes = decoding_notes(teacher, images["train"].decoding, images["train"].kinds or {})
    return Draft(
        config,
        frozenset(given),
        accelerator,
        precision,
        replace(data, notes=(*data.notes, *notes)),
        images,
        left_out,
        decoded_as(network, images),
        task=task_of(found),
        teacher=teacher,
        choices=choices,
        own=own,
    )


def smallest_crop(
    config: TrainConfig, found: ImageData[Any], accelerator: Accelerator, callbacks: Sequence[Callback]
) -> float:
    """Return the smallest training crop that a run may come to, as a share of the image: it may still be chosen."""
    if (scales := task_of(found).scales(config)) is not None:
        return scales[1] ** -2  # as large as the largest of its copies
    if config.data.crop_min is not None:
        return config.data.crop_min
    chosen = [each.smallest_crop(config, found, accelerator.device.type != "cpu") for each in callbacks]
    known = [crop for crop in chosen if crop is not None]
    return min(known, default=usual_crop(config, found.mirrored, config.epochs or math.inf))


def needed_side(
    config: TrainConfig,
    preprocessing: Preprocessing,
    crop_min: float,
    own: Own,
    kept: Callable[[int], bool],
    shrunk: Callable[[int], bool],
) -> int:
    """Return the side that images are reduced to where no crop is smaller than ``crop_min``; 0 for images of full size.

    A user's own transform may cut out any part of an image, and gets all of it. ``kept`` tells whether images of such a
    side are kept, so that it pays to reduce them further; ``shrunk``, whether those that are decoded in every epoch are
    decoded faster for it.
    """
    if config.data.side is not None or own.transform is not None:
        return config.data.side or 0
    size = preprocessing.train_size(config.data.train_scale)
    later = preprocessing.shape if config.data.train_scale_epochs is not None else size
    side = preprocessing.needed_side(max(size, later), crop_min)
    if kept(side):
        return side
    enough = preprocessing.needed_side(max(size, later), crop_min, smallest=True)
    return enough if shrunk(enough) else 0


def copied(config: DataConfig, train: LoadedSplit) -> DataConfig:
    """Return options that say whether a run trains on smaller copies, as it goes on to when it is resumed.

    Where no image is reduced there is nothing to say.
    """
    if not train.copied and REDUCED not in (train.kinds or ()):
        return config
    return replace(config, copies="always" if train.copied else "never")


def decoded_as(network: Network, images: Mapping[str, LoadedSplit]) -> Network:
    """Return the network with the decoding of the run's images, which is known once they are read."""
    preprocessing = replace(network.preprocessing, decoding=images["train"].decoding)
    return replace(network, preprocessing=preprocessing)


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
        channels = draft.network.preprocessing.channels
        classes = len(draft.data.class_names)
        network = make_network(config, draft.task, classes, draft.accelerator, draft.own.model, channels)
        network = decoded_as(network, draft.images)
        teacher = make_teacher_of(config, draft.data, network, draft.accelerator)
    else:
        network = replace(network, preprocessing=network.preprocessing.fitted(config.data.fit))
    return replace(draft, config=config, network=network, teacher=teacher, choices=(*draft.choices, *choices))


def build(draft: Draft) -> Run:
    """Return the run of a draft: batch order, optimizer, objective, schedule and trainer.

    Raises:
        ConfigError: the batch or the image size does not fit.
    """
    config, data, network, accelerator = draft.config, draft.data, draft.network, draft.accelerator
    images = len(draft.images["train"])
    order = make_order(config, config.data.epoch_images or images, accelerator)
    if (labels := getattr(draft.images["train"], "labels", None)) is not None:  # a stream has none
        order = replace(order, sampler=class_sampler(labels, config.data.sampling))
    if order.batch_size > images:  # where --data.epoch-images is more than there are
        there = counted(images, "training image")
        raise ConfigError(f"--batch-size is {order.batch_size} for {there}: give {images} or fewer.")
    size, crops = network.preprocessing.size, draft.task.scales(config) is None
    config, choices = resolved(config, draft.given, order, data.mirrored, size, crops=crops)
    feed, trainer = feed_of(draft, config, order), trainer_of(draft, config, order)
    # with the trainer, whose precision the network runs in
    check_sizes(trainer, {network.preprocessing.shape, feed.train_size})
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
        choices=(*draft.choices, *choices),
        order=order,
        trainer=trainer,
        feed=feed,
    )


def feed_of(draft: Draft, config: TrainConfig, order: Order) -> ImageFeed:
    """Return what makes the images of a draft ready for its network, as ``config`` says in the end."""
    preprocessing, own = draft.network.preprocessing, draft.own.transform
    train_size, small_epochs = preprocessing.train_size(config.data.train_scale), config.data.train_scale_epochs
    return ImageFeed(
        draft.task,
        draft.images,
        preprocessing,
        train_size=train_size,
        later_size=preprocessing.shape if small_epochs is not None else train_size,
        small_epochs=small_epochs,
        crop_min=config.data.crop_min or 1.0,  # not known as long as a budget has still to set the length
        hflip=config.data.hflip or 0.0,
        seed=config.seed,
        augment=config.augment,
        paper=config.paper_augment,
        # the next training batches wait while an evaluation goes on, in batches of twice as many images
        workers=worker_count(config, draft.accelerator, 3 * order.micro_batch, preprocessing),
        pin=draft.accelerator.device.type == "cuda",
        own_transform=OwnTransform(own, preprocessing.shape, config.seed) if own is not None else None,
        scales=draft.task.scales(config),
    )


def trainer_of(draft: Draft, config: TrainConfig, order: Order) -> Trainer:
    """Return what takes the steps of a draft, with its optimizer, objective and schedule."""
    data, network = draft.data, draft.network
    objective = draft.task.objective(config, data.class_names, data.train.class_counts(len(data.class_names)))
    if draft.own.loss is not None:
        objective = OwnObjective(objective, draft.own.loss)
    return Trainer(
        draft.accelerator,
        network.model,
        make_optimizer_of(config, network.model, draft.accelerator),
        objective,
        network.preprocessing,
        make_schedule(config, order),
        seed=config.seed,
        clip_grad=config.optim.clip_grad,
        ema_decay=config.ema,
        channels_last=config.engine.channels_last,
        teacher=draft.teacher,
        tricks=batch_tricks(config),
    )


def resolved(
    config: TrainConfig,
    given: Collection[str],
    order: Order,
    mirrored: bool,
    size: Side | None = None,
    *,
    crops: bool = True,
) -> tuple[TrainConfig, list[Choice]]:
    """Return the options with numbers in the place of what was left open, and what had to give way, with reasons.

    The length that a --budget will set stays open, and with it the crops that depend on it.

    Args:
        crops: whether the task crops training images, so that there is a smallest crop.

    Raises:
        ConfigError: the epochs are too few for a warmup, milestones or progressive resizing that was asked for.
    """
    choices: list[Choice] = []
    if config.budget is None:
        # By default a hundred steps, which a small data set reaches in many epochs and a large one in few.
        epochs: float = config.epochs or min(30, max(3, math.ceil(100 / order.steps_per_epoch)))
        if config.steps is not None:
            epochs = config.steps / order.steps_per_epoch
        fitted = fitted_to(config, epochs, given)
        if fitted.warmup != config.warmup:
            reason = f"a warmup of {epochs_words(config.warmup)} is not shorter than the run, which has {epochs_words(epochs)}"
            choices = [Choice("warmup", fitted.warmup, reason, "a default that nobody gave")]
        crop_min = config.data.crop_min or (usual_crop(config, mirrored, epochs) if crops else None)
        config = replace(fitted, data=replace(fitted.data, crop_min=crop_min))
        if config.steps is None:
            config = replace(config, epochs=int(epochs))
    hflip = config.data.hflip if config.data.hflip is not None else 0.5 if mirrored else 0.0
    config = replace(config, batch_size=order.batch_size, data=replace(config.data, hflip=hflip))
    return (replace(config, img_size=size) if size is not None else config), choices


def make_network(
    config: TrainConfig,
    task: Task,
    num_classes: int,
    accelerator: Accelerator,
    own: nn.Module | None = None,
    channels: int = 3,
) -> Network:
    """Return the network with its initial weights, on its device; new layers are drawn from the run's seed."""
    torch.manual_seed(config.seed)  # here, so that what was drawn before does not matter
    if own is not None:
        network = adopt(own, num_classes, config.img_size, channels)
        prepared = network.preprocessing.fitted(config.data.fit)
        return replace(network, model=place(network.model, config, accelerator), preprocessing=prepared)
    network = create_model(
        config.model,
        num_classes,
        pretrained=config.pretrained,
        scratch=config.scratch,
        img_size=config.img_size,
        channels=channels,
        zero_gamma=config.zero_gamma,
        xavier_init=config.xavier_init,
        drop_rate=config.drop_rate,
    )
    for draw, value in tricks_in_use(config, "init").values() if config.scratch else ():
        draw(network.model, value)
    preprocessing = network.preprocessing.fitted(config.data.fit)
    if config.paper_augment and config.scratch:
        preprocessing = replace(preprocessing, mean=paper_augment.MEAN, std=paper_augment.STD)
        network = replace(network, start=replace(network.start, prepared="mean and std as in the paper"))
    network = task.network(replace(network, preprocessing=preprocessing), num_classes, config)
    return replace(network, model=place(network.model, config, accelerator))


def make_teacher_of(
    config: TrainConfig, data: ImageData[Any], network: Network, accelerator: Accelerator
) -> Teacher | None:
    """Return the teacher of distillation, None without one."""
    if config.distillation is None:
        return None
    memory_format = torch.channels_last if config.engine.channels_last else torch.contiguous_format
    student, scale = network.preprocessing, config.data.train_scale
    crops = [student.train_size(scale)]
    if config.data.train_scale_epochs is not None:  # progressive resizing ends at full size
        crops.append(student.shape)
    try:
        return make_teacher(config.distillation, data.class_names, student, max(crops), accelerator, memory_format)
    except BotzooError as error:
        error.value = config.distillation  # by which an ablation knows that it is of the teacher
        raise


def make_optimizer_of(config: TrainConfig, model: nn.Module, accelerator: Accelerator) -> torch.optim.Optimizer:
    """Return the optimizer over all parameters; frozen ones are among them, since they may be trained later."""
    optim, fused = config.optim, accelerator.device.type == "cuda"
    groups = param_groups(model, optim.weight_decay, config.no_bias_decay)
    return make_optimizer(config.optimizer, groups, config.lr, optim.momentum, optim.betas, fused=fused)
