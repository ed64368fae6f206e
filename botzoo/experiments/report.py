"""What an ablation says: ablation.json, a table in Markdown and a picture, with every difference's interval."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botzoo.errors import ConfigError
from botzoo.experiments.estimate import Estimate, accuracy, estimate
from botzoo.experiments.series import Outcome
from botzoo.recipes import Options
from botzoo.recipes.ladders import Ladder, Rung
from botzoo.util import markdown
from botzoo.util.files import write_json, write_text
from botzoo.util.nested import flat
from botzoo.util.pictures import drawn, label, new_figure
from botzoo.util.text import and_list, counted, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNTS = ("step", "split", "images", "epoch", "seconds")
"""What a line of metrics.jsonl has besides figures."""
WEIGHTS = ("network", "source", "seed", "dataset", "epochs", "score")
"""What the report says of weights, in the order of its columns."""


@dataclass(frozen=True)
class Cell:
    """What one run of one rung came to, on the validation images after its last epoch.

    ``figures`` are those of metrics.jsonl: accuracies in per cent, ``loss``, the mean negative log-likelihood in nats, or what
    else the task has. Nothing was chosen on these images.
    """

    rung: str
    seed: int
    figures: dict[str, float]
    images: int
    images_per_second: float  # median over the training steps
    minutes_per_epoch: float  # wall time, evaluation included
    peak_memory_gib: float  # in use by the main process, or on its GPU

    @classmethod
    def of(cls, rung: str, seed: int, run: Outcome) -> Cell:
        """Return what the line after the last epoch says: the best epoch was chosen on the images of the figure."""
        seen, minutes = run.last, run.last["seconds"] / 60 / run.epochs
        figures = {key: value for key, value in seen.items() if key not in COUNTS and isinstance(value, int | float)}
        return cls(rung, seed, figures, seen["images"], run.images_per_second, minutes, run.peak_memory_bytes / 2**30)

    def row(self) -> dict[str, Any]:
        """Return all of it for other programs."""
        values = asdict(self)
        return {"rung": self.rung, "seed": self.seed, **values.pop("figures"), **values}


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
    figure: tuple[str, str] = ("top1", "top-1")  # what is compared, by its name in metrics.jsonl and in words
    report: str = "ablation"  # name of the files
    weights: Mapping[str, dict[str, Any]] = field(
        default_factory=dict
    )  # what a rung's runs start from, where it is a rung's

    def runs(self, rung: str) -> list[Cell]:
        """Return the finished runs of a rung, by seed."""
        return [self.cells[rung, seed] for seed in self.seeds if (rung, seed) in self.cells]

    def lost(self, rung: str) -> list[int]:
        """Return the seeds with which a rung's loss became NaN or infinite."""
        return [seed for seed in self.seeds if (rung, seed) in self.diverged]

    def scores(self, rung: str) -> dict[int, float]:
        """Return the figure of each finished run of a rung in per cent, by seed.

        Raises:
            ConfigError: the runs have no such figure.
        """
        key, runs = self.figure[0], self.runs(rung)
        for run in runs:
            if key not in run.figures:
                cure = f"Give {', '.join(run.figures)} in the ladder's figure."
                raise ConfigError(f"The runs have no figure {key!r}.", value=key, accepted=run.figures, cure=cure)
        return {run.seed: run.figures[key] for run in runs}

    def mean(self, rung: str) -> Estimate:
        """Return the mean figure of a rung's finished runs in per cent."""
        return accuracy([*self.scores(rung).values()])

    def difference(self, rung: Rung) -> Estimate | None:
        """Return the gain over the rung below, in percentage points, over the seeds that both were trained with."""
        below = self.scores(rung.below or "")
        gains = [score - below[seed] for seed, score in self.scores(rung.name).items() if seed in below]
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
    """Write the report as JSON, Markdown and a picture into the ablation's folder."""
    folder, name = ablation.folder, ablation.report
    write_json(folder / f"{name}.json", as_json(ablation))
    write_text(folder / f"{name}.md", as_markdown(ablation) + "\n")
    drawn(folder / f"{name}.png", lambda: ladder_figure(ablation))


def as_json(ablation: Ablation) -> dict[str, Any]:
    """Return everything that is known, for other programs."""
    key, words = ablation.figure
    measure = "top-1 accuracy" if key == "top1" else words
    return {
        "ladder": ablation.ladder.name,
        "about": ablation.ladder.about,
        "command": ablation.command,
        "metric": f"{measure} in per cent on the validation images after the last epoch",
        "seeds": ablation.seeds,
        **{key: ablation.newest.get(key) for key in ("hardware", "python", "versions", "images")},
        "fingerprints": {str(seed): facts.get("fingerprints") for seed, facts in sorted(ablation.facts.items())},
        "rungs": [_rung_json(ablation, rung) for rung in ablation.ladder.rungs],
    }


def _rung_json(ablation: Ablation, rung: Rung) -> dict[str, Any]:
    runs, gain = ablation.runs(rung.name), ablation.difference(rung)
    noise = {"within_noise": gain.within_noise if gain.known else None} if gain else {}
    options, weights = dict(ablation.options[rung.name]), dict(ablation.weights.get(rung.name, {}))
    if weights:  # the model's address is a path of this machine; the source is as it was given
        del options["model"], weights["model"]
    return {
        "name": rung.name,
        "about": rung.about,
        "below": rung.below,
        "options": options,
        **({"weights": weights} if weights else {}),
        "runs": [run.row() for run in runs],
        "diverged": ablation.lost(rung.name),
        ablation.figure[0]: ablation.mean(rung.name).as_json() if runs else None,
        "difference": gain.as_json() | noise if gain else None,
        "paper": rung.paper,
        "paper_difference": ablation.paper_difference(rung),
    }


ON_IMAGENET = "on ImageNet, with its own networks, batch and length of training"
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
    figure = f"{markdown.escaped(ablation.figure[1])}, mean and 95 % interval"
    head = ["rung", figure, "n", "difference to", "95 % interval", "", "the paper's", *SPEED]
    return "\n\n".join([*parts, markdown.table(head, rows), *_of_weights(ablation), *_notes(ablation)])


def as_table(ablation: Ablation) -> str:
    """Return the table for a terminal."""
    head = ["rung", ablation.figure[1], "n", "difference", "95 % interval", "", "the paper's"]
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
    if rung.paper is not None and ablation.ladder.target is not None:
        shown = f"{rung.paper:.2f}" + (f", {shown}" if shown else "")
    if not runs:
        return [rung.name, "", count, "", "", "diverged", shown, "", "", ""]
    mean, difference = ablation.mean(rung.name), ["", "", ""]
    if gain is not None:
        interval = f"{gain.low:+.2f} to {gain.high:+.2f}" if gain.known else ""
        own, other = (flat(ablation.options[name]) for name in (rung.name, rung.below or rung.name))
        verdict = "the same options on this hardware" if own == other else gain.verdict()
        difference = [f"{gain.mean:+.2f} to {rung.below}", interval, verdict]
    return [
        rung.name,
        f"{mean.mean:.2f} %" + (f" ({mean.low:.2f} to {mean.high:.2f})" if mean.known else ""),
        count,
        *difference,
        shown,
        f"{statistics.median(run.images_per_second for run in runs):,.0f}",
        f"{statistics.median(run.minutes_per_epoch for run in runs):.2f}",
        f"{max(run.peak_memory_gib for run in runs):.2f} GiB",
    ]


def _notes(ablation: Ablation) -> Iterator[str]:
    facts, one, target = ablation.newest, next(iter(ablation.cells.values())), ablation.ladder.target
    figure = markdown.escaped(ablation.figure[1])
    yield (
        f"{figure[0].upper()}{figure[1:]} is on {counted(one.images, 'validation image')} after the last epoch; nothing was "
        "chosen on them. Differences are paired: the rungs of one seed see the same images in the same order. Intervals are "
        "Student's over the seeds, for the differences over the pairs. Where the data has no validation split, each seed sets "
        "aside other images."
    )
    if ablation.diverged:
        yield (
            "A run counts as diverged when its loss becomes NaN or infinite. It is left out of mean and difference, which "
            "flatters its rung."
        )
    versions = ", ".join(f"{name} {number}" for name, number in facts.get("versions", {}).items())
    yield (
        f"{counted(facts.get('images', {}).get('train', 0), 'training image')}; {facts.get('hardware', 'unknown hardware')}; "
        f"Python {facts.get('python', '?')}, {versions}. The paper's {'figures' if target else 'differences'} are "
        f"{markdown.escaped(target.paper_on) if target else ON_IMAGENET}."
    )


def _of_weights(ablation: Ablation) -> Iterator[str]:
    """Yield what the rungs start from, where that is what they differ in."""
    weights = {rung.name: ablation.weights[rung.name] for rung in _ended(ablation) if rung.name in ablation.weights}
    if not weights:
        return
    head = ("rung", "network", "weights", "seed", "trained on", "epochs", "there")
    rows = [
        [rung, *("unknown" if found[key] is None else str(found[key]) for key in WEIGHTS)]
        for rung, found in weights.items()
    ]
    yield "What each rung starts from; the last column is what its own training came to:"
    yield markdown.table(head, [[markdown.escaped(cell) for cell in row] for row in rows])
    networks = dict.fromkeys(markdown.escaped(found["network"]) for found in weights.values())
    if len(networks) > 1:
        yield f"The networks differ ({and_list([*networks])}), which is a part of the differences between their rungs."
    if len({found["images"] for found in weights.values()}) > 1:
        yield "They were not all trained on the same images, or of some that is not known."
    yield (
        "Each rung has one set of weights: the intervals are those of fine-tuning, and what another training of the weights "
        "would have made of them is not in them."
    )
    if ablation.ladder.target is not None and ablation.ladder.target.remark:
        yield markdown.escaped(ablation.ladder.target.remark)


def ladder_figure(ablation: Ablation) -> Figure:
    """Return a picture of the accuracy by rung, and of the differences beside the paper's."""
    rungs = [rung for rung in ablation.ladder.rungs if ablation.runs(rung.name)]
    figure = new_figure(10, 1.6 + 0.42 * len(rungs))
    left, right = figure.subplots(1, 2, sharey=True)
    for y, rung in enumerate(rungs):
        values = [*ablation.scores(rung.name).values()]
        for k, value in enumerate(values):  # a ring for each seed; of equal ones each lies around the one before it
            left.plot([value], [y], "o", mec="C0", mfc="none", alpha=0.6, ms=8 + 3 * values[:k].count(value))
        _draw_estimate(left, y, ablation.mean(rung.name), "C0")
        if (gain := ablation.difference(rung)) is not None:
            _draw_estimate(right, y, gain, "grey" if gain.within_noise else "C0")
        if (paper := ablation.paper_difference(rung)) is not None:
            right.plot([paper], [y], "D", color="C1", ms=5, mfc="none")
    left.set_yticks(range(len(rungs)), [label(rung.name) for rung in rungs])
    left.set(xlabel=label(f"{ablation.figure[1]} (%)"), ylim=(-0.6, len(rungs) - 0.4))
    right.axvline(0, color="black", lw=0.8)
    where = ", on ImageNet" if ablation.ladder.target is None else ""
    right.set_xlabel(f"difference to the rung it stands on (points)\ndiamonds: the paper's{where}")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    title = f"{ablation.ladder.about or ablation.ladder.name}: rings are seeds, bars 95 % intervals"
    figure.suptitle(label(title), fontsize=11)
    return figure


def _draw_estimate(axes: Any, y: float, found: Estimate, colour: str) -> None:
    reach = None if not found.known else [[found.mean - found.low], [found.high - found.mean]]
    axes.errorbar([found.mean], [y], xerr=reach, fmt="s", color=colour, ms=6, capsize=3)
