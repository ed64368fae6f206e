"""What a run says before its first step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from botzoo.training.model import count_parameters

if TYPE_CHECKING:
    from botzoo.training.run import Job


def plan(job: Job) -> Iterator[str]:
    """Yield the lines of the plan: a heading and what is to happen, of data, model, input, device and so on."""
    for heading, lines in {
        "data": _data(job),
        "model": _model(job),
        "input": _input(job),
        "device": _device(job),
        "optimizer": _optimizer(job),
        "tricks": _tricks(job),
        "steps": _steps(job),
    }.items():
        for i, line in enumerate(lines):
            yield f"{'' if i else heading:<10} {line}"


def _data(job: Job) -> Iterator[str]:
    sizes = ", ".join(f"{len(split):,} {role}" for role, split in job.images.items())
    yield f"{job.data.name}: {sizes} images in {len(job.data.class_names)} classes"
    yield from job.data.notes
    if job.left_out:
        yield f"{len(job.left_out)} unreadable images are left out:"
        yield from (f"  {line}" for line in job.left_out)


def _model(job: Job) -> Iterator[str]:
    total, trained = count_parameters(job.model)
    yield f"{job.architecture}: {total:,} parameters, {trained:,} of them trained; from {job.start.source}"
    if (report := job.start.report) is not None:
        parts = {"missing": report.missing, "mismatched": report.mismatched, "unexpected": report.unexpected}
        named = ", ".join(f"{_named(names)} {what}" for what, names in parts.items())
        yield f"tensors: {len(report.loaded)} loaded, {named}"
    yield from job.transfer.describe(job.model)


def _named(names: tuple[str, ...]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else "0"


def _input(job: Job) -> Iterator[str]:
    size, crop_min = job.preprocessing.size, job.crop_min
    smaller = f", trained at {job.train_size} px" if job.train_size != size else ""
    crop = f"random crops of {crop_min:.0%} to 100%" if crop_min < 1 else "whole images"
    yield f"{size} x {size} px{smaller}; {crop}, flipped with probability {job.hflip:g}"


def _device(job: Job) -> Iterator[str]:
    device = job.accelerator.device
    threads = f" ({torch.get_num_threads()} threads)" if device.type == "cpu" else ""
    layout = "channels last" if job.config.engine.channels_last else "channels first"
    yield f"{device}{threads}; {job.precision.name}: {job.precision.reason}; {layout}; images {job.images['train'].kept_in}"


def _optimizer(job: Job) -> Iterator[str]:
    schedule, optim = job.schedule, job.config.optim
    warm = f" after {schedule.warmup_steps} steps of warmup" if schedule.warmup_steps else ""
    decay = "along a cosine to 0" if schedule.decay else "constant"
    yield f"{job.config.optimizer}, learning rate {schedule.peak:.4g}{warm}, then {decay}; weight decay {optim.weight_decay:g}"


def _tricks(job: Job) -> Iterator[str]:
    config = job.config
    names = [name for name in ("linear_scaling", "no_bias_decay", "cosine") if getattr(config, name)]
    names += [
        f"{name} {getattr(config, name):g}" for name in ("warmup", "label_smoothing", "mixup") if getattr(config, name)
    ]
    names += ["zero_gamma"] if config.scratch and config.zero_gamma else []
    names += [f"ema {config.ema:g}"] if config.ema else []
    yield ", ".join(names) or "none"


def _steps(job: Job) -> Iterator[str]:
    order = job.order
    parts = f"{order.world_size} process(es) x {order.accumulate} micro-batch(es) x {order.micro_batch} images"
    total = f"{job.epochs} epochs x {order.steps_per_epoch:,} = {job.schedule.total_steps:,} steps"
    yield f"{total}; batch {order.batch_size} = {parts}"


def duration(seconds: float) -> str:
    """Return a duration for people: 42 s, 7 min 05 s, 2 h 03 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
