"""Training from Python, by the same functions as the commands."""

import logging
import os
import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from botzoo import recipes
from botzoo.errors import ConfigError
from botzoo.hub.publish import Publish
from botzoo.options.command_line import check_options, from_keywords, load_config
from botzoo.options.config import TrainConfig
from botzoo.options.facts import flag, values_of
from botzoo.results.report import Report
from botzoo.results.summary import shown_in_python
from botzoo.results.view import FinishedRun
from botzoo.training.autotune.batch_size import LargestBatch
from botzoo.training.autotune.budget import KeepBudget
from botzoo.training.callbacks import Callback
from botzoo.training.patience import EarlyStopping, Plateau
from botzoo.training.rehearsal import dry_run, find_lr
from botzoo.training.run import train
from botzoo.training.soup import MakeSoup
from botzoo.training.state import Own

log = logging.getLogger("botzoo")

DEFAULT_RECIPE = "label-smoothing"
"""The paper's best that needs neither a teacher nor 200 epochs."""


def train_from_python(
    data: Any = "digits",
    *,
    recipe: str = DEFAULT_RECIPE,
    model: str | nn.Module | None = None,
    callbacks: Sequence[Callback] = (),
    transform: Callable[..., Any] | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    resume: str | Path | None = None,
    **options: Any,
) -> FinishedRun:
    """Train a network from scratch by a recipe, as ``botzoo train`` does, and return the finished run.

    Args:
        data: what --dataset takes (a folder, a Hub id, a short name), or the data itself: a ``datasets.Dataset`` or
            ``DatasetDict``, a torch Dataset of (image, label), a pair (images, labels), a pandas DataFrame, or a dict of
            splits of these; see ``botzoo.data.sources.memory.in_memory``.
        recipe: name of a recipe, or a YAML file; it sets the defaults of the other options.
        model: what --model takes, or a network of your own that returns logits (N, K).
        callbacks: see ``botzoo.training.callbacks.Callback``.
        transform: makes pixels of a PIL image in training, in place of crop, flip and augmentation; see
            ``botzoo.data.transforms.OwnTransform``.
        loss: returns a scalar, of logits float32 (N, K) and labels int64 (N,), or float32 (N, K) where an image may have any
            number of them.
        resume: folder of a run to go on with; all other options are that run's.
        options: every other option of the command, such as ``epochs=5``; those of a group with two underscores, such as
            ``data__hflip=0``, or as a dictionary, such as ``optim={"weight_decay": 0.01}``.

    Raises:
        BotzooError: with the line that the command would print.
    """
    defaults = check_options(recipes.load(recipe).resolved(), TrainConfig, f"The recipe {recipe}")
    asked = asked_in_python(TrainConfig, defaults, "botzoo train", data, model, transform, loss, resume, options)
    if resume is None and recipe != DEFAULT_RECIPE:
        asked = replace(asked, command=f"{asked.command} --recipe {shlex.quote(recipe)}")
    with shown_in_python():
        run = run_training(
            asked.config,
            callbacks=callbacks,
            given=asked.given,
            command=asked.command,
            resume=asked.resume,
            own=asked.own,
        )
    return run if run is not None else FinishedRun.load(str(resume))


@dataclass(frozen=True)
class PythonCall:
    """What a call from Python asks for, as a command line would.

    Attributes:
        config: the options.
        given: the names of those that were given.
        command: the command line that asks for the same, but for objects of the user's own.
        resume: folder of a run to go on with.
        own: objects of the user's own.
    """

    config: Any
    given: frozenset[str]
    command: str
    resume: Path | None
    own: Own


def asked_in_python(
    config_class: type[TrainConfig],
    defaults: Mapping[str, Any],
    prog: str,
    data: Any,
    model: str | nn.Module | None,
    transform: Callable[..., Any] | None,
    loss: Callable[[Tensor, Tensor], Tensor] | None,
    resume: str | Path | None,
    options: Mapping[str, Any],
) -> PythonCall:
    """Return what the arguments of ``train_from_python`` ask for.

    Raises:
        ConfigError: an option does not exist or cannot be used, or stands beside ``resume``.
    """
    in_memory = not isinstance(data, str | os.PathLike)
    own_model = model if isinstance(model, nn.Module) else None
    own = Own(data if in_memory else None, own_model, transform, loss)
    if resume is not None:
        if options:
            raise ConfigError(f"resume goes on with a run as it was configured: leave {', '.join(options)} out.")
        folder = Path(resume).expanduser()
        return PythonCall(load_config(folder / "config.yaml", config_class), frozenset(), prog, folder, own)
    named = {name.replace("__", "."): value for name, value in options.items()}
    named["dataset"] = "memory" if in_memory else os.fspath(data)
    if isinstance(model, str):
        named["model"] = model
    elif own_model is not None:
        named["model"] = type(own_model).__name__
    config, given = from_keywords(config_class, defaults, named)
    values = values_of(config)
    words = [flag(name, values[name]) for name in sorted(given, key=lambda name: (name != "dataset", name))]
    return PythonCall(config, given, " ".join([prog, *words]), None, own)


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
    given: Collection[str] | None = None,
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
        given: names of the options that the user gave, while others may give way; by default those that differ from the
            defaults.
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
