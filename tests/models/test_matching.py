"""Weights as people keep them: under any prefix, with anything beside them, translated by timm where names differ."""

import random
import re
import shlex
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from botzoo.errors import CheckpointError
from botzoo.models.create import Network, create_model
from botzoo.models.foreign import CONVERT
from botzoo.models.matching import match
from botzoo.training.plan import model_lines

Tensors = dict[str, Tensor]
STEM = "conv1.0.weight"


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return timm.create_model("test_resnet", num_classes=3)


@pytest.fixture(scope="module")
def trained() -> Tensors:
    """Weights of the same network, with 7 classes."""
    torch.manual_seed(1)
    return dict(timm.create_model("test_resnet", num_classes=7).state_dict())


def under(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: value for name, value in tensors.items()}


def body(tensors: Tensors) -> Tensors:
    return {name: value for name, value in tensors.items() if not name.startswith("fc.")}


def words() -> list[str]:
    """Return prefixes as wrappers make them, one to four deep, and of letters that nobody thought of."""
    rng = random.Random(0)
    known = ["module", "_orig_mod", "model", "backbone", "encoder", "net", "student", "0", "conv1", "layer1", "fc"]
    made = ["".join(rng.choices("abcxyz_019", k=rng.randint(1, 9))) for _ in range(8)]
    nested = [".".join(rng.choices(known + made, k=depth)) for depth in (1, 2, 3, 4) for _ in range(6)]
    return [f"{prefix}." for prefix in dict.fromkeys(known + nested)]


@pytest.mark.parametrize("prefix", words())
def test_any_prefix_is_stripped_and_named(prefix: str, network: nn.Module, trained: Tensors) -> None:
    found = match(network, under(prefix, trained), "w.safetensors")
    assert set(found.report.loaded) == set(body(trained))
    assert found.notes[0] == f"names in the file begin with {prefix!r}, which is stripped"
    assert all(torch.equal(found.tensors[name], trained[name]) for name in trained)


OTHERS: dict[str, Tensors] = {
    "projector": {"projector.0.weight": torch.ones(8, 8), "projector.0.bias": torch.ones(8)},
    "optimizer": {f"optimizer.state.{i}.exp_avg": torch.ones(2) for i in range(5)},
    "counts": {"epoch": torch.ones(1), "n_averaged": torch.ones(())},
    "long": {".".join("a" * 300): torch.ones(1)},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_stands_beside_the_network_is_counted_and_named(kind: str, network: nn.Module, trained: Tensors) -> None:
    found = match(network, OTHERS[kind] | under("model.", trained), "w.safetensors")
    (line,) = [note for note in found.notes if "beside the network are not used" in note]
    assert len(found.report.loaded) == len(body(trained))
    for name in OTHERS[kind]:
        assert repr(name.partition(".")[0] + ("." if "." in name else "")) in line


def test_what_shares_the_wrapper_is_named_as_far_as_it_is_another(network: nn.Module, trained: Tensors) -> None:
    found = match(network, under("module.", under("net.", trained) | OTHERS["projector"]), "w.safetensors")
    assert found.notes[1] == "tensors beside the network are not used: 2 under 'module.projector.'"


@pytest.mark.parametrize("other", ["ema.", "model_ema.", "ema_model.module.", "averaged."])
def test_averaged_copies_give_way_to_the_weights_themselves(other: str, network: nn.Module, trained: Tensors) -> None:
    averaged = under(other, {name: value + 1 for name, value in trained.items()})
    found = match(network, averaged | under("model.", trained), "w.safetensors")
    assert torch.equal(found.tensors[STEM], trained[STEM])
    assert f"{len(trained)} under {other.partition('.')[0] + '.'!r}" in found.notes[1]


def test_averaged_weights_alone_are_taken(network: nn.Module, trained: Tensors) -> None:
    assert len(match(network, under("ema.", trained), "w.safetensors").report.loaded) == len(body(trained))


def test_the_networks_own_names_come_first(network: nn.Module, trained: Tensors) -> None:
    found = match(network, trained | under("teacher.", trained), "w.safetensors")
    assert set(found.report.unexpected) == set(under("teacher.", trained))


PAIRS = [("student.", "teacher."), ("module.encoder_q.", "module.encoder_k."), ("a.", "b.c.")]


@pytest.mark.parametrize("pair", PAIRS)
def test_two_networks_in_a_file_are_asked_about_and_the_answer_is_understood(
    pair: tuple[str, str], trained: Tensors, tmp_path: Path
) -> None:
    two = {name: value + k for k, prefix in enumerate(pair) for name, value in under(prefix, trained).items()}
    save_file(two, file := tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="2 times, under") as refused:
        create_model("test_resnet", 3, pretrained=str(file))
    answers = [word for word in shlex.split(str(refused.value)) if ".safetensors@" in word]
    assert len(answers) == 2
    for answer in answers:
        stem = create_model("test_resnet", 3, pretrained=answer).model.state_dict()[STEM]
        assert torch.equal(stem, two[answer.partition("@")[2] + STEM])


@pytest.mark.parametrize("asked", ["teacher", "student.", ""])
def test_a_prefix_that_is_not_there_is_answered_with_those_that_are(
    asked: str, network: nn.Module, trained: Tensors
) -> None:
    with pytest.raises(CheckpointError, match=r"no such network under .*; it stands under 'net\.'"):
        match(network, under("net.", trained), "w.safetensors", asked)


@pytest.mark.parametrize("name", ["head.fc", "linear", "classifier.1", "fc.0", "model.head"])
def test_a_classifier_of_another_name_is_reported_and_replaced(name: str, network: nn.Module, trained: Tensors) -> None:
    head = {f"{name}.weight": trained["fc.weight"], f"{name}.bias": trained["fc.bias"]}
    for prefix in ("", "module."):
        found = match(network, under(prefix, body(trained) | head), "w.safetensors")
        assert f"classifier: that of the file ({name!r}, 7 outputs) is replaced by a new one of 3" in found.notes
        assert set(found.report.missing) == {"fc.weight", "fc.bias"}


def test_a_classifier_of_another_size_is_reported_and_one_of_the_same_kept(trained: Tensors) -> None:
    def notes(classes: int) -> tuple[str, ...]:
        return match(timm.create_model("test_resnet", num_classes=classes), trained, "w.safetensors").notes

    assert notes(3) == ("classifier: that of the file ('fc', 7 outputs) is replaced by a new one of 3",)
    assert notes(7) == ()


def test_a_classifier_beside_the_backbone_is_reported(network: nn.Module, trained: Tensors) -> None:
    tensors = under("backbone.", body(trained)) | {"fc.weight": trained["fc.weight"], "fc.bias": trained["fc.bias"]}
    assert "('fc', 7 outputs)" in match(network, tensors, "w.safetensors").notes[-1]


def test_counts_of_batches_may_be_missing(network: nn.Module, trained: Tensors) -> None:
    tensors = {name: value for name, value in trained.items() if not name.endswith("num_batches_tracked")}
    found = match(network, under("net.", tensors), "w.safetensors")
    assert (found.report.missing, len(found.report.loaded)) == ((), len(body(tensors)))
    assert not any("warning" in note for note in found.notes)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_tensor_of_another_shape_is_named_with_both(prefix: str, network: nn.Module, trained: Tensors) -> None:
    tensors = under(prefix, trained) | {prefix + STEM: torch.ones(4, 1, 3, 3)}
    (line,) = [note for note in match(network, tensors, "w.safetensors").notes if note.startswith("warning")]
    own = tuple(trained[STEM].shape)
    assert line.startswith("warning: 1 tensor does not come from w.safetensors")
    assert line.endswith(f"'conv1.0.weight', (4, 1, 3, 3) there and {own} here")


def other_layout(tensors: Tensors) -> Tensors:
    """Return weights of a ConvNeXt as its authors name them, which timm translates."""
    stem = {"stem.0.": "downsample_layers.0.0.", "stem.1.": "downsample_layers.0.1."}
    found = {}
    for name, value in tensors.items():
        for ours, theirs in stem.items():
            name = name.replace(ours, theirs) if name.startswith(ours) else name
        name = re.sub(r"stages\.(\d)\.blocks\.(\d)", r"stages.\1.\2", name)
        name = re.sub(r"stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)
        name = name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv").replace("head.norm.", "norm.")
        found[name.replace("head.fc.", "head.")] = value
    return found


@pytest.mark.parametrize("prefix", ["", "module."])
def test_names_of_other_people_are_translated_by_timm(prefix: str) -> None:
    model = timm.create_model("test_convnext", num_classes=3)
    tensors = dict(timm.create_model("test_convnext", num_classes=3).state_dict())
    found = match(model, under(prefix, other_layout(tensors)), "w.safetensors")
    assert set(found.report.loaded) == set(tensors)
    assert any("names of another layout" in note for note in found.notes)


def test_positions_for_another_size_are_resampled_as_timm_does() -> None:
    model = timm.create_model("test_vit", num_classes=3, img_size=96)
    tensors = dict(timm.create_model("test_vit", num_classes=3, img_size=160).state_dict())
    assert match(model, under("model.", tensors), "w.safetensors").report.mismatched == ()


def test_tensors_of_nothing_we_know_are_refused_with_both_names(network: nn.Module) -> None:
    with pytest.raises(CheckpointError, match=r"made for another network: 0 of \d+.*'a\.b'.*'conv1\.0\.weight'"):
        match(network, {"a.b": torch.ones(1)}, "w.safetensors")


def test_the_plan_says_what_was_stripped(network: nn.Module, trained: Tensors, tmp_path: Path) -> None:
    save_file(under("module.", trained), file := tmp_path / "w.safetensors")
    made: Network = create_model("test_resnet", 3, pretrained=str(file))
    assert "names in the file begin with 'module.', which is stripped" in list(model_lines(made))


# Pickles


def kept(kind: str, tensors: Tensors) -> Any:
    """Return what people give to torch.save."""
    rest = {"epoch": 3, "args": SimpleNamespace(lr=0.1), "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}
    return {"bare": tensors, "state_dict": rest | {"state_dict": tensors}, "model": rest | {"model": tensors}}[kind]


@pytest.mark.parametrize(("kind", "suffix"), [("bare", "pth"), ("state_dict", "ckpt"), ("model", "pth.tar")])
def test_what_the_refusal_of_a_pickle_prints_makes_safetensors_of_it(
    kind: str, suffix: str, trained: Tensors, tmp_path: Path
) -> None:
    shared = under("module.", trained) | {"module.tied": trained["fc.weight"]}
    torch.save(kept(kind, shared), file := tmp_path / f"it's mine.{suffix}")
    with pytest.raises(CheckpointError, match="is a pickle, which can run any code") as refused:
        create_model("test_resnet", 3, pretrained=str(file))
    _, _, printed = str(refused.value).partition("python -c ")
    (code,) = shlex.split(printed)
    exec(code, {})
    (made,) = tmp_path.glob("*.safetensors")
    assert set(load_file(made)) == set(shared)
    assert torch.equal(
        create_model("test_resnet", 3, pretrained=str(made)).model.state_dict()["bn1.bias"], trained["bn1.bias"]
    )


def test_the_page_shows_the_same_lines() -> None:
    page = (Path(__file__).parents[2] / "docs" / "choosing-options.md").read_text(encoding="utf-8")
    lines = CONVERT.replace("OLD", '"mine.pth"').replace("NEW", '"mine.safetensors"')
    assert textwrap.indent(lines, "    ") in page


def test_a_pickle_under_the_name_of_safetensors_is_known(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"w\.safetensors is a pickle.*w\.safetensors\.safetensors"):
        create_model("test_resnet", 3, pretrained=str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("suffix", ["pth", "pt", "ckpt", "tar", "bin"])
def test_a_pickle_that_is_not_there_is_no_tag(suffix: str) -> None:
    with pytest.raises(CheckpointError, match=rf"There is no file nowhere\.{suffix}"):
        create_model("test_resnet", 3, pretrained=f"nowhere.{suffix}")
