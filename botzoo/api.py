"""Training from Python, by the same functions as the commands."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from botzoo.hub.publish import Publish
from botzoo.options.config import TrainConfig
from botzoo.results.report import Report
from botzoo.results.view import FinishedRun
from botzoo.training.autotune.batch_size import LargestBatch
from botzoo.training.autotune.keep_budget import KeepBudget
from botzoo.training.callbacks import Callback
from botzoo.training.patience import EarlyStopping, Plateau
from botzoo.training.rehearsal import dry_run, find_lr
from botzoo.training.run import train
from botzoo.training.setup import Own
from botzoo.training.soup import MakeSoup

log = logging.getLogger("botzoo")


def all_callbacks(
    config: TrainConfig,
    transfer: Sequence[Callback] = (),
    callbacks: Sequence[Callback] = (),
    began: float | None = None,
    *,
    summary: bool = True,
) -> list[Callback]:
    """Return the callbacks that a run of ``config`` has, in the order in which they act.

    The soup averages what was trained before features give way to images again, and so stands before ``transfer``; the budget
    counts what all before it take at the start; the card is written before the model is published.

    Args:
        config: whose options ask for them.
        transfer: of transfer learning, if any.
        callbacks: a user's own.
        began: see ``run_training``.
        summary: whether each run says how good its network is; one of many leaves that to those that come after it.
    """
    optim = config.optim
    return [
        *([MakeSoup(config.soup)] if config.soup is not None else []),
        *transfer,
        LargestBatch(),
        *callbacks,
        KeepBudget([*transfer, *callbacks], began),
        *([Plateau(optim.decay_patience, config.min_delta)] if optim.decay == "plateau" else []),
        *([EarlyStopping(config.patience, config.min_delta)] if config.patience is not None else []),
        Report(summary),
        *([Publish(config.push_to, private=config.private)] if config.push_to is not None else []),
    ]


def run_training(
    config: TrainConfig,
    *,
    transfer: Sequence[Callback] = (),
    callbacks: Sequence[Callback] = (),
    given: Collection[str] = (),
    command: str,
    resume: Path | None = None,
    mode: str | None = None,
    began: float | None = None,
    own: Own | None = None,
) -> FinishedRun | None:
    """Train as ``config`` says, write the card, say how good the result is, and publish it where that is asked for.

    Args:
        config: the options.
        transfer: callbacks of transfer learning, if any.
        callbacks: a user's own.
        given: names of the options that the user gave; others may give way.
        command: as typed, for the card and the command to resume.
        resume: folder of a run to go on with, whose configuration is ``config``.
        mode: "dry_run" stops after the plan, "find_lr" tries out learning rates; None trains.
        began: ``time.perf_counter()`` when the command began, from which on --budget counts; by default this call's.
        own: objects of a user's own in the place of what options name.

    Returns:
        The finished run, or None where nothing was to be kept and where the run to resume is complete already.

    Raises:
        PublishError: the model could not be published, which is known before the first step but for the network's failures.
        BotzooError: see ``botzoo.training.run.train``.
    """
    began = time.perf_counter() if began is None else began
    every = all_callbacks(config, transfer, callbacks, began)
    if mode == "find_lr":
        find_lr(config, every, given, own)
        return None
    if mode == "dry_run":
        dry_run(config, every, given, own)
        return None
    if resume is not None and all((resume / "model" / name).is_file() for name in ("README.md", "model.safetensors")):
        log.info("%s is complete: its model is in %s", resume, resume / "model")
        return None
    run = train(config, every, given=given, command=command, resume=resume, own=own)
    return FinishedRun.load(run.folder)
