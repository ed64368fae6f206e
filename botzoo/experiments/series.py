"""Many runs in one folder: finished ones are kept, one that was cut short goes on, the others begin.

So a command that trains many times goes on where it was when it is given again. Each run is an ordinary one in a folder of
its own; cell.json in it says what it came to, and while there is none, the run is not finished.
"""

from __future__ import annotations

import gc
import logging
import re
import shutil
import statistics
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from accelerate import Accelerator

from botzoo.errors import ConfigError, DataError, DivergedError, StoppedError
from botzoo.experiments.register import Register
from botzoo.options.command_line import load_config
from botzoo.options.config import TrainConfig
from botzoo.options.facts import with_values
from botzoo.recipes import Options
from botzoo.report.compare import NAME, write_where_comparable
from botzoo.results.record import RunRecord
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import from_main, on_main
from botzoo.training.recording.folder import working_in
from botzoo.training.run import train
from botzoo.training.state import Run
from botzoo.util.files import parse_json, read_sealed, write_json
from botzoo.util.nested import flat
from botzoo.util.text import brief, duration

log = logging.getLogger("botzoo")

ConfigT = TypeVar("ConfigT", bound=TrainConfig)

MakeCallbacks = Callable[[ConfigT], list[Callback]]
"""Given the options of a run, returns its callbacks, new ones for each."""

RECORD = "cell.json"


@dataclass(frozen=True)
class Outcome:
    """What a finished run came to: figures in per cent, times in seconds, memory in bytes."""

    options: Options  # that are its own, by dotted name
    figure: str  # what chooses the epoch, such as top-1
    key: str  # its name in files, such as top1
    score: float  # that figure, of the kept weights
    correct: int | None  # images, which top1 is the share of; None of other figures
    images: int
    split: str  # role of those images, "test" or "validation"
    best_epoch: int  # whose weights were kept, counted from 1; 0 where those that the run started from are
    validation: list[float]  # the figure on the validation images after each epoch
    last: dict[str, Any]  # the whole line of metrics.jsonl after the last epoch
    set_aside: bool  # whether the validation images were taken from the training images
    split_seed: int  # by which that was done
    stopped: bool  # before its last step
    epochs: float  # planned
    seconds: float
    images_per_second: float  # median over the training steps
    peak_memory_bytes: int  # in use by the main process, or on its GPU
    identity: Any  # what tells its images from others; see ``Series``
    facts: dict[str, Any]  # hardware, python, versions, images and fingerprints, as in run.json

    @classmethod
    def of(cls, record: RunRecord, own: Options, split_seed: int, identity: Any) -> Outcome:
        """Return what the folder of a finished run says."""
        facts, evaluation, validation = record.facts, record.evaluation, record.of("validation")
        headline = record.task.headline
        return cls(
            options=own,
            figure=headline.figure,
            key=headline.key,
            score=evaluation.score,
            correct=getattr(evaluation, "correct", None),
            images=len(evaluation),
            split=record.split,
            best_epoch=facts["best_epoch"],
            validation=[line[headline.key] for line in validation],
            last=validation[-1],
            set_aside=facts["data"]["set_aside"],
            split_seed=split_seed,
            stopped=facts["steps"] < facts["schedule"]["total_steps"],
            epochs=facts["schedule"]["epochs"],
            seconds=facts["seconds"],
            images_per_second=statistics.median(line["images_per_second"] for line in record.of("train")),
            peak_memory_bytes=facts["peak_memory_bytes"],
            identity=identity,
            facts={key: facts[key] for key in ("hardware", "python", "versions", "images", "fingerprints")},
        )

    def row(self) -> dict[str, Any]:
        """Return what a report says of it, the figure by its own name."""
        inner = ("options", "figure", "key", "score", "identity", "facts", "last")
        others = {key: value for key, value in asdict(self).items() if key not in inner}
        return {"options": self.options, self.key: self.score} | others


@dataclass(frozen=True)
class Failure:
    """A run whose loss became NaN or infinite: the options that are its own, and what was said."""

    options: Options
    diverged: str

    def row(self) -> dict[str, Any]:
        """Return what a report says of it."""
        return asdict(self)


def fingerprints(run: Run) -> dict[str, str]:
    """Return what tells the images of a run from others: the SHA-256 of each split."""
    return {role: images.fingerprint for role, images in run.images.items()}


class SameImages(Callback):
    """Refuses a run on other images than the ``finished`` ones; those of another seed may be split in another way."""

    identity: Any = None

    def __init__(self, identify: Callable[[Run], Any], finished: Iterable[Outcome]) -> None:
        self.identify, self.finished = identify, finished

    def on_setup(self, run: Run) -> None:
        """Raise DataError where the images are not those of the finished runs."""
        self.identity = self.identify(run)
        seed = run.config.split_seed
        if any(other.identity != self.identity for other in self.finished if other.split_seed == seed):
            where = f"The images of {run.config.dataset} have changed since the runs before this one (by SHA-256)"
            raise DataError(f"{where}: put them back, or begin anew in another --output.")


@dataclass
class Series(Generic[ConfigT]):
    """A folder of runs, and what is known of them so far."""

    name: str  # of what is compared: a ladder's, or "folds", "seeds" or "search"
    config: ConfigT  # of every run, besides its own options
    folder: Path  # where the runs are
    command: str  # as typed
    accelerator: Accelerator  # any of this process
    make_callbacks: MakeCallbacks[ConfigT]
    given: Collection[str] = ()  # names of the options that the user gave; others may give way
    identify: Callable[[Run], Any] = fingerprints  # tells images from others; the same for all runs that one seed split
    ended: dict[str, Outcome | Failure] = field(default_factory=dict)  # by the path of their folder in this one

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """The finished runs by name."""
        return {name: end for name, end in self.ended.items() if isinstance(end, Outcome)}

    @property
    def failures(self) -> dict[str, Failure]:
        """The runs that diverged, by name."""
        return {name: end for name, end in self.ended.items() if isinstance(end, Failure)}

    @contextmanager
    def opened(
        self,
        register: Register,
        parts: dict[str, Options],
        precision: str,
        begun: Callable[[str], bool],
        pattern: str,
    ) -> Iterator[dict[str, Options]]:
        """Make or take up the folder, in which this process works alone until it leaves; give the options as claimed.

        ``pattern`` is that of the paths of the runs, see ``finished``; for the others see ``Register.claim``.

        Raises:
            ConfigError: the folder holds something else, or another process is at work in it.
        """
        on_main(self.accelerator, lambda: register.make_folder(self.folder))
        with working_in(self.folder, self.accelerator):
            claim = partial(register.claim, self.folder, self.name, parts, precision, begun)
            claimed = from_main(self.accelerator, claim)
            self.ended = from_main(
                self.accelerator, lambda: {name: _ended(self.folder / name) for name in finished(self.folder, pattern)}
            )
            yield claimed

    def train(
        self,
        titles: Mapping[str, str],
        options_of: Callable[[str], Options],
        report: Callable[[], object],
        callbacks_of: Callable[[str], Sequence[Callback]] = lambda name: (),
    ) -> None:
        """Train those runs that are missing, and report after each.

        Args:
            titles: by the path of each run in the folder, what the log calls it.
            options_of: given a path, returns the options that are its own, by dotted name; asked when its turn has come.
            report: called on the main process.
            callbacks_of: given a path, returns callbacks besides those that all runs have.

        Raises:
            DivergedError: every one of them diverged.
            StoppedError: SIGINT or SIGTERM came; the run's checkpoint is written.
            BotzooError: see ``botzoo.training.run.train``.
        """
        missing, total, began = [name for name in titles if name not in self.ended], len(titles), time.perf_counter()
        log.info("%s: %d runs in %s, %d of them done", self.name, total, self.folder, total - len(missing))
        for k, name in enumerate(missing):
            left = f"; about {duration((time.perf_counter() - began) / k * (len(missing) - k))} left" if k else ""
            log.info("")
            log.info("run %d of %d: %s%s", total - len(missing) + k + 1, total, titles[name], left)
            self._train(name, titles[name], options_of(name), report, callbacks_of(name))
            gc.collect()  # the next run's memory is measured without what this one held
            if self.accelerator.device.type == "cuda":
                torch.cuda.empty_cache()
        if not missing:
            on_main(self.accelerator, report)
        if not self.outcomes:
            raise DivergedError(f"Every run diverged; the first: {next(iter(self.failures.values())).diverged}")
        log.info("")
        folders = [self.folder / name for name in titles if name in self.outcomes]
        on_main(self.accelerator, lambda: write_where_comparable(folders, self.folder / NAME))

    def _train(
        self, name: str, title: str, own: Options, report: Callable[[], object], callbacks: Sequence[Callback]
    ) -> None:
        """Train one run, or go on with it where it was cut short, note what it came to, and report."""
        place = self.folder / name
        resumes = from_main(self.accelerator, lambda: half_done(place))
        config = with_values(self.config, {**own, "output": str(place), "keep_checkpoints": 1})
        if resumes:
            config = load_config(place / "config.yaml", type(config), config.dataset)
        same = SameImages(self.identify, self.outcomes.values())
        try:
            train(
                config,
                [same, *self.make_callbacks(config), *callbacks],
                given={*self.given, *flat(own)},
                command=self.command,
                resume=place if resumes else None,
            )
        except DivergedError as error:
            log.warning("%s diverged and counts as such: %s", title, error)
            self.ended[name] = Failure(own, str(error))
        except StoppedError as stopped:
            # the cure of the run itself would go on with this run alone
            again = f"Finished runs are kept; go on with the same command: {self.command}"
            raise StoppedError(stopped.message, stopped.exit_status, cure=again) from stopped
        else:
            self.ended[name] = from_main(
                self.accelerator, lambda: Outcome.of(RunRecord.load(place), own, config.split_seed, same.identity)
            )

        def close() -> None:  # in this order, so that a kill in between loses nothing
            write_json(place / RECORD, asdict(self.ended[name]), seal=True)
            report()
            shutil.rmtree(place / "checkpoints", ignore_errors=True)

        on_main(self.accelerator, close)

    def write(self, file: str, values: dict[str, Any], names: Iterable[str]) -> None:
        """Write a report into the folder, with what has to be known to repeat it, and the runs of ``names``."""
        head = {"command": self.command, "dataset": self.config.dataset, "model": self.config.model}
        facts = next(iter(self.outcomes.values())).facts if self.outcomes else {}
        where = {key: facts.get(key) for key in ("hardware", "python", "versions", "images")}
        runs = [{"run": name, **self.ended[name].row()} for name in names if name in self.ended]
        diverged = {"diverged": list(self.failures)}
        write_json(self.folder / file, head | values | diverged | {"runs": runs} | where)


def finished(folder: Path, pattern: str) -> list[str]:
    """Return the paths in ``folder`` of the runs that have ended, such as fold-1; copies such as fold-1-before are none."""
    places = (record.parent for record in folder.glob(f"{pattern}/{RECORD}"))
    found = (place.relative_to(folder).as_posix() for place in places if re.fullmatch(r"\w+-\d+", place.name, re.ASCII))
    return sorted(found, key=lambda name: (name.rpartition("-")[0], int(name.rpartition("-")[2])))


def half_done(place: Path) -> bool:
    """Tell whether a run was cut short in ``place`` after it had begun; what began before that is taken up by the next one."""
    return (place / "config.yaml").exists()


def _ended(place: Path) -> Outcome | Failure:
    try:
        values = parse_json(read_sealed(place / RECORD))
        return Failure(**values) if "diverged" in values else Outcome(**values)
    except (ValueError, TypeError, OSError) as error:
        cure = "put it back, or remove its folder to train that run again"
        raise ConfigError(f"{place / RECORD} is damaged ({brief(error)}): {cure}.") from error
