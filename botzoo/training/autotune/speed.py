"""How long the parts of a run take here: steps, evaluations and checkpoints, on its own images; nothing of it is kept."""

from __future__ import annotations

import io
import math
import random
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor

from botzoo.data.loader import PREFETCH, LoadedSplit
from botzoo.errors import BotzooError, ConfigError
from botzoo.models.layers import measuring_steps
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import on_main
from botzoo.training.recording import checkpoint
from botzoo.training.recording.features import batches_of
from botzoo.training.state import Run
from botzoo.training.steps.evaluation import evaluate
from botzoo.training.steps.feed import Feed
from botzoo.training.steps.trainer import Trainer
from botzoo.util.environment import user_path

SHARE = 0.02
"""Share of the budget that goes into each speed that is measured, up to ``LONGEST`` seconds."""

LONGEST = 10.0

ROUGH = 0.25
"""Part of that time where a rough figure will do."""

WARM, LEAST, MOST = 2, 3, 1000
"""Calls before measuring, and how many are measured at least and at most."""

UNMEASURED = 3.5
"""Seconds for what does not grow with data or network: the plan, the card and its pictures."""

ENDLESS = 10**9


@dataclass(frozen=True)
class Costs:
    """Seconds that the parts of a run take on this machine.

    ``steps`` has the first epoch of each phase and an optimizer step's seconds from there on, rising from epoch 0. A
    phase begins where the size of the crops or what is trained changes.
    """

    steps: tuple[tuple[int, float], ...]
    start: float  # until the first batch is there
    evaluation: float  # of the validation split, after each epoch and after the last step
    saving: float  # a checkpoint, and the best weights
    end: float  # the evaluations after the last step, the model folder and what is not measured

    def times(self, factor: float) -> Costs:
        """Return the costs on a machine that takes ``factor`` times as long for everything."""
        steps = tuple((epoch, factor * seconds) for epoch, seconds in self.steps)
        return Costs(steps, *(factor * part for part in (self.start, self.evaluation, self.saving, self.end)))

    def step(self, epoch: int) -> float:
        """Return the seconds of a step in ``epoch``, counted from 0."""
        return self.steps[bisect_right(self.steps, epoch, key=lambda phase: phase[0]) - 1][1]


def measure(run: Run, callbacks: Sequence[Callback], seconds: float) -> Costs:
    """Try out what a run of about ``seconds`` does, on every process alike, and leave no trace of it.

    Args:
        run: with its micro-batch fitted to the memory and the first epoch begun.
        callbacks: that set what is trained in each epoch.
        seconds: of the budget, of which measuring takes a small share.

    Raises:
        ConfigError: the folder that the run would write into cannot be written.
    """
    device, allowance, order = run.accelerator.device, min(LONGEST, SHARE * seconds), run.order
    with undone(run, callbacks):
        began = now(device)
        next(run.feed.train_batches(order, 0, 1))
        first = agreed(now(device) - began)
        steps = _phases(run, callbacks, seconds, allowance)
        start, each = _evaluation(run, run.trainer, run.feed, allowance)
        last_start, last_each = start, each
        saving = agreed(on_main(run.accelerator, lambda: _saving(run)) or 0.0)
        if run.trainer.whole is not run.trainer:  # the figures that a run closes with come from the whole network
            last_start, last_each = _evaluation(run, run.trainer.whole, run.feed.whole, allowance)
    evaluation = start + each * _batches(run, run.images["validation"])
    # --soup takes at most BatchNorm's statistics and an evaluation for each epoch after the first.
    tried, statistics = (run.config.soup or 1) - 1, measuring_steps(order.batch_size, order.steps_per_epoch)
    end = saving + UNMEASURED + tried * (evaluation + statistics * steps[-1][1])
    closing = [split for role, split in run.images.items() if role != "train"]
    closing += [asked.images for asked in run.asked.values() if not asked.again]
    end += sum(last_start + last_each * _batches(run, split) for split in closing)
    end += last_each * batches_of(run)  # one process looks at some images once more
    return Costs(steps, first, evaluation, saving, end)


def images_per_second(run: Run, callbacks: Sequence[Callback], seconds: float) -> float:
    """Return the training images that pass a second in the first epoch, about; arguments as of ``measure``."""
    with undone(run, callbacks):
        return run.order.batch_size / _step(run, 0, ROUGH * min(LONGEST, SHARE * seconds))


def now(device: torch.device) -> float:
    """Return the time in seconds, as soon as the device has finished what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def agreed(seconds: float) -> float:
    """Return the longest that any process took, so that all take the same decisions."""
    return float(max(gather_object([seconds])))


@contextmanager
def undone(run: Run, callbacks: Sequence[Callback]) -> Iterator[None]:
    """Restore weights, optimizer, scaler, what is trained and the global random numbers as they were on entering."""
    trainer, device = run.trainer, run.accelerator.device
    before, numbers, draws = io.BytesIO(), random.getstate(), np.random.get_state()
    torch.save(trainer.state(), before)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    random.setstate(numbers)
    np.random.set_state(draws)
    before.seek(0)
    trainer.load_state(torch.load(before, map_location="cpu", weights_only=True))
    for callback in callbacks:
        callback.on_epoch_start(run, 0)
    trainer.start_epoch(anew=True)  # as for a fresh run


def _phases(run: Run, callbacks: Sequence[Callback], seconds: float, allowance: float) -> tuple[tuple[int, float], ...]:
    """Return the phases that a run of ``seconds`` may come to, as ``Costs`` has them."""
    known: dict[object, float] = {}
    phases: list[tuple[int, float]] = []
    spent, small = 0.0, run.config.data.train_scale_epochs
    for epoch in count():
        for callback in callbacks:
            callback.on_epoch_start(run, epoch)
        trained = frozenset(name for name, p in run.model.named_parameters() if p.requires_grad)
        phase = trained, small is not None and epoch < small  # what a step's speed depends on
        if phase not in known:
            known[phase] = _step(run, epoch, allowance)
        if not phases or known[phase] != phases[-1][1]:
            phases.append((epoch, known[phase]))
        spent += run.order.steps_per_epoch * known[phase]
        if spent > seconds:
            break
    return tuple(phases)


def _step(run: Run, epoch: int, allowance: float) -> float:
    """Return the seconds of a training step of the phase of ``epoch``, for which it is set what is trained."""
    order, small = run.order, run.config.data.train_scale_epochs
    begin = epoch * order.steps_per_epoch
    end = small * order.steps_per_epoch if small is not None and epoch < small else begin + ENDLESS

    def steps() -> Iterator[Tensor]:
        while True:  # the small images of the first epochs may be too few
            for step, batches in enumerate(run.feed.train_batches(order, begin, end), begin):
                yield run.trainer.step(step, batches)

    run.trainer.start_epoch(anew=True)
    prefetched = PREFETCH * run.feed.whole.workers // order.accumulate  # these come faster than those that follow
    return seconds_each(partial(next, steps()), allowance, partial(now, run.accelerator.device), prefetched)


def seconds_each(take: Callable[[], object], allowance: float, clock: Callable[[], float], skip: int = 0) -> float:
    """Return the mean seconds of a call of ``take``, measured for about ``allowance`` seconds after some calls to warm up.

    Args:
        allowance: seconds; ``LEAST`` calls are measured however long they take, and ``MOST`` at most.
        clock: tells the seconds; the slowest process decides for all.
        skip: calls that are faster than those that follow; as many are left out as the allowance permits.
    """

    def run(calls: int) -> float:
        began = clock()
        for _ in range(calls):
            take()
        return agreed(clock() - began)

    run(WARM)  # kernels are chosen and memory is taken in the first calls
    affordable = int(allowance / max(run(1), 1e-9))
    run(min(skip, affordable))
    calls = min(MOST, max(LEAST, affordable))
    return run(calls) / calls


def _evaluation(run: Run, trainer: Trainer, feed: Feed, allowance: float) -> tuple[float, float]:
    """Return the seconds that an evaluation takes to begin, and for each batch."""
    device, batches = run.accelerator.device, _batches(run, run.images["validation"])

    def evaluate_some(most: int) -> float:
        began = now(device)
        some = islice(feed.eval_batches(run.order, "validation"), most)
        evaluate(run.accelerator, trainer.evaluated, some, trainer.normalise, None, run.task)
        return agreed(now(device) - began)

    evaluate_some(1)  # to warm up
    one = evaluate_some(1)
    if batches == 1:
        return 0.0, one
    some = min(batches, MOST, max(LEAST, int(allowance / max(one, 1e-9))))
    each = max(0.0, evaluate_some(some) - one) / (some - 1)
    return max(0.0, one - each), each


def _batches(run: Run, split: LoadedSplit) -> int:
    """Return the batches that a process evaluates of a split: without gradients, of two micro-batches each."""
    return math.ceil(len(split) / (run.order.world_size * 2 * run.order.micro_batch))


def _saving(run: Run) -> float:
    """Return the seconds that a checkpoint and the weights of a best epoch take on the disk of the run's folder."""
    device, folder = run.accelerator.device, user_path(run.config.output or "runs").absolute()
    there = next(path for path in (folder, *folder.parents) if path.is_dir())  # no folder is made before the run
    try:
        with tempfile.TemporaryDirectory(prefix=".botzoo-", dir=there) as beside:
            began = now(device)
            checkpoint.save(Path(beside), checkpoint.Progress(), run.trainer.state(), 1)
            for name in ("best",) if run.config.soup is None else ("best", "epoch"):  # a soup takes those of each epoch
                checkpoint.save_weights(Path(beside) / f"{name}.safetensors", run.trainer.evaluated.state_dict())
            return now(device) - began
    except (OSError, BotzooError) as error:
        raise ConfigError(
            f"{there}, where the run's folder would be, cannot be written ({error}): give another --output."
        ) from error
