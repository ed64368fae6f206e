"""--budget: the speed is measured before the first step, and the number of steps set so that the run ends on time."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from botzoo.errors import ConfigError
from botzoo.options.accepted import seconds_of
from botzoo.tasks.task import Evaluation
from botzoo.training.autotune.speed import Costs, agreed, measure
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import from_main
from botzoo.training.recording.folder import record_config, write_facts
from botzoo.training.state import Run
from botzoo.util.text import counted, duration

log = logging.getLogger("botzoo")

WARMUP = 0.2
"""Largest share of the steps that the warmup takes: recipes give it in epochs, which may be more than the budget holds."""

LATE = 1.05
"""A run that will take so many times its budget says so."""

WORTH = 0.02
"""Share of a run's steps that it is made longer or shorter by, or it is left as it is."""

SETTLING = 0.05
"""Share of a run whose pace says little about the rest."""


def fit_steps(
    seconds: float, costs: Costs, steps_per_epoch: int, checkpoint_every: int | None = None, epoch: int = 0
) -> int:
    """Return the largest number of optimizer steps that a run of at most ``seconds`` takes, 0 where not even one fits.

    The last epoch may be cut short; it is evaluated and saved as a whole one is. A rest too short for that is left over.

    Args:
        seconds: from the beginning of ``epoch``, with which the run begins, to its end.
        epoch: the steps of those before it are counted too.
    """
    left = seconds - costs.start - costs.end
    closing = costs.evaluation + costs.saving
    while True:
        step = _step(costs, epoch, checkpoint_every)
        whole = steps_per_epoch * step + closing
        if whole > left:
            return epoch * steps_per_epoch + max(0, math.floor((left - closing) / step))
        left, epoch = left - whole, epoch + 1


def run_seconds(steps: int, costs: Costs, steps_per_epoch: int, checkpoint_every: int | None = None) -> float:
    """Return the seconds from the beginning of the loop to the last evaluation within it."""
    whole, rest = divmod(steps, steps_per_epoch)
    epochs = [steps_per_epoch] * whole + [rest] * bool(rest)
    stepping = sum(taken * _step(costs, epoch, checkpoint_every) for epoch, taken in enumerate(epochs))
    return costs.start + stepping + len(epochs) * (costs.evaluation + costs.saving)


def _step(costs: Costs, epoch: int, checkpoint_every: int | None) -> float:
    return costs.step(epoch) + (costs.saving / checkpoint_every if checkpoint_every else 0.0)


@dataclass(frozen=True)
class Budget:
    """What a budget came to, as run.json keeps it; times in seconds."""

    asked: str  # as typed
    seconds: float  # of the whole command
    before: float  # passed before the first step
    steps: int  # how many fit
    steps_per_epoch: int
    checkpoint_every: int | None
    costs: Costs  # as measured

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Budget:
        """Return the budget of which run.json says ``facts``, where JSON made lists of tuples."""
        kept: dict[str, Any] = {field.name: facts.get(field.name) for field in fields(cls)}
        costs = facts["costs"] | {"steps": tuple(map(tuple, facts["costs"]["steps"]))}
        return cls(**kept | {"costs": Costs(**costs)})

    def until(self, step: int) -> float:
        """Return the seconds that a run of ``step`` steps takes from its first one on, as measured."""
        return run_seconds(step, self.costs, self.steps_per_epoch, self.checkpoint_every)

    def lines(self, batch_size: int) -> Iterator[str]:
        """Yield what the plan says of it."""
        costs, before = self.costs, duration(self.before)
        speeds = ", then ".join(f"{batch_size / seconds:,.4g}" for _, seconds in costs.steps)
        ends = duration(self.before + self.until(self.steps) + costs.end)
        steps = f"{counted(self.steps, 'step')} can be taken"
        yield f"{self.asked}: {steps}; the last ends after {ends}, of which {before} have passed"
        yield (
            f"measured: {speeds} images/s in training, {_precise(costs.evaluation)} for an evaluation and "
            f"{_precise(costs.saving)} for a checkpoint after each epoch, {duration(costs.end)} at the end"
        )


def _precise(seconds: float) -> str:
    return duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"


class Pace:
    """Compares a run of ``steps`` planned steps with its budget as it goes."""

    def __init__(self, budget: Budget, steps: int) -> None:
        self.budget, self.steps = budget, steps
        self.bearable = LATE * budget.seconds

    def refit(self, step: int, seconds: float) -> int:
        """Return how many steps the run is to take, at the end of an epoch, ``step`` steps and ``seconds`` after it began.

        So many that it ends on time at the pace that it has had so far, but no fewer and no more than half and twice those
        that were left. A small change is not worth one: the learning rate is then no longer that of a single cosine.
        """
        budget, left = self.budget, self.steps - step
        if left <= 0:
            return self.steps
        # What the first batch took is over, and everything else goes on as fast as it went so far.
        rest = replace(budget.costs.times(seconds / budget.until(step)), start=0.0)
        time_left, epoch = budget.seconds - budget.before - seconds, step // budget.steps_per_epoch
        fitting = fit_steps(time_left, rest, budget.steps_per_epoch, budget.checkpoint_every, epoch)
        steps = step + min(2 * left, max(math.ceil(left / 2), fitting - step))
        return steps if abs(steps - self.steps) > WORTH * self.steps else self.steps

    def remark(self, step: int, seconds: float) -> str | None:
        """Return what to say ``seconds`` into the run, after ``step`` steps, None where there is nothing to say."""
        budget = self.budget
        planned, whole = (budget.until(k) for k in (step, self.steps))
        if planned < SETTLING * whole:
            return None
        ends = budget.before + seconds + (whole - planned) * max(1.0, seconds / planned) + budget.costs.end
        if ends <= self.bearable:
            return None
        self.bearable = 1.25 * ends  # said again only when it gets much later
        return (
            f"slower than measured: at this pace the run ends after {duration(ends)} and not the {budget.asked} of "
            "--budget; its steps are counted anew after each epoch. Ctrl-C stops it with a checkpoint."
        )


class KeepBudget(Callback):
    """Sets the number of steps by the speed before the first one, and again after each epoch.

    It stands behind all callbacks that take time at the start of the run or set what is trained: their time counts too.

    Args:
        others: the callbacks before it, which set what is trained in each epoch.
        began: ``time.perf_counter()`` when the command began, from which on the time counts; by default now.
    """

    def __init__(self, others: Sequence[Callback] = (), began: float | None = None) -> None:
        self.others = others
        self.began = time.perf_counter() if began is None else began
        self.said: list[str] = []
        self.pace: Pace | None = None  # of a run with a budget

    def on_train_start(self, run: Run) -> None:
        """Measure and set the length of a new run; take up the budget of one that goes on.

        Raises:
            ConfigError: not even one step fits; the least budget that would do is named.
        """
        config, steps_per_epoch, every = run.config, run.order.steps_per_epoch, run.config.checkpoint_every
        if config.budget is not None:
            seconds = seconds_of(config.budget)
            costs = measure(run, self.others, seconds)
            before = agreed(time.perf_counter() - self.began)
            steps = fit_steps(seconds - before, costs, steps_per_epoch, every)
            if not steps:
                least = run_seconds(1, costs, 1, every) + costs.end
                raise ConfigError(
                    f"--budget is {config.budget}: {duration(before)} went by before the first step, and one step with "
                    f"its evaluations and the model folder takes {duration(least)} more: give "
                    f"{math.ceil(LATE * (before + least))}s or more."
                )
            budget = Budget(config.budget, seconds, before, steps, steps_per_epoch, every, costs)
            run.facts["budget"] = asdict(budget)
            self.said = list(budget.lines(run.order.batch_size))
            shortened = WARMUP * steps / steps_per_epoch  # in epochs
            if config.warmup > shortened:
                words = f"warmup shortened from {config.warmup:g} to {shortened:.3g} epochs, a fifth of the run"
                self.said.append(words)
            # Its steps take the budget's place in config.yaml, from which a resumed run goes on.
            run.set_length(steps, min(config.warmup, shortened))
        elif "budget" in run.facts:
            self._note(run)
        if (facts := run.facts.get("budget")) is not None:
            self.pace = Pace(Budget.of(facts), run.schedule.total_steps)

    def on_plan(self, run: Run) -> Iterable[tuple[str, str]]:
        """Say what was measured and what fits."""
        return [("budget", line) for line in self.said]

    def on_log(self, run: Run, record: dict[str, float]) -> None:
        """Warn where the run will be late."""
        if self.pace is not None and (remark := self.pace.remark(int(record["step"]), record["seconds"])):
            log.warning("%s", remark)

    def on_epoch_end(self, run: Run, evaluation: Evaluation) -> None:
        """Set as many steps as fit by now."""
        pace, progress = self.pace, run.progress
        if pace is None:
            return
        steps = from_main(run.accelerator, lambda: pace.refit(progress.step, progress.seconds))
        if steps == pace.steps:
            return
        log.info(
            "%-10s %s can be taken by now, where %s were planned", "budget", counted(steps, "step"), f"{pace.steps:,}"
        )
        run.set_length(steps)
        self.pace = Pace(pace.budget, steps)
        if run.is_main and run.place is not None:
            record_config(run.folder, run.config)
        self._note(run)

    def _note(self, run: Run) -> None:
        """Note in run.json from which step on the run has as many steps as it has, where that is not noted yet.

        What was noted of later steps is dropped: a damaged checkpoint may have brought the run back before them.
        """
        budget, step, total = run.facts["budget"], run.progress.step, run.schedule.total_steps
        refits = [refit for refit in budget.get("refits", ()) if refit[0] <= step]
        if (refits[-1][1] if refits else budget.get("steps")) != total:
            refits.append((step, total))
        if refits != budget.get("refits", []):
            budget["refits"] = refits
            if run.is_main and run.place is not None:
                write_facts(run.folder, run.facts)
