"""Steps and staircases against torch's and timm's, alone and under the warmup."""

from typing import Any

import pytest
import torch
from timm.scheduler import StepLRScheduler
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR, LRScheduler, MultiStepLR, StepLR

from botzoo.data.order import Order
from botzoo.errors import ConfigError
from botzoo.options.command_line import made
from botzoo.options.config import OptimConfig, TrainConfig
from botzoo.training.steps.schedule import Schedule, fall_epochs, make_schedule

SPE = 5  # steps per epoch


def optimizer(lr: float = 0.4) -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)


def schedule(epochs: int, warmup: float = 0.0, **optim: Any) -> Schedule:
    config = TrainConfig(
        lr=0.4, linear_scaling=False, epochs=epochs, warmup=warmup, cosine=False, optim=OptimConfig(**optim)
    )
    return make_schedule(config, Order(50, 10, 0))


def by_epoch(scheduler: LRScheduler, epochs: int) -> list[float]:
    """Return the rate of each step under a scheduler of torch's that is stepped once an epoch."""
    rates = []
    for _ in range(epochs):
        rates += [scheduler.get_last_lr()[0]] * SPE
        scheduler.optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("milestones", [(3,), (2, 3, 7), (1, 8)])
def test_step_is_torchs_multi_step(milestones: tuple[int, ...]) -> None:
    ours = schedule(9, decay="step", milestones=milestones)
    theirs = by_epoch(MultiStepLR(optimizer(), milestones, gamma=0.1), 9)
    assert [ours.lr(step) for step in range(9 * SPE)] == pytest.approx(theirs)


@pytest.mark.parametrize("options", [{}, {"decay_every": 1, "decay_factor": 0.5}])
def test_exponential_is_torchs_staircase(options: dict[str, Any]) -> None:
    ours = schedule(9, decay="exponential", **options)
    theirs = StepLR(optimizer(), options.get("decay_every", 2), gamma=options.get("decay_factor", 0.94))
    assert [ours.lr(step) for step in range(9 * SPE)] == pytest.approx(by_epoch(theirs, 9))


def test_exponential_every_epoch_is_torchs_exponential() -> None:
    ours = schedule(6, decay="exponential", decay_every=1)
    theirs = by_epoch(ExponentialLR(optimizer(), 0.94), 6)
    assert [ours.lr(step) for step in range(6 * SPE)] == pytest.approx(theirs)


def test_with_a_warmup_it_is_timms_staircase_over_the_whole_run() -> None:
    ours = schedule(12, warmup=2, decay="exponential", decay_every=3)
    sgd = optimizer()
    timms = StepLRScheduler(
        sgd, decay_t=3 * SPE, decay_rate=0.94, warmup_t=2 * SPE, warmup_prefix=False, t_in_epochs=False
    )
    for step in range(2 * SPE, 12 * SPE):
        timms.step_update(step)
        assert ours.lr(step) == pytest.approx(sgd.param_groups[0]["lr"]), step


def test_the_warmup_multiplies_the_falls() -> None:
    warm, cold = (schedule(6, warmup, decay="step", milestones=(1,)) for warmup in (2, 0))
    assert [warm.lr(k) for k in range(10)] == pytest.approx([cold.lr(k) * (k + 1) / 10 for k in range(10)])
    assert [warm.lr(k) for k in range(10, 30)] == [cold.lr(k) for k in range(10, 30)]


@pytest.mark.parametrize(("epochs", "falls"), [(120, [30, 60, 90]), (30, [8, 15, 23]), (3, [1, 2]), (2, [1]), (1, [])])
def test_by_default_it_falls_every_quarter_of_the_run(epochs: int, falls: list[int]) -> None:
    assert fall_epochs("step", epochs) == falls


@pytest.mark.parametrize("decay", ["constant", "plateau"])
def test_without_a_plan_to_fall_the_rate_stays(decay: str) -> None:
    assert {schedule(4, decay=decay).lr(step) for step in range(4 * SPE)} == {0.4}


# What is refused

WRONG: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"decay": "step"}, "--optim.decay step counts with --no-cosine"),
    ({"cosine": False, "patience": 5}, {"decay": "plateau"}, "--patience 5 stops before"),
    ({}, {"decay": "step", "milestones": ()}, "--optim.milestones is []: it must be rising"),
    ({}, {"decay": "step", "milestones": (3, 3)}, "--optim.milestones is [3, 3]: it must be rising"),
    ({}, {"decay": "step", "milestones": (0, 3)}, "--optim.milestones is [0, 3]: it must be rising"),
]


@pytest.mark.parametrize(("options", "optim", "message"), WRONG)
def test_a_wrong_schedule_is_refused_in_one_line(options: Any, optim: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made({**options, "optim": optim}, TrainConfig)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
