"""Zero gamma against timm's own ``zero_init_last``."""

from typing import Any

import pytest
import timm
import torch
from torch import nn

from botzoo.tricks.zero_gamma import zero_gamma

BLOCKS = {"resnet18d": 8, "resnet26": 8, "resnest14d": 4}


def network(name: str, zero_init_last: bool) -> Any:
    torch.manual_seed(0)
    return timm.create_model(name, channels=(4, 8, 12, 16), num_classes=3, zero_init_last=zero_init_last)


@pytest.mark.parametrize("name", BLOCKS)
def test_it_is_timms_zero_init_last(name: str) -> None:
    ours = network(name, zero_init_last=False)
    assert zero_gamma(ours) == BLOCKS[name]
    for (key, mine), theirs in zip(
        ours.named_parameters(), network(name, zero_init_last=True).parameters(), strict=True
    ):
        assert torch.equal(mine, theirs), key


@pytest.mark.parametrize("name", BLOCKS)
def test_one_is_the_ordinary_start(name: str) -> None:
    model = network(name, zero_init_last=True)
    assert zero_gamma(model, 1.0) == BLOCKS[name]
    gammas = [m.weight for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(bool((gamma == 1).all()) for gamma in gammas)


def test_a_block_then_passes_its_input_on() -> None:
    block = network("resnet18d", zero_init_last=False).layer1[1].eval()
    zero_gamma(block)
    x = torch.rand(2, 4, 8, 8)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet"])
def test_a_network_without_such_blocks_is_left_alone(name: str) -> None:
    assert zero_gamma(timm.create_model(name, num_classes=3)) == 0
