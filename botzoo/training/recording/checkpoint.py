"""Checkpoints that survive a kill at any moment: written beside, synced, renamed, and verified when read."""

import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from xxhash import xxh3_128

from botzoo.errors import CheckpointError
from botzoo.util.files import differing_from, digests_of, parse_json, read_sealed, set_aside, write_json, written_whole
from botzoo.util.text import brief

log = logging.getLogger("botzoo")

LOWEST = -1e30
"""Below every score, and a number that JSON has."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands, apart from its tensors.

    Attributes:
        step: optimizer steps taken.
        best_score: highest score of the validation split, in what chooses the epoch; ``LOWEST`` before the first.
        best_epoch: the epoch, counted from 1, that it was measured after; 0 as long as none is better than the start.
        best_digest: of the weights that it was measured of, as ``save_weights`` returns it.
        seconds: time spent training and evaluating, over all sessions of the run.
        stopped_early: whether a callback has ended the run.
        callbacks: their states, by the name of their class.
    """

    step: int = 0
    best_score: float = LOWEST
    best_epoch: int = 0
    best_digest: str | None = None
    seconds: float = 0.0
    stopped_early: bool = False
    callbacks: dict[str, Any] = field(default_factory=dict)


TENSORS = "tensors.pt"
STATE = "state.json"

BEST = Path("checkpoints") / "best.safetensors"
"""The weights of the best epoch so far, in a run's folder."""

COPIES = ("config.yaml", "run.json", "metrics.jsonl")
"""Files of a run's folder as they were then, so that a checkpoint has all that a run goes on from."""


def save(folder: Path, progress: Progress, tensors: dict[str, Any], keep: int) -> Path:
    """Write ``folder/step-00000120`` whole or not at all, then remove all but the newest ``keep``.

    ``progress`` stands in state.json, beside the SHA-256 of that and of all other files: ``tensors``, which are state dicts,
    loadable with ``weights_only=True``, and ``COPIES`` of what is beside ``folder``. ``keep`` is at least 1.

    Raises:
        CheckpointError: the disk is full or cannot be written; the checkpoints before this one are kept.
    """
    final = place(folder, progress.step)
    try:
        for stale in folder.glob(".*.part"):  # of a run that was killed while it wrote, weights too
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        with written_whole(final) as part:
            part.mkdir(parents=True)
            torch.save(tensors, part / TENSORS)
            for file in filter(Path.exists, (folder.parent / name for name in COPIES)):
                shutil.copyfile(file, part / file.name)
            digests = digests_of([*part.iterdir()], part)
            write_json(part / STATE, {"progress": asdict(progress), "files": digests}, seal=True)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError of its zip writer
        raise CheckpointError(
            f"The checkpoint {final} cannot be written ({_reason(error, folder)}). The checkpoints before it are kept: "
            f"make room or mend the permissions, then go on with --resume {folder.parent}."
        ) from error
    for old in checkpoints(folder)[:-keep]:  # only now, when the new one is there as a whole
        shutil.rmtree(old, ignore_errors=True)
    return final


def place(folder: Path, step: int) -> Path:
    """Return where the checkpoint after ``step`` optimizer steps is."""
    return folder / f"step-{step:08d}"


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in ``folder``, oldest first."""
    return sorted(path for path in folder.glob("step-*") if re.fullmatch(r"step-\d+", path.name))


def load_newest(folder: Path, device: torch.device) -> tuple[Progress, dict[str, Any]] | None:
    """Return the newest undamaged checkpoint, or None where there is none at all; log which ones are passed over.

    Raises:
        CheckpointError: there are checkpoints, and all are damaged.
    """
    found = checkpoints(folder)
    for path in reversed(found):
        try:
            return load(path, device)
        except CheckpointError as error:
            log.warning("%s: passing it over.", error)
    if found:
        raise CheckpointError(
            f"All {len(found)} checkpoints in {folder} are damaged, or of another version of botzoo: start the run again."
        )
    return None


def set_later_aside(folder: Path, step: int) -> None:
    """Rename the checkpoints after ``step``, which were passed over as damaged, so that they count for nothing."""
    for path in checkpoints(folder):
        if int(path.name.removeprefix("step-")) > step:
            set_aside(path)


def load(path: Path, device: torch.device) -> tuple[Progress, dict[str, Any]]:
    """Return one checkpoint.

    Raises:
        CheckpointError: a file is missing or was changed since it was written.
    """
    try:
        state = parse_json(read_sealed(path / STATE))
        if name := differing_from(state["files"], path):
            raise CheckpointError(f"The checkpoint {path} is damaged (the SHA-256 of {name} differs)")
        if path != place(path.parent, state["progress"]["step"]):
            raise CheckpointError(f"The checkpoint {path} is damaged (it is of another step)")
        where = "cpu" if device.type == "cpu" else device  # torch knows no cpu:0, as a process among others calls it
        tensors: dict[str, Any] = torch.load(path / TENSORS, map_location=where, weights_only=True)
        return Progress(**state["progress"]), tensors
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"The checkpoint {path} is damaged ({error})") from error


def _reason(error: Exception, folder: Path) -> str:
    """Return in words why a checkpoint cannot be written; torch hides that the disk is full."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    existing = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
    return "No space left on device" if shutil.disk_usage(existing).free < 1 << 20 else str(error).splitlines()[0]


def save_weights(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write the state dict of a network as safetensors, whole or not at all, and return the digest of its tensors.

    Raises:
        CheckpointError: the disk is full or cannot be written.
    """
    plain = torch.contiguous_format  # safetensors takes no channels_last, and no tensors that share memory
    state = {name: t.detach().cpu().clone(memory_format=plain) for name, t in tensors.items()}
    try:
        with written_whole(path) as part:
            save_file(state, part, {"xxh3_128": (digest := _digest(state))})
        return digest
    except Exception as error:  # safetensors reports a full disk by an error of its own
        raise CheckpointError(
            f"The weights cannot be written to {path} ({brief(error)}). The checkpoints so far are kept: make room or mend "
            f"the permissions, then go on with --resume {path.parent.parent}."
        ) from error


def load_weights(path: Path, digest: str | None = None) -> dict[str, Tensor]:
    """Return what ``save_weights`` wrote; with ``digest`` nothing else than what has that.

    Raises:
        CheckpointError: it is missing, was changed since, or has another digest.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            written = (file.metadata() or {}).get("xxh3_128")
    except Exception as error:  # safetensors has errors of its own, and others of a header that is no UTF-8
        raise CheckpointError(f"{path} is damaged ({brief(error)})") from error
    if written != _digest(tensors):
        raise CheckpointError(f"{path} is damaged (its digest differs)")
    if digest not in (None, written):
        raise CheckpointError(f"{path} has not the weights that belong to the checkpoint (their digest differs)")
    return tensors


def _digest(tensors: Mapping[str, Tensor]) -> str:
    content = xxh3_128()
    for name, tensor in sorted(tensors.items()):
        content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        content.update(tensor.flatten().view(torch.uint8).numpy().data)
    return content.hexdigest()
