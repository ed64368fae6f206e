"""A run's folder: made without touching anything that is there, and what it records of the run."""

from __future__ import annotations

import json
import logging
import logging.handlers
import platform
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from accelerate import Accelerator
from filelock import FileLock, Timeout

from botzoo.errors import CheckpointError, ConfigError, DataError
from botzoo.options.config import TrainConfig
from botzoo.training.distributed import from_main, hardware, on_main
from botzoo.training.state import Own, Run
from botzoo.util.files import free_name, no_link, write_json, write_text

log = logging.getLogger("botzoo")


PATIENCE = 10
"""Seconds to wait for a folder: the workers of a run that was killed live on for some."""


def open_folder(config: TrainConfig, accelerator: Accelerator) -> Path:
    """Make a new run folder, and write the options into it; the same on every process.

    Raises:
        ConfigError: the folder exists and is not empty, or cannot be written.
    """

    def make() -> Path:
        folder = Path(config.output).expanduser() if config.output is not None else free_name(usual_name(config))
        try:
            check_output(config)
            (folder / "checkpoints").mkdir(parents=True)
        except OSError as error:
            raise ConfigError(
                f"The run's folder {folder} cannot be made ({error.strerror}): give one that you may write to with --output."
            ) from error
        return folder

    folder = from_main(accelerator, make)
    if accelerator.is_main_process:
        record_config(folder, config)
    return folder


def record_config(folder: Path, config: TrainConfig) -> None:
    """Write the options of a run into its folder, in the place of what was there."""
    write_text(folder / "config.yaml", yaml.safe_dump(asdict(config), sort_keys=False))


def check_output(config: TrainConfig, *, resumable: bool = True) -> None:
    """Raise ConfigError where the folder that --output names is in use, with the advice to resume where that may help."""
    folder = Path(config.output or "").expanduser()
    if config.output is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        advice = f", or go on with the run in it by --resume {folder}" if resumable else ""
        raise ConfigError(f"--output {folder} exists already and is left as it is: give another folder{advice}.")


def usual_name(config: TrainConfig) -> Path:
    """Return runs/DATASET-MODEL."""
    streamed = config.data.streaming
    dataset = re.split(r"[{*?\[]", config.dataset)[0] if streamed else config.dataset  # it may be a pattern
    parts = (Path(part.split(":")[-1]).expanduser().resolve().name for part in (dataset, config.model))
    return Path("runs") / "-".join(parts)


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
            raise ConfigError(
                f"Another process is at work in {folder}: wait until it ends, or stop it; this one has changed nothing."
            ) from error
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
        super().__init__(capacity=1 << 30, flushLevel=logging.CRITICAL + 1, flushOnClose=False)

    def __enter__(self) -> RunLog:
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


def record_facts(run: Run, command: str, *, resumed: bool) -> dict[str, Any]:
    """Write command, versions, hardware, data and teacher to run.json; when resuming, check data and teacher.

    Raises:
        ConfigError: there are as many processes no longer, and which images each step sees depends on their number.
        DataError: the images are not those that the run began with.
        CheckpointError: the teacher's weights are not.
    """
    images, accelerator, folder = run.images, run.accelerator, run.folder
    fingerprints = {role: split.fingerprint for role, split in images.items()}
    teacher = run.teacher.identity if run.teacher is not None else None
    path = folder / "run.json"
    if resumed and path.exists():
        before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        processes = before.get("processes", accelerator.num_processes)
        if images["train"].order_depends_on_processes and processes != accelerator.num_processes:
            raise ConfigError(
                f"{folder} streams its images and began with {processes} process(es), which decides what each step sees: "
                f"resume it with as many (accelerate launch --num_processes {processes}), or begin a new run."
            )
        if before["fingerprints"] != fingerprints:
            raise DataError(
                f"The images have changed since {folder} began (their SHA-256 differs): put them back, or begin a new run."
            )
        if teacher is not None and before.get("teacher", teacher)["sha256"] != teacher["sha256"]:
            raise CheckpointError(
                f"The weights of the teacher {teacher['name']} have changed since {folder} began (their SHA-256 differs): put "
                "them back, or begin a new run."
            )
        if (now := hardware(accelerator)) not in before["hardware"]:
            before["hardware"] += f"; resumed on {now}"
        return before
    facts = {
        "command": command,
        "started": time.strftime("%Y-%m-%d"),
        "fingerprints": fingerprints,
        "images": {role: len(split) for role, split in images.items()},
        **({"teacher": teacher} if teacher is not None else {}),
        "processes": accelerator.num_processes,
        "hardware": hardware(accelerator),
        "python": platform.python_version(),
        "versions": {
            name: version(name) for name in ("botzoo", "torch", "timm", "torchvision", "accelerate", "datasets")
        },
        **run.facts,
    }
    if run.is_main:
        write_facts(folder, facts)
    return facts


def check_own(folder: Path, own: Own) -> None:
    """Raise ConfigError unless a run goes on with the objects of a user's own that it began with."""
    path = folder / "run.json"
    began = json.loads(path.read_text(encoding="utf-8")).get("own", []) if path.exists() else own.names
    if began != own.names:
        raise ConfigError(
            f"{folder} began with objects of one's own ({', '.join(began) or 'none'}) and there are now "
            f"{', '.join(own.names) or 'none'}: go on with it from Python, with resume= and the same objects."
        )


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Write run.json, whole or not at all."""
    write_json(folder / "run.json", facts)
