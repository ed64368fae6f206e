"""Epochs without gain: they end a run, or let its learning rate fall."""

import logging
from dataclasses import replace
from typing import Any

from botzoo.tasks.task import Evaluation
from botzoo.training.callbacks import Callback
from botzoo.training.recording.checkpoint import LOWEST
from botzoo.training.state import Run

log = logging.getLogger("botzoo")


class Waiting(Callback):
    """Counts the epochs since what chooses the epoch last gained more than ``min_delta``, percentage points or nats."""

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        self.patience, self.min_delta = patience, min_delta
        self.reference, self.epochs = LOWEST, 0

    def state(self) -> dict[str, Any]:
        """Return the figure to beat, and the epochs since it was reached."""
        return {"reference": self.reference, "epochs": self.epochs}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self.reference, self.epochs = state["reference"], state["epochs"]

    def count(self, score: float) -> None:
        """Take note of an epoch."""
        gained = score > self.reference + self.min_delta
        self.reference, self.epochs = (score, 0) if gained else (self.reference, self.epochs + 1)


class EarlyStopping(Waiting):
    """Ends the run after ``patience`` epochs in a row without gain; its best weights are kept."""

    def on_epoch_end(self, run: Run, evaluation: Evaluation) -> bool:
        """Count, and end the run where patience has run out."""
        self.count(run.score(evaluation))
        if self.epochs < self.patience:
            return True
        log.info("stopped early: validation %s no better for %d epochs", run.criterion.figure, self.epochs)
        return False


class Plateau(Waiting):
    """Lets the learning rate fall after every ``patience`` epochs in a row without gain (--optim.decay plateau)."""

    falls: tuple[int, ...] = ()  # known only as the run goes: the schedule is given these steps as they come

    def state(self) -> dict[str, Any]:
        """Return the steps of the falls too."""
        return {**super().state(), "falls": self.falls}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the falls too."""
        super().load_state(state)
        self.falls = tuple(state["falls"])

    def on_train_start(self, run: Run) -> None:
        """Let the schedule of a run that goes on have the falls of before."""
        run.trainer.schedule = replace(run.schedule, falls=self.falls)

    def on_epoch_end(self, run: Run, evaluation: Evaluation) -> None:
        """Count, and let the learning rate fall where it is time, unless the run ends here."""
        self.count(run.score(evaluation))
        step, waited = run.progress.step, self.epochs
        if waited and waited % self.patience == 0 and step < run.schedule.total_steps:  # none after the last step
            self.falls = (*self.falls, step)
        # At each epoch: a budget that has changed the length has made a schedule without falls.
        run.trainer.schedule = replace(run.schedule, falls=self.falls)
        if step in self.falls:
            lr, figure = run.schedule.lr(step), run.criterion.figure
            log.info("validation %s no better for %d epochs: the learning rate falls to %.3g", figure, waited, lr)
