"""Inception-V3 against its oracles: timm and torchvision, and the sizes that the literature gives."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import Inception_V3_Weights, inception_v3

from botzoo.errors import CheckpointError, ModelError
from botzoo.models import timm_architecture

NAME = "inception_v3_bot"


@cache
def network() -> Any:
    torch.manual_seed(0)
    return timm.create_model(NAME, num_classes=5).eval()


def meta(name: str = NAME, **kwargs: Any) -> Any:
    """Build ``name`` without memory."""
    return timm.create_model(name, device="meta", **kwargs)


def images(size: int = 75, channels: int = 3) -> torch.Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(1))


def shapes(net: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in net.state_dict().items()}


def test_it_is_registered_in_a_module_of_its_own() -> None:
    assert timm.list_models(module="bot_inception") == [NAME]


def test_its_weights() -> None:
    assert timm.list_models(NAME, pretrained=True) == [f"{NAME}.gluon_in1k"]
    assert timm.get_pretrained_cfg(NAME).hf_hub_id == "timm/inception_v3.gluon_in1k"


def test_timm_architecture() -> None:
    assert timm_architecture(f"{NAME}.gluon_in1k") == ("inception_v3", {})


@pytest.mark.slow
@pytest.mark.parametrize(
    "kwargs", [{}, {"num_classes": 0}, {"in_chans": 1}, {"features_only": True}, {"aux_logits": True}], ids=str
)
def test_state_dict_is_timms(kwargs: dict[str, Any]) -> None:
    assert shapes(meta(**kwargs)) == shapes(meta("inception_v3", **kwargs))


@pytest.mark.slow
@torch.no_grad()
def test_outputs_are_timms() -> None:
    theirs = timm.create_model("inception_v3", num_classes=5).eval()
    theirs.load_state_dict(network().state_dict())
    assert torch.equal(network()(images()), theirs(images()))


@torch.no_grad()
def test_outputs_are_torchvisions() -> None:
    theirs = inception_v3(num_classes=5, aux_logits=False, init_weights=False).eval()
    theirs.load_state_dict(network().state_dict())
    torch.testing.assert_close(network()(images()), theirs(images()))


def test_parameters_without_the_second_classifier() -> None:
    assert sum(p.numel() for p in meta().parameters()) / 1e6 == pytest.approx(23.83, abs=0.005)  # timm's results table


def test_parameters_with_it_are_torchvisions() -> None:
    count = sum(p.numel() for p in meta(aux_logits=True).parameters())
    assert count == Inception_V3_Weights.IMAGENET1K_V1.meta["num_params"]


def test_multiply_adds_are_torchvisions() -> None:
    with FlopCounterMode(display=False) as counter:
        meta().eval()(torch.empty(1, 3, 299, 299, device="meta"))
    giga = Inception_V3_Weights.IMAGENET1K_V1.meta["_ops"]
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga, abs=0.001)


def test_features_are_timms_at_the_papers_size() -> None:
    ours, theirs = meta(features_only=True), meta("inception_v3", features_only=True)
    assert ours.feature_info.get_dicts() == theirs.feature_info.get_dicts()
    maps = ours(torch.empty(1, 3, 299, 299, device="meta"))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (64, 147, 147),
        (192, 71, 71),
        (288, 35, 35),
        (768, 17, 17),
        (2048, 8, 8),
    ]


def test_in_chans() -> None:
    assert meta(in_chans=1, num_classes=5)(images(channels=1).to("meta")).shape == (2, 5)


def test_drop_rate_acts_in_training_only() -> None:
    net = timm.create_model(NAME, drop_rate=0.5, num_classes=3).eval()
    maps = torch.ones(2, 2048, 1, 1)
    assert torch.equal(net.forward_head(maps), net.forward_head(maps))
    assert not torch.equal(net.train().forward_head(maps), net.forward_head(maps))


def test_75_px_are_enough() -> None:
    assert meta(num_classes=5).eval()(images(75).to("meta")).shape == (2, 5)


def test_74_px_are_too_few() -> None:
    with pytest.raises(RuntimeError, match=r"Kernel size|Output size is too small"):
        meta().eval()(images(74).to("meta"))


def test_features_and_aux_logits_exclude_each_other() -> None:
    with pytest.raises(ModelError, match="features_only and aux_logits both: give one"):
        meta(features_only=True, aux_logits=True)


def test_there_is_no_output_stride() -> None:
    with pytest.raises(TypeError, match="output_stride"):
        meta(output_stride=16)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What makes ``pretrained=True`` load the weights of ``network`` from a file."""
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file(network().state_dict(), path)
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": str(path), "num_classes": 5}}


@pytest.mark.slow
@pytest.mark.parametrize("kwargs", [{"num_classes": 5}, {"num_classes": 3}, {"features_only": True}], ids=str)
def test_weights_are_loaded(kwargs: dict[str, Any], file: dict[str, Any]) -> None:
    last = "Mixed_7c.branch_pool.bn.weight"
    assert torch.equal(timm.create_model(NAME, **file, **kwargs).state_dict()[last], network().state_dict()[last])


def test_weights_without_a_second_classifier_are_refused_for_one(file: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"missing \(AuxLogits\.conv0"):
        timm.create_model(NAME, num_classes=5, aux_logits=True, **file)


def test_truncated_weights_are_refused(file: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(Path(file["pretrained_cfg_overlay"]["file"]).read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        timm.create_model(NAME, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
