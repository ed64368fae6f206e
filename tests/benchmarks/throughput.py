"""Speed of our loop, of the default settings and of the command line, as ratios within one run.

    python tests/benchmarks/throughput.py --data FOLDER     # of parquet files, such as cifar10; random images without it

Every ratio compares two things that are measured in turn, round by round, in this process: machines are shared and their speed
drifts, so the absolute figures mean little. Two ratios are printed: the median over the rounds, with the smallest and the
largest, and that of each side's fastest round, which other work on the machine disturbed least.

- loop: our training loop, decoding, augmentation and data loading included, against the bare training step on tensors that
  are already there, in the same precision and memory format (resnet18d_bot, 64 px, batch 128). 1 would be no cost at all.
- loop with paper_augment: the same with the paper's crops and colours.
- loop with mixup and averaged weights: the same as loop, with --mixup 0.2 and --ema 0.999.
- defaults: a bare step with the default precision and memory format against fp32 with channels first.
- distillation: what a teacher, resnet34d_bot, adds to our step, against its bare forward pass. 1 would be no more than that.
- help: wall time of ``botzoo-finetune --help`` against ``python -c "import torch"``.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from accelerate import Accelerator
from torch import nn

import botzoo  # noqa: F401  (registers resnet18d_bot)
from botzoo.data.images import read_images
from botzoo.data.order import Order
from botzoo.data.transforms import TrainTransform
from botzoo.models.create import Start
from botzoo.models.preprocessing import Preprocessing, Size
from botzoo.sources.base import Split
from botzoo.sources.find import find_images
from botzoo.tasks.objective import Objective
from botzoo.training.autotune.memory import keep_freed_memory
from botzoo.training.steps.optimizer import make_optimizer, param_groups
from botzoo.training.steps.schedule import Schedule
from botzoo.training.steps.teacher import Teacher
from botzoo.training.steps.trainer import Trainer
from botzoo.tricks.mixed_precision import mixed_precision
from botzoo.tricks.paper_augment import CROP_MIN

BATCH, SIZE, CLASSES = 128, 64, 10
PREPROCESSING = Preprocessing(SIZE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1.0, "bicubic")


def place(model: nn.Module, device: torch.device, memory_format: torch.memory_format) -> nn.Module:
    placed: nn.Module = model.to(device, memory_format=memory_format)  # type: ignore[call-overload]
    return placed


def make_trainer(
    precision: str,
    memory_format: torch.memory_format,
    classes: int = CLASSES,
    mixup: float = 0.0,
    ema: float | None = None,
) -> Trainer:
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()
    on_cpu = not torch.cuda.is_available()
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="no" if precision == "fp32" else precision)
    model = timm.create_model("resnet18d_bot", num_classes=classes)
    model = place(model, accelerator.device, memory_format)
    optimizer = make_optimizer("sgd", param_groups(model, 1e-4, True), 0.1, 0.9)
    objective, schedule = Objective(classes, mixup_alpha=mixup), Schedule(0.01, 10**6)
    trainer = Trainer(accelerator, model, optimizer, objective, PREPROCESSING, schedule, seed=0, ema_decay=ema)
    trainer.start_epoch()
    return trainer


def bare_step(trainer: Trainer, images: torch.Tensor, targets: torch.Tensor) -> Callable[[], None]:
    """The step that any loop has to take: forward, loss, backward, update, on normalised tensors on the device."""
    loss_of = torch.nn.CrossEntropyLoss()

    def step() -> None:
        assert trainer.net is not None
        loss = loss_of(trainer.net(images).float(), targets)
        trainer.accelerator.backward(loss)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()

    return step


def seconds(step: Callable[[], Any], times: int) -> float:
    """Return the seconds of ``times`` steps."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def in_turn(runs: Sequence[Callable[[], Any]], rounds: int, steps: int) -> list[list[float]]:
    """Return the seconds of each of ``runs`` in each round, every other round backwards, after a warm-up of each."""
    for run in runs:
        seconds(run, 3)
    took: list[list[float]] = [[] for _ in runs]
    for i in range(rounds):
        for k in range(len(runs))[:: 1 if i % 2 == 0 else -1]:
            took[k].append(seconds(runs[k], steps))
    return took


def show(name: str, above: list[float], below: list[float], less: Sequence[float] = ()) -> None:
    """Print the ratio of two lists of seconds, one of each a round; ``less`` is taken off those above."""
    less = less or [0.0] * len(above)
    ratios = [(a - c) / b for a, b, c in zip(above, below, less, strict=True)]
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    rounds = f"median {middle:.3f}   min {low:.3f}   max {high:.3f}   n {len(ratios)}"
    print(f"{name:56} {rounds}   fastest rounds {(min(above) - min(less)) / min(below):.3f}", flush=True)


def source(data: str | None) -> Split:
    if data is not None:
        found: Split = find_images(data).train
        return found
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (10_000, 32, 32, 3), dtype=np.uint8)
    return Split("random", rng.integers(0, CLASSES, 10_000), lambda i: pixels[i], str)


def loop(data: str | None, rounds: int, steps: int, extra: str = "", *, paper: bool = False, **options: Any) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = mixed_precision("auto", device).name
    images, _ = read_images(source(data))
    classes = int(images.labels.max()) + 1
    trainer = make_trainer(precision, torch.channels_last, classes, **options)
    workers = 0 if device.type == "cpu" else min(8, (os.cpu_count() or 2) - 1)
    transform = TrainTransform(SIZE, "bicubic", CROP_MIN if paper else 0.35, 0.5, 0, paper=paper)
    order = Order(len(images), BATCH, 0)
    pin = device.type == "cuda"
    batches = images.train_batches(transform, order, 0, 10**6, workers=workers, pin=pin)
    count = itertools.count()
    x = torch.randn(BATCH, 3, SIZE, SIZE, device=device).to(memory_format=torch.channels_last)
    y = torch.randint(0, classes, (BATCH,), device=device)
    bare = bare_step(make_trainer(precision, torch.channels_last, classes), x, y)
    ours, least = in_turn((lambda: trainer.step(next(count), next(batches)), bare), rounds, steps)
    show(f"loop{extra} / bare step, images/s, {precision}", least, ours)


def defaults(rounds: int, steps: int) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = mixed_precision("auto", device).name
    x, y = torch.randn(BATCH, 3, SIZE, SIZE, device=device), torch.randint(0, CLASSES, (BATCH,), device=device)
    fast = bare_step(make_trainer(precision, torch.channels_last), x.to(memory_format=torch.channels_last), y)
    slow = bare_step(make_trainer("fp32", torch.contiguous_format), x, y)
    quick, plain = in_turn((fast, slow), rounds, steps)
    show(f"{precision}, channels last / fp32, channels first, images/s", plain, quick)


def distillation(rounds: int, steps: int) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = mixed_precision("auto", device).name
    trainer, count = make_trainer(precision, torch.channels_last), itertools.count()
    network = timm.create_model("resnet34d_bot", num_classes=CLASSES).eval().requires_grad_(False)
    network = place(network, device, torch.channels_last)
    one, zero = torch.ones(1, 3, 1, 1, device=device), torch.zeros(1, 3, 1, 1, device=device)
    teacher = Teacher(network, Start("random weights"), Size.of(SIZE), one, zero, "", trainer.accelerator)
    pixels = torch.randint(0, 256, (BATCH, SIZE, SIZE, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    batch = pixels, torch.randint(0, CLASSES, (BATCH,))
    x = torch.randn(BATCH, 3, SIZE, SIZE, device=device).to(memory_format=torch.channels_last)

    def step(by: Teacher | None) -> Callable[[], Any]:
        def take() -> None:
            trainer.teacher = by
            trainer.step(next(count), [batch])

        return take

    def forward() -> None:
        with torch.no_grad(), trainer.accelerator.autocast():
            network(x)

    alone, taught, bare = in_turn((step(None), step(teacher), forward), rounds, steps)
    show(f"teacher's share of a step / its forward, {precision}", taught, bare, alone)


def help_time(rounds: int) -> None:
    def run(*command: str) -> Callable[[], Any]:
        return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    ours = run(str(Path(sys.executable).with_name("botzoo-finetune")), "--help")
    torch_import = run(sys.executable, "-c", "import torch")
    show("--help / import torch, wall time", *in_turn((ours, torch_import), rounds, 1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of parquet files, such as cifar10's")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=8, help="steps in a round")
    options = parser.parse_args()
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.cpu.get_capabilities().get('cpu_name')}"
    )
    keep_freed_memory()  # as every run does
    help_time(options.rounds)
    defaults(max(3, options.rounds // 2), max(2, options.steps // 2))
    loop(options.data, options.rounds, options.steps)
    loop(options.data, options.rounds, options.steps, " with paper_augment", paper=True)
    loop(options.data, options.rounds, options.steps, " with mixup and average", mixup=0.2, ema=0.999)
    distillation(options.rounds, options.steps)
