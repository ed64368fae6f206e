"""What is made of a finished run: the files beside its weights, and the summary in the terminal."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from botzoo.errors import BotzooError, CheckpointError
from botzoo.results.calibration import write_temperature
from botzoo.results.card.beside import FILES
from botzoo.results.card.card import card
from botzoo.results.record import RunRecord
from botzoo.results.summary import summary
from botzoo.training.callbacks import Callback
from botzoo.training.recording.checkpoint import checkpoints
from botzoo.util.files import sha256_of, write_text

log = logging.getLogger("botzoo")


def describe(folder: Path) -> RunRecord:
    """Complete the model folder of a finished run, from what is in the run's folder alone: the same files at any time.

    They are the temperature in config.json, the files of ``botzoo.results.card.beside``, and README.md.

    Raises:
        CheckpointError: the run has not finished, a file of it is damaged, or its weights are not those that were evaluated.
        OSError: the folder cannot be written.
    """
    record = checked(folder)
    model = record.model_folder
    if record.calibration is not None and record.calibration.kept is not None:
        write_temperature(model, record.calibration.kept)  # before the card, whose code divides by it
        record = replace(record, model_config=json.loads((model / "config.json").read_text(encoding="utf-8")))
    for name, write in FILES.items():
        write(record, model / name)
    write_text(model / "README.md", card(record))  # last: it names the pictures that are there
    return record


def checked(folder: Path) -> RunRecord:
    """Return the record of a finished run whose files are as it wrote them.

    Raises:
        CheckpointError: it has not finished, or a file of it is another by now.
    """
    record = RunRecord.load(folder)
    weights = record.model_folder / "model.safetensors"
    try:
        found = sha256_of(weights)
    except OSError as error:
        raise CheckpointError(f"{weights} cannot be read ({error.strerror}).") from error
    if found != record.facts.get("weights_sha256"):
        raise CheckpointError(
            f"The weights in {weights.parent} are not those that were evaluated (their SHA-256 differs): put them back, or "
            "train anew."
        )
    return record


def is_complete(folder: Path) -> bool:
    """Tell whether a run has ended and its files are as it wrote them; where they are not, that is said.

    Raises:
        CheckpointError: they are not, and there is no checkpoint to make them anew from.
    """
    if not all((folder / "model" / name).is_file() for name in ("README.md", "model.safetensors")):
        return False  # it has its card to write yet
    try:
        checked(folder)
    except BotzooError as error:
        if not checkpoints(folder / "checkpoints"):
            raise
        log.warning("%s The end of the run is done again.", error)
        return False
    return True


class Report(Callback):
    """Writes the card and what belongs to it at the end of a run, and unless ``says`` is False, says how good it is."""

    def __init__(self, says: bool = True) -> None:
        self.says = says

    def on_finish(self, run: Any) -> None:
        """Describe the run's folder and log the summary, on the main process."""
        if run.accelerator.is_main_process:
            record = describe(run.folder)
            for line in summary(record) if self.says else ():
                log.info("%s", line)
