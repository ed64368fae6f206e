"""What a run writes down as it goes: run.json, metrics.jsonl, the tracker, and a line for each epoch."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from botzoo.training.callbacks import Callback
from botzoo.training.distributed import start_tracker
from botzoo.training.endings import diverged
from botzoo.training.recording import checkpoint
from botzoo.training.recording.facts import record_facts
from botzoo.training.recording.folder import mend
from botzoo.training.recording.history import History
from botzoo.training.state import Run
from botzoo.util.text import duration, epochs_number

log = logging.getLogger("botzoo")


def open_records(run: Run, command: str, *, resumed: bool) -> None:
    """Open run.json, metrics.jsonl and the tracker; where a run goes on, check that data and teacher are those of before."""
    run.facts = record_facts(run, command, resumed=resumed)
    run.history = History(run.folder / "metrics.jsonl", run.is_main)
    if "precision" in run.facts:  # a run that goes on is given its precision by name, and had a reason for it
        run.precision = replace(run.precision, reason=run.facts["precision"]["reason"])
    if resumed and run.is_main:
        mend(run.folder, run.config, run.facts, run.progress.step)
    # nothing where the run begins, also in a folder in which one was killed as it began
    run.history.take_up(checkpoint.place(run.folder / "checkpoints", run.progress.step) / "metrics.jsonl")
    start_tracker(run.config, run.accelerator, run.folder)


class Watch:
    """Seconds of the run over all its sessions, resumed ones too, and images per second since the last restart."""

    def __init__(self, seconds_before: float, batch_size: int) -> None:
        self.before, self.batch_size = seconds_before, batch_size
        self.began = self.window = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time spent training and evaluating."""
        return self.before + time.perf_counter() - self.began

    def speed(self, steps: int) -> float:
        """Return images per second over the last ``steps``."""
        return steps * self.batch_size / (time.perf_counter() - self.window)

    def restart(self) -> None:
        """Begin to count images anew."""
        self.window = time.perf_counter()


def log_training(run: Run, callbacks: Sequence[Callback], step: int, losses: list[Tensor], watch: Watch) -> float:
    """Write a line of the mean loss over all processes since the last one, and return it.

    Raises:
        DivergedError: a loss is not finite.
    """
    # All at once: one wait for the GPU, and one exchange between the processes, for many steps.
    every: Tensor = run.accelerator.reduce(torch.stack(losses), "mean").cpu()
    if not bool(every.isfinite().all()):
        raise diverged(run, step - len(losses) + int((~every.isfinite()).nonzero()[0]) + 1)
    loss, speed = float(every.mean()), round(watch.speed(len(losses)), 1)
    figures = {"loss": loss, "lr": run.schedule.lr(step - 1), "images_per_second": speed}
    record = {"step": step, "split": "train", **figures, "seconds": round(watch.seconds, 2)}
    run.history.add(record)
    for callback in callbacks:
        callback.on_log(run, record)
    run.accelerator.log({f"train/{name}": value for name, value in figures.items()}, step)
    losses.clear()  # the loop goes on to fill it
    watch.restart()
    return loss


def log_evaluation(run: Run, split: str, evaluation: Any, epoch: int, seconds: float, better: bool = False) -> None:
    """Write a line of an evaluation; that of the validation split is said too, that of the test split when all is done."""
    figures = run.criterion.figures(evaluation)
    counts = {"images": len(evaluation), "epoch": epoch, "seconds": round(seconds, 2)}
    run.history.add({"step": run.progress.step, "split": split, **figures, **counts})
    run.accelerator.log({f"{split}/{name}": value for name, value in figures.items()}, run.progress.step)
    if split == "validation":
        number, of = epochs_number(min(epoch, run.epochs)), epochs_number(run.epochs)
        chosen_by = run.criterion.beside(evaluation)
        loss = "" if evaluation.loss is None else f", loss {evaluation.loss:.4f}"
        figure = f"validation {run.task.headline.figure} {evaluation.score:.2f} %{chosen_by}{loss}"
        best = " (best so far)" if better else ""
        log.info("epoch %*s/%s  %s, after %s%s", len(of), number, of, figure, duration(seconds), best)
