"""The schedule against torch's and timm's, and the parameter groups: each parameter once, each with its own rate."""

from typing import Any

import pytest
import timm
import torch
from timm.scheduler import CosineLRScheduler
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from botzoo.errors import ConfigError
from botzoo.training.steps.optimizer import LrScale, make_optimizer, param_groups, scale_lr, set_lr
from botzoo.training.steps.schedule import Schedule

SHAPES = [(20, 0), (20, 1), (20, 5), (300, 100), (2, 1)]


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


@pytest.mark.parametrize(("total", "warmup"), SHAPES)
def test_the_schedule_is_timms_with_the_warmup_left_out_of_the_cosine(total: int, warmup: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    timms = CosineLRScheduler(
        optimizer, total - warmup, warmup_t=warmup, warmup_lr_init=0.0, warmup_prefix=True, t_in_epochs=False
    )
    ours = Schedule(0.4, total, warmup)
    for step in range(total):
        # timm's warmup counts from 0, the paper's from 1: its first batch has the rate eta / m
        timms.step_update(step + 1 if step < warmup - 1 else step if step >= warmup else warmup)
        assert ours.lr(step) == pytest.approx(optimizer.param_groups[0]["lr"]), step


@pytest.mark.parametrize(("total", "warmup"), [(20, 1), (20, 5), (300, 100)])
def test_the_schedule_is_torchs_linear_then_cosine(total: int, warmup: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    rising = LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
    falling = CosineAnnealingLR(optimizer, total - warmup)
    torchs = SequentialLR(optimizer, [rising, falling], [warmup])
    ours = Schedule(0.4, total, warmup)
    for step in range(total):
        assert ours.lr(step) == pytest.approx(torchs.get_last_lr()[0]), step
        optimizer.step()
        torchs.step()


def test_the_first_rate_is_a_share_of_the_peak_and_not_0() -> None:
    assert Schedule(0.4, 100, 8).lr(0) == pytest.approx(0.4 / 8)


def test_there_is_no_jump_at_the_end_of_the_warmup() -> None:
    schedule = Schedule(0.4, 100, 10)
    assert schedule.lr(9) == schedule.lr(10) == 0.4
    assert schedule.lr(11) == pytest.approx(0.4, rel=1e-3)


@pytest.mark.parametrize("warmup", [0, 50])
def test_the_last_rate_is_small_but_not_0(warmup: int) -> None:
    last = Schedule(1.0, 1000, warmup).lr(999)
    assert 0 < last < 1e-5


def test_without_decay_the_rate_stays_at_its_peak() -> None:
    schedule = Schedule(0.4, 100, 10, cosine=False)
    assert {schedule.lr(step) for step in range(9, 100)} == {0.4}


@pytest.mark.parametrize("spare_biases", [True, False])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_each_parameter_is_in_one_group(name: str, spare_biases: bool) -> None:
    model = timm.create_model(name, num_classes=3, device="meta")
    optimizer = torch.optim.SGD(param_groups(model, 1e-4, spare_biases), lr=0.1)
    for _ in range(2):
        found = sorted(id(p) for g in optimizer.param_groups for p in g["params"])
        assert found == sorted(id(p) for p in model.parameters())
        scale_lr(optimizer, model, lambda name: 0.5 if "norm" in name else 1.0)


def test_frozen_parameters_are_grouped_too() -> None:
    model = small().requires_grad_(False)
    assert sum(len(g["params"]) for g in param_groups(model, 1e-4, True)) == 6


def test_with_the_trick_only_weights_decay() -> None:
    model = small()
    decay = {id(p): g["weight_decay"] for g in param_groups(model, 0.1, True) for p in g["params"]}
    assert [decay[id(p)] for p in model.parameters()] == [0.1, 0.0, 0.0, 0.0, 0.1, 0.0]


def test_without_the_trick_everything_decays() -> None:
    assert [g["weight_decay"] for g in param_groups(small(), 0.1, False)] == [0.1]


def scaled(
    model: nn.Module, decay: float, spare_biases: bool, lr_scale: LrScale, momentum: float = 0.9
) -> torch.optim.Optimizer:
    optimizer = make_optimizer("sgd", param_groups(model, decay, spare_biases), 1.0, momentum)
    scale_lr(optimizer, model, lr_scale)
    return optimizer


def test_scaling_keeps_the_decay_of_each_parameter_and_multiplies_what_is_there() -> None:
    model = small()
    optimizer = scaled(model, 0.1, True, lambda name: 0.5)
    scale_lr(optimizer, model, lambda name: 0.2 if name.startswith("3") else 1.0)
    found = {id(p): (g["weight_decay"], g["lr_scale"]) for g in optimizer.param_groups for p in g["params"]}
    expected = [(0.1, 0.5), (0.0, 0.5), (0.0, 0.5), (0.0, 0.5), (0.1, 0.1), (0.0, 0.1)]
    assert [found[id(p)] for p in model.parameters()] == expected
    assert all(group["momentum"] == 0.9 for group in optimizer.param_groups)


def test_set_lr_multiplies_by_each_groups_factor() -> None:
    optimizer = scaled(small(), 0.0, False, lambda name: 10.0 if name.startswith("3") else 0.5)
    set_lr(optimizer, 0.2)
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 2.0]


def test_a_step_moves_each_layer_by_its_factor() -> None:
    model = small()
    optimizer = scaled(model, 0.0, True, lambda name: float(name[0] == "3"), momentum=0.0)
    before = [p.clone() for p in model.parameters()]
    model(torch.randn(5, 3, 4, 4)).pow(2).sum().backward()
    set_lr(optimizer, 0.1)
    optimizer.step()
    moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    assert moved == [False] * 4 + [True] * 2


NAMES = [
    "sgd",
    "SGD",
    "nesterov",
    "momentum",
    "adam",
    "adamw",
    "nadam",
    "adagrad",
    "adadelta",
    "rmsprop",
    "lars",
    "lamb",
]


@pytest.mark.parametrize("name", [*NAMES, "lion", "muon"])
def test_timms_optimizers_take_a_step(name: str) -> None:
    model = small()
    optimizer = make_optimizer(name, param_groups(model, 1e-4, True), 0.1, 0.9)
    before = model[3].weight.clone()
    model(torch.randn(5, 3, 4, 4)).pow(2).sum().backward()
    optimizer.step()
    assert not torch.equal(before, model[3].weight)


def test_sgd_is_nesterovs_with_the_momentum_asked_for() -> None:
    group = make_optimizer("sgd", param_groups(small(), 1e-4, True), 0.1, 0.8).param_groups[0]
    assert (group["nesterov"], group["momentum"]) == (True, 0.8)


@pytest.mark.parametrize("name", ["sgd", "nesterov", "momentum", "rmsprop", "lars"])
def test_momentum_reaches_those_that_have_one(name: str) -> None:
    groups = make_optimizer(name, param_groups(small(), 1e-4, True), 0.1, 0.8).param_groups
    assert {group["momentum"] for group in groups} == {0.8}


@pytest.mark.parametrize("name", ["adam", "adamw", "nadam", "lamb", "swats"])
def test_betas_reach_those_that_have_them(name: str) -> None:
    groups = make_optimizer(name, param_groups(small(), 1e-4, True), 0.1, 0.9, (0.8, 0.95)).param_groups
    assert {tuple(group["betas"]) for group in groups} == {(0.8, 0.95)}


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adan"])
def test_betas_of_an_optimizer_without_a_pair_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"--optimizer {name} has no pair of betas"):
        make_optimizer(name, param_groups(small(), 1e-4, True), 0.1, 0.9, (0.8, 0.95))


def test_momentum_0_is_plain_sgd() -> None:
    group = make_optimizer("sgd", param_groups(small(), 1e-4, True), 0.1, 0.0).param_groups[0]
    assert (group["nesterov"], group["momentum"]) == (False, 0.0)


def test_an_unknown_optimizer_is_met_with_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"'rmsprob'.* Did you mean 'rmsprop'"):
        make_optimizer("rmsprob", param_groups(small(), 0.0, True), 0.1, 0.9)


@pytest.mark.parametrize("name", ["adahessian", "bnbadam", "fusedsgd"])
def test_an_optimizer_that_cannot_work_here_is_refused(name: str) -> None:
    if name != "adahessian" and torch.cuda.is_available():
        pytest.skip("with a GPU it may work")
    with pytest.raises(ConfigError, match=f"--optimizer {name} .*use .*adamw"):
        make_optimizer(name, param_groups(small(), 0.0, True), 0.1, 0.9)


def test_groups_come_in_the_same_order_each_time() -> None:
    def keys() -> list[tuple[Any, ...]]:
        groups = scaled(small(), 0.1, True, lambda name: float(name[0])).param_groups
        return [(g["weight_decay"], g["lr_scale"], len(g["params"])) for g in groups]

    assert keys() == keys()
