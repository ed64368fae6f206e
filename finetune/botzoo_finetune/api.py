"""Fine-tuning from Python, by the same functions as the command ``botzoo-finetune``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from botzoo.api import from_python
from botzoo.errors import ConfigError
from botzoo.report.view import FinishedRun
from botzoo.training.callbacks import Callback
from botzoo_finetune.cli import command
from botzoo_finetune.doctor.findings import Report
from botzoo_finetune.probing.compare import Row
from botzoo_finetune.probing.first_look import Look
from botzoo_finetune.run import execute
from botzoo_finetune.suggesting.suggestions import Suggestions


def finetune(
    data: Any = "digits",
    *,
    model: str | nn.Module | None = None,
    callbacks: Sequence[Callback] = (),
    transform: Callable[..., Any] | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    resume: str | Path | None = None,
    **options: Any,
) -> FinishedRun:
    """Fine-tune a pretrained model on images, as the command does, and return the finished run.

    Args:
        data: what --dataset takes (a folder, a Hub id, a short name), or the data itself: a ``datasets.Dataset`` or
            ``DatasetDict``, a torch Dataset of (image, label), a pair (images, labels), a pandas DataFrame, or a dict of
            splits of these; see ``botzoo.sources.memory.in_memory``.
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
    own: dict[str, Any] = {"model": model, "transform": transform, "loss": loss}
    run = from_python(execute, command(), data, options, **own, resume=resume, callbacks=callbacks)
    return run if run is not None else FinishedRun.load(str(resume))  # None: the run to resume was complete already


def probe(data: Any = "digits", *, model: str | nn.Module | None = None, **options: Any) -> Look:
    """Say how good a linear classifier on the frozen network is, as --probe does; arguments as of ``finetune``.

    Returns what was found: ``probe`` (classifier and its evaluation), ``outlook`` (neighbours, and what more data would do).
    """
    look: Look = from_python(execute, command(), data, options, model=model, mode="probe")
    return look


def check(data: Any = "digits", *, model: str | nn.Module | None = None, **options: Any) -> Report:
    """Look for broken files, duplicates and likely wrong labels, as --check does; arguments as of ``finetune``.

    Returns what was found: ``findings``, ``counts``, ``sizes``, and ``well`` where there is nothing to look at.
    """
    report: Report = from_python(execute, command(), data, options, model=model, mode="check")
    return report


def compare(data: Any = "digits", models: str | Sequence[str] = (), **options: Any) -> list[Row]:
    """Probe several models on the same images and return them by rank, as --compare does.

    Args:
        data: as of ``finetune``.
        models: two or more, each as --compare takes it, or all of them in one text with commas between.
        options: as of ``finetune``.

    Raises:
        BotzooError: with the line that the command would print.
    """
    names = [models] if isinstance(models, str) else list(models)
    if odd := [name for name in names if not isinstance(name, str)]:
        raise ConfigError(
            f"A model to compare is of type {type(odd[0]).__name__}: give names, such as 'resnet10d_bot'."
        )
    rows: list[Row] = from_python(execute, command(), data, options, mode="compare", value=",".join(names))
    return rows


def suggest(
    data: Any, folder: str | Path, count: int = 50, *, model: str | nn.Module | None = None, **options: Any
) -> Suggestions:
    """Rank the unlabelled images of a folder by what their labels may teach, as --suggest does; arguments as of ``finetune``.

    Returns what was found: ``images``, the most telling first, and what was left out; suggested.csv and a page are written.
    """
    mode: dict[str, Any] = {"mode": "suggest", "value": str(folder), "count": count}
    found: Suggestions = from_python(execute, command(), data, options, model=model, **mode)
    return found
