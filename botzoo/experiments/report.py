"""What an ablation says: ablation.json, a table in Markdown and a picture, with every difference's interval."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botzoo.experiments.estimate import Estimate, accuracy, estimate
from botzoo.experiments.series import Outcome
from botzoo.recipes import Options
from botzoo.recipes.ladders import Ladder, Rung
from botzoo.util import markdown
from botzoo.util.files import write_json, write_text
from botzoo.util.nested import flat
from botzoo.util.pictures import drawn, label, new_figure
from botzoo.util.text import counted, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Cell:
    """What one run of one rung came to, on the validation images after its last epoch.

    Accuracies are in per cent, the loss is the mean negative log-likelihood in nats. Nothing was chosen on these images.
    """

    rung: str
    seed: int
    top1: float
    top5: float
    loss: float
    images: int
    images_per_second: float  # median over the training steps
    minutes_per_epoch: float  # wall time, evaluation included
    peak_memory_gib: float  # in use by the main process, or on its GPU

    @classmethod
    def of(cls, rung: str, seed: int, run: Outcome) -> Cell:
        """Return what the line after the last epoch says: the best epoch was chosen on the images of the figure."""
        seen, minutes = run.last, run.last["seconds"] / 60 / run.epochs
        figures = (seen["top1"], seen["top5"], seen["loss"], seen["images"])
        return cls(rung, seed, *figures, run.images_per_second, minutes, run.peak_memory_bytes / 2**30)


@dataclass
class Ablation:
    """A ladder and what is known of it so far."""

    ladder: Ladder  # the rungs asked for, and those that earlier commands have finished in the folder
    options: dict[str, Options]  # of each rung's runs, by its name
    seeds: list[int]  # of the runs, those of earlier commands last
    folder: Path
    command: str  # as typed
    cells: dict[tuple[str, int], Cell] = field(default_factory=dict)  # finished runs by rung and seed
    diverged: dict[tuple[str, int], str] = field(default_factory=dict)  # what was said of the others
    facts: dict[int, dict[str, Any]] = field(default_factory=dict)  # of a run of each seed, as ``Outcome`` has them
    earlier: bool = False  # whether there are rungs or seeds that only an earlier command asked for

    def runs(self, rung: str) -> list[Cell]:
        """Return the finished runs of a rung, by seed."""
        return [self.cells[rung, seed] for seed in self.seeds if (rung, seed) in self.cells]

    def lost(self, rung: str) -> list[int]:
        """Return the seeds with which a rung's loss became NaN or infinite."""
        return [seed for seed in self.seeds if (rung, seed) in self.diverged]

    def top1(self, rung: str) -> Estimate:
        """Return the mean top-1 of a rung's finished runs in per cent."""
        return accuracy([run.top1 for run in self.runs(rung)])

    def difference(self, rung: Rung) -> Estimate | None:
        """Return the gain in top-1 over the rung below, in percentage points, over the seeds that both were trained with."""
        below = {run.seed: run.top1 for run in self.runs(rung.below or "")}
        gains = [run.top1 - below[run.seed] for run in self.runs(rung.name) if run.seed in below]
        return estimate(gains) if gains else None

    def paper_difference(self, rung: Rung) -> float | None:
        """Return the paper's own gain over the rung below, in percentage points, where it gives both."""
        below = self.ladder.rung(rung.below).paper if rung.below else None
        return None if rung.paper is None or below is None else rung.paper - below

    @property
    def newest(self) -> dict[str, Any]:
        """The facts of the newest seed."""
        return next(reversed(self.facts.values()), {})


def write_report(ablation: Ablation) -> None:
    """Write ablation.json, ablation.md and ablation.png into the ablation's folder."""
    write_json(ablation.folder / "ablation.json", as_json(ablation))
    write_text(ablation.folder / "ablation.md", as_markdown(ablation) + "\n")
    drawn(ablation.folder / "ablation.png", lambda: ladder_figure(ablation))


def as_json(ablation: Ablation) -> dict[str, Any]:
    """Return everything that is known, for other programs."""
    return {
        "ladder": ablation.ladder.name,
        "about": ablation.ladder.about,
        "command": ablation.command,
        "metric": "top-1 accuracy in per cent on the validation images after the last epoch",
        "seeds": ablation.seeds,
        **{key: ablation.newest.get(key) for key in ("hardware", "python", "versions", "images")},
        "fingerprints": {str(seed): facts.get("fingerprints") for seed, facts in sorted(ablation.facts.items())},
        "rungs": [_rung_json(ablation, rung) for rung in ablation.ladder.rungs],
    }


def _rung_json(ablation: Ablation, rung: Rung) -> dict[str, Any]:
    runs, gain = ablation.runs(rung.name), ablation.difference(rung)
    noise = {"within_noise": gain.within_noise if gain.known else None} if gain else {}
    return {
        "name": rung.name,
        "about": rung.about,
        "below": rung.below,
        "options": ablation.options[rung.name],
        "runs": [asdict(run) for run in runs],
        "diverged": ablation.lost(rung.name),
        "top1": ablation.top1(rung.name).as_json() if runs else None,
        "difference": gain.as_json() | noise if gain else None,
        "paper": rung.paper,
        "paper_difference": ablation.paper_difference(rung),
    }


HEAD = ("rung", "top-1, mean and 95 % interval", "n", "difference to", "95 % interval", "", "the paper's")
SPEED = ("images/s", "min/epoch", "peak memory")


def as_markdown(ablation: Ablation) -> str:
    """Return the table with what one has to know to read it."""
    rows = [[cell and markdown.escaped(cell) for cell in _cells(ablation, rung)] for rung in _ended(ablation)]
    parts = [
        f"# {markdown.escaped(ablation.ladder.about or ablation.ladder.name)}",
        markdown.code_block(ablation.command, "sh"),
    ]
    if ablation.earlier:
        parts.append("Runs that earlier commands finished in this folder are among those below.")
    return "\n\n".join([*parts, markdown.table([*HEAD, *SPEED], rows), *_notes(ablation)])


def as_table(ablation: Ablation) -> str:
    """Return the table for a terminal."""
    head = ["rung", "top-1", "n", "difference", "95 % interval", "", "the paper's"]
    rows = [head, *(_cells(ablation, rung)[: len(head)] for rung in _ended(ablation))]
    return "\n".join(table(rows, left=range(len(head))))


def _ended(ablation: Ablation) -> list[Rung]:
    """Return the rungs of which a run has ended, well or not."""
    return [rung for rung in ablation.ladder.rungs if ablation.runs(rung.name) or ablation.lost(rung.name)]


def _cells(ablation: Ablation, rung: Rung) -> list[str]:
    runs, gain, paper = ablation.runs(rung.name), ablation.difference(rung), ablation.paper_difference(rung)
    lost = len(ablation.lost(rung.name))
    count = f"{len(runs)}, {lost} diverged" if lost else str(len(runs))
    shown = f"{paper:+.2f}" if paper is not None else ""
    if not runs:
        return [rung.name, "", count, "", "", "diverged", shown, "", "", ""]
    top1, difference = ablation.top1(rung.name), ["", "", ""]
    if gain is not None:
        interval = f"{gain.low:+.2f} to {gain.high:+.2f}" if gain.known else ""
        same = rung.below and flat(ablation.options[rung.name]) == flat(ablation.options[rung.below])
        verdict = "the same options on this hardware" if same else gain.verdict()
        difference = [f"{gain.mean:+.2f} to {rung.below}", interval, verdict]
    return [
        rung.name,
        f"{top1.mean:.2f} %" + (f" ({top1.low:.2f} to {top1.high:.2f})" if top1.known else ""),
        count,
        *difference,
        shown,
        f"{statistics.median(run.images_per_second for run in runs):,.0f}",
        f"{statistics.median(run.minutes_per_epoch for run in runs):.2f}",
        f"{max(run.peak_memory_gib for run in runs):.2f} GiB",
    ]


def _notes(ablation: Ablation) -> Iterator[str]:
    facts, one = ablation.newest, next(iter(ablation.cells.values()))
    yield (
        f"Top-1 is on {counted(one.images, 'validation image')} after the last epoch; nothing was chosen on them. Differences "
        "are paired: the rungs of one seed see the same images in the same order. Intervals are Student's over the seeds, "
        "for the differences over the pairs. Where the data has no validation split, each seed sets aside other images."
    )
    if ablation.diverged:
        yield (
            "A run counts as diverged when its loss becomes NaN or infinite. It is left out of mean and difference, which "
            "flatters its rung."
        )
    versions = ", ".join(f"{name} {number}" for name, number in facts.get("versions", {}).items())
    yield (
        f"{counted(facts.get('images', {}).get('train', 0), 'training image')}; {facts.get('hardware', 'unknown hardware')}; "
        f"Python {facts.get('python', '?')}, {versions}. The paper's differences are on ImageNet, with its own networks, "
        "batch and length of training."
    )


def ladder_figure(ablation: Ablation) -> Figure:
    """Return a picture of the accuracy by rung, and of the differences beside the paper's."""
    rungs = [rung for rung in ablation.ladder.rungs if ablation.runs(rung.name)]
    figure = new_figure(10, 1.6 + 0.42 * len(rungs))
    left, right = figure.subplots(1, 2, sharey=True)
    for y, rung in enumerate(rungs):
        values = [run.top1 for run in ablation.runs(rung.name)]
        for k, value in enumerate(values):  # a ring for each seed; of equal ones each lies around the one before it
            left.plot([value], [y], "o", mec="C0", mfc="none", alpha=0.6, ms=8 + 3 * values[:k].count(value))
        _draw_estimate(left, y, ablation.top1(rung.name), "C0")
        if (gain := ablation.difference(rung)) is not None:
            _draw_estimate(right, y, gain, "grey" if gain.within_noise else "C0")
        if (paper := ablation.paper_difference(rung)) is not None:
            right.plot([paper], [y], "D", color="C1", ms=5, mfc="none")
    left.set_yticks(range(len(rungs)), [label(rung.name) for rung in rungs])
    left.set(xlabel="top-1 (%)", ylim=(-0.6, len(rungs) - 0.4))
    right.axvline(0, color="black", lw=0.8)
    right.set_xlabel("difference to the rung it stands on (points)\ndiamonds: the paper's, on ImageNet")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    title = f"{ablation.ladder.about or ablation.ladder.name}: rings are seeds, bars 95 % intervals"
    figure.suptitle(label(title), fontsize=11)
    return figure


def _draw_estimate(axes: Any, y: float, found: Estimate, colour: str) -> None:
    reach = None if not found.known else [[found.mean - found.low], [found.high - found.mean]]
    axes.errorbar([found.mean], [y], xerr=reach, fmt="s", color=colour, ms=6, capsize=3)
