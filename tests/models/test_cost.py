"""Multiply-adds against torchvision's table, memory against sums taken another way."""

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, ResNet18_Weights, ResNet50_Weights

from botzoo.models.cost import Memory, count_macs, estimate_memory, saved_bytes, state_per_weight
from botzoo.models.preprocessing import Size
from botzoo.training.steps.optimizer import make_optimizer


@pytest.mark.parametrize(
    ("name", "weights"),
    [("resnet18", ResNet18_Weights), ("resnet50", ResNet50_Weights), ("mobilenetv2_100", MobileNet_V2_Weights)],
)
def test_macs_are_those_of_torchvisions_table(name: str, weights: Any) -> None:
    model = timm.create_model(name, device="meta")
    assert count_macs(model, Size.of(224)) / 1e9 == pytest.approx(weights.IMAGENET1K_V1.meta["_ops"], abs=5e-4)


@pytest.mark.parametrize(
    ("name", "gmacs"),
    [("resnet50a_bot", 3.86), ("resnet50b_bot", 4.09), ("resnet50c_bot", 4.33), ("resnet50d_bot", 4.33)],
)
def test_macs_of_the_papers_networks_without_their_batch_norms(name: str, gmacs: float) -> None:
    assert count_macs(timm.create_model(name, device="meta"), Size.of(224)) / 1e9 == pytest.approx(gmacs, abs=0.01)


def test_attention_counts_as_matrix_products() -> None:
    model = timm.create_model("vit_tiny_patch16_224", device="meta")
    tokens, width, depth = 197, 192, 12
    blocks = depth * (12 * tokens * width**2 + 2 * tokens**2 * width)
    assert count_macs(model, Size.of(224)) == blocks + 196 * 3 * 16 * 16 * width + width * 1000


def test_counting_leaves_the_network_as_it_was() -> None:
    model = timm.create_model("test_resnet").train()
    model.bn1.eval()  # as where it is frozen
    modes = [module.training for module in model.modules()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    count_macs(model, Size.of(32))
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


# Memory


def of(model: nn.Module, size: int) -> Any:
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    return lambda n: model(images[:n].clone())


def test_a_layer_keeps_its_input() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 5), nn.ReLU())
    assert saved_bytes(model, of(model, 4), 2) == 2 * (48 + 5) * 4  # linear its input, ReLU its output


def test_frozen_layers_keep_nothing() -> None:
    model = timm.create_model("test_resnet").requires_grad_(False)
    assert saved_bytes(model, of(model, 32), 2) == 0


def test_saved_bytes_of_a_resnet_are_about_its_convolutions_outputs_and_activations() -> None:
    model = timm.create_model("resnet18d_bot")
    outputs = [0]

    def add(module: nn.Module, inputs: Any, output: Tensor) -> None:
        outputs[0] += output.nbytes

    hooks = [m.register_forward_hook(add) for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    model.eval()(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    assert saved_bytes(model, of(model, 64), 1) == pytest.approx(outputs[0], rel=0.15)


def estimate(name: str, micro_batch: int, averaged: bool = False) -> Memory:
    model = timm.create_model("test_resnet")
    optimizer = lambda groups: make_optimizer(name, groups, 0.1, 0.9)  # noqa: E731
    return estimate_memory(model, of(model, 32), optimizer, micro_batch, averaged=averaged)


def test_activations_grow_with_the_micro_batch_and_nothing_else_does() -> None:
    one, eight = estimate("sgd", 1), estimate("sgd", 8)
    assert eight.activations == 8 * one.activations
    assert eight.total - one.total == 7 * one.activations


def test_weights_that_autocast_rounds_are_counted_once() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5, bias=False), nn.Linear(5, 3, bias=False))

    def forward(images: int) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits: Tensor = model(torch.ones(images, 3, 2, 2).mul(2))
        return logits

    memory = estimate_memory(model, forward, lambda groups: torch.optim.SGD(groups, 0.1), 10)
    assert memory.activations == 10 * (12 + 5) * 2 + 5 * 3 * 2  # both layers' inputs, and the second's weight, as bf16


def test_weights_gradients_and_average_are_the_size_of_the_network() -> None:
    model = timm.create_model("test_resnet")
    memory, size = estimate("adamw", 1, averaged=True), sum(p.nbytes for p in model.parameters())
    assert memory.gradients == size
    assert memory.optimizer == 2 * size
    assert memory.weights == memory.averaged_weights == size + sum(b.nbytes for b in model.buffers())


@pytest.mark.parametrize(("name", "copies"), [("sgd", 1), ("adamw", 2), ("lamb", 2), ("adagrad", 1), ("adan", 4)])
def test_what_an_optimizer_keeps_for_each_weight(name: str, copies: int) -> None:
    found = state_per_weight(lambda groups: make_optimizer(name, groups, 0.1, 0.9), torch.device("cpu"))
    assert found == copies


def test_sgd_without_momentum_keeps_nothing() -> None:
    assert state_per_weight(lambda groups: make_optimizer("sgd", groups, 0.1, 0.0), torch.device("cpu")) == 0


def test_estimating_leaves_batch_norm_and_modes_as_they_were() -> None:
    model = timm.create_model("test_resnet").train()
    model.bn1.eval()  # as where it is frozen
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    saved_bytes(model, of(model, 32), 2)
    count_macs(model, Size.of(32))
    assert (model.bn1.training, model.layer1.training) == (False, True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
