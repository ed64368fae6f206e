"""What --folds, --seeds and --search have in common: a folder of ordinary runs, each finished, taken up or begun."""

from __future__ import annotations

import json
import logging
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from botzoo.errors import ConfigError, DivergedError
from botzoo.experiments.report import Estimate, accuracy, estimate_json
from botzoo.experiments.series import Register, check_images, close, one_by_one, read_record, train_one
from botzoo.options.command_line import made
from botzoo.options.config import MOST_RUNS
from botzoo.options.facts import check
from botzoo.recipes import Options, merged
from botzoo.results.recipe import without_machine
from botzoo.results.report import describe
from botzoo.training.distributed import from_main, make_accelerator, on_main
from botzoo.training.folder import usual_name, working_in
from botzoo.training.run import Result
from botzoo.training.setup import Settled, Transfer, preflight
from botzoo.util.files import write_json
from botzoo.util.nested import nested
from botzoo_finetune.config import FinetuneConfig

log = logging.getLogger("botzoo")

MakeTransfer = Callable[[FinetuneConfig], Transfer]

REGISTER = Register("options.json", "command", "runs", "its {} have")


@dataclass(frozen=True)
class Outcome:
    """What a finished run came to.

    Attributes:
        options: those that are its own, by dotted name.
        top1: accuracy of the kept weights in per cent.
        correct, images: of which it is the share.
        split: the role of those images, "test" or "validation".
        best_epoch: the epoch that the weights are of, from 1 on.
        validation: top-1 on the validation images after each epoch, in per cent.
        set_aside: whether those were taken from the training images.
        stopped: whether it ended before its last step.
        epochs: it was planned for.
        seconds: it took.
        identity: of its images, see ``Several.identify``.
    """

    options: Options
    top1: float
    correct: int
    images: int
    split: str
    best_epoch: int
    validation: tuple[float, ...]
    set_aside: bool
    stopped: bool
    epochs: float
    seconds: float
    identity: Any


@dataclass(frozen=True)
class Failure:
    """A run whose loss became NaN or infinite: the options that are its own, and what was said."""

    options: Options
    diverged: str


@dataclass
class Several:
    """A folder of runs, and what is known of them so far.

    Attributes:
        mode: why there are several: "folds", "seeds" or "search".
        config: of every run, besides its own options.
        folder: where the runs are.
        command: as typed.
        accelerator: any of this process.
        transfer: given the options of a run, returns what transfer learning adds.
        identify: returns what tells the images of a run from others; the same for all runs of the folder.
        ended: the finished runs and those that diverged, by the names of their folders.
        epochs: of the run at work.
    """

    mode: str
    config: FinetuneConfig
    folder: Path
    command: str
    accelerator: Accelerator
    transfer: MakeTransfer
    identify: Callable[[Settled], Any]
    ended: dict[str, Outcome | Failure] = field(default_factory=dict)
    epochs: float = 0.0

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """The finished runs by name."""
        return {name: end for name, end in self.ended.items() if isinstance(end, Outcome)}

    @property
    def failures(self) -> dict[str, Failure]:
        """The runs that diverged, by name."""
        return {name: end for name, end in self.ended.items() if isinstance(end, Failure)}

    def train(
        self,
        names: Sequence[str],
        options_of: Callable[[str], Options],
        report: Callable[[], object],
        carry_on: Callable[[str, list[float]], bool] = lambda name, accuracies: True,
    ) -> None:
        """Train those runs of ``names`` that are missing, and report after each.

        Args:
            names: of the folders of all runs.
            options_of: given a name, returns the options that are its own, by dotted name; asked when its turn has come.
            report: called on the main process.
            carry_on: see ``botzoo.training.run.train``; is given the name of the run too.

        Raises:
            DivergedError: every one of them diverged.
            BotzooError: see ``botzoo.experiments.series.train_one``.
        """
        missing = [name for name in names if name not in self.ended]
        log.info("%s: %d runs in %s, %d of them done", self.mode, len(names), self.folder, len(names) - len(missing))

        def work(name: str) -> None:
            self._train(name, options_of(name), report, partial(carry_on, name))

        one_by_one(missing, len(names), _title, work, self.accelerator)
        if not missing:
            on_main(self.accelerator, report)
        if not self.outcomes:
            first = next(iter(self.failures.values()))
            raise DivergedError(f"Every run diverged; the first: {first.diverged}")
        log.info("")

    def _train(
        self, name: str, own: Options, report: Callable[[], object], carry_on: Callable[[list[float]], bool]
    ) -> None:
        """Train one run, write its card, and record it."""
        place = self.folder / name
        config = varied(self.config, own | {"output": str(place), "keep_checkpoints": 1})
        ended = train_one(
            _title(name),
            config,
            self.accelerator,
            self.command,
            transfer=self.transfer,
            approve=self._approve,
            carry_on=carry_on,
        )
        if isinstance(ended, DivergedError):
            self.ended[name] = Failure(own, str(ended))
        else:
            self.ended[name] = _outcome(own, ended, self.identify(ended.job))
            on_main(self.accelerator, partial(describe, ended.job.folder))
        on_main(self.accelerator, lambda: close(place, asdict(self.ended[name]), report))

    def _approve(self, settled: Settled) -> None:
        self.epochs = settled.epochs
        for outcome in self.outcomes.values():
            check_images(self.config.dataset, self.identify(settled), outcome.identity)

    def read(self, prefix: str) -> dict[str, Outcome | Failure]:
        """Take up the runs that are finished, such as PREFIX-1, and no copies of them; return them by name."""
        for place in sorted(self.folder.glob(f"{prefix}-*")):
            if re.fullmatch(rf"{prefix}-\d+", place.name, re.ASCII):
                read_record(place, partial(self._take_up, place.name))
        return self.ended

    def _take_up(self, name: str, values: dict[str, Any]) -> None:
        if "diverged" in values:
            self.ended[name] = Failure(**values)
        else:
            self.ended[name] = Outcome(**values | {"validation": tuple(values["validation"])})

    def write(self, name: str, values: dict[str, Any]) -> None:
        """Write a report into the folder, with what has to be known to repeat it."""
        outcome = next(iter(self.outcomes), None)
        facts = json.loads((self.folder / outcome / "run.json").read_text(encoding="utf-8")) if outcome else {}
        where = {key: facts.get(key) for key in ("hardware", "python", "versions", "images")}
        head = {"command": self.command, "dataset": self.config.dataset, "model": self.config.model}
        write_json(self.folder / name, head | values | where)


def _title(name: str) -> str:
    return name.replace("-", " ")


def _outcome(own: Options, result: Result, identity: Any) -> Outcome:
    job, evaluation = result.job, result.evaluation
    return Outcome(
        options=own,
        top1=evaluation.top1,
        correct=evaluation.correct,
        images=len(evaluation),
        split=result.split,
        best_epoch=result.best_epoch,
        validation=tuple(row["top1"] for row in job.history.of("validation")),
        set_aside=job.data.set_aside,
        stopped=result.steps < job.schedule.total_steps,
        epochs=job.epochs,
        seconds=result.facts["seconds"],
        identity=identity,
    )


def fingerprints(settled: Settled) -> dict[str, str]:
    """Return what tells the images of a run from others: the SHA-256 of each split."""
    return {role: split.fingerprint for role, split in settled.images.items()}


def varied(config: FinetuneConfig, own: Options) -> FinetuneConfig:
    """Return ``config`` with the options ``own``, which are by dotted name.

    Raises:
        ConfigError: one of them is out of its range.
    """
    return made(merged(asdict(config), nested(own)), FinetuneConfig)


@contextmanager
def several(
    mode: str,
    prefix: str,
    config: FinetuneConfig,
    command: str,
    transfer: MakeTransfer,
    *,
    first: Options,
    fixed: Mapping[str, Any] | None = None,
    identify: Callable[[Settled], Any] = fingerprints,
) -> Iterator[Several]:
    """Open the folder of several runs, which this process works in alone until it leaves.

    Args:
        mode: why there are several, as the flag that asks for it is called.
        prefix: what the names of their folders begin with.
        config: of every run, besides its own options; --output is the folder.
        command, transfer, identify: see ``Several``.
        first: own options of one of the runs, by which all of them are tried out.
        fixed: what else the runs of one folder have in common.

    Raises:
        ConfigError: an option makes no sense here, or the folder holds something else.
        BotzooError: what a run would raise before it reads its images.
    """
    _refuse(mode, config)
    accelerator, precision = make_accelerator(config)
    usual = usual_name(config)
    folder = Path(config.output).expanduser() if config.output else usual.with_name(f"{usual.name}-{mode}")
    probe = varied(config, first)
    preflight(probe, accelerator, transfer(probe))
    on_main(accelerator, lambda: REGISTER.make_folder(folder))
    with working_in(folder, accelerator):
        part = f"{prefix}s"
        options = {part: without_machine(asdict(config)) | dict(fixed or {})}
        claimed = from_main(
            accelerator,
            lambda: REGISTER.claim(folder, mode, options, precision.name, lambda _: any(folder.glob(f"{prefix}-*"))),
        )
        config = replace(config, mixed_precision=claimed[part]["mixed_precision"])
        runs = Several(mode, config, folder, command, accelerator, transfer, identify)
        runs.ended = from_main(accelerator, lambda: runs.read(prefix))
        yield runs


def _refuse(mode: str, config: FinetuneConfig) -> None:
    """Raise ConfigError where an option makes no sense for several runs."""
    check(config.budget is None, "budget", config.budget, "left out: it is for one run; give --epochs or --steps")
    check(config.batch_size != "auto", "batch_size", config.batch_size, "a number: the same for every run")
    publish = "left out: publish the run that you like with botzoo publish"
    check(config.push_to is None, "push_to", config.push_to, publish)
    check(config.data.fold is None, "data.fold", config.data.fold, f"left out beside --{mode}")


def count(mode: str, text: str, least: int) -> int:
    """Return the number behind the flag of a mode.

    Raises:
        ConfigError: it is none, less than ``least``, or more than ``MOST_RUNS``.
    """
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
    if not least <= number <= MOST_RUNS:
        raise ConfigError(f"--{mode} is {text!r}: it must be a whole number of {least} or more, up to {MOST_RUNS:,}.")
    return number


def spread(runs: Sequence[Outcome]) -> dict[str, Any]:
    """Return mean top-1 in per cent with its 95 % interval by Student's t, standard deviation, lowest and highest."""
    values = [run.top1 for run in runs]
    deviation = statistics.stdev(values) if len(values) > 1 else None
    ends = {"lowest": min(values), "highest": max(values)}
    return estimate_json(accuracy(runs)) | {"standard_deviation": deviation} | ends


def spread_words(runs: Sequence[Outcome]) -> str:
    """Return the same in words."""
    found, values = accuracy(runs), [run.top1 for run in runs]
    ends = f"{min(values):.2f} to {max(values):.2f} %"
    deviation = f", standard deviation {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{found.mean:.2f} %{interval_words(found)}{deviation}; {ends}"


def interval_words(found: Estimate) -> str:
    """Return the 95 % interval of a mean in words, or why there is none."""
    if found.known:
        return f" (95 % interval {found.low:.2f} to {found.high:.2f}, Student's t, n = {found.n})"
    return " (one run: noise unknown)" if found.n == 1 else f" ({found.n} equal runs: noise unknown)"


def rows_json(runs: Several, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what is known of each of the runs that have ended, for other programs."""
    ended = {name: asdict(runs.ended[name]) for name in names if name in runs.ended}
    return [{"run": name, **{k: v for k, v in values.items() if k != "identity"}} for name, values in ended.items()]


def log_table(heading: str, rows: Sequence[Sequence[str]]) -> None:
    """Log a table, the first row of which names its columns."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for i, row in enumerate(rows):
        cells = "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        log.info("%-10s %s", "" if i else heading, cells)


def log_lines(heading: str, lines: Iterator[str]) -> None:
    """Log lines under one heading."""
    for i, line in enumerate(lines):
        log.info("%-10s %s", "" if i else heading, line)
