"""Several runs side by side, on the images that all of them were evaluated on."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from botzoo.errors import ConfigError, DataError
from botzoo.options.facts import without_machine
from botzoo.pages.charts import Series, line_chart
from botzoo.pages.render import render
from botzoo.report.material import Material, of_folder
from botzoo.report.mistakes import Album, Shown
from botzoo.report.page import HERE, MAKER, check_replaceable, not_shown
from botzoo.results.record import RunRecord
from botzoo.results.words import dense_words
from botzoo.util.files import write_text
from botzoo.util.nested import flat
from botzoo.util.text import brief, counted, duration

log = logging.getLogger("botzoo")

NAME = "comparison.html"
MOST = 50  # runs on a page
DRAWN = 10  # runs whose curves are drawn: there are as many colours
CHANGED = 12  # images that one run has right and another wrong


class Discordant(NamedTuple):
    """How two networks answered the same images."""

    both: int  # right
    gained: int  # wrong in the first, right in the second
    lost: int  # the other way round
    neither: int

    @property
    def p_value(self) -> float:
        """Of McNemar's test in its exact form: how likely so unequal numbers gained and lost are if neither is better.

        Q. McNemar, *Note on the sampling error of the difference between correlated proportions*, Psychometrika 12, 1947: of
        the images on which they differ, half would be gained.
        """
        from scipy.stats import binomtest

        differing = self.gained + self.lost
        return float(binomtest(self.gained, differing).pvalue) if differing else 1.0


@dataclass(frozen=True)
class Against:
    """A run against the first one, on the images that all have.

    Attributes:
        name: that no other of the runs has.
        score: the headline figure, in per cent.
        gain, low, high: by how many points it is above that of the first, with its 95 % interval, paired over the images.
        discordant: where each image has one label, else None.
    """

    record: RunRecord
    name: str
    score: float
    gain: float = 0.0
    low: float = 0.0
    high: float = 0.0
    discordant: Discordant | None = None

    @property
    def words(self) -> str:
        """Which of the two is better, as far as the images tell."""
        if self.low <= 0 <= self.high:
            return "no clear difference"
        return "better" if self.gain > 0 else "worse"


@dataclass(frozen=True)
class Comparison:
    """Runs on the same images.

    Attributes:
        runs: the first is what the others are compared with.
        rows: of each run, which of its images these are, shape (N,), in one order.
    """

    runs: Sequence[Against]
    rows: Sequence[NDArray[np.int64]]

    @property
    def images(self) -> int:
        """How many images all runs were evaluated on."""
        return len(self.rows[0])


def compare(records: Sequence[RunRecord]) -> Comparison:
    """Compare runs with the first of them, on the images that all were evaluated on, by their names.

    Raises:
        ConfigError: there are fewer than two runs, or more than ``MOST``.
        DataError: their tasks or classes differ, or they share no image, or an image has another label in one.
    """
    if not 2 <= len(records) <= MOST:
        raise ConfigError(f"{counted(len(records), 'run')} cannot be compared: give 2 to {MOST}.")
    first = records[0]
    for other in records[1:]:
        if (other.task, other.class_names) != (first.task, first.class_names):
            raise DataError(f"{other.folder} tells other classes apart than {first.folder}: they cannot be compared.")
    rows = _shared(records)
    parts = [_part(record, which) for record, which in zip(records, rows, strict=True)]
    for record, part in zip(records[1:], parts[1:], strict=True):
        if not _same(first, part, parts[0]):
            raise DataError(
                f"Images of {record.folder} have other labels in {first.folder}: these are other data sets."
            )
    names = names_of(records)
    runs = [Against(first, names[0], parts[0].score)]
    others = zip(records[1:], names[1:], parts[1:], strict=True)
    return Comparison([*runs, *(_against(record, name, parts[0], part) for record, name, part in others)], rows)


def _same(record: RunRecord, one: Any, other: Any) -> bool:
    """Tell whether two evaluations of a run's images are of the same labels."""
    if record.task.whole_image:
        return np.array_equal(one.labels, other.labels)
    return dense_words(record).same(one, other)


def names_of(records: Sequence[RunRecord]) -> list[str]:
    """Return the names of the runs, or where two are alike the paths of their folders from the one that all are in."""
    names = [str(record.facts["name"]) for record in records]
    if len(set(names)) == len(names):
        return names
    folders = [record.folder.resolve() for record in records]
    above = os.path.commonpath([folder.parent for folder in folders])
    return [folder.relative_to(above).as_posix() for folder in folders]


def answers_of(folder: Path) -> RunRecord:
    """Return the record of a run without what takes much memory and is of no use to a comparison.

    Raises:
        BotzooError: as of ``RunRecord.load``.
    """
    record = RunRecord.load(folder)
    kept = {name: values for name, values in record.evaluation.answers.items() if name not in record.task.optional}
    return replace(record, evaluation=record.task.evaluation(kept), held_out=None)


def _shared(records: Sequence[RunRecord]) -> list[NDArray[np.int64]]:
    """Return the rows of the images that all runs have, in the order of the first."""
    places = {name: i for i, name in enumerate(records[0].image_names)}
    rows = np.full((len(records), len(records[0].image_names)), -1)
    for found, record in zip(rows, records, strict=True):
        for i, name in enumerate(record.image_names):
            if (place := places.get(name)) is not None:
                found[place] = i
    if not (shared := (rows >= 0).all(0)).any():
        folders = ", ".join(str(record.folder) for record in records)
        raise DataError(f"{folders} were evaluated on no image in common: give runs on the same images.")
    return [*rows[:, shared]]


def _part(record: RunRecord, rows: NDArray[np.int64]) -> Any:
    """Return the evaluation of some of the images of a run, the groups of which are numbered anew: some may have no image."""
    answers = {name: values[rows] for name, values in record.evaluation.answers.items()}
    if "group" in answers:
        answers["group"] = np.unique(answers["group"], return_inverse=True)[1]
    return record.task.evaluation(answers)


def _against(record: RunRecord, name: str, first: Any, second: Any) -> Against:
    discordant = None
    if record.task.one_label:
        was, now = (each.predicted == each.labels for each in (first, second))
        counts = ((was & now), (~was & now), (was & ~now), (~was & ~now))
        discordant = Discordant(*(int(which.sum()) for which in counts))
    gain, low, high = second.gain(first)
    return Against(record, name, second.score, gain, low, high, discordant)


def write_comparison(records: Sequence[RunRecord], path: Path, dataset: Any = None, *, overwrite: bool = False) -> None:
    """Write the page that compares runs; arguments and errors as of ``compare``, ``of_folder`` and ``write_report``."""
    check_replaceable(path, overwrite=overwrite)
    found = compare(records)
    write_text(path, page(found, of_folder(records[0], dataset)))


def write_where_comparable(folders: Sequence[Path], path: Path) -> None:
    """Write the page that compares the runs of a series, where they share images and wrote pages themselves.

    A failure costs the series nothing but the page.
    """
    try:
        records = [answers_of(folder) for folder in folders[:MOST]]
        if len(records) > 1 and records[0].config.report:
            write_comparison(records, path)
            if len(folders) > MOST:
                log.info("%s compares the first %d of %d runs", path, MOST, len(folders))
    except DataError:
        return  # such as folds, each of which was evaluated on other images
    except Exception as error:  # whatever images and libraries may raise
        log.warning("%s was not written (%s); all else is.", path, brief(error))


def page(found: Comparison, material: Material) -> str:
    """Return the comparison as HTML; ``material`` is that of the first run."""
    headline, album = found.runs[0].record.task.headline, Album(found.runs[0].record, material.evaluated)
    images = list(changed(found, album))
    return render(
        HERE / "compare.html",
        title=f"{counted(len(found.runs), 'run')} on {found.runs[0].record.facts['data']['title']}",
        maker=MAKER,
        found=found,
        headline=headline,
        curves=curves([run.record for run in found.runs]),
        named=[run.name for run in found.runs[:DRAWN]],
        differing=differing([run.record for run in found.runs]),
        changed=images,
        remarks=[*material.absent, *not_shown(album)] if any(number for _, _, number, _ in images) else [],
        duration=duration,
    )


def curves(records: Sequence[RunRecord]) -> Markup:
    """Return the headline figure of the runs over their epochs, of the first ``DRAWN`` of them."""
    headline, lines = records[0].task.headline, []
    for record in records[:DRAWN]:
        seen, each = record.of("validation"), record.facts["schedule"]["steps_per_epoch"]
        lines.append(Series("", [one["step"] / each for one in seen], [float(one[headline.key]) for one in seen]))
    return line_chart(
        f"Validation {headline.measure} of the runs", lines, "epoch", f"{headline.figure} (%)", size=(640, 320)
    )


def differing(records: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """Return the options that are not the same in all runs, with the value in each."""
    options = [flat(without_machine(record.options)) for record in records]
    names = [*dict.fromkeys(name for each in options for name in each)]
    values = [(name, [str(each.get(name, "-")) for each in options]) for name in names]
    return [(name, each) for name, each in values if len(set(each)) > 1]


def changed(found: Comparison, album: Album) -> Iterator[tuple[str, str, int, list[Shown]]]:
    """Yield the images that a run has right and the first wrong, then the others: its name, which, how many, the first few."""
    first = found.runs[0].record
    if not first.task.one_label:
        return
    was = (first.evaluation.predicted == first.evaluation.labels)[found.rows[0]]
    for run, rows in zip(found.runs[1:], found.rows[1:], strict=True):
        seen = run.record.evaluation
        now = (seen.predicted == seen.labels)[rows]
        for what, which in (("gained", ~was & now), ("lost", was & ~now)):
            some = np.flatnonzero(which)[:CHANGED].tolist()
            shown = []
            for k in some:
                answer = run.record.class_names[int(seen.predicted[rows[k]])]
                shown.append(album.small(int(found.rows[0][k]))._replace(reason=answer))
            yield run.name, what, int(which.sum()), shown
