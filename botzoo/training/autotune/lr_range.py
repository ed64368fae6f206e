"""A range test of the learning rate: it grows from far too small to far too large while the loss is watched.

Smith, "Cyclical Learning Rates for Training Neural Networks" (2017, arXiv:1506.01186), section 3.3. There the rate grows
linearly; here by the same factor at each step, as has become usual, since good rates lie decades apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d  # type: ignore[attr-defined]

from botzoo.training.schedule import Schedule

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
        """Return the learning rate of step ``step``, counted from 0."""
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
    """Factors on --lr.

    Attributes:
        steepest: where the smoothed loss falls fastest.
        careful: a tenth of where it is least.
    """

    steepest: float
    careful: float


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


def draw_range_test(
    losses: Sequence[float], steps: int, lr: float, found: Suggestion | None, path: Path, title: str
) -> None:
    """Draw loss over learning rate, in units of --lr, and what is suggested, as a PNG."""
    from matplotlib.figure import Figure

    rates = [lr * factor(step, steps) for step in range(len(losses))]
    smooth = smoothed(losses, steps)
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
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
    figure.suptitle(title, fontsize=11, parse_math=False)
    figure.savefig(path)
