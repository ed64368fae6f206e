"""What a run says before its first step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import torch

from botzoo.models.cost import Memory, count_macs, count_parameters, estimate_memory
from botzoo.options.config import OptimConfig, TrainConfig
from botzoo.training.optimizer import has_momentum, make_optimizer
from botzoo.training.schedule import fall_epochs
from botzoo.tricks.zero_gamma import last_gammas

if TYPE_CHECKING:
    from botzoo.training.setup import Settled
from botzoo.util.text import epochs_words, mib


def plan(job: Settled) -> Iterator[str]:
    """Yield the lines of the plan: a heading and what is to happen, of data, model, input, device and so on."""
    for heading, lines in {
        "data": _data(job),
        "model": _model(job),
        "chosen": job.transfer.choices,
        "input": _input(job),
        "device": _device(job),
        "optimizer": _optimizer(job),
        "tricks": _tricks(job),
        "steps": _steps(job),
        "budget": job.budget.lines() if job.budget is not None else (),
        "memory": _memory(job),
    }.items():
        for i, line in enumerate(lines):
            yield f"{'' if i else heading:<10} {line}"


def _data(job: Settled) -> Iterator[str]:
    sizes = ", ".join(f"{len(split):,} {role}" for role, split in job.images.items())
    several = "" if job.task.one_label else f", {job.task.labels}"
    yield f"{job.data.name}: {sizes} images in {len(job.data.class_names)} classes{several}"
    yield from job.data.notes
    yield from _classes(job)
    if job.left_out:
        yield f"{len(job.left_out)} unreadable images are left out:"
        yield from (f"  {line}" for line in job.left_out)


def _classes(job: Settled) -> Iterator[str]:
    """Yield how unequal the classes are, and what is done about it."""
    names = job.data.class_names
    counts = job.data.train.class_counts(len(names))
    if counts is None:
        return
    there = np.flatnonzero(counts)
    most, least = max(there, key=lambda k: counts[k]), min(there, key=lambda k: counts[k])
    if counts[most] == counts[least]:
        yield f"{counts[most]:,} training images of each class{_evened_out(job)}"
        return
    sizes = f"{counts[least]:,} ({names[least]!r}) to {counts[most]:,} ({names[most]!r})"
    yield f"{sizes} training images of a class{_evened_out(job)}"


def _evened_out(job: Settled) -> str:
    config, sampler, weights = job.config, job.order.sampler, job.trainer.objective.class_weights
    if weights is not None:
        used = [weight for weight in weights if weight]
        return f"; class weights {config.class_weights}, {min(used):.3g} to {max(used):.3g}"
    if sampler is not None:
        return f"; sampling {config.data.sampling}, an image comes up to {sampler.most_often} times in an epoch"
    return ""


def _model(job: Settled) -> Iterator[str]:
    total, trained = count_parameters(job.model)
    yield f"{job.architecture}: {total:,} parameters, {trained:,} of them trained; from {job.start.source}"
    size = job.preprocessing.size
    macs = count_macs(job.model, size) / 1e6
    yield f"{macs:,.0f} million multiply-adds in convolutions and matrix products for an image of {size} x {size} px"
    if (report := job.start.report) is not None:
        parts = {"missing": report.missing, "mismatched": report.mismatched, "unexpected": report.unexpected}
        named = ", ".join(f"{_named(names)} {what}" for what, names in parts.items())
        yield f"tensors: {len(report.loaded)} loaded, {named}"
    yield from job.transfer.describe(job.model)
    if (teacher := job.teacher) is not None:
        count = count_parameters(teacher.model)[0]
        yield f"teacher: {teacher.start.source}, {count:,} parameters, sees {teacher.size} x {teacher.size} px"


def _named(names: tuple[str, ...]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else "0"


def _input(job: Settled) -> Iterator[str]:
    if job.shortcut is not None:
        yield job.shortcut.describe()
        return
    size, crop_min = job.preprocessing.size, job.crop_min
    first = job.config.data.train_scale_epochs
    when = f" in the first {first} epochs" if first is not None else ""
    smaller = f", trained at {job.train_size} px{when}" if job.train_size != size else ""
    crop = f"random crops of {crop_min:.0%} to 100%" if crop_min < 1 else "whole images"
    steps = [f"{size} x {size} px{smaller}; {crop}", f"flipped with probability {job.hflip:g}", *_augmentations(job)]
    yield ", ".join(steps)


def _augmentations(job: Settled) -> Iterator[str]:
    for name, value in asdict(job.config.augment).items():
        if value:
            yield name if value is True else f"{name} {value:g}"
    if job.config.paper_augment:
        whose = "the paper's" if job.config.scratch else "the weights' own"
        yield f"coloured as in the paper with {whose} mean and std"


def _device(job: Settled) -> Iterator[str]:
    device = job.accelerator.device
    threads = f" ({torch.get_num_threads()} threads)" if device.type == "cpu" else ""
    layout = "channels last" if job.config.engine.channels_last else "channels first"
    yield f"{device}{threads}; {job.precision.name}: {job.precision.reason}; {layout}; images {job.images['train'].kept_in}"


def _optimizer(job: Settled) -> Iterator[str]:
    config, schedule, batch = job.config, job.schedule, job.order.batch_size
    scaled = f" = {config.lr:g} x {batch} / 256" if config.linear_scaling else ""
    warm = f" after {schedule.warmup_steps:,} steps of warmup" if schedule.warmup_steps else ""
    decay = decay_words(config, job.epochs, job.task.headline.figure)
    yield f"{config.optimizer}, learning rate {schedule.peak:.4g}{scaled}{warm}, then {decay}"
    yield _weight_decay(job)
    if config.optim.momentum != OptimConfig().momentum and not has_momentum(config.optimizer):
        yield f"--optim.momentum {config.optim.momentum:g} has no effect: {config.optimizer} has none"
    if config.optimizer.lower() in ("lars", "larc", "nlars", "nlarc") and batch < 16384:
        yield f"LARS is made for batches above 16 k images; with {batch}, sgd is the usual choice"
    if config.optimizer.lower() == "swats" and config.cosine:
        yield "SWATS turns to SGD when its steps have become steady, which a falling rate hinders: consider --cosine false"


def _weight_decay(job: Settled) -> str:
    counts = {True: 0, False: 0}
    for group in job.trainer.optimizer.param_groups:
        counts[group["weight_decay"] > 0] += sum(p.numel() for p in group["params"])
    return f"weight decay {job.config.optim.weight_decay:g} on {counts[True]:,} parameters, none on {counts[False]:,}"


def decay_words(config: TrainConfig, epochs: float, figure: str) -> str:
    """Return what the learning rate does after the warmup in a run of ``epochs`` that is judged by ``figure``."""
    optim = config.optim
    if config.cosine:
        return "falling to 0 along a cosine"
    if optim.decay == "plateau":
        return f"times {optim.factor:g} after every {optim.decay_patience} epochs without a better validation {figure}"
    if optim.decay == "exponential":
        return f"times {optim.factor:g} after every {optim.decay_every} epochs"
    falls = fall_epochs(optim.decay, epochs, optim.milestones)
    return f"times {optim.factor:g} after epochs {', '.join(map(str, falls))}" if falls else "constant"


def _tricks(job: Settled) -> Iterator[str]:
    config = job.config
    names = [name for name in ("linear_scaling", "no_bias_decay", "cosine") if getattr(config, name)]
    names += [
        f"{name} {getattr(config, name):g}"
        for name in ("warmup", "label_smoothing", "mixup", "cutmix", "drop_rate")
        if getattr(config, name)
    ]
    if job.teacher is not None:
        constants = f"T {config.distill.temperature:g}, weight {config.distill.weight:g}"
        names.append(f"distillation from {job.teacher.start.source} ({constants})")
    names += ["zero_gamma"] if config.scratch and config.zero_gamma and last_gammas(job.model) else []
    names += ["xavier_init"] if config.scratch and config.xavier_init else []
    names += ["paper_augment"] if config.paper_augment else []
    names += [f"ema {config.ema:g}"] if config.ema else []
    names += [f"soup of up to {config.soup} epochs"] if config.soup else []
    yield ", ".join(names) or "none"


def _steps(job: Settled) -> Iterator[str]:
    order = job.order
    parts = f"{order.world_size} process(es) x {order.accumulate} micro-batch(es) x {order.micro_batch} images"
    total = f"{epochs_words(job.epochs)} x {order.steps_per_epoch:,} = {job.schedule.total_steps:,} steps"
    yield f"{total}; batch {order.batch_size} = {parts}"
    if job.batch_reason is not None:
        yield job.batch_reason


def _memory(job: Settled) -> Iterator[str]:
    memory = memory_of(job, job.order.micro_batch)
    yield f"estimate for each process: {mib(memory.total)} MiB = {_parts(memory)}, {job.order.micro_batch} images at once"


def memory_of(job: Settled, micro_batch: int) -> Memory:
    """Estimate the memory that a process takes in a step with so many images at once, trained as the network now is."""
    config, optim, trainer = job.config, job.config.optim, job.whole
    empty = torch.zeros(2, 3, job.largest_size, job.largest_size, dtype=torch.uint8, device=job.accelerator.device)
    return estimate_memory(
        job.model,
        lambda images: trainer.forward(trainer.normalise(empty[:images])),
        lambda groups: make_optimizer(config.optimizer, groups, config.lr, optim.momentum, optim.betas),
        micro_batch,
        averaged=config.ema is not None,
    )


def _parts(memory: Memory) -> str:
    parts = {name.replace("_", " "): size for name, size in asdict(memory).items() if size}
    return " + ".join(f"{name} {mib(size)}" for name, size in parts.items())
