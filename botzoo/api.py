"""A training run with all that is told of it afterwards: recipe and card in the model folder, the summary, the Hub."""

from __future__ import annotations

import logging
import os
import shlex
import time
from pathlib import Path

from botzoo.errors import BotzooError, PublishError
from botzoo.models.licence import settle_license
from botzoo.options.config import TrainConfig
from botzoo.results.report import describe
from botzoo.results.summary import summary
from botzoo.training.run import Result, range_test, rehearse, train
from botzoo.training.setup import Settled, Transfer

log = logging.getLogger("botzoo")


def train_and_describe(
    config: TrainConfig,
    *,
    command: str,
    transfer: Transfer | None = None,
    resume: Path | None = None,
    mode: str | None = None,
    began: float | None = None,
) -> Result | None:
    """Train as ``config`` says, write the card, print the summary, and publish the model where that is asked for.

    Args:
        config: the options.
        command: as typed, for the card and the command to resume.
        transfer: what transfer learning adds, if anything.
        resume: folder of a run to go on with, whose configuration is ``config``.
        mode: "dry_run" stops after the plan, "find_lr" tries out learning rates; None trains.
        began: ``time.perf_counter()`` when the command began, from which on --budget counts; by default this call's.

    Returns:
        The result, or None where nothing was to be kept and where the run to resume is complete already.

    Raises:
        PublishError: the model could not be published, which is known before the first step but for the network's failures.
        BotzooError: see ``botzoo.training.run.train``.
    """
    if resume is not None and all((resume / "model" / name).is_file() for name in ("README.md", "model.safetensors")):
        log.info("%s is complete: its model is in %s", resume, resume / "model")
        return None
    if mode == "find_lr":
        range_test(config, transfer=transfer)
        return None
    if mode == "dry_run":
        rehearse(config, transfer=transfer, approve=_check_license, began=began)
        return None
    began = time.perf_counter() if began is None else began
    head = _check_access(config)
    result = train(config, transfer=transfer, command=command, resume=resume, approve=_check_license, began=began)
    if result.job.accelerator.is_main_process:
        lines = summary(describe(result.job.folder))
        with (result.job.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        for line in lines:
            log.info("%s", line)
        _push(result, head)
    return result


def _check_license(settled: Settled) -> None:
    """Raise before the first step where the model could not be published for want of a licence."""
    config, start, data = settled.config, settled.start, settled.data
    license = settle_license(start.license, data.license, config.license)
    if config.push_to is not None and license is None:
        raise PublishError(
            f"--push-to {config.push_to} needs a licence: choose one with --license, such as apache-2.0. It starts from "
            f"{start.source} (licence: {start.license or 'none known'}); data: {data.license or 'none known'}."
        )


def _check_access(config: TrainConfig) -> str | None:
    """Ask the Hub, from the first process alone, whether --push-to will do; return the commit to go on top of."""
    if config.push_to is None or os.environ.get("RANK", "0") != "0":
        return None
    from botzoo.hub.publish import check_access

    return check_access(config.push_to, private=config.private)


def _push(result: Result, head: str | None) -> None:
    config, folder = result.job.config, result.job.folder
    if config.push_to is None:
        return
    from botzoo.hub.package import pack
    from botzoo.hub.publish import publish

    try:
        done = publish(pack(folder, config.push_to), private=config.private, parent=head)
    except BotzooError as error:
        again = ["botzoo", "publish", str(folder), "--repo", config.push_to, *(["--private"] if config.private else [])]
        raise PublishError(
            f"The model is whole in {folder / 'model'}. {error} To publish it: {shlex.join(again)}"
        ) from error
    log.info("%-10s %s", "published", done.url)
