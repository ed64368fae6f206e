"""What an ablation says: ablation.json, a table in Markdown and a picture, with every difference's interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from botzoo.experiments.ablation import Ablation, Cell
from botzoo.recipes.ladders import Rung
from botzoo.util.files import write_json, write_text
from botzoo.util.nested import flat
from botzoo.util.pictures import drawn, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROUNDING = 1e-9
"""Values in per cent that differ by less are equal."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval.

    Attributes:
        mean: of the values.
        low, high: bounds of the interval, NaN where the values say nothing of the noise: there is one only, or all are equal.
        n: how many values.
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


class Judged(Protocol):
    """What is asked of a run of any kind."""

    @property
    def top1(self) -> float:
        """Accuracy in per cent."""


def accuracy(runs: Sequence[Judged]) -> Estimate:
    """Return the mean top-1 of runs in per cent; its interval stays within 0 and 100."""
    found = estimate([run.top1 for run in runs])
    return found if not found.known else Estimate(found.mean, max(0.0, found.low), min(100.0, found.high), found.n)


def write_report(ablation: Ablation) -> None:
    """Write ablation.json, ablation.md and ablation.png into the ablation's folder."""
    write_json(ablation.folder / "ablation.json", as_json(ablation))
    write_text(ablation.folder / "ablation.md", as_markdown(ablation) + "\n")
    drawn(ablation.folder / "ablation.png", lambda: ladder_figure(ablation))


def runs_of(ablation: Ablation, rung: str) -> list[Cell]:
    """Return the finished runs of a rung, by seed."""
    return [ablation.cells[rung, seed] for seed in ablation.seeds if (rung, seed) in ablation.cells]


def _diverged(ablation: Ablation, rung: str) -> list[int]:
    """Return the seeds with which a rung's loss became NaN or infinite."""
    return [seed for seed in ablation.seeds if (rung, seed) in ablation.diverged]


def difference(ablation: Ablation, rung: Rung) -> Estimate | None:
    """Return the gain in top-1 over the rung below, in percentage points, over the seeds that both were trained with."""
    if rung.below is None:
        return None
    pairs = [(ablation.cells.get((rung.name, s)), ablation.cells.get((rung.below, s))) for s in ablation.seeds]
    gains = [upper.top1 - lower.top1 for upper, lower in pairs if upper and lower]
    return estimate(gains) if gains else None


def paper_difference(ablation: Ablation, rung: Rung) -> float | None:
    """Return the paper's own gain over the rung below, in percentage points, where it gives both."""
    below = ablation.ladder.rung(rung.below).paper if rung.below else None
    return None if rung.paper is None or below is None else rung.paper - below


def as_json(ablation: Ablation) -> dict[str, Any]:
    """Return everything that is known, for other programs."""
    return {
        "ladder": ablation.ladder.name,
        "about": ablation.ladder.about,
        "command": ablation.command,
        "metric": "top-1 accuracy in per cent on the validation images after the last epoch",
        "seeds": ablation.seeds,
        **{key: _newest(ablation).get(key) for key in ("hardware", "python", "versions", "images")},
        "fingerprints": {str(seed): facts.get("fingerprints") for seed, facts in sorted(ablation.facts.items())},
        "rungs": [_rung_json(ablation, rung) for rung in ablation.ladder.rungs],
    }


def _newest(ablation: Ablation) -> dict[str, Any]:
    """Return the facts of the newest seed."""
    return next(reversed(ablation.facts.values()), {})


def _rung_json(ablation: Ablation, rung: Rung) -> dict[str, Any]:
    runs, gain = runs_of(ablation, rung.name), difference(ablation, rung)
    return {
        "name": rung.name,
        "about": rung.about,
        "below": rung.below,
        "options": ablation.options[rung.name],
        "runs": [asdict(run) for run in runs],
        "diverged": _diverged(ablation, rung.name),
        "top1": estimate_json(accuracy(runs)) if runs else None,
        "difference": estimate_json(gain) | {"within_noise": gain.within_noise if gain.known else None}
        if gain
        else None,
        "paper": rung.paper,
        "paper_difference": paper_difference(ablation, rung),
    }


def estimate_json(found: Estimate) -> dict[str, Any]:
    """Return an estimate for other programs; its interval is null where there is none."""
    interval = [found.low, found.high] if found.known else None
    return {"mean": found.mean, "interval_95": interval, "n": found.n}


def as_markdown(ablation: Ablation) -> str:
    """Return the table with what one has to know to read it."""
    return "\n".join([*_head(ablation), "", *_table(ablation), "", *_notes(ablation)])


def as_table(ablation: Ablation) -> str:
    """Return the table for a terminal."""
    rows = [["rung", "top-1", "n", "difference", "95 % interval", "", "the paper's"]]
    rows += [_cells(ablation, rung)[:7] for rung in _ended(ablation)]
    widths = [max(len(row[k]) for row in rows) for k in range(7)]
    return "\n".join("  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _head(ablation: Ablation) -> Iterator[str]:
    yield f"# {ablation.ladder.about or ablation.ladder.name}"
    yield ""
    yield "```sh"
    yield ablation.command
    yield "```"
    if ablation.earlier:
        yield ""
        yield "Runs that earlier commands finished in this folder are among those below."


def _table(ablation: Ablation) -> Iterator[str]:
    yield (
        "| rung | top-1, mean and 95 % interval | n | difference to | 95 % interval | | the paper's | images/s | min/epoch "
        "| peak memory |"
    )
    yield "| --- " * 10 + "|"
    for rung in _ended(ablation):
        yield f"| {' | '.join(_cells(ablation, rung))} |"


def _ended(ablation: Ablation) -> list[Rung]:
    """Return the rungs of which a run has ended, well or not."""
    return [r for r in ablation.ladder.rungs if runs_of(ablation, r.name) or _diverged(ablation, r.name)]


def _cells(ablation: Ablation, rung: Rung) -> list[str]:
    runs, gain = runs_of(ablation, rung.name), difference(ablation, rung)
    paper = paper_difference(ablation, rung)
    lost = len(_diverged(ablation, rung.name))
    count = f"{len(runs)}, {lost} diverged" if lost else str(len(runs))
    shown = f"{paper:+.2f}" if paper is not None else ""
    if not runs:
        return [rung.name, "", count, "", "", "diverged", shown, "", "", ""]
    top1 = accuracy(runs)
    return [
        rung.name,
        f"{top1.mean:.2f} %{_interval(top1, '.2f')}",
        count,
        f"{gain.mean:+.2f} to {rung.below}" if gain else "",
        _interval(gain, "+.2f").strip(" ()") if gain else "",
        _verdict(ablation, rung, gain) if gain else "",
        shown,
        f"{statistics.median(run.images_per_second for run in runs):,.0f}",
        f"{statistics.median(run.minutes_per_epoch for run in runs):.2f}",
        f"{max(run.peak_memory_gib for run in runs):.2f} GiB",
    ]


def _interval(found: Estimate, form: str) -> str:
    return "" if not found.known else f" ({found.low:{form}} to {found.high:{form}})"


def _verdict(ablation: Ablation, rung: Rung, gain: Estimate) -> str:
    same = rung.below and flat(ablation.options[rung.name]) == flat(ablation.options[rung.below])
    return "the same options on this hardware" if same else verdict(gain)


def verdict(gain: Estimate) -> str:
    """Say in words what a difference is worth."""
    if not gain.known:
        return f"{'one seed' if gain.n == 1 else 'equal seeds'}: noise unknown"
    return "within noise" if gain.within_noise else "gain" if gain.mean > 0 else "loss"


def _notes(ablation: Ablation) -> Iterator[str]:
    facts, one = _newest(ablation), next(iter(ablation.cells.values()))
    images = facts.get("images", {})
    yield (
        f"Top-1 is on {one.images:,} validation images after the last epoch; nothing was chosen on them. Differences are "
        "paired: the rungs of one seed see the same images in the same order. Intervals are Student's over the seeds, "
        "for the differences over the pairs. Where the data has no validation split, each seed sets aside other images."
    )
    if ablation.diverged:
        yield ""
        yield (
            "A run counts as diverged when its loss becomes NaN or infinite. It is left out of mean and difference, which "
            "flatters its rung."
        )
    yield ""
    versions = ", ".join(f"{name} {number}" for name, number in facts.get("versions", {}).items())
    yield (
        f"{images.get('train', 0):,} training images; {facts.get('hardware', 'unknown hardware')}; Python "
        f"{facts.get('python', '?')}, {versions}. The paper's differences are on ImageNet, with its own networks, "
        "batch and length of training."
    )


def ladder_figure(ablation: Ablation) -> Figure:
    """Return accuracy by rung, and the differences beside the paper's, as a picture."""
    rungs = [rung for rung in ablation.ladder.rungs if runs_of(ablation, rung.name)]
    figure = new_figure(10, 1.6 + 0.42 * len(rungs))
    left, right = figure.subplots(1, 2, sharey=True)
    for y, rung in enumerate(rungs):
        runs = runs_of(ablation, rung.name)
        _draw_seeds(left, y, [run.top1 for run in runs])
        _draw_estimate(left, y, accuracy(runs), "C0")
        if (gain := difference(ablation, rung)) is not None:
            _draw_estimate(right, y, gain, "grey" if gain.within_noise else "C0")
        if (paper := paper_difference(ablation, rung)) is not None:
            right.plot([paper], [y], "D", color="C1", ms=5, mfc="none")
    left.set_yticks(range(len(rungs)), [rung.name for rung in rungs], parse_math=False)
    left.set(xlabel="top-1 (%)", ylim=(-0.6, len(rungs) - 0.4))
    right.axvline(0, color="black", lw=0.8)
    right.set_xlabel("difference to the rung it stands on (points)\ndiamonds: the paper's, on ImageNet")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    title = f"{ablation.ladder.about or ablation.ladder.name}: rings are seeds, bars 95 % intervals"
    figure.suptitle(title, fontsize=11, parse_math=False)
    return figure


def _draw_seeds(axes: Any, y: float, values: list[float]) -> None:
    """Draw a ring for each value; of equal ones each lies around the one before it."""
    for k, value in enumerate(values):
        axes.plot([value], [y], "o", mec="C0", mfc="none", alpha=0.6, ms=8 + 3 * values[:k].count(value))


def _draw_estimate(axes: Any, y: float, found: Estimate, colour: str) -> None:
    reach = None if not found.known else [[found.mean - found.low], [found.high - found.mean]]
    axes.errorbar([found.mean], [y], xerr=reach, fmt="s", color=colour, ms=6, capsize=3)
