"""Fine-tuning from end to end: the job of ``botzoo.training.run`` with transfer added, then the card and the summary."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from botzoo.publishing.card import write_card
from botzoo.training.run import Result, Transfer, rehearse, train
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.freeze import Freezer
from botzoo_finetune.layer_decay import layer_decay
from botzoo_finetune.summary import summary

log = logging.getLogger("botzoo")


def finetune(
    config: FinetuneConfig, *, command: str, resume: Path | None = None, dry_run: bool = False
) -> Result | None:
    """Fine-tune as ``config`` says, write the card and print the summary.

    Args:
        config: the options.
        command: as typed, for the card and the command to resume.
        resume: folder of a run to go on with, whose configuration is ``config``.
        dry_run: stop after the plan and draw the learning rate.

    Returns:
        The result, or None after a dry run and where the run to resume is complete already.

    Raises:
        BotzooError: see ``botzoo.training.run.train``.
    """
    if resume is not None and all((resume / "model" / name).is_file() for name in ("README.md", "model.safetensors")):
        log.info("%s is complete: its model is in %s", resume, resume / "model")
        return None
    freezer = Freezer(config.freeze, config.unfreeze_every)

    def describe(model: nn.Module) -> list[str]:
        freezer.check(model)
        lines = [f"frozen: {config.freeze}"] if config.freeze != "none" else []
        lines += [f"one more stage is trained every {config.unfreeze_every} epoch(s)"] if config.unfreeze_every else []
        scales = [f"{config.layer_decay:g} from layer to layer"] if config.layer_decay < 1 else []
        scales += [f"{config.head_lr_scale:g} for the classifier"] if config.head_lr_scale != 1 else []
        return lines + ([f"learning rate times {' and times '.join(scales)}"] if scales else [])

    transfer = Transfer(
        lr_scale=lambda model: layer_decay(model, config.layer_decay, config.head_lr_scale),
        set_trainable=freezer,
        describe=describe,
    )
    if dry_run:
        rehearse(config, transfer=transfer)
        return None
    result = train(config, transfer=transfer, command=command, resume=resume)
    if result.job.accelerator.is_main_process:
        write_card(result)
        lines = summary(result)
        with (result.job.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        for line in lines:
            log.info("%s", line)
    return result
