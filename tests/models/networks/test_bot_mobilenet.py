"""MobileNet against its oracles: timm and transformers, and the sizes in its paper."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from botzoo.errors import CheckpointError
from botzoo.models import timm_architecture

NAME = "mobilenet_v1_bot"


@cache
def network() -> Any:
    return model(NAME)


def model(name: str, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    return timm.create_model(name, **{"num_classes": 5, **kwargs}).eval()


def meta(name: str = NAME, **kwargs: Any) -> Any:
    """Build ``name`` without memory."""
    return timm.create_model(name, device="meta", **kwargs)


def images(channels: int = 3, size: int = 64) -> torch.Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(1))


def shapes(net: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in net.state_dict().items()}


def test_it_is_registered_in_a_module_of_its_own() -> None:
    assert timm.list_models(module="bot_mobilenet") == [NAME]


def test_its_weights() -> None:
    assert timm.list_models(NAME, pretrained=True) == [f"{NAME}.ra4_e3600_r224_in1k"]
    assert timm.get_pretrained_cfg(NAME).hf_hub_id == "timm/mobilenetv1_100.ra4_e3600_r224_in1k"


def test_timm_architecture() -> None:
    assert timm_architecture(f"{NAME}.ra4_e3600_r224_in1k") == ("mobilenetv1_100", {})


@pytest.mark.parametrize("kwargs", [{}, {"num_classes": 0}, {"in_chans": 1}, {"features_only": True}], ids=str)
def test_state_dict_is_timms(kwargs: dict[str, Any]) -> None:
    assert shapes(meta(**kwargs)) == shapes(meta("mobilenetv1_100", **kwargs))


@pytest.mark.parametrize(
    "kwargs", [{}, {"output_stride": 8}, {"output_stride": 16}, {"act_layer": "relu"}, {"bn_eps": 0.5}], ids=str
)
@torch.no_grad()
def test_outputs_are_timms(kwargs: dict[str, Any]) -> None:
    ours, theirs = model(NAME, **kwargs), model("mobilenetv1_100", **kwargs)
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(images()), theirs(images()))


@torch.no_grad()
def test_outputs_are_those_of_transformers() -> None:
    from transformers import MobileNetV1Config, MobileNetV1ForImageClassification

    config = MobileNetV1Config(tf_padding=False, layer_norm_eps=1e-5, num_labels=5)
    theirs = MobileNetV1ForImageClassification(config).eval()
    ours = network().state_dict()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.values(), strict=True)))  # in the same order
    torch.testing.assert_close(network()(images()), theirs(images()).logits)


def test_parameters() -> None:
    assert sum(p.numel() for p in meta().parameters()) / 1e6 == pytest.approx(4.23, abs=0.005)  # 4.2 M in its table 4


def test_multiply_adds_are_the_papers_569_million() -> None:
    with FlopCounterMode(display=False) as counter:
        meta().eval()(torch.empty(1, 3, 224, 224, device="meta"))
    assert counter.get_total_flops() / 2e6 == pytest.approx(569, abs=0.5)


@torch.no_grad()
def test_features_are_timms() -> None:
    ours, theirs = model(NAME, features_only=True), model("mobilenetv1_100", features_only=True)
    theirs.load_state_dict(ours.state_dict())
    assert ours.feature_info.get_dicts() == theirs.feature_info.get_dicts()
    assert all(torch.equal(a, b) for a, b in zip(ours(images()), theirs(images()), strict=True))


def test_features_have_the_reductions_and_channels_they_announce() -> None:
    net = model(NAME, features_only=True, out_indices=(1, 3))
    announced = list(zip(net.feature_info.channels(), net.feature_info.reduction(), strict=True))
    assert [(maps.shape[1], 64 // maps.shape[-1]) for maps in net(images())] == announced == [(128, 4), (512, 16)]


def test_features_of_another_kind_are_timms_too() -> None:
    ours, theirs = (meta(n, features_only=True, feature_cls="getter") for n in (NAME, "mobilenetv1_100"))
    assert shapes(ours) == shapes(theirs)


def test_in_chans() -> None:
    assert model(NAME, in_chans=1)(images(channels=1)).shape == (2, 5)


def test_drop_rate_acts_in_training_only() -> None:
    net = model(NAME, drop_rate=0.5)
    maps = torch.ones(2, 1024, 1, 1)
    assert torch.equal(net.forward_head(maps), net.forward_head(maps))
    assert not torch.equal(net.train().forward_head(maps), net.forward_head(maps))


@pytest.mark.parametrize(("relu6", "ceiling"), [("relu6", 6.0), ("relu", float("inf"))])
def test_the_activation_can_be_the_papers(relu6: str, ceiling: float) -> None:
    act = model(NAME, act_layer=relu6).bn1.act
    assert act(torch.tensor(1e9)) == min(1e9, ceiling)


# Weights


def file(folder: Path, weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    save_file(weights, folder / "w.safetensors")
    overlay = {"file": str(folder / "w.safetensors"), "num_classes": 5}
    return {"pretrained": True, "pretrained_cfg_overlay": overlay}


@pytest.mark.parametrize(
    "kwargs", [{"num_classes": 5}, {"num_classes": 3}, {"features_only": True}, {"in_chans": 1}], ids=str
)
def test_weights_are_loaded(kwargs: dict[str, Any], tmp_path: Path) -> None:
    given, last = network().state_dict(), "blocks.4.1.conv_pw.weight"
    loaded = timm.create_model(NAME, **file(tmp_path, given), **kwargs)
    assert torch.equal(loaded.state_dict()[last], given[last])


@pytest.mark.parametrize("kwargs", [{"num_classes": 3}, {"features_only": True}], ids=str)
def test_weights_that_lack_a_stage_are_refused(kwargs: dict[str, Any], tmp_path: Path) -> None:
    given = {name: value for name, value in network().state_dict().items() if not name.startswith("blocks.3")}
    with pytest.raises(CheckpointError, match=r"missing \(blocks\.3\.0\.conv_dw\.weight"):
        timm.create_model(NAME, **file(tmp_path, given), **kwargs)
