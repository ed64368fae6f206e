"""Fine-tuning from end to end: the job of ``botzoo.training.run`` with transfer added, then the card and the summary."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from botzoo.training.run import Result, Transfer, train
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.freeze import Freezer
from botzoo_finetune.layer_decay import layer_decay


def finetune(config: FinetuneConfig, *, command: str, resume: Path | None = None) -> Result | None:
    """Fine-tune as ``config`` says and return the result; see ``botzoo.training.run.train`` for the errors."""
    freezer = Freezer(config.freeze, config.unfreeze_every)

    def describe(model: nn.Module) -> list[str]:
        freezer.check(model)
        return []

    transfer = Transfer(
        lr_scale=lambda model: layer_decay(model, config.layer_decay, config.head_lr_scale),
        set_trainable=freezer,
        describe=describe,
    )
    return train(config, transfer=transfer, command=command, resume=resume)
