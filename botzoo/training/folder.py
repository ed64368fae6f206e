"""A run's folder: made without touching anything that is there, and what it records of the run."""

from __future__ import annotations

import json
import logging
import platform
import re
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from botzoo.errors import ConfigError, DataError
from botzoo.training.config import TrainConfig
from botzoo.training.data import Images
from botzoo.training.engine import hardware, on_main
from botzoo.training.stream import Stream

log = logging.getLogger("botzoo")

Facts = dict[str, Any]


def open_folder(config: TrainConfig, accelerator: Accelerator, resume: Path | None) -> Path:
    """Make a new run folder, or take the one to resume; the same on every process.

    Raises:
        ConfigError: the folder exists and is not empty, or cannot be written.
    """
    if resume is not None:
        return resume
    made = on_main(accelerator, lambda: _new_folder(config))
    chosen = [str(made)]
    broadcast_object_list(chosen)
    folder = Path(chosen[0])
    if accelerator.is_main_process:
        (folder / "config.yaml").write_text(yaml.safe_dump(asdict(config), sort_keys=False), encoding="utf-8")
    return folder


def _new_folder(config: TrainConfig) -> Path:
    folder = Path(config.output).expanduser() if config.output is not None else _free_name(config)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                f"--output {folder} exists already and is left as it is: give another folder, or go on with the run in "
                f"it by --resume {folder}."
            )
        (folder / "checkpoints").mkdir(parents=True)
    except OSError as error:
        raise ConfigError(
            f"The run's folder {folder} cannot be made ({error.strerror}): give one that you may write to with --output."
        ) from error
    return folder


def _free_name(config: TrainConfig) -> Path:
    """Return runs/DATASET-MODEL, with a number behind it where that exists."""
    dataset = (
        re.split(r"[{*?\[]", config.dataset)[0] if config.data.streaming else config.dataset
    )  # it may be a pattern
    parts = (Path(part.split(":")[-1]).expanduser().resolve().name for part in (dataset, config.model))
    base = Path("runs") / "-".join(parts)
    numbered = (base.with_name(f"{base.name}-{n}") for n in range(2, 100_000))
    return base if not base.exists() else next(folder for folder in numbered if not folder.exists())


class _RunLog(logging.FileHandler):
    """A log file whose failures, such as a full disk, are errors of the run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name that logging calls)
        raise


def log_to(folder: Path, accelerator: Accelerator) -> logging.Handler | None:
    """Write the lines of the logger "botzoo" to log.txt as well, from the main process; return the handler."""
    if not accelerator.is_main_process:
        return None
    handler = _RunLog(folder / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
    return handler


def record_facts(
    folder: Path,
    command: str,
    images: dict[str, Images] | dict[str, Stream],
    accelerator: Accelerator,
    *,
    resumed: bool,
) -> Facts:
    """Write command, versions, hardware and data to run.json; when resuming, check that the data is still the same.

    Raises:
        DataError: the images are not those that the run began with.
    """
    fingerprints = {role: split.fingerprint for role, split in images.items()}
    path = folder / "run.json"
    if resumed and path.exists():
        before: Facts = json.loads(path.read_text(encoding="utf-8"))
        if before["fingerprints"] != fingerprints:
            raise DataError(
                f"The images have changed since {folder} began (their SHA-256 differs): put them back, or begin a new run."
            )
        if (now := hardware(accelerator)) not in before["hardware"]:
            before["hardware"] += f"; resumed on {now}"
        return before
    facts = {
        "command": command,
        "started": time.strftime("%Y-%m-%d"),
        "fingerprints": fingerprints,
        "images": {role: len(split) for role, split in images.items()},
        "hardware": hardware(accelerator),
        "python": platform.python_version(),
        "versions": {
            name: version(name) for name in ("botzoo", "torch", "timm", "torchvision", "accelerate", "datasets")
        },
    }
    write_facts(folder, facts, accelerator)
    return facts


def write_facts(folder: Path, facts: Facts, accelerator: Accelerator) -> None:
    """Write run.json, whole or not at all, from the main process."""
    if accelerator.is_main_process:
        beside = folder / "run.json.part"
        beside.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        beside.rename(folder / "run.json")
