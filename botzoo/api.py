"""Training from Python, by the same functions as the commands."""

import logging
import os
import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from botzoo import recipes
from botzoo.errors import ConfigError
from botzoo.hub.publish import Publish
from botzoo.options.command import Command
from botzoo.options.command_line import check_options, from_keywords, load_config, train_on
from botzoo.options.config import TrainConfig
from botzoo.options.facts import flag, values_of
from botzoo.report.callback import WritePage
from botzoo.report.view import FinishedRun
from botzoo.results.dense.pictures import KeepPictures
from botzoo.results.report import Report, is_complete
from botzoo.results.summary import shown_in_python
from botzoo.training import run as training
from botzoo.training.autotune.batch_size import LargestBatch
from botzoo.training.autotune.budget import KeepBudget
from botzoo.training.callbacks import Callback
from botzoo.training.patience import EarlyStopping, Plateau
from botzoo.training.recording.features import KeepFeatures
from botzoo.training.recording.predict import Predict
from botzoo.training.recording.replaced import ListReplaced
from botzoo.training.rehearsal import dry_run, find_lr
from botzoo.training.soup import MakeSoup
from botzoo.training.state import Own
from botzoo.util.environment import check_environment, user_path
from botzoo.util.outgoing import as_typed

log = logging.getLogger("botzoo")

T = TypeVar("T")


def train(
    data: Any = "digits",
    *,
    recipe: str = recipes.DEFAULT,
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
            splits of these; see ``botzoo.sources.memory.in_memory``.
        recipe: name of a recipe, or a YAML file; it sets the defaults of the other options.
        model: what --model takes, or a network of your own that returns logits (N, K).
        callbacks: see ``botzoo.training.callbacks.Callback``.
        transform: makes pixels of a PIL image in training, in place of crop, flip and augmentation; see
            ``botzoo.data.transforms.OwnTransform``.
        loss: returns a scalar, of logits float32 (N, K) and labels int64 (N,), or float32 (N, K) where an image may have any
            number of them.
        resume: folder of a run to go on with; all other options are that run's. Only an address as ``data`` that has a secret
            in it, which no run keeps, is given again.
        options: every other option of the command, such as ``epochs=5``; those of a group with two underscores, such as
            ``data__hflip=0``, or as a dictionary, such as ``optim={"weight_decay": 0.01}``.

    Raises:
        BotzooError: with the line that the command would print.
    """
    defaults = check_options(recipes.load(recipe).resolved(), TrainConfig, f"The recipe {recipe}")
    named = resume is None and recipe != recipes.DEFAULT  # a run that is resumed has its recipe's options already
    prog = f"botzoo train --recipe {shlex.quote(recipe)}" if named else "botzoo train"
    command = Command(prog, "", TrainConfig, defaults)
    own: dict[str, Any] = {"model": model, "transform": transform, "loss": loss}
    run = from_python(run_training, command, data, options, **own, resume=resume, callbacks=callbacks)
    return run if run is not None else FinishedRun.load(str(resume))


def from_python(
    execute: Callable[..., T],
    command: Command[Any],
    data: Any,
    options: Mapping[str, Any],
    *,
    model: str | nn.Module | None = None,
    transform: Callable[..., Any] | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    resume: str | Path | None = None,
    **how: Any,
) -> T:
    """Return what ``execute`` returns for what is asked for in Python, which it gets as from a command line.

    Args:
        execute: ``run_training``, or a function with its arguments.
        command: whose options these are, with their defaults.
        data, model, transform, loss, resume, options: as of ``train``.
        how: further arguments of ``execute``.

    Raises:
        ConfigError: an option does not exist or cannot be used, or stands beside ``resume``.
    """
    check_environment()
    if data is None and resume is None:
        raise ConfigError("data is None: give the name of a data set, its folder, or the images themselves.")
    if "dataset" in options:
        raise ConfigError("dataset is called data in Python, and is the first argument: give data in place of dataset.")
    in_memory = not isinstance(data, str | os.PathLike)
    options, labels = dict(options), None
    if not isinstance(options.get("labels"), str | os.PathLike | None):
        labels = options.pop("labels")
    network = model if isinstance(model, nn.Module) else None
    own = Own(data if in_memory else None, labels, network, transform, loss)
    folder = user_path(resume) if resume is not None else None
    if folder is not None:
        if options:
            out = f"leave {', '.join(options)} out{train_on(folder, python=True)}"
            raise ConfigError(f"resume goes on with a run as it was configured: {out}.")
        again = "" if in_memory else os.fspath(data)  # an address whose secret the run does not keep
        config, given = load_config(folder / "config.yaml", command.config_class, again), frozenset[str]()
        line = command.prog
    else:
        named = {name.replace("__", "."): value for name, value in options.items()}
        named["dataset"] = "memory" if in_memory else os.fspath(data)
        if model is not None:
            named["model"] = model if isinstance(model, str) else type(model).__name__
        config, given = from_keywords(command.config_class, command.defaults, named)
        values = values_of(config)  # as the options have them: lr="1e-3" is 0.001 by now
        flags = [flag(name, values[name]) for name in sorted(given, key=lambda name: (name != "dataset", name))]
        line = as_typed([*shlex.split(command.prog), *(word for text in flags for word in text.split(" ", 1))])
    with shown_in_python():
        return execute(config, given=given, command=line, resume=folder, own=own, **how)


def all_callbacks(
    config: TrainConfig,
    transfer: Sequence[Callback] = (),
    callbacks: Sequence[Callback] = (),
    began: float | None = None,
    *,
    summary: bool = True,
) -> list[Callback]:
    """Return the callbacks that a run of ``config`` has, in the order in which they act.

    Args:
        transfer: those of transfer learning, if any.
        callbacks: a user's own.
        began: ``time.perf_counter()`` when the command began, from which on --budget counts; by default this call's.
        summary: whether each run says how good its network is; one of many leaves that to those that come after it.
    """
    optim = config.optim
    soup = [MakeSoup(config.soup)] if config.soup is not None else []
    return [
        *soup,  # it averages what was trained before features give way to images again
        *transfer,
        LargestBatch(),
        *callbacks,
        KeepBudget([*transfer, *callbacks], began),  # it counts what all before it take at the start
        *([Plateau(optim.decay_patience, config.min_delta)] if optim.decay == "plateau" else []),
        *([EarlyStopping(config.patience, config.min_delta)] if config.patience is not None else []),
        *([KeepFeatures()] if config.unlike else []),  # of the weights that all before it have left
        *([Predict(config.predict)] if config.predict is not None else []),  # the same weights
        ListReplaced(),  # the list is whole before run.json, and so the card, is written
        KeepPictures(),  # they are on the card
        Report(summary),  # the card is written before the model is published
        *([WritePage()] if config.report else []),  # it shows the recipe, which comes with the card
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

    Returns the finished run, or None where nothing was to be kept and where the run to resume is complete already.

    Args:
        transfer, callbacks, began: as of ``all_callbacks``.
        config, given, command, resume, own: as of ``botzoo.training.run.train``.
        mode: "dry_run" stops after the plan, "find_lr" tries out learning rates; None trains.

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
    if resume is not None and is_complete(resume):
        log.info("%s is complete: its model is in %s%s", resume, resume / "model", train_on(resume))
        return None
    run = training.train(config, every, given=given, command=command, resume=resume, own=own)
    return FinishedRun.load(run.folder)
