"""A training run with all that is told of it afterwards: the card in the model folder, the summary on the terminal."""

from __future__ import annotations

import logging
from pathlib import Path

from botzoo.publishing.card import write_card
from botzoo.publishing.summary import summary
from botzoo.training.config import TrainConfig
from botzoo.training.prepare import Transfer
from botzoo.training.run import Result, rehearse, train

log = logging.getLogger("botzoo")


def train_and_describe(
    config: TrainConfig,
    *,
    command: str,
    transfer: Transfer | None = None,
    resume: Path | None = None,
    dry_run: bool = False,
) -> Result | None:
    """Train as ``config`` says, write the card and print the summary.

    Args:
        config: the options.
        command: as typed, for the card and the command to resume.
        transfer: what transfer learning adds, if anything.
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
