"""No bias decay against the split that timm makes."""

import pytest
import timm
import torch
from timm.optim import param_groups_weight_decay
from torch import nn

from botzoo.tricks.no_bias_decay import no_bias_decay


@pytest.mark.parametrize("name", ["resnet18d", "test_vit", "test_efficientnet", "test_convnext"])
def test_it_spares_what_timm_spares(name: str) -> None:
    model = timm.create_model(name, num_classes=3, device="meta")
    spared, decayed = param_groups_weight_decay(model, 0.5)
    theirs = {id(p): group["weight_decay"] for group in (spared, decayed) for p in group["params"]}
    assert {id(p): no_bias_decay(p, 0.5) for p in model.parameters()} == theirs


@pytest.mark.parametrize(("shape", "decay"), [((), 0.0), ((3,), 0.0), ((3, 3), 0.1), ((3, 3, 1, 1), 0.1)])
def test_dimensions_decide_not_names(shape: tuple[int, ...], decay: float) -> None:
    assert no_bias_decay(nn.Parameter(torch.zeros(shape)), 0.1) == decay
