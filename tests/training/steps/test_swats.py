"""SWATS: Adam at first, then SGD at the rate it found, under the schedule, and the same after a checkpoint."""

import sys
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from botzoo.errors import ConfigError
from botzoo.training.steps.optimizer import make_optimizer, param_groups, set_lr

pytest.importorskip("pytorch_optimizer", reason="pytorch-optimizer is not installed")

SLOPE = torch.tensor([1000.0, -2000.0, 4000.0])  # beside which Adam's eps is nothing


def swats(weight: nn.Parameter, lr_scale: float = 1.0, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [{"params": [weight], "weight_decay": weight_decay, "lr_scale": lr_scale}]
    return make_optimizer("swats", groups, 0.1, 0.9)


def take(optimizer: torch.optim.Optimizer, weight: nn.Parameter, lr: float, gradient: Tensor = SLOPE) -> Tensor:
    """Take a step and return how far the weight moved."""
    before = weight.detach().clone()
    set_lr(optimizer, lr)
    weight.grad = gradient.clone()
    optimizer.step()
    return weight.detach() - before


def test_it_begins_as_adam() -> None:
    ours, theirs = (nn.Parameter(torch.ones(3)) for _ in range(2))
    adam = torch.optim.Adam([theirs], 0.1, eps=1e-6)
    mine = swats(ours)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        gradient = torch.randn(3, generator=generator)
        for optimizer, weight in ((mine, ours), (adam, theirs)):
            take(optimizer, weight, 0.1, gradient)
    assert mine.param_groups[0]["phase"] == "adam"
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_on_a_slope_it_turns_to_sgd_at_the_rate_of_the_projection() -> None:
    weight = nn.Parameter(torch.zeros(3))
    optimizer = swats(weight)
    for _ in range(2):
        take(optimizer, weight, 0.1)  # Adam moves by lr in each direction, here all along the same slope
    group = optimizer.param_groups[0]
    assert group["phase"] == "sgd"
    assert group["lr"] == pytest.approx(0.1 * 3 / float(SLOPE.abs().sum()), rel=1e-4)  # |p|^2 / -(p . g)


def test_the_rate_found_goes_on_under_the_schedule() -> None:
    weight = nn.Parameter(torch.zeros(3))
    optimizer = swats(weight, lr_scale=0.5)
    for _ in range(2):
        take(optimizer, weight, 0.2)
    found = optimizer.param_groups[0]["lr"]
    full = take(optimizer, weight, 0.2)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(found)
    torch.testing.assert_close(
        full, -found * 0.1 * SLOPE
    )  # SGD whose momentum averages: 1 - beta of the gradient at first
    take(optimizer, weight, 0.02)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(found / 10)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_saved_and_loaded_it_goes_on_to_the_bit(at: int) -> None:
    whole, parts = (nn.Parameter(torch.zeros(3)) for _ in range(2))
    first, second, third = swats(whole), swats(parts), swats(parts)
    for step in range(6):
        take(first, whole, 0.1 / max(1, step))
        if step == at:
            third.load_state_dict(second.state_dict())
        take(third if step >= at else second, parts, 0.1 / max(1, step))
    assert first.param_groups[0]["phase"] == "sgd"
    assert torch.equal(whole, parts)


def test_it_trains_a_network_in_channels_last() -> None:
    torch.manual_seed(0)
    model: Any = timm.create_model("test_resnet", num_classes=3).to(memory_format=torch.channels_last)
    before = [p.detach().clone() for p in model.parameters() if p.ndim == 4]
    optimizer = make_optimizer("swats", param_groups(model, 1e-4, True), 0.1, 0.9)
    model(torch.randn(2, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    after = [p for p in model.parameters() if p.ndim == 4]
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(ConfigError, match=r"--optimizer swats needs .*pip install 'botzoo\[swats\]'\.$"):
        swats(nn.Parameter(torch.zeros(3)))
