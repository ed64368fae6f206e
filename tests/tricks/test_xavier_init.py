"""Xavier initialisation against torch's own and against the formula's bound."""

from math import sqrt
from typing import Any

import pytest
import timm
import torch
from torch import nn

from botzoo.tricks.xavier_init import xavier_init
from botzoo.tricks.zero_gamma import zero_gamma

LAYERS: dict[str, tuple[nn.Module, int, int]] = {
    "linear": (nn.Linear(50, 70), 50, 70),
    "3x3": (nn.Conv2d(16, 24, 3), 16 * 9, 24 * 9),
    "1x7": (nn.Conv2d(16, 24, (1, 7)), 16 * 7, 24 * 7),
    "grouped": (nn.Conv2d(32, 32, 3, groups=4), 8 * 9, 32 * 9),
    "one dimension": (nn.Conv1d(30, 40, 5), 30 * 5, 40 * 5),
}


def network(name: str, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=3, **kwargs)


@pytest.mark.parametrize("kind", LAYERS)
def test_weights_fill_the_formulas_range(kind: str) -> None:
    layer, d_in, d_out = LAYERS[kind]
    torch.manual_seed(0)
    assert xavier_init(layer) == 1
    a = sqrt(6 / (d_in + d_out))
    assert 0.98 * a < float(layer.weight.detach().abs().max()) <= a
    assert float(layer.weight.detach().std()) == pytest.approx(a / sqrt(3), rel=0.05)  # of a uniform distribution


def test_it_is_torchs() -> None:
    ours, theirs = (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2)) for _ in range(2))
    torch.manual_seed(1)
    assert xavier_init(ours) == 2
    torch.manual_seed(1)
    for layer in (theirs[0], theirs[2]):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_biases_are_0() -> None:
    layer = nn.Linear(4, 4)
    nn.init.ones_(layer.bias)
    xavier_init(layer)
    assert layer.bias.tolist() == [0.0] * 4


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm])
def test_gamma_is_1_and_beta_0(kind: type[nn.BatchNorm2d]) -> None:
    norm = kind(3)
    nn.init.constant_(norm.weight, 0.5)
    nn.init.constant_(norm.bias, 0.5)
    assert xavier_init(norm) == 0
    assert (norm.weight.tolist(), norm.bias.tolist()) == ([1.0] * 3, [0.0] * 3)


def test_a_norm_without_gamma_is_left_alone() -> None:
    assert xavier_init(nn.BatchNorm2d(3, affine=False)) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layers"), [("resnet50d_bot", 56), ("mobilenet_v1_bot", 28), ("inception_v3_bot", 95), ("test_vit", 26)]
)
def test_every_convolution_and_linear_layer_is_drawn(name: str, layers: int) -> None:
    model = network(name)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.ndim > 1 and n not in EMBEDDINGS}
    assert xavier_init(model) == len(before) == layers
    assert not [n for n, p in model.named_parameters() if n in before and torch.equal(p, before[n])]


EMBEDDINGS = ("pos_embed", "cls_token")


def test_embeddings_and_layer_norms_stay() -> None:
    model = network("test_vit")
    for name in ("pos_embed", "norm.weight"):
        model.get_parameter(name).data.fill_(0.25)
    xavier_init(model)
    assert {float(p.mean()) for p in (model.pos_embed.detach(), model.norm.weight.detach())} == {0.25}


def test_the_seed_decides() -> None:
    first, second = network("test_resnet"), network("test_resnet")
    for model in (first, second):
        torch.manual_seed(3)
        xavier_init(model)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_zero_gamma_comes_after_it() -> None:
    model = network("resnet10d_bot")
    xavier_init(model)
    assert zero_gamma(model) == 4
    assert float(model.layer1[0].bn2.weight.detach().abs().sum()) == 0
    assert model.layer1[0].bn1.weight.tolist() == [1.0] * 64


@pytest.mark.parametrize("name", ["resnet50a_bot", "mobilenet_v1_bot"])
def test_without_it_convolutions_are_kaiming_normal_by_fan_out(name: str) -> None:
    for key, conv in network(name).named_modules():
        if isinstance(conv, nn.Conv2d) and conv.weight.numel() > 20_000:
            fan_out = conv.out_channels * conv.weight[0, 0].numel() // conv.groups
            assert float(conv.weight.detach().std()) == pytest.approx(sqrt(2 / fan_out), rel=0.05), key
