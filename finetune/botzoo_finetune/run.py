"""Fine-tuning: a training run of botzoo with transfer added."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from botzoo.errors import ConfigError
from botzoo.publishing.job import train_and_describe
from botzoo.training.prepare import Transfer
from botzoo.training.run import Result
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.doctor.check import check
from botzoo_finetune.doctor.examine import Report, quick_lines
from botzoo_finetune.freeze import Freezer
from botzoo_finetune.layer_decay import layer_decay


def finetune(
    config: FinetuneConfig, *, command: str, resume: Path | None = None, dry_run: bool = False
) -> Result | Report | None:
    """Fine-tune as ``config`` says, write the card and print the summary; with ``config.check`` look at the data only.

    Args:
        config: the options.
        command: as typed, for the card and the command to resume.
        resume: folder of a run to go on with, whose configuration is ``config``.
        dry_run: stop after the plan and draw the learning rate.

    Returns:
        The result, or what was found in the data with ``config.check``, or None after a dry run and where the run to
        resume is complete already.

    Raises:
        BotzooError: see ``botzoo.training.run.train``.
    """
    if config.check and dry_run:
        raise ConfigError(
            "--check and --dry-run both train nothing, and do different things instead: give one of the two."
        )
    if config.check:
        return check(config, _transfer(config))
    return train_and_describe(config, command=command, transfer=_transfer(config), resume=resume, dry_run=dry_run)


def _transfer(config: FinetuneConfig) -> Transfer:
    freezer = Freezer(config.freeze, config.unfreeze_every)

    def describe(model: nn.Module) -> list[str]:
        freezer.check(model)
        lines = [f"frozen: {config.freeze}"] if config.freeze != "none" else []
        lines += [f"one more stage is trained every {config.unfreeze_every} epoch(s)"] if config.unfreeze_every else []
        scales = [f"{config.layer_decay:g} from layer to layer"] if config.layer_decay < 1 else []
        scales += [f"{config.head_lr_scale:g} for the classifier"] if config.head_lr_scale != 1 else []
        return lines + ([f"learning rate times {' and times '.join(scales)}"] if scales else [])

    return Transfer(
        lr_scale=lambda model: layer_decay(model, config.layer_decay, config.head_lr_scale),
        set_trainable=freezer,
        describe=describe,
        remark=quick_lines,
    )
