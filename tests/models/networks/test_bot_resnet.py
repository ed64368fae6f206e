"""The ResNets against their oracles: timm for B, C and D, transformers for A, the paper for the sizes."""

import subprocess
import sys
from typing import Any

import pytest
import timm
import torch
from torch import nn

from botzoo.models import timm_architecture
from botzoo.models.networks.bot_resnet import BottleneckA

NAMES = [
    *(f"resnet{depth}{variant}_bot" for depth in (10, 18, 34) for variant in "bcd"),
    *(f"resnet{depth}{variant}_bot" for depth in (50, 101, 152) for variant in "abcd"),
]
IN_TIMM = [name for name in NAMES if timm_architecture(name)]
NARROW = {"channels": (8, 16, 24, 32), "num_classes": 5, "zero_init_last": False}


def model(name: str, **kwargs: Any) -> nn.Module:
    """Build ``name``, in eval mode and narrow, unless ``kwargs`` say otherwise."""
    torch.manual_seed(0)
    return timm.create_model(name, **{**NARROW, **kwargs}).eval()


def full(name: str, **kwargs: Any) -> nn.Module:
    """Build ``name`` at its true width, without memory."""
    return timm.create_model(name, device="meta", **kwargs)


def in_timm(name: str, **kwargs: Any) -> nn.Module:
    timm_name, model_args = timm_architecture(name)
    return model(timm_name, **{**model_args, **kwargs})


def images(*, channels: int = 3, size: int = 64) -> torch.Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(1))


def shapes(net: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in net.state_dict().items()}


def strides(conv: nn.Conv2d) -> int:
    assert conv.stride[0] == conv.stride[1]
    return conv.stride[0]


def test_every_model_is_listed() -> None:
    assert set(timm.list_models("resnet*_bot")) == set(NAMES)


def test_the_module_registers_nothing_else() -> None:
    assert set(timm.list_models(module="bot_resnet")) == set(NAMES)


def test_only_a_is_not_in_timm() -> None:
    assert [name for name in NAMES if name not in IN_TIMM] == ["resnet50a_bot", "resnet101a_bot", "resnet152a_bot"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50d_bot", ("resnet50d", {})),
        ("resnet101b_bot", ("resnet101", {})),
        ("resnet50d_bot.gluon_in1k", ("resnet50d", {})),
        ("resnet10d_bot", ("resnet18d", {"layers": [1, 1, 1, 1]})),
        ("resnet34c_bot", ("resnet34", {"stem_width": 32, "stem_type": "deep"})),
        ("resnet50a_bot", None),
        ("resnet50", None),
    ],
)
def test_timm_architecture(name: str, expected: object) -> None:
    assert timm_architecture(name) == expected


def test_timm_architecture_hands_out_copies() -> None:
    timm_architecture("resnet10d_bot")[1]["layers"].append(9)
    assert timm_architecture("resnet10d_bot")[1]["layers"] == [1, 1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_TIMM)
def test_state_dict_is_timms(name: str) -> None:
    timm_name, model_args = timm_architecture(name)
    assert shapes(full(name, num_classes=1000)) == shapes(full(timm_name, num_classes=1000, **model_args))


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_TIMM)
def test_outputs_are_timms(name: str) -> None:
    ours, theirs = model(name), in_timm(name)
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        assert torch.equal(ours(images()), theirs(images()))


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", ["resnet10d_bot", "resnet50b_bot", "resnet50d_bot"])
def test_dilated_outputs_are_timms(name: str, output_stride: int) -> None:
    ours, theirs = model(name, output_stride=output_stride), in_timm(name, output_stride=output_stride)
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        assert torch.equal(ours(images()), theirs(images()))


def test_a_is_transformers_resnet_that_strides_first() -> None:
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(hidden_sizes=[32, 64, 96, 128], depths=[2, 1, 1, 1], downsample_in_bottleneck=True)
    theirs = ResNetModel(config).eval()
    ours = model("resnet50a_bot", layers=(2, 1, 1, 1))
    theirs.load_state_dict({in_transformers(k): v for k, v in ours.state_dict().items() if not k.startswith("fc.")})
    with torch.no_grad():
        torch.testing.assert_close(ours.forward_features(images()), theirs(images()).last_hidden_state)


def in_transformers(key: str) -> str:
    """Return the name that transformers gives to timm's ``key``."""
    kind = "convolution" if "conv" in key or "downsample.0" in key else "normalization"
    module, parameter = key.rsplit(".", 1)
    if not module.startswith("layer"):
        return f"embedder.embedder.{kind}.{parameter}"
    stage, block, name = module.split(".", 2)
    place = "shortcut" if name.startswith("downsample") else f"layer.{int(name[-1]) - 1}"
    return f"encoder.stages.{int(stage[-1]) - 1}.layers.{block}.{place}.{kind}.{parameter}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "expected"), [("a", (2, 1, 1)), ("b", (1, 2, 1)), ("c", (1, 2, 1)), ("d", (1, 2, 1))]
)
def test_where_a_down_sampling_block_strides(variant: str, expected: tuple[int, ...]) -> None:
    block = full(f"resnet50{variant}_bot").layer2[0]
    assert tuple(strides(conv) for conv in (block.conv1, block.conv2, block.conv3)) == expected


def test_blocks_that_keep_the_size_do_not_stride() -> None:
    blocks = [*full("resnet50a_bot").layer1, *full("resnet50a_bot").layer2[1:]]
    assert {strides(conv) for block in blocks for conv in (block.conv1, block.conv2, block.conv3)} == {1}


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", ["resnet50a_bot", "resnet50b_bot"])
def test_dilation_replaces_stride_without_changing_the_features(name: str, output_stride: int) -> None:
    strided, dilated = model(name).double(), model(name, output_stride=output_stride).double()
    dilated.load_state_dict(strided.state_dict())
    step = 32 // output_stride
    with torch.no_grad():  # in float64: convolutions of two sizes round float32 differently
        dense = dilated.forward_features(images().double())
        torch.testing.assert_close(dense[..., ::step, ::step], strided.forward_features(images().double()))


@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet50a_bot", 25.56), ("resnet50b_bot", 25.56), ("resnet50c_bot", 25.58), ("resnet50d_bot", 25.58)],
)
def test_parameters_of_resnet_50(name: str, millions: float) -> None:
    count = sum(parameter.numel() for parameter in full(name).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(
    ("name", "giga"),
    [("resnet50a_bot", 3.88), ("resnet50b_bot", 4.11), ("resnet50c_bot", 4.35), ("resnet50d_bot", 4.35)],
)
def test_multiply_adds_of_resnet_50(name: str, giga: float) -> None:
    assert multiply_adds(full(name), torch.empty(1, 3, 224, 224, device="meta")) / 1e9 == pytest.approx(giga, abs=0.005)


def multiply_adds(net: nn.Module, image: torch.Tensor) -> int:
    """Count as the usual profilers do: one for each weight applied, two for each number normalised."""
    counts = []

    def count(module: nn.Module, _: Any, out: torch.Tensor) -> None:
        per_number = 2 if isinstance(module, nn.BatchNorm2d) else module.weight[0].numel()
        counts.append(out.numel() * per_number)

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            module.register_forward_hook(count)
    net.eval()(image)
    return sum(counts)


@pytest.mark.parametrize("name", ["resnet10d_bot", "resnet50a_bot", "resnet50c_bot"])
def test_features_have_the_reductions_and_channels_they_announce(name: str) -> None:
    net = model(name, features_only=True)
    announced = list(zip(net.feature_info.channels(), net.feature_info.reduction(), strict=True))
    with torch.no_grad():
        found = [(maps.shape[1], 64 // maps.shape[-1]) for maps in net(images())]
    assert found == announced
    assert net.feature_info.reduction() == [2, 4, 8, 16, 32]


@pytest.mark.parametrize("name", ["resnet10d_bot", "resnet50c_bot"])
def test_features_are_timms(name: str) -> None:
    ours, theirs = model(name, features_only=True), in_timm(name, features_only=True)
    assert ours.feature_info.get_dicts() == theirs.feature_info.get_dicts()


def test_output_stride_keeps_the_reduction_of_the_features() -> None:
    net = model("resnet50a_bot", features_only=True, output_stride=8)
    assert net.feature_info.reduction() == [2, 4, 8, 8, 8]


@pytest.mark.parametrize("name", ["resnet10d_bot", "resnet50a_bot"])
def test_in_chans(name: str) -> None:
    assert model(name, in_chans=1)(images(channels=1)).shape == (2, 5)


def test_num_classes_zero_leaves_the_features() -> None:
    assert model("resnet50a_bot", num_classes=0)(images()).shape == (2, 128)


def test_drop_rate_acts_in_training_only() -> None:
    net = model("resnet10d_bot", drop_rate=0.5)
    pooled = torch.ones(4, 32, 1, 1)
    assert torch.equal(net.forward_head(pooled), net.forward_head(pooled))
    assert not torch.equal(net.train().forward_head(pooled), net.forward_head(pooled))


@pytest.mark.parametrize("zero", [True, False])
def test_zero_init_last(zero: bool) -> None:
    block = model("resnet50a_bot", zero_init_last=zero).layer2[0]
    assert isinstance(block, BottleneckA)
    assert bool((block.bn3.weight == 0).all()) is zero


def test_a_user_may_override_any_argument() -> None:
    assert [len(model("resnet18d_bot", layers=(1, 2, 1, 1)).layer2)] == [2]


@pytest.mark.slow
def test_a_exports() -> None:
    net = model("resnet50a_bot", layers=(1, 1, 1, 1))
    torch.testing.assert_close(torch.export.export(net, (images(),)).module()(images()), net(images()))


def python(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_botzoo_before_timm() -> None:
    before = "import sys, botzoo; assert not {'torch', 'timm'} & set(sys.modules)"
    assert python(f"{before}; import timm; print(timm.is_model('resnet50d_bot'))") == "True"
