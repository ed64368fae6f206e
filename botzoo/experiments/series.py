"""Several runs in one folder: finished ones are kept, one that was cut short goes on, the others begin.

So a command that trains many times goes on where it was when it is given again. What the runs are is written down before
the first of them; later commands have to mean the same.
"""

from __future__ import annotations

import gc
import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator

from botzoo.errors import ConfigError, DataError, DivergedError, StoppedError
from botzoo.options.command_line import load_config
from botzoo.options.config import TrainConfig
from botzoo.recipes import Options
from botzoo.training.distributed import from_main
from botzoo.training.run import CarryOn, Result, train
from botzoo.training.setup import Settled, Transfer
from botzoo.util.files import write_json
from botzoo.util.nested import flat
from botzoo.util.text import duration

log = logging.getLogger("botzoo")

T = TypeVar("T")


RECORD = "cell.json"
"""What a run of a series came to, in its folder; while there is none, the run is not finished."""


@dataclass(frozen=True)
class Register:
    """The file in the folder of a series that says what its runs are.

    Attributes:
        file: its name.
        what: of what they are, such as "ladder", the key of its name in the file.
        parts: the key of the options, of one part of the series after the other.
        part: how a message begins on what a part has, its name in the braces.
    """

    file: str
    what: str
    parts: str
    part: str

    def make_folder(self, folder: Path) -> None:
        """Make the folder of a series, unless it is there.

        Raises:
            ConfigError: it holds something else, or cannot be made.
        """
        try:
            ours = not folder.exists() or (folder / self.file).exists()
            if not ours and any(path.name != ".lock" and path.suffix != ".part" for path in folder.iterdir()):
                raise ConfigError(f"--output {folder} holds something else and is left as it is: give another folder.")
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from error

    def claim(
        self, folder: Path, name: str, options: dict[str, Options], precision: str, begun: Callable[[str], bool]
    ) -> dict[str, Options]:
        """Write down what the parts are, or go on if their runs were trained with the same options; return the options.

        Args:
            folder: of the series, which this process works in alone.
            name: of the series.
            options: of each part, by its name.
            precision: takes the place of "auto", unless one was measured when the series began.
            begun: tells whether there is a run of a part; the options of others may still change.

        Raises:
            ConfigError: the folder has results of other options, or cannot be written.
        """
        path = folder / self.file
        try:
            before = self._claimed(path)
            earlier = (before or {}).get(self.parts, {})
            if before is not None and before.get(self.what) != name:
                raise ConfigError(
                    f"--output {folder} holds results of another {self.what}, {before.get(self.what)}: give another folder."
                )
            settled: dict[str, Options] = json.loads(json.dumps(options))
            for part, own in settled.items():
                if own.get("mixed_precision", "auto") == "auto":
                    own["mixed_precision"] = earlier.get(part, {}).get("mixed_precision", precision)
            for part in filter(begun, earlier.keys() & settled.keys()):
                self._same(folder, part, earlier[part], settled[part])
            write_json(path, {self.what: name, self.parts: earlier | settled})
            return settled
        except OSError as error:
            raise _unwritable(folder, error) from error

    def _claimed(self, path: Path) -> dict[str, Any] | None:
        """Return what the file says, None where there is none."""
        if not path.exists():
            return None
        try:
            before: Any = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            before = None
        parts = before.get(self.parts) if isinstance(before, dict) else None
        if not isinstance(parts, dict) or not all(isinstance(options, dict) for options in parts.values()):
            raise ConfigError(f"{path} is damaged: give another --output, or put it back.")
        return dict(before)

    def _same(self, folder: Path, part: str, before: Options, now: Options) -> None:
        old, new = flat(before), flat(now)
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                raise ConfigError(
                    f"--output {folder} holds results of another {self.what}: {self.part.format(part)} {name} = "
                    f"{old.get(name)}, not {new.get(name)}. Give another folder, or the same options as before."
                )


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"--output {folder} cannot be written ({error.strerror}): give another folder.")


def one_by_one(
    missing: Sequence[T], total: int, title: Callable[[T], str], work: Callable[[T], None], accelerator: Accelerator
) -> None:
    """Do ``work`` for each run that is ``missing`` of ``total``, and say before each how much time is left."""
    began = time.perf_counter()
    for k, each in enumerate(missing):
        left = f"; about {duration((time.perf_counter() - began) / k * (len(missing) - k))} left" if k else ""
        log.info("")
        log.info("run %d of %d: %s%s", total - len(missing) + k + 1, total, title(each), left)
        work(each)
        gc.collect()  # the next run's memory is measured without what this one held
        if accelerator.device.type == "cuda":
            torch.cuda.empty_cache()


def train_one(
    title: str,
    config: TrainConfig,
    accelerator: Accelerator,
    command: str,
    *,
    transfer: Callable[[Any], Transfer] = lambda config: Transfer(),
    approve: Callable[[Settled], object] = lambda settled: None,
    carry_on: CarryOn = lambda accuracies: True,
) -> Result | DivergedError:
    """Train the run of ``config``, or go on with it where it was cut short; return what it came to.

    Args:
        title: what the log calls it.
        config: its options, --output included.
        accelerator: any of this process.
        command: as typed, which goes on with the whole series.
        transfer: given the options, returns what transfer learning adds.
        approve, carry_on: see ``train``.

    Raises:
        StoppedError: SIGINT or SIGTERM came; the run's checkpoint is written.
        BotzooError: see ``train``; that the run diverged is returned.
    """
    place = Path(config.output or "")
    resume = place if from_main(accelerator, lambda: half_done(place)) else None
    if resume is not None:
        config = load_config(place / "config.yaml", type(config))
    try:
        return train(
            config, transfer=transfer(config), command=command, resume=resume, approve=approve, carry_on=carry_on
        )
    except DivergedError as error:
        log.warning("%s diverged and counts as such: %s", title, error)
        return error
    except StoppedError as stopped:
        done = str(stopped).split(" Go on ")[0]
        again = f"{done} Finished runs are kept; go on with the same command: {command}"
        raise StoppedError(again, stopped.exit_status) from stopped


def half_done(place: Path) -> bool:
    """Tell whether a run was cut short in ``place``, which is cleared where it was so before it had begun."""
    if (place / "config.yaml").exists():
        return True
    if place.exists():  # cut short between making the folder and writing into it
        shutil.rmtree(place)
    return False


def close(place: Path, values: dict[str, Any], report: Callable[[], object]) -> None:
    """Record how a run ended, report, and drop the run's checkpoints, which nothing needs any more."""
    write_json(place / RECORD, values)
    report()
    shutil.rmtree(place / "checkpoints", ignore_errors=True)


def read_record(place: Path, take_up: Callable[[dict[str, Any]], None]) -> None:
    """Give what a finished run came to to ``take_up``; nothing is done where it is not finished.

    Raises:
        ConfigError: the record is damaged.
    """
    if not (place / RECORD).exists():
        return
    try:
        take_up(json.loads((place / RECORD).read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConfigError(
            f"The result of a run in {place} is damaged ({RECORD} or run.json): remove that folder to train it again."
        ) from error


def check_images(dataset: str, now: Any, before: Any) -> None:
    """Raise DataError unless a run's images are those of the finished ones: ``now`` and ``before`` are fingerprints."""
    if now != before:
        raise DataError(
            f"The images of {dataset} have changed since the runs that this one is compared with (their "
            "SHA-256 differ): put them back, or begin anew in another --output."
        )
