"""What repeated runs say of a figure: mean, interval and spread, as numbers and in words."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ROUNDING = 1e-9
"""Values in per cent that differ by less are equal."""


@dataclass(frozen=True)
class Estimate:
    """A mean of ``n`` values and its 95 % interval.

    The bounds are NaN where the values say nothing of the noise: there is one only, or all are equal.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)

    @property
    def within_noise(self) -> bool:
        """Whether 0 cannot be excluded."""
        return not (self.low > 0 or self.high < 0)

    def as_json(self) -> dict[str, Any]:
        """Return the estimate for other programs; its interval is null where there is none."""
        return {"mean": self.mean, "interval_95": [self.low, self.high] if self.known else None, "n": self.n}

    def verdict(self) -> str:
        """Say in words what it is worth as a difference."""
        if not self.known:
            return f"{'one seed' if self.n == 1 else 'equal seeds'}: noise unknown"
        return "within noise" if self.within_noise else "gain" if self.mean > 0 else "loss"


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of independent values with its 95 % interval by Student's t: mean +- t(n - 1) s / sqrt(n).

    Equal values have none: an interval of width 0 would claim that there is no noise, where too few images show any.
    """
    from scipy.special import stdtrit

    n, mean = len(values), statistics.fmean(values)
    spread = statistics.stdev(values) if n > 1 else 0.0
    if spread < ROUNDING:
        return Estimate(mean, math.nan, math.nan, n)
    half = float(stdtrit(n - 1, 0.975)) * spread / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def accuracy(values: Sequence[float]) -> Estimate:
    """Return the mean of accuracies in per cent; its interval stays within 0 and 100."""
    found = estimate(values)
    return found if not found.known else Estimate(found.mean, max(0.0, found.low), min(100.0, found.high), found.n)


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return the mean of accuracies in per cent with its interval, their standard deviation, the lowest and the highest."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    ends = {"lowest": min(values), "highest": max(values)}
    return accuracy(values).as_json() | {"standard_deviation": deviation} | ends


def spread_words(values: Sequence[float]) -> str:
    """Return the same in words."""
    found, noise = accuracy(values), "one run" if len(values) == 1 else f"{len(values)} equal runs"
    interval = f"{noise}: noise unknown"
    if found.known:
        interval = f"95 % interval {found.low:.2f} to {found.high:.2f}, Student's t, n = {found.n}"
    deviation = f", standard deviation {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{found.mean:.2f} % ({interval}){deviation}; {min(values):.2f} to {max(values):.2f} %"
