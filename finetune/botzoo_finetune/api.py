"""Fine-tuning from Python, by the same functions as the command ``botzoo-finetune``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from botzoo.api import from_python
from botzoo.results.view import FinishedRun
from botzoo.training.callbacks import Callback
from botzoo_finetune.cli import command
from botzoo_finetune.doctor.findings import Report
from botzoo_finetune.probing.compare import Row
from botzoo_finetune.probing.first_look import Look
from botzoo_finetune.run import execute


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

    Arguments are those of ``botzoo.train`` but for ``recipe``; ``options`` are every other option of this command, such
    as ``epochs=5``, those of a group with two underscores, such as ``data__hflip=0``, or as a dictionary.

    Raises BotzooError: with the line that the command would print.
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


def compare(data: Any, models: Sequence[str], **options: Any) -> list[Row]:
    """Probe several models on the same images and return them by rank, as --compare does; arguments as of ``finetune``."""
    rows: list[Row] = from_python(execute, command(), data, options, mode="compare", value=",".join(models))
    return rows
