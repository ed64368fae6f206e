"""As many steps as fit into the time that --budget gives: arithmetic on seconds that were measured."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from botzoo.errors import ConfigError
from botzoo.util.text import duration

WARMUP = 0.2
"""Largest share of the steps that the warmup takes: recipes give it in epochs, which may be more than the budget holds."""

LATE = 1.05
"""A run that will take so many times its budget says so."""

WORTH = 0.02
"""Share of a run's steps that it is made longer or shorter by, or it is left as it is."""

SETTLING = 0.05
"""Share of a run whose pace says little about the rest."""


@dataclass(frozen=True)
class Costs:
    """Seconds that the parts of a run take on this machine.

    Attributes:
        steps: first epoch of each phase and an optimizer step's seconds from there on, rising from epoch 0. A phase begins
            where the size of the crops or what is trained changes.
        start: until the first batch is there.
        evaluation: of the validation split, after each epoch and after the last step.
        saving: a checkpoint, and the best weights.
        end: the evaluations after the last step, the model folder and what is not measured.
    """

    steps: tuple[tuple[int, float], ...]
    start: float
    evaluation: float
    saving: float
    end: float

    def times(self, factor: float) -> Costs:
        """Return the costs on a machine that takes ``factor`` times as long for everything."""
        steps = tuple((epoch, factor * seconds) for epoch, seconds in self.steps)
        return Costs(steps, *(factor * part for part in (self.start, self.evaluation, self.saving, self.end)))

    def step(self, epoch: int) -> float:
        """Return the seconds of a step in ``epoch``, counted from 0."""
        return self.steps[bisect_right(self.steps, epoch, key=lambda phase: phase[0]) - 1][1]


def fit_steps(
    seconds: float, costs: Costs, steps_per_epoch: int, checkpoint_every: int | None = None, epoch: int = 0
) -> int:
    """Return the largest number of optimizer steps that a run of at most ``seconds`` takes, 0 where not even one fits.

    The last epoch may be cut short; it is evaluated and saved as a whole one is. A rest too short for that is left over.

    Args:
        seconds: from the beginning of ``epoch`` to the end of the run.
        epoch: that the run begins with; the steps of those before it are counted too.
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
    """What a budget came to.

    Attributes:
        asked: as typed.
        seconds: of the whole command.
        before: seconds that went by before the first step.
        steps: optimizer steps that fit.
        steps_per_epoch, batch_size, checkpoint_every: of the run.
        costs: as measured.
        warmup: epochs of warmup before and after it was shortened, None where it was not.
    """

    asked: str
    seconds: float
    before: float
    steps: int
    steps_per_epoch: int
    batch_size: int
    checkpoint_every: int | None
    costs: Costs
    warmup: tuple[float, float] | None = None

    def lines(self) -> Iterator[str]:
        """Yield what the plan says of it."""
        costs, before = self.costs, duration(self.before)
        speeds = ", then ".join(f"{self.batch_size / seconds:,.4g}" for _, seconds in costs.steps)
        ends = duration(self.before + self._until(self.steps) + costs.end)
        yield f"{self.asked}: {self.steps:,} steps are what fits; they end after {ends}, of which {before} have passed"
        yield (
            f"measured: {speeds} images/s in training, {_precise(costs.evaluation)} for an evaluation and "
            f"{_precise(costs.saving)} for a checkpoint after each epoch, {duration(costs.end)} at the end"
        )
        if self.warmup is not None:
            yield f"warmup shortened from {self.warmup[0]:g} to {self.warmup[1]:.3g} epochs, a fifth of the run"

    def facts(self) -> dict[str, Any]:
        """Return what run.json keeps of it, from which ``Pace`` goes on."""
        kept = ("asked", "seconds", "before", "steps", "steps_per_epoch", "checkpoint_every")
        return {name: getattr(self, name) for name in kept} | {"costs": asdict(self.costs)}

    def _until(self, step: int) -> float:
        return run_seconds(step, self.costs, self.steps_per_epoch, self.checkpoint_every)


def too_small(asked: str, before: float, costs: Costs, checkpoint_every: int | None) -> ConfigError:
    """Return the error of a budget in which not even one step fits; it names the least that would do."""
    least = run_seconds(1, costs, 1, checkpoint_every) + costs.end
    return ConfigError(
        f"--budget is {asked}: {duration(before)} went by before the first step, and one step with its evaluations and the "
        f"model folder takes {duration(least)} more: give {math.ceil(LATE * (before + least))}s or more."
    )


class Pace:
    """Compares a run with its budget as it goes: speaks when it is late, and refits its length after each epoch.

    Args:
        facts: as ``Budget.facts`` returns them; None for a run without a budget, which is never late.
        steps: of the whole run, as planned now.
    """

    def __init__(self, facts: dict[str, Any] | None, steps: int) -> None:
        self.facts, self.steps = facts, steps
        self.bearable = math.inf
        if facts is not None:
            kept = facts["costs"]
            self.costs = Costs(**{**kept, "steps": tuple((epoch, seconds) for epoch, seconds in kept["steps"])})
            self.sizes = facts["steps_per_epoch"], facts["checkpoint_every"]
            self.bearable = LATE * facts["seconds"]

    def refit(self, step: int, seconds: float) -> int:
        """Return how many steps the run is to take, at the end of an epoch, ``step`` steps and ``seconds`` after it began.

        So many that it ends on time at the pace that it has had so far, but no fewer and no more than half and twice those
        that were left. A small change is not worth one: the learning rate is then no longer that of a single cosine.
        """
        left = self.steps - step
        if self.facts is None or left <= 0:
            return self.steps
        pace = seconds / run_seconds(step, self.costs, *self.sizes)
        rest = replace(self.costs.times(pace), start=0.0)
        fitting = fit_steps(
            self.facts["seconds"] - self.facts["before"] - seconds, rest, *self.sizes, step // self.sizes[0]
        )
        steps = step + min(2 * left, max(math.ceil(left / 2), fitting - step))
        return steps if abs(steps - self.steps) > WORTH * self.steps else self.steps

    def remark(self, step: int, seconds: float) -> str | None:
        """Return what to say ``seconds`` into the run, after ``step`` steps, None where there is nothing to say."""
        if self.facts is None:
            return None
        planned, whole = (self._until(k) for k in (step, self.steps))
        if planned < SETTLING * whole:
            return None
        ends = self.facts["before"] + seconds + (whole - planned) * max(1.0, seconds / planned) + self.costs.end
        if ends <= self.bearable:
            return None
        self.bearable = 1.25 * ends
        return (
            f"slower than measured: at this pace the run ends after {duration(ends)} and not the {self.facts['asked']} of "
            "--budget; its steps are counted anew after each epoch. Ctrl-C stops it with a checkpoint."
        )

    def _until(self, step: int) -> float:
        return run_seconds(step, self.costs, *self.sizes)


def _precise(seconds: float) -> str:
    return duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"
