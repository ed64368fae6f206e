"""Epochs without gain: a plateau against torch's scheduler, and the end of a run."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from botzoo.training.patience import EarlyStopping, Plateau
from botzoo.training.soup import TOP1
from botzoo.training.steps.schedule import Schedule

ACCURACIES = [50.0, 51, 51, 50, 51.4, 51.6, 49, 49, 49, 49, 49, 49, 60, 60, 60, 61]


class Trained(SimpleNamespace):
    """As much of a run as patience looks at: ten steps an epoch, 160 in all."""

    def __init__(self) -> None:
        schedule = Schedule(0.4, 160, cosine=False, factor=0.1)
        trainer, progress = SimpleNamespace(schedule=schedule), SimpleNamespace(step=0)
        super().__init__(trainer=trainer, criterion=TOP1, progress=progress, score=lambda evaluation: evaluation.score)

    @property
    def schedule(self) -> Schedule:
        return self.trainer.schedule  # type: ignore[no-any-return]

    def epoch(self, callback: Any, score: float) -> Any:
        """End an epoch with a figure of the validation split."""
        self.progress.step += 10
        return callback.on_epoch_end(self, SimpleNamespace(score=score))


@pytest.mark.parametrize("min_delta", [0.0, 0.5])
@pytest.mark.parametrize("patience", [1, 2, 3])
def test_plateau_is_torchs(patience: int, min_delta: float) -> None:
    ours, run = Plateau(patience, min_delta), Trained()
    sgd = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    theirs = ReduceLROnPlateau(  # torch falls after more than so many epochs without gain
        sgd, "max", 0.1, patience - 1, min_delta, "abs", eps=0
    )
    for top1 in ACCURACIES[:-1]:
        theirs.step(top1)
        run.epoch(ours, top1)
        assert run.schedule.lr(run.progress.step) == pytest.approx(sgd.param_groups[0]["lr"]), run.progress.step


@pytest.mark.parametrize("at", [3, 7, 11])
def test_a_plateau_goes_on_from_its_state(at: int) -> None:
    whole, first, second = (Plateau(2) for _ in range(3))
    one, two = Trained(), Trained()
    for k, top1 in enumerate(ACCURACIES):
        if k == at:
            second.load_state({**first.state(), "falls": list(first.state()["falls"])})  # as JSON has it
            two.trainer.schedule = Trained().schedule
            second.on_train_start(two)
        one.epoch(whole, top1)
        two.epoch(second if k >= at else first, top1)
    assert one.schedule == two.schedule
    assert one.schedule.falls == (40, 80, 100, 120, 150)


def test_the_rate_does_not_fall_where_the_run_ends() -> None:
    plateau, run = Plateau(1), Trained()
    run.progress.step = 150
    plateau.reference = 70.0
    run.epoch(plateau, 60.0)
    assert run.schedule.falls == ()


def stops_after(patience: int, min_delta: float) -> int | None:
    stopping, run = EarlyStopping(patience, min_delta), Trained()
    return next((k for k, top1 in enumerate(ACCURACIES, 1) if run.epoch(stopping, top1) is False), None)


@pytest.mark.parametrize(
    ("patience", "min_delta", "epochs"), [(2, 0.0, 4), (3, 0.0, 9), (6, 0.0, 12), (7, 0.0, None), (1, 100.0, 2)]
)
def test_patience_runs_out_after_so_many_epochs_without_gain(patience: int, min_delta: float, epochs: Any) -> None:
    assert stops_after(patience, min_delta) == epochs
