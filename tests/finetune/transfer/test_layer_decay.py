"""Layer-wise learning rates against timm's ``param_groups_layer_decay``."""

from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from botzoo.training.steps.optimizer import param_groups
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.transfer.layers import LayerDecay, layer_decay

NAMES = ["resnet18d", "test_resnet", "test_vit", "test_efficientnet", "test_convnext", "inception_v3_bot"]


@cache
def network(name: str) -> Any:
    return timm.create_model(name, num_classes=3, device="meta")


@pytest.mark.parametrize("decay", [0.5, 0.9])
@pytest.mark.parametrize("name", NAMES)
def test_the_factors_are_timms(name: str, decay: float) -> None:
    model = network(name)
    theirs = {id(p): g["lr_scale"] for g in param_groups_layer_decay(model, layer_decay=decay) for p in g["params"]}
    scale = layer_decay(model, decay)
    assert {n: scale(n) for n, _ in model.named_parameters()} == pytest.approx(
        {n: theirs[id(p)] for n, p in model.named_parameters()}
    )


def test_a_network_without_named_stages_is_split_as_timm_does() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model.get_classifier = lambda: model[2]  # type: ignore[assignment]
    theirs = {id(p): g["lr_scale"] for g in param_groups_layer_decay(model, layer_decay=0.5) for p in g["params"]}
    scale = layer_decay(model, 0.5)
    assert all(scale(n) == pytest.approx(theirs[id(p)]) for n, p in model.named_parameters())


@pytest.mark.parametrize("name", NAMES)
def test_without_decay_every_factor_is_1(name: str) -> None:
    model = network(name)
    scale = layer_decay(model, 1.0)
    assert {scale(n) for n, _ in model.named_parameters()} == {1.0}


@pytest.mark.parametrize(("name", "head"), [("resnet18d", "fc.weight"), ("test_vit", "head.bias")])
def test_the_head_has_a_factor_of_its_own(name: str, head: str) -> None:
    model = network(name)
    plain, scaled = layer_decay(model, 0.5), layer_decay(model, 0.5, head_scale=10.0)
    assert scaled(head) == 10.0 * plain(head) == 10.0
    body = [n for n, _ in model.named_parameters() if not n.startswith(("fc.", "head."))]
    assert [scaled(n) for n in body] == [plain(n) for n in body]


def test_rates_rise_from_the_stem_to_the_head() -> None:
    scale = layer_decay(network("resnet18d"), 0.5)
    names = ["conv1.0.weight", "layer1.0.conv1.weight", "layer1.1.conv1.weight", "layer4.1.conv1.weight", "fc.weight"]
    assert [scale(n) for n in names] == [0.5**n for n in (9, 8, 7, 1, 0)]


def test_the_optimizers_groups_take_the_factors_over() -> None:
    model = network("test_vit")
    scale, optimizer = layer_decay(model, 0.8, head_scale=2.0), torch.optim.SGD(param_groups(model, 0.05, True))
    config = FinetuneConfig(layer_decay=0.8, head_lr_scale=2.0)
    run = SimpleNamespace(config=config, model=model, trainer=SimpleNamespace(optimizer=optimizer))
    LayerDecay().on_setup(run)  # type: ignore[arg-type]
    factor = {id(p): group["lr_scale"] for group in optimizer.param_groups for p in group["params"]}
    assert {n: factor[id(p)] for n, p in model.named_parameters()} == {n: scale(n) for n, _ in model.named_parameters()}


@pytest.mark.parametrize(("decay", "head", "said"), [(1.0, 1.0, ""), (0.9, 1.0, "0.9 from"), (1.0, 5.0, "5 for")])
def test_the_plan_says_by_what_the_rate_is_multiplied(decay: float, head: float, said: str) -> None:
    run = SimpleNamespace(config=FinetuneConfig(layer_decay=decay, head_lr_scale=head))
    text = " ".join(line for _, line in LayerDecay().on_plan(run))  # type: ignore[arg-type]
    assert said in text
    assert bool(text) == bool(said)
