"""A range test of the learning rate: it grows from far too small to far too large while the loss is watched.

Smith, "Cyclical Learning Rates for Training Neural Networks" (2017, arXiv:1506.01186), section 3.3. There the rate grows
linearly; here by the same factor at each step, as has become usual, since good rates lie decades apart.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d  # type: ignore[attr-defined]

from botzoo.errors import ConfigError
from botzoo.training.distributed import end_trackers, from_main
from botzoo.training.state import Run
from botzoo.training.steps.schedule import Schedule
from botzoo.util.files import free_name
from botzoo.util.outgoing import last_part
from botzoo.util.pictures import drawn, label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger("botzoo")

LOWEST, HIGHEST = 1e-5, 10.0
"""Times --lr, at the first and at the last step."""

STEPS = 100
"""At most; an epoch at most too, so that no image comes twice."""

FEWEST = 10
"""Fewer steps would be too far apart to tell anything."""

EXPLODED = 4.0
"""Times the least loss so far, at which the test ends."""

SMOOTHING, NARROWEST = 0.03, 2.0
"""Deviation of the Gaussian that the losses are smoothed with: a share of all steps, 0.18 decades, and so many at least."""

DOUBT = 6.0
"""Standard errors of the smoothed loss that it must fall by to count as falling."""


@dataclass(frozen=True)
class Sweep(Schedule):
    """``LOWEST`` to ``HIGHEST`` times the peak over ``total_steps``, at least two, growing by the same factor at each step."""

    def lr(self, step: int) -> float:
        return self.peak * factor(step, self.total_steps)


def factor(step: int, steps: int) -> float:
    """Return what the learning rate is multiplied by at ``step`` of ``steps``."""
    return float(LOWEST * (HIGHEST / LOWEST) ** (step / (steps - 1)))


def smoothed(losses: Sequence[float], steps: int) -> NDArray[np.float64]:
    """Return the losses of a test of ``steps`` steps under a Gaussian, float64, of the same length."""
    result: NDArray[np.float64] = gaussian_filter1d(np.asarray(losses, np.float64), _deviation(steps))
    return result


def _deviation(steps: int) -> float:
    return max(NARROWEST, SMOOTHING * steps)


def exploded(losses: Sequence[float], steps: int) -> bool:
    """Return whether the newest loss is not finite, or the smoothed one over ``EXPLODED`` times its least."""
    if not math.isfinite(losses[-1]):
        return True
    smooth = smoothed(losses, steps)
    return bool(smooth[-1] > EXPLODED * smooth.min())


@dataclass(frozen=True)
class Suggestion:
    """Factors on --lr."""

    steepest: float  # where the smoothed loss falls fastest
    careful: float  # a tenth of where it is least


def suggest(losses: Sequence[float], steps: int) -> Suggestion | None:
    """Return what the finite ``losses`` of the first steps suggest, None where they never fall by more than their noise."""
    smooth = smoothed(losses, steps)
    lowest = int(smooth.argmin()) if len(losses) else 0
    if lowest == 0 or smooth[0] - smooth[lowest] <= DOUBT * _standard_error(losses[: lowest + 1], steps):
        return None
    steepest = int(np.gradient(smooth[: lowest + 1]).argmin())
    return Suggestion(factor(steepest, steps), factor(lowest, steps) / 10)


def _standard_error(losses: Sequence[float], steps: int) -> float:
    """Return that of a smoothed loss, from the differences of neighbours, in which a slow fall hardly counts."""
    noise = float(np.square(np.diff(losses)).mean()) / 2
    return math.sqrt(noise / (2 * math.sqrt(math.pi) * _deviation(steps)))


def range_figure(losses: Sequence[float], steps: int, lr: float, found: Suggestion | None, title: str) -> Figure:
    """Return the loss over the learning rate, in units of --lr, and what is suggested, as a picture."""
    rates = [lr * factor(step, steps) for step in range(len(losses))]
    smooth = smoothed(losses, steps)
    figure = new_figure(9, 3.6)
    axes = figure.subplots()
    axes.plot(rates, losses, ".", ms=4, alpha=0.5, label="each step")
    axes.plot(rates, smooth, "-", label="smoothed")
    if found is not None:
        axes.axvline(lr * found.steepest, color="C2", label=f"steepest: --lr {lr * found.steepest:.2g}")
        axes.axvline(lr * found.careful, color="C3", ls=":", label=f"least / 10: --lr {lr * found.careful:.2g}")
    axes.set(
        xlabel="--lr", ylabel="training loss (nats)", xscale="log", ylim=(0, 1.5 * smooth[0] if len(smooth) else 1)
    )
    axes.legend()
    axes.grid(alpha=0.3)
    figure.suptitle(label(title), fontsize=11)
    return figure


def range_test(run: Run) -> None:
    """Try out learning rates far below and far above --lr, say which to take, and draw the losses as lr_finder.png here.

    Everything else is as in the run, but for what readies the network for its first step: new layers start at random. Nothing
    of it is kept and no run folder is made. What is said is in units of --lr, so before linear scaling.

    Raises:
        ConfigError: an epoch has too few steps, or the loss never falls.
    """
    config, order, steps = run.config, run.order, min(STEPS, run.order.steps_per_epoch)
    if steps < FEWEST:
        raise ConfigError(
            f"--find-lr needs an epoch of {FEWEST} steps and there are {steps}, of {order.batch_size} images each: give a "
            "smaller --batch-size."
        )
    lowest, highest = (f"--lr {config.lr * factor(step, steps):.2g}" for step in (0, steps - 1))
    log.info("%-10s %d steps from %s to %s at a batch of %d", "range", steps, lowest, highest, order.batch_size)
    losses = _sweep(run, steps)
    found = suggest(losses, steps)
    title = f"{run.network.architecture} on {last_part(run.data.name)}: range test of the learning rate"

    def draw() -> Path:
        path = free_name(Path("lr_finder"), ".png")
        drawn(path, lambda: range_figure(losses, steps, config.lr, found, title))
        return path

    picture = from_main(run.accelerator, draw)
    end_trackers(run.accelerator)  # of a test that fails, too
    if found is None:
        raise ConfigError(
            f"The loss never falls between {lowest} and {highest} ({picture} shows it): look at the labels and at what is "
            "frozen, or give a --lr that is far from this one."
        )
    steepest, careful = (f"--lr {config.lr * value:.2g}" for value in (found.steepest, found.careful))
    log.info(
        "%-10s %s, where the loss falls fastest; a tenth of where it is least is %s", "suggested", steepest, careful
    )
    log.info("%-10s none: a range test; its losses are drawn in %s", "output", picture)


def _sweep(run: Run, steps: int) -> list[float]:
    """Return the losses of a range test, up to where they explode."""
    losses: list[float] = []
    run.trainer.schedule = Sweep(run.schedule.peak, steps)  # in the place of the run's own
    for step, micro_batches in enumerate(run.feed.train_batches(run.order, 0, steps)):
        losses.append(run.accelerator.reduce(run.trainer.step(step, micro_batches), "mean").item())
        if exploded(losses, steps):
            return [loss for loss in losses if math.isfinite(loss)]
    return losses
