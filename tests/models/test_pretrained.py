"""The table of weights against timm's, and what becomes of weights that do not fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from botzoo.errors import BotzooError, CheckpointError, ModelError, NetworkError
from botzoo.models import WEIGHTS, Weights, compare_keys, timm_architecture
from botzoo.models.pretrained import EMBEDDED

StateDict = dict[str, Tensor]
NAME = "resnet10d_bot"  # its weights have 100 classes
NARROW = {"channels": (8, 16, 24, 32)}
HUB_WEIGHTS = [weights for weights in WEIGHTS.values() if weights.hub_id]


def state_dict() -> StateDict:
    torch.manual_seed(0)
    return timm.create_model(NAME, zero_init_last=False, **NARROW).state_dict()


def load(path: Path, **kwargs: Any) -> nn.Module:
    return timm.create_model(NAME, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, **NARROW, **kwargs)


def saved(folder: Path, weights: StateDict) -> Path:
    save_file(weights, folder / "weights.safetensors")
    return folder / "weights.safetensors"


# The table


@pytest.mark.parametrize("weights", HUB_WEIGHTS, ids=lambda weights: weights.name)
def test_the_table_agrees_with_timm(weights: Weights) -> None:
    theirs = timm.get_pretrained_cfg(f"{timm_architecture(weights.architecture)[0]}.{weights.tag}")
    ours = timm.get_pretrained_cfg(weights.name)
    source = {"url", "origin_url", "paper_name", "paper_ids", "architecture"}
    fields = [name for name in vars(theirs) if name not in source]
    assert {name: getattr(ours, name) for name in fields} == {name: getattr(theirs, name) for name in fields}


def test_each_network_has_timms_bag_of_tricks_weights_first() -> None:
    for weights in HUB_WEIGHTS:
        tags = [other.tag for other in HUB_WEIGHTS if other.architecture == weights.architecture]
        in_timm = timm.list_models(f"{timm_architecture(weights.architecture)[0]}.gluon_in1k", pretrained=True)
        assert (tags[0] == "gluon_in1k") is bool(in_timm)


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("resnet10d_bot", ["bot_r64_tin100"]),
        ("resnet18d_bot", ["ra2_in1k", "ra4_e3600_r224_in1k"]),
        ("resnet50d_bot", ["gluon_in1k", "ra2_in1k", "ra4_e3600_r224_in1k"]),
        ("resnet152d_bot", ["gluon_in1k", "ra2_in1k"]),
    ],
)
def test_tags_and_default(name: str, tags: list[str]) -> None:
    assert timm.list_models(name, pretrained=True) == [f"{name}.{tag}" for tag in tags]
    assert timm.get_pretrained_cfg(name).tag == tags[0]


def test_all_listed_weights_are_in_the_table() -> None:
    assert set(timm.list_models("resnet*_bot", pretrained=True)) <= WEIGHTS.keys()


def test_every_accuracy_has_a_source() -> None:
    for weights in WEIGHTS.values():
        assert (weights.top1 is None) == (weights.top1_source == "")
        assert weights.top1 is None or 0 < weights.top1 < 100


def test_the_named_image_size_is_that_of_the_weights() -> None:
    assert WEIGHTS["resnet152d_bot.ra2_in1k"].top1_source.endswith("256 px")
    assert WEIGHTS["resnet50d_bot.gluon_in1k"].top1_source.endswith("224 px")


# Comparing keys


def test_compare_keys_sorts_every_name_into_one_field() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    given = {"0.weight": torch.zeros(3, 2), "0.bias": torch.zeros(4), "1.weight": torch.zeros(3), "extra": 1}
    report = compare_keys(model, given)
    assert report.loaded == ("0.weight", "1.weight")
    assert report.missing == ("1.bias", "1.running_mean", "1.running_var")
    assert (report.unexpected, report.mismatched) == (("extra",), ("0.bias",))


def test_compare_keys_fits_itself_and_changes_nothing() -> None:
    model = nn.Linear(2, 3)
    given = {"weight": torch.ones(3, 2), "bias": torch.ones(3)}
    assert compare_keys(model, given).fits
    assert not torch.equal(model.weight, given["weight"])


# Loading what fits


def test_weights_are_loaded(tmp_path: Path) -> None:
    given = state_dict()
    model = load(saved(tmp_path, given))
    assert all(torch.equal(value, given[name]) for name, value in model.state_dict().items())


def test_half_precision_weights_load_into_single_precision(tmp_path: Path) -> None:
    given = {name: value.half() if value.is_floating_point() else value for name, value in state_dict().items()}
    model = load(saved(tmp_path, given))
    assert model.conv1[0].weight.dtype == torch.float32
    assert torch.equal(model.conv1[0].weight, given["conv1.0.weight"].float())


def test_batch_norm_counters_may_be_absent(tmp_path: Path) -> None:
    given = {name: value for name, value in state_dict().items() if "num_batches" not in name}
    assert torch.equal(load(saved(tmp_path, given)).fc.weight, given["fc.weight"])


def test_a_pytorch_file_loads(tmp_path: Path) -> None:
    given = state_dict()
    torch.save(given, tmp_path / "weights.pth")
    assert torch.equal(load(tmp_path / "weights.pth").fc.weight, given["fc.weight"])


def test_plain_timms_weights_load_at_full_width(tmp_path: Path) -> None:
    theirs = timm.create_model("resnet18d", num_classes=1000, zero_init_last=False)
    overlay = {"file": str(saved(tmp_path, theirs.state_dict()))}
    ours = timm.create_model("resnet18d_bot", pretrained=True, pretrained_cfg_overlay=overlay).eval()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(ours(x), theirs.eval()(x))


def test_torchvisions_weights_load(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    given = resnet18().state_dict()
    overlay = {"file": str(saved(tmp_path, given))}
    ours = timm.create_model("resnet18b_bot", pretrained=True, pretrained_cfg_overlay=overlay)
    assert torch.equal(ours.fc.weight, given["fc.weight"])


def test_another_number_of_classes_gets_a_new_classifier_on_the_same_backbone(tmp_path: Path) -> None:
    given = state_dict()
    model = load(saved(tmp_path, given), num_classes=7)
    assert model.fc.weight.shape == (7, 32)
    assert torch.equal(model.layer4[0].conv1.weight, given["layer4.0.conv1.weight"])


@pytest.mark.parametrize("kwargs", [{"num_classes": 0}, {"features_only": True}])
def test_a_backbone_needs_no_classifier(tmp_path: Path, kwargs: dict[str, Any]) -> None:
    given = {name: value for name, value in state_dict().items() if not name.startswith("fc.")}
    model = load(saved(tmp_path, given), **kwargs)
    assert torch.equal(model.state_dict()["layer4.0.conv1.weight"], given["layer4.0.conv1.weight"])


def test_grey_images_get_the_sum_of_the_colour_filters(tmp_path: Path) -> None:
    given = state_dict()
    model = load(saved(tmp_path, given), in_chans=1)
    torch.testing.assert_close(model.conv1[0].weight, given["conv1.0.weight"].sum(dim=1, keepdim=True))


# Refusing what does not


def without_a_stage(given: StateDict) -> StateDict:
    return {name: value for name, value in given.items() if not name.startswith("layer3")}


DAMAGES: dict[str, tuple[Callable[[StateDict], StateDict], str]] = {
    "missing": (
        without_a_stage,
        r"15 missing \(layer3\.0\.conv1\.weight, layer3\.0\.bn1\.weight, layer3\.0\.bn1\.bias, \.\.\.\)",
    ),
    "unexpected": (lambda given: given | {"head.weight": torch.zeros(1)}, r"1 unexpected \(head\.weight\)"),
    "shape": (lambda given: given | {"bn1.weight": torch.zeros(3)}, r"1 of another shape \(bn1\.weight\)"),
}


@pytest.mark.parametrize(
    "kwargs", [{}, {"num_classes": 7}, {"num_classes": 0}, {"in_chans": 1}, {"features_only": True}]
)
@pytest.mark.parametrize("damage", DAMAGES)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, damage: str, kwargs: dict[str, Any]) -> None:
    change, words = DAMAGES[damage]
    path = saved(tmp_path, change(state_dict()))
    with pytest.raises(CheckpointError, match=words) as caught:
        load(path, **kwargs)
    assert str(path) in str(caught.value)


def test_a_classifier_of_another_size_is_refused_where_none_was_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path, state_dict() | {"fc.weight": torch.zeros(9, 32), "fc.bias": torch.zeros(9)})
    with pytest.raises(CheckpointError, match=r"2 of another shape \(fc\.weight, fc\.bias\).*of 100 classes"):
        load(path)


def test_a_first_convolution_that_timm_cannot_adapt_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, state_dict() | {"conv1.0.weight": torch.zeros(32, 3, 5, 5)})
    with pytest.raises(CheckpointError, match=r"1 of another shape \(conv1\.0\.weight\)"):
        load(path, in_chans=1)


def test_the_weights_of_another_variant_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, timm.create_model("resnet10b_bot", num_classes=100, **NARROW).state_dict())
    with pytest.raises(CheckpointError, match="do not fit resnet10d_bot"):
        load(path)


def test_a_local_folder_is_checked_too(tmp_path: Path) -> None:
    model = timm.create_model(NAME, **NARROW)
    timm.models.save_for_hf(model, tmp_path, model_args=NARROW, safe_serialization=True)
    save_file(without_a_stage(model.state_dict()), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="missing"):
        timm.create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=7)


@pytest.mark.parametrize("kwargs", [{}, {"num_classes": 7}, {"features_only": True}])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, kwargs: dict[str, Any]) -> None:
    path = tmp_path / f"weights.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(state_dict(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"Cannot read weights from .* damaged"):
        load(path, **kwargs)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_text_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights.{suffix}"
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load(path)


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match=r"Cannot read weights from .*list\.pth"):
        load(tmp_path / "list.pth")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"There are no weights at .*nowhere\.safetensors"):
        load(tmp_path / "nowhere.safetensors")


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(NetworkError, match=r"huggingface\.co/timm/resnet18d\.ra2_in1k .*resnet10d_bot"):
        timm.create_model("resnet18d_bot", pretrained=True, cache_dir=tmp_path)


def test_no_weights_names_the_siblings_that_have_some() -> None:
    with pytest.raises(ModelError, match="for resnet50a_bot: take resnet50b_bot or resnet50c_bot or resnet50d_bot"):
        timm.create_model("resnet50a_bot", pretrained=True)


@pytest.mark.parametrize("pretrained", [True, False])
def test_an_unknown_tag_names_the_known_ones(pretrained: bool) -> None:
    with pytest.raises(ModelError, match=r"'gluon_1k'.*gluon_in1k, ra2_in1k.*Did you mean 'gluon_in1k'"):
        timm.create_model("resnet50d_bot.gluon_1k", pretrained=pretrained)


def test_errors_of_the_model_itself_pass_unchanged() -> None:
    with pytest.raises(TypeError, match="no_such_option"):
        timm.create_model(NAME, pretrained=True, no_such_option=1)


def test_messages_are_one_line(tmp_path: Path) -> None:
    path = saved(tmp_path, without_a_stage(state_dict()))
    with pytest.raises(BotzooError) as caught:
        load(path)
    assert "\n" not in str(caught.value)


# The embedded weights


def test_the_embedded_weights_load_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    model = timm.create_model(EMBEDDED, pretrained=True).eval()
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 100)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_the_embedded_weights_have_been_trained() -> None:
    model = timm.create_model(EMBEDDED, pretrained=True)
    assert all(
        float(block.bn2.weight.detach().abs().max()) > 0
        for layer in ("layer1", "layer4")
        for block in model.get_submodule(layer)
    )


def test_the_embedded_file_is_small() -> None:
    assert WEIGHTS[EMBEDDED].path.stat().st_size < 12e6
