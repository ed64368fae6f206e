"""A run's folder: made without touching anything that is there, with config.yaml, run.json, log.txt and a lock."""

import logging
import logging.handlers
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import yaml
from accelerate import Accelerator
from filelock import FileLock, Timeout

from botzoo.errors import CheckpointError, ConfigError
from botzoo.options.command_line import parse_config
from botzoo.options.config import TrainConfig
from botzoo.training.distributed import from_main, on_main
from botzoo.training.recording.checkpoint import BEST
from botzoo.util.environment import user_path
from botzoo.util.files import (
    free_name,
    no_link,
    parse_json,
    read_or_copy,
    read_sealed,
    sealed,
    set_aside,
    write_json,
    write_text,
)
from botzoo.util.outgoing import last_part, public
from botzoo.util.text import brief

log = logging.getLogger("botzoo")

PATIENCE = 10
"""Seconds to wait for a folder: the workers of a run that was killed live on for some."""

BEGINNING = {".lock", "checkpoints", "config.yaml", ".config.yaml.part", "run.json", ".run.json.part", "log.txt"}
BEGINNING |= {"metrics.jsonl", "evaluation", "tracker", str(BEST), f"{BEST.parent}/.{BEST.name}.part"}
"""What a run may have left that was killed before its first checkpoint, with the evaluation of what it starts from."""


def output_of(config: TrainConfig) -> Path:
    """Return the folder of a run: --output, or a name of its own that is free."""
    return user_path(config.output) if config.output is not None else free_name(usual_name(config))


def open_folder(config: TrainConfig, accelerator: Accelerator) -> Path:
    """Make the folder of a new run; the same on every process.

    Raises:
        ConfigError: it is in use, or cannot be written.
    """

    def make() -> Path:
        folder = output_of(config)
        try:
            check_output(config)  # once more: another run may have taken it while the images were read
            (folder / "checkpoints").mkdir(parents=True, exist_ok=config.output is not None)
        except OSError as error:
            wrong = f"The run's folder {folder} cannot be made ({error.strerror})"
            raise ConfigError(f"{wrong}: give one that you may write to with --output.") from error
        return folder

    return from_main(accelerator, make)


def begin(folder: Path, config: TrainConfig, accelerator: Accelerator) -> None:
    """Write the options into the folder of a new run, which this process alone works in by now.

    Raises:
        ConfigError: another run has begun in it meanwhile.
    """
    on_main(accelerator, lambda: check_output(config))
    if accelerator.is_main_process:
        record_config(folder, config)


def record_config(folder: Path, config: TrainConfig) -> None:
    """Write the options of a run into its folder, in the place of what was there; ``load_config`` reads them."""
    write_text(folder / "config.yaml", sealed(yaml.safe_dump(public(asdict(config)), sort_keys=False)))


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Write run.json, whole or not at all."""
    write_json(folder / "run.json", facts, seal=True)


def read_facts(folder: Path, *, say: bool = True) -> dict[str, Any] | None:
    """Return what run.json said when it was written, None where the run was killed before.

    Raises:
        CheckpointError: it is damaged, and no checkpoint has a copy of it.
    """
    path = folder / "run.json"
    if not path.exists() and not any(folder.glob("checkpoints/step-*/run.json")):
        return None
    try:
        facts: dict[str, Any] = read_or_copy(path, parse_json, say=say)
        return facts
    except (OSError, ValueError) as error:
        cure = "no checkpoint has a copy of it, so begin the run again in another folder"
        raise CheckpointError(f"{path} is damaged ({brief(error)}), and {cure}.") from error


def mend(folder: Path, config: TrainConfig, facts: dict[str, Any], step: int) -> None:
    """Write config.yaml and run.json anew where they are not as the run wrote them; those are set aside.

    Options that somebody has edited hold from ``step`` on, which ``facts`` say from now on.
    """
    path = folder / "config.yaml"
    try:
        read_sealed(path)
    except (OSError, ValueError):
        with suppress(OSError, ValueError):  # damaged otherwise, and ``config`` is a checkpoint's
            parse_config(read_sealed(path, edited=True), path, type(config))
            facts["edited"] = [*facts.get("edited", []), step]
            log.warning(
                "%s was edited: what it says holds from step %s on, and run.json and the card say so.", path, step
            )
        set_aside(path)
        record_config(folder, config)
    try:
        whole = parse_json(read_sealed(folder / "run.json"))
    except (OSError, ValueError):
        set_aside(folder / "run.json")
        whole = None
    if whole is None or whole.get("edited") != facts.get("edited"):
        write_facts(folder, facts)


def check_output(config: TrainConfig, *, resumable: bool = True) -> None:
    """Raise ConfigError where the folder that --output names is in use, with the advice to resume where that may help."""
    folder = user_path(config.output or "")
    if config.output is not None and folder.exists() and not (folder.is_dir() and has_not_begun(folder)):
        advice = f", or go on with the run in it by --resume {folder}" if resumable else ""
        raise ConfigError(f"--output {folder} exists already and is left as it is: give another folder{advice}.")


def has_not_begun(folder: Path) -> bool:
    """Tell whether a folder is empty, or holds only what a run of ours left that was killed before its first checkpoint."""
    inside = (path for place in (folder, folder / "checkpoints") if place.is_dir() for path in place.iterdir())
    names = {path.relative_to(folder).as_posix() for path in inside}
    if not names <= BEGINNING:
        return False
    if names <= {".lock", "checkpoints", ".config.yaml.part"}:
        return True
    try:  # a config.yaml is ours where its first line says so
        return bool(read_sealed(folder / "config.yaml"))
    except (OSError, ValueError):
        return False


def usual_name(config: TrainConfig) -> Path:
    """Return runs/DATASET-MODEL."""
    streamed = config.data.streaming
    dataset = re.split(r"[{*?\[]", config.dataset)[0] if streamed else config.dataset  # it may be a pattern
    names = (last_part(part if "://" in part else part.split(":")[-1]) for part in (dataset, config.model))
    return Path("runs") / "-".join(names)


@contextmanager
def working_in(folder: Path, accelerator: Accelerator) -> Iterator[None]:
    """Keep every other process that would write into ``folder`` out of it, until this one leaves it or dies.

    Raises:
        ConfigError: another one is at work in it, or it cannot be written.
    """
    lock = FileLock(folder / ".lock")

    def acquire() -> None:
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout as error:
            advice = "wait until it ends, or stop it; this one has changed nothing"
            raise ConfigError(f"Another process is at work in {folder}: {advice}.") from error
        except OSError as error:
            raise ConfigError(f"{folder} cannot be written ({error.strerror}): mend its permissions.") from error

    try:
        on_main(accelerator, acquire)
        yield
    finally:
        lock.release()


class RunLog(logging.handlers.MemoryHandler):
    """The lines of the logger "botzoo", held until the run has a folder and written to its log.txt from then on.

    A failure to write them, such as a full disk, is an error of the run.
    """

    def __init__(self) -> None:
        # Nothing is flushed by itself: there may never be a folder to write to.
        super().__init__(capacity=1 << 30, flushLevel=logging.CRITICAL + 1, flushOnClose=False)

    def __enter__(self) -> Self:
        log.addHandler(self)
        if log.level == logging.NOTSET:
            log.setLevel(logging.INFO)
        return self

    def __exit__(self, *error: object) -> None:
        log.removeHandler(self)
        if self.target is not None:
            self.target.close()
        self.close()

    def write_to(self, path: Path) -> None:
        """Append to the file at ``path`` what was held, and every line at once from now on."""
        target = _LogFile(no_link(path), encoding="utf-8")
        target.setFormatter(logging.Formatter("%(message)s"))
        self.setTarget(target)
        self.flush()
        self.capacity = 0


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name that logging calls)
        raise
