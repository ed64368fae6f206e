"""Many runs in one folder: finished ones are kept, one that was cut short goes on, the others begin.

So a command that trains many times goes on where it was when it is given again. Each run is an ordinary one in a folder of
its own; cell.json in it says what it came to, and while there is none, the run is not finished.
"""

from __future__ import annotations

import gc
import json
import logging
import re
import shutil
import statistics
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from accelerate import Accelerator

from botzoo.errors import ConfigError, DataError, DivergedError, StoppedError
from botzoo.experiments.register import Register
from botzoo.options.accepted import MOST_RUNS
from botzoo.options.command_line import load_config
from botzoo.options.config import TrainConfig
from botzoo.options.facts import check as check_option
from botzoo.options.facts import with_values, without_machine
from botzoo.recipes import Options
from botzoo.results.record import RunRecord
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import from_main, make_accelerator, on_main
from botzoo.training.recording.folder import usual_name, working_in
from botzoo.training.run import train
from botzoo.training.setup import check
from botzoo.training.state import Run
from botzoo.util.files import write_json
from botzoo.util.nested import flat
from botzoo.util.text import duration

log = logging.getLogger("botzoo")

ConfigT = TypeVar("ConfigT", bound=TrainConfig)

MakeCallbacks = Callable[[ConfigT], list[Callback]]
"""Given the options of a run, returns its callbacks, new ones for each."""

RECORD = "cell.json"


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
        last: the whole line of metrics.jsonl after the last epoch.
        set_aside: whether the validation images were taken from the training images.
        split_seed: by which that was done.
        stopped: whether it ended before its last step.
        epochs: it was planned for.
        seconds: it took.
        images_per_second: median over the training steps.
        peak_memory_bytes: the most in use by the main process, or on its GPU.
        identity: what tells its images from others; see ``Series``.
        facts: hardware, python, versions, images and fingerprints, as in run.json.
    """

    options: Options
    top1: float
    correct: int
    images: int
    split: str
    best_epoch: int
    validation: list[float]
    last: dict[str, Any]
    set_aside: bool
    split_seed: int
    stopped: bool
    epochs: float
    seconds: float
    images_per_second: float
    peak_memory_bytes: int
    identity: Any
    facts: dict[str, Any]

    @classmethod
    def of(cls, record: RunRecord, own: Options, split_seed: int, identity: Any) -> Outcome:
        """Return what the folder of a finished run says."""
        facts, evaluation, validation = record.facts, record.evaluation, record.of("validation")
        return cls(
            options=own,
            top1=evaluation.top1,
            correct=evaluation.correct,
            images=len(evaluation),
            split=record.split,
            best_epoch=facts["best_epoch"],
            validation=[line["top1"] for line in validation],
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


@dataclass(frozen=True)
class Failure:
    """A run whose loss became NaN or infinite: the options that are its own, and what was said."""

    options: Options
    diverged: str


def fingerprints(run: Run) -> dict[str, str]:
    """Return what tells the images of a run from others: the SHA-256 of each split."""
    return {role: images.fingerprint for role, images in run.images.items()}


class SameImages(Callback):
    """Refuses to compare runs on different images; those of another seed may be split in another way.

    Args:
        identify: returns what tells the images of a run from others.
        finished: the runs before it.
    """

    identity: Any = None

    def __init__(self, identify: Callable[[Run], Any], finished: Iterable[Outcome]) -> None:
        self.identify, self.finished = identify, finished

    def on_setup(self, run: Run) -> None:
        """Raise DataError where the images are not those of the finished runs."""
        self.identity = self.identify(run)
        seed = run.config.split_seed
        if any(other.identity != self.identity for other in self.finished if other.split_seed == seed):
            raise DataError(
                f"The images of {run.config.dataset} have changed since the runs that this one is compared with (their "
                "SHA-256 differ): put them back, or begin anew in another --output."
            )


@dataclass
class Series(Generic[ConfigT]):
    """A folder of runs, and what is known of them so far.

    Attributes:
        name: of what is compared: a ladder's, or "folds", "seeds" or "search".
        config: of every run, besides its own options.
        folder: where the runs are.
        command: as typed.
        accelerator: any of this process.
        make_callbacks: given the options of a run, returns its callbacks.
        given: names of the options that the user gave; others may give way.
        identify: returns what tells the images of a run from others; the same for all runs that split them by one seed.
        ended: the finished runs and those that diverged, by the path of their folder in this one.
    """

    name: str
    config: ConfigT
    folder: Path
    command: str
    accelerator: Accelerator
    make_callbacks: MakeCallbacks[ConfigT]
    given: Collection[str] = ()
    identify: Callable[[Run], Any] = fingerprints
    ended: dict[str, Outcome | Failure] = field(default_factory=dict)

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

        Args:
            register, parts, precision, begun: see ``Register.claim``.
            pattern: of the paths of the runs in the folder; see ``finished``.

        Raises:
            ConfigError: the folder holds something else, or another process is at work in it.
        """
        on_main(self.accelerator, lambda: register.make_folder(self.folder))
        with working_in(self.folder, self.accelerator):
            claimed = from_main(
                self.accelerator, lambda: register.claim(self.folder, self.name, parts, precision, begun)
            )
            self.ended = from_main(
                self.accelerator, lambda: {name: _ended(self.folder / name) for name in finished(self.folder, pattern)}
            )
            yield claimed

    def config_of(self, own: Options) -> ConfigT:
        """Return the options of a run, some of which are its ``own``, by dotted name.

        Raises:
            ConfigError: one of them is out of its range.
        """
        return with_values(self.config, own)

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
            self._train(name, titles[name], options_of(name), callbacks_of(name))
            self._close(name, report)
            gc.collect()  # the next run's memory is measured without what this one held
            if self.accelerator.device.type == "cuda":
                torch.cuda.empty_cache()
        if not missing:
            on_main(self.accelerator, report)
        if not self.outcomes:
            raise DivergedError(f"Every run diverged; the first: {next(iter(self.failures.values())).diverged}")
        log.info("")

    def _train(self, name: str, title: str, own: Options, callbacks: Sequence[Callback]) -> None:
        """Train one run, or go on with it where it was cut short, and note what it came to."""
        place = self.folder / name
        resumes = from_main(self.accelerator, lambda: half_done(place))
        config = self.config_of({**own, "output": str(place), "keep_checkpoints": 1})
        if resumes:
            config = load_config(place / "config.yaml", type(config))
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
            done = str(stopped).split(" Go on ")[0]
            again = f"{done} Finished runs are kept; go on with the same command: {self.command}"
            raise StoppedError(again, stopped.exit_status) from stopped
        else:
            self.ended[name] = from_main(
                self.accelerator, lambda: Outcome.of(RunRecord.load(place), own, config.split_seed, same.identity)
            )

    def _close(self, name: str, report: Callable[[], object]) -> None:
        """Record how a run ended, report, and drop its checkpoints: in this order, a kill between them loses nothing."""

        def close() -> None:
            write_json(self.folder / name / RECORD, asdict(self.ended[name]))
            report()
            shutil.rmtree(self.folder / name / "checkpoints", ignore_errors=True)

        on_main(self.accelerator, close)

    def write(self, file: str, values: dict[str, Any], names: Iterable[str]) -> None:
        """Write a report into the folder, with what has to be known to repeat it, and the runs of ``names``."""
        head = {"command": self.command, "dataset": self.config.dataset, "model": self.config.model}
        facts = next(iter(self.outcomes.values())).facts if self.outcomes else {}
        where = {key: facts.get(key) for key in ("hardware", "python", "versions", "images")}
        rows = [{"run": name, **asdict(self.ended[name])} for name in names if name in self.ended]
        inner = ("identity", "facts", "last")
        runs = [{key: value for key, value in row.items() if key not in inner} for row in rows]
        diverged = {"diverged": list(self.failures)}
        write_json(self.folder / file, head | values | diverged | {"runs": runs} | where)


@contextmanager
def repeated(
    name: str,
    prefix: str,
    config: ConfigT,
    command: str,
    make_callbacks: MakeCallbacks[ConfigT],
    given: Collection[str],
    *,
    first: Options,
    fixed: Options | None = None,
    identify: Callable[[Run], Any] = fingerprints,
) -> Iterator[Series[ConfigT]]:
    """Open the folder of runs that are all of ``config``, but for a few options that each has of its own.

    Args:
        name: why there are several, as the flag that asks for it is called.
        prefix: what the names of their folders begin with.
        config: of every run, besides its own options; --output is the folder.
        command, make_callbacks, given, identify: see ``Series``.
        first: own options of one of the runs, by which all of them are tried out.
        fixed: what else the runs of one folder have in common.

    Raises:
        ConfigError: an option makes no sense here, or the folder holds something else.
        BotzooError: what a run would raise before it reads its images.
    """
    length = "left out: it is for one run; give --epochs or --steps"
    check_option(config.budget is None, "budget", config.budget, length)
    check_option(config.batch_size != "auto", "batch_size", config.batch_size, "a number: the same for every run")
    publish = "left out: publish the run that you like with botzoo publish"
    check_option(config.push_to is None, "push_to", config.push_to, publish)
    check_option(config.data.fold is None, "data.fold", config.data.fold, f"left out beside --{name}")
    accelerator, precision = make_accelerator(config)
    usual = usual_name(config)
    folder = Path(config.output).expanduser() if config.output else usual.with_name(f"{usual.name}-{name}")
    runs = Series(name, config, folder, command, accelerator, make_callbacks, given, identify)
    probe = runs.config_of(first)
    check(probe, accelerator, make_callbacks(probe), given)
    part, pattern = f"{prefix}s", f"{prefix}-*"
    parts = {part: without_machine(asdict(config)) | (fixed or {})}
    with runs.opened(REPEATED, parts, precision.name, lambda _: any(folder.glob(pattern)), pattern) as claimed:
        runs.config = replace(config, mixed_precision=claimed[part]["mixed_precision"])
        yield runs


REPEATED = Register("options.json", "command", "runs", "its {} have")


def count(flag: str, text: str, least: int) -> int:
    """Return the number behind a flag.

    Raises:
        ConfigError: it is none, less than ``least``, or more than ``MOST_RUNS``.
    """
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
    check_option(least <= number <= MOST_RUNS, flag, text, f"a whole number of {least} or more, up to {MOST_RUNS:,}")
    return number


def finished(folder: Path, pattern: str) -> list[str]:
    """Return the paths in ``folder`` of the runs that have ended, such as fold-1; copies such as fold-1-before are none."""
    places = (record.parent for record in folder.glob(f"{pattern}/{RECORD}"))
    found = (place.relative_to(folder).as_posix() for place in places if re.fullmatch(r"\w+-\d+", place.name, re.ASCII))
    return sorted(found, key=lambda name: (name.rpartition("-")[0], int(name.rpartition("-")[2])))


def half_done(place: Path) -> bool:
    """Tell whether a run was cut short in ``place``, which is cleared where it was so before it had begun."""
    if (place / "config.yaml").exists():
        return True
    if place.exists():  # cut short between making the folder and writing into it
        shutil.rmtree(place)
    return False


def _ended(place: Path) -> Outcome | Failure:
    try:
        values = json.loads((place / RECORD).read_text(encoding="utf-8"))
        return Failure(**values) if "diverged" in values else Outcome(**values)
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(
            f"The result of a run in {place} is damaged ({RECORD}): remove that folder to train it again."
        ) from error
