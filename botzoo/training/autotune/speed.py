"""How long the parts of a run take here: steps, evaluations and checkpoints, on its own images; nothing of it is kept."""

from __future__ import annotations

import io
import math
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor

from botzoo.data.loader import Batch
from botzoo.errors import BotzooError, ConfigError
from botzoo.models.layers import measuring_steps
from botzoo.training.autotune.budget import Costs
from botzoo.training.distributed import on_main, worker_count
from botzoo.training.evaluation import evaluate
from botzoo.training.setup import Settled

Clock = Callable[[], float]

SHARE = 0.02
"""Share of the budget that goes into each speed that is measured, up to ``LONGEST`` seconds."""

LONGEST = 10.0

ROUGH = 0.25
"""Part of that time where a rough figure will do."""

WARM, LEAST, MOST = 2, 3, 1000
"""Calls before measuring, and how many are measured at least and at most."""

PREFETCHED = 4
"""Batches that each worker has ready before they are asked for, as torch's loader is told."""

UNMEASURED = 3.5
"""Seconds for what does not grow with data or network: the plan, the card and its pictures."""

ENDLESS = 10**9


@dataclass(frozen=True)
class Work:
    """What a run does, to be tried out.

    Attributes:
        train_batches: given the run, yields this process's micro-batches of the steps [first, last).
        eval_batches: given the run and the role of a split, yields this process's batches of it.
        save: given the run, writes a checkpoint and the best weights into a folder.
    """

    train_batches: Callable[[Settled, int, int], Iterator[list[Batch]]]
    eval_batches: Callable[[Settled, str], Iterator[Batch]]
    save: Callable[[Settled, Path], None]


def measure(settled: Settled, work: Work, seconds: float) -> Costs:
    """Try out what a run of about ``seconds`` does, on every process alike, and leave no trace of it.

    Args:
        settled: with its micro-batch fitted to the memory and the first epoch begun.
        work: what to try out.
        seconds: of the budget, of which measuring takes a small share.

    Raises:
        ConfigError: the folder that the run would write into cannot be written.
    """
    clock, allowance = clock_of(settled.accelerator.device), min(LONGEST, SHARE * seconds)
    with undone(settled):
        first = _first_batch(settled, work, clock)
        steps = _phases(settled, work, seconds, allowance, clock)
        each_time = _evaluation(settled, work, allowance, clock)
        saving = _saving(settled, work, clock)
        closing, at_the_end = settled, each_time
        if settled.shortcut is not None:  # the figures that a run closes with come from the whole network
            closing = settled.shortcut.finished(settled)
            at_the_end = _evaluation(closing, work, allowance, clock)
    evaluation = _of_split(settled, "validation", *each_time)
    end = saving + UNMEASURED + _soup(settled, evaluation, steps[-1][1])
    end += sum(_of_split(closing, role, *at_the_end) for role in settled.images if role != "train")
    return Costs(steps, first, evaluation, saving, end)


def speed(settled: Settled, work: Work, seconds: float) -> float:
    """Return the training images that pass a second in the first epoch, about; arguments as of ``measure``."""
    clock, allowance = clock_of(settled.accelerator.device), ROUGH * min(LONGEST, SHARE * seconds)
    with undone(settled):
        return settled.order.batch_size / _step(settled, work, 0, allowance, clock)


def clock_of(device: torch.device) -> Clock:
    """Return a clock in seconds that waits for the device to finish what it was given."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


def agreed(seconds: float) -> float:
    """Return the longest that any process took, so that all take the same decisions."""
    return float(max(gather_object([seconds])))


@contextmanager
def undone(settled: Settled) -> Iterator[None]:
    """Restore weights, optimizer, scaler, what is trained and the global random numbers as they were on entering."""
    trainer, device = settled.trainer, settled.accelerator.device
    before, numbers, draws = io.BytesIO(), random.getstate(), np.random.get_state()
    torch.save(trainer.state(), before)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    random.setstate(numbers)
    np.random.set_state(draws)
    before.seek(0)
    trainer.load_state(torch.load(before, map_location="cpu", weights_only=True))
    trainer.start_epoch(
        lambda model: settled.transfer.set_trainable(model, 0) or True
    )  # wrapped anew, as for a fresh run


def _first_batch(settled: Settled, work: Work, clock: Clock) -> float:
    """Return the seconds until the first batch is there."""
    began = clock()
    next(work.train_batches(settled, 0, 1))
    return agreed(clock() - began)


def _phases(
    settled: Settled, work: Work, seconds: float, allowance: float, clock: Clock
) -> tuple[tuple[int, float], ...]:
    """Return the phases that a run of ``seconds`` may come to, as ``Costs`` has them."""
    known: dict[object, float] = {}
    phases: list[tuple[int, float]] = []
    spent = 0.0
    for epoch in count():
        phase = _phase(settled, epoch)
        if phase not in known:
            known[phase] = _step(settled, work, epoch, allowance, clock)
        if not phases or known[phase] != phases[-1][1]:
            phases.append((epoch, known[phase]))
        spent += settled.order.steps_per_epoch * known[phase]
        if spent > seconds:
            break
    return tuple(phases)


def _step(settled: Settled, work: Work, epoch: int, allowance: float, clock: Clock) -> float:
    """Return the seconds of a training step of the phase of ``epoch``, for which it is set what is trained."""
    settled.trainer.start_epoch(lambda model: True)
    return seconds_each(partial(next, _steps_from(settled, work, epoch)), allowance, clock, _prefetched(settled))


def _phase(settled: Settled, epoch: int) -> object:
    """Set what is trained in ``epoch`` and return what a step's speed depends on."""
    settled.transfer.set_trainable(settled.model, epoch)
    small = settled.config.data.train_scale_epochs
    trained = frozenset(name for name, p in settled.model.named_parameters() if p.requires_grad)
    return trained, small is not None and epoch < small


def _steps_from(settled: Settled, work: Work, epoch: int) -> Iterator[Tensor]:
    """Take one training step of the phase of ``epoch`` at each call of next, for ever."""
    spe, small = settled.order.steps_per_epoch, settled.config.data.train_scale_epochs
    begin = epoch * spe
    end = small * spe if small is not None and epoch < small else begin + ENDLESS
    while True:
        for step, batches in enumerate(work.train_batches(settled, begin, end), begin):
            yield settled.trainer.step(step, batches)


def _prefetched(settled: Settled) -> int:
    """Return the steps whose batches are read ahead, so that they come faster than those that follow."""
    return PREFETCHED * worker_count(settled.config, settled.accelerator) // settled.order.accumulate


def seconds_each(take: Callable[[], object], allowance: float, clock: Clock, skip: int = 0) -> float:
    """Return the mean seconds of a call of ``take``, measured for about ``allowance`` seconds after some calls to warm up.

    Args:
        take: what is measured.
        allowance: seconds; ``LEAST`` calls are measured however long they take, and ``MOST`` at most.
        clock: tells the seconds; the slowest process decides for all.
        skip: calls that are faster than those that follow; as many are left out as the allowance permits.
    """

    def run(calls: int) -> float:
        began = clock()
        for _ in range(calls):
            take()
        return agreed(clock() - began)

    run(WARM)
    affordable = int(allowance / max(run(1), 1e-9))
    run(min(skip, affordable))
    calls = min(MOST, max(LEAST, affordable))
    return run(calls) / calls


def _evaluation(settled: Settled, work: Work, allowance: float, clock: Clock) -> tuple[float, float]:
    """Return the seconds that an evaluation takes to begin, and for each batch."""
    trainer, batches = settled.trainer, _batches(settled, "validation")

    def judge(most: int) -> float:
        began = clock()
        first = islice(work.eval_batches(settled, "validation"), most)
        evaluate(settled.accelerator, trainer.judged, first, trainer.normalise, None, settled.task)
        return agreed(clock() - began)

    judge(1)
    one = judge(1)
    if batches == 1:
        return 0.0, one
    some = min(batches, MOST, max(LEAST, int(allowance / max(one, 1e-9))))
    each = max(0.0, judge(some) - one) / (some - 1)
    return max(0.0, one - each), each


def _of_split(settled: Settled, role: str, start: float, each: float) -> float:
    """Return the seconds of an evaluation of a whole split, of those until it begins and those of each batch."""
    return start + each * _batches(settled, role)


def _batches(settled: Settled, role: str) -> int:
    """Return the batches that a process evaluates of a split."""
    order = settled.order
    return math.ceil(len(settled.images[role]) / (order.world_size * 2 * order.micro_batch))


def _soup(settled: Settled, evaluation: float, step: float) -> float:
    """Return the most seconds that --soup takes: for each epoch after the first, BatchNorm's statistics and an evaluation."""
    tried = (settled.config.soup or 1) - 1
    order = settled.order
    return tried * (evaluation + measuring_steps(order.batch_size, order.steps_per_epoch) * step)


def _saving(settled: Settled, work: Work, clock: Clock) -> float:
    """Return the seconds that a checkpoint takes on the disk of the run's folder."""
    folder = Path(settled.config.output or "runs").expanduser().absolute()
    there = next(path for path in (folder, *folder.parents) if path.is_dir())

    def save() -> float:
        try:
            with tempfile.TemporaryDirectory(prefix=".botzoo-", dir=there) as beside:
                began = clock()
                work.save(settled, Path(beside))
                return clock() - began
        except (OSError, BotzooError) as error:
            raise ConfigError(
                f"{there}, where the run's folder would be, cannot be written ({error}): give another --output."
            ) from error

    return agreed(on_main(settled.accelerator, save) or 0.0)
