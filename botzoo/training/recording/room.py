"""Room on the disk: what a run will write is known before its first step, and so is whether it fits."""

import math
import shutil
from pathlib import Path

from torch import nn

from botzoo.errors import ConfigError
from botzoo.models.cost import state_per_weight
from botzoo.training.recording.checkpoint import BEST
from botzoo.training.state import Run
from botzoo.training.steps.optimizer import make_optimizer
from botzoo.util.text import counted, mib


def check_room(run: Run, folder: Path) -> None:
    """Raise ConfigError where the disk of ``folder`` cannot hold the checkpoints, the best weights and the model of a run.

    What is counted is the least that it will write: the optimizer's state is that of the layers trained at first.
    """
    checkpoint, kept = checkpoint_bytes(run), run.config.keep_checkpoints
    epochs, every = math.ceil(run.epochs), run.config.checkpoint_every
    total, epoch = run.schedule.total_steps, run.order.steps_per_epoch
    written = epochs
    if every:  # but at the end of an epoch, where one is written in any case
        written += total // every - total // math.lcm(every, epoch) - (total % every == 0 and total % epoch > 0)
    weights, model = _bytes(run.trainer.evaluated), _bytes(run.model)
    best = weights * (1 + min(run.config.soup or 0, epochs))
    # The newest is there before the oldest goes; the model comes when all checkpoints are written.
    most = best + max(min(written, kept + 1) * checkpoint, min(written, kept) * checkpoint + model)
    places = [folder / BEST, *(folder / "checkpoints").glob("step-*/*")]
    there = sum(file.stat().st_size for file in places if file.is_file())  # their room is used again
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if (free := shutil.disk_usage(existing).free) < most - there:
        what = (
            f"{counted(min(written, kept + 1), 'checkpoint')} of {mib(checkpoint)} MiB, the best weights and the model"
        )
        raise ConfigError(
            f"The run needs {mib(most - there)} MiB in {folder} ({what}), where {mib(free)} MiB are free: make room, or "
            f"begin with another --output or fewer --keep-checkpoints than {kept}."
        )


def checkpoint_bytes(run: Run) -> int:
    """Return the size of a checkpoint: weights, their average where there is one, and the optimizer's state."""
    config, optim, model = run.config, run.config.optim, run.trainer.model
    state = state_per_weight(
        lambda groups: make_optimizer(config.optimizer, groups, config.lr, optim.momentum, optim.betas),
        next(model.parameters()).device,
    )
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return _bytes(model) * (1 if run.trainer.ema is None else 2) + round(trained * state)


def _bytes(model: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
