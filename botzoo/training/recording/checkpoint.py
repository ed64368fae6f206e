"""Checkpoints that survive a kill at any moment: written beside, synced, renamed, and verified when read."""

import json
import logging
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from botzoo.errors import CheckpointError
from botzoo.util.files import sha256_of, write_json, written_whole
from botzoo.util.text import brief

log = logging.getLogger("botzoo")


@dataclass(frozen=True)
class Progress:
    """Where a run stands, apart from its tensors.

    Attributes:
        step: optimizer steps taken.
        best_score: highest figure, in per cent, of the validation split that the task chooses epochs by; -1 before the first.
        best_epoch: the epoch, counted from 1, that it was measured after; 0 as long as none is better than the start.
        seconds: time spent training and evaluating, over all sessions of the run.
        stopped_early, callbacks: whether a callback has ended the run; their states, by the name of their class.
    """

    step: int = 0
    best_score: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0
    stopped_early: bool = False
    callbacks: dict[str, Any] = field(default_factory=dict)


TENSORS = "tensors.pt"
STATE = "state.json"


def save(folder: Path, progress: Progress, tensors: dict[str, Any], keep: int) -> Path:
    """Write ``folder/step-00000120`` whole or not at all, then remove all but the newest ``keep``.

    ``progress`` stands in state.json, beside the SHA-256 of the file of ``tensors``, which are state dicts, loadable with
    ``weights_only=True``. ``keep`` is at least 1.

    Raises CheckpointError: the disk is full or cannot be written; the checkpoints before this one are kept.
    """
    final = folder / f"step-{progress.step:08d}"
    try:
        for stale in folder.glob(".step-*.part"):  # of a run that was killed while it wrote
            shutil.rmtree(stale)
        with written_whole(final) as part:
            part.mkdir(parents=True)
            torch.save(tensors, part / TENSORS)
            write_json(part / STATE, {"progress": asdict(progress), "sha256": sha256_of(part / TENSORS)})
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError of its zip writer
        raise CheckpointError(
            f"The checkpoint {final} cannot be written ({_reason(error, folder)}). The checkpoints before it are kept: "
            f"make room or mend the permissions, then go on with --resume {folder.parent}."
        ) from error
    for old in checkpoints(folder)[:-keep]:  # only now, when the new one is there as a whole
        shutil.rmtree(old, ignore_errors=True)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in ``folder``, oldest first."""
    return sorted(path for path in folder.glob("step-*") if re.fullmatch(r"step-\d+", path.name))


def load_newest(folder: Path, device: torch.device) -> tuple[Progress, dict[str, Any]] | None:
    """Return the newest undamaged checkpoint, or None where there is none at all; log which ones are passed over.

    Raises CheckpointError: there are checkpoints, and all are damaged.
    """
    found = checkpoints(folder)
    for path in reversed(found):
        try:
            return load(path, device)
        except CheckpointError as error:
            log.warning("%s: passing it over.", error)
    if found:
        raise CheckpointError(f"All {len(found)} checkpoints in {folder} are damaged: start the run again.")
    return None


def set_aside(folder: Path, step: int) -> None:
    """Rename the checkpoints after ``step``, which were passed over as damaged, so that they count for nothing."""
    for path in checkpoints(folder):
        if int(path.name.removeprefix("step-")) > step:
            shutil.rmtree(folder / f"damaged-{path.name}", ignore_errors=True)
            path.rename(folder / f"damaged-{path.name}")


def load(path: Path, device: torch.device) -> tuple[Progress, dict[str, Any]]:
    """Return one checkpoint; raise CheckpointError where a file is missing or was changed since it was written."""
    try:
        state = json.loads((path / STATE).read_text())
        if sha256_of(path / TENSORS) != state["sha256"]:
            raise CheckpointError(f"The checkpoint {path} is damaged (its SHA-256 differs)")
        place = "cpu" if device.type == "cpu" else device  # torch knows no cpu:0, as a process among others calls it
        tensors: dict[str, Any] = torch.load(path / TENSORS, map_location=place, weights_only=True)
        return Progress(**state["progress"]), tensors
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"The checkpoint {path} is damaged ({error})") from error


def _reason(error: Exception, folder: Path) -> str:
    """Return in words why a checkpoint cannot be written; torch hides that the disk is full."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    existing = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
    return "No space left on device" if shutil.disk_usage(existing).free < 1 << 20 else str(error).splitlines()[0]


def save_weights(path: Path, model: nn.Module) -> None:
    """Write the weights of a network as safetensors, whole or not at all.

    Raises CheckpointError: the disk is full or cannot be written.
    """
    plain = torch.contiguous_format  # safetensors takes no channels_last, and no tensors that share memory
    state = {name: t.detach().cpu().clone(memory_format=plain) for name, t in model.state_dict().items()}
    try:
        with written_whole(path) as part:
            save_file(state, part)
    except Exception as error:  # safetensors reports a full disk by an error of its own
        raise CheckpointError(
            f"The weights cannot be written to {path} ({brief(error)}). The checkpoints so far are kept: make room or mend "
            f"the permissions, then go on with --resume {path.parent.parent}."
        ) from error
