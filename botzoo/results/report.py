"""What is made of a finished run: the files beside its weights, and the summary in the terminal."""

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from botzoo.errors import BotzooError, CheckpointError
from botzoo.models.foreign import read_config
from botzoo.results.calibration import write_rejection, write_temperature
from botzoo.results.card.beside import FILES, Write
from botzoo.results.card.card import card
from botzoo.results.card.claim import claim_in_card
from botzoo.results.predictions import write_predictions
from botzoo.results.record import RunRecord
from botzoo.results.summary import summary
from botzoo.training.callbacks import Callback
from botzoo.training.recording.checkpoint import checkpoints
from botzoo.util.files import sha256_of, write_text

log = logging.getLogger("botzoo")


def describe(folder: Path) -> RunRecord:
    """Complete the model folder of a finished run, from what is in the run's folder alone: the same files at any time.

    They are temperature and rejection threshold in config.json, the files of ``botzoo.results.card.beside``, and README.md;
    beside the model folder stand the tables of ``botzoo.results.predictions``.

    Raises:
        CheckpointError: the run has not finished, a file of it is damaged, or its weights are not those that were evaluated.
        OSError: the folder cannot be written.
    """
    record = checked(folder)
    model = record.model_folder
    if record.calibration is not None and record.calibration.kept is not None:
        write_temperature(model, record.calibration.kept)  # before the card, whose code divides by it
        record = replace(record, model_config=read_config(model / "config.json"))
    if (rejection := record.rejection) is not None and rejection.threshold is not None:  # at that temperature
        write_rejection(model, rejection.threshold, rejection.target)
        record = replace(record, model_config=read_config(model / "config.json"))
    for name, write in FILES.items():
        write(record, model / name)
    write_predictions(record)
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


def run_of(model: Path) -> Path | None:
    """Return the folder of the run that a model folder is in, None where it is in none."""
    run = model.parent if model.name else model.absolute().parent
    there = any((run / name).is_file() for name in ("run.json", "config.yaml"))
    return run if there and model.absolute() == run.absolute() / "model" else None


def not_as_written(record: RunRecord) -> tuple[list[str], bool]:
    """Compare the texts beside the weights with what ``describe`` makes of the record.

    Returns:
        The names of those that are other than that, and whether that is no more than words of README.md: it has the figures.
    """
    model = record.model_folder
    texts: dict[str, Write] = {name: write for name, write in FILES.items() if not name.endswith(".png")}
    texts["README.md"] = lambda record, path: write_text(path, card(record))
    with tempfile.TemporaryDirectory() as temporary:
        for name, write in texts.items():
            write(record, Path(temporary, name))
        others = [name for name in texts if _content(model / name) != _content(Path(temporary, name))]
        words = others == ["README.md"] and claim_in_card(model / others[0]) == claim_in_card(
            Path(temporary, others[0])
        )
        return others, not others or words


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


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
