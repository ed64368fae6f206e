"""``botzoo info``: the tweaks where the paper has them, and costs by the formulas."""

from pathlib import Path

import pytest
import timm
from torch import nn

import botzoo  # noqa: F401  (registers the models)
from botzoo.errors import ModelError
from botzoo.inference.sheet import blocks, layers, sheet, structure
from botzoo.models.cost import count_macs, on_meta
from botzoo.models.preprocessing import Size
from botzoo.results.calibration import write_temperature
from running import write_teacher


def made(name: str) -> nn.Module:
    with on_meta():
        return timm.create_model(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet50a_bot", "resnet18d_bot", "resnet101c_bot", "inception_v3_bot", "mobilenet_v1_bot"]
)
def test_the_layers_add_up(name: str) -> None:
    model = made(name)
    found = layers(model, Size.of(224))
    assert sum(layer.macs for layer in found) == count_macs(model, Size.of(224))
    assert sum(layer.params for layer in found) == sum(p.numel() for p in model.parameters())
    assert sum(block.macs for block in blocks(found)) == count_macs(model, Size.of(224))


def test_a_layer_by_its_formula() -> None:
    first = layers(made("resnet50b_bot"), Size.of(224))[0]
    assert (first.name, first.kind, first.shape) == ("conv1", "Conv2d 7x7 / 2", (64, 112, 112))
    assert (first.params, first.macs) == (7 * 7 * 3 * 64, 7 * 7 * 3 * 64 * 112 * 112)


@pytest.mark.parametrize(
    ("name", "letter", "residual", "shortcut"),
    [
        ("resnet50a_bot", "A", "1x1 / 2, 3x3, 1x1", "shortcut: 1x1 / 2"),
        ("resnet50b_bot", "B", "1x1, 3x3 / 2, 1x1 (tweak B)", "shortcut: 1x1 / 2"),
        ("resnet50c_bot", "C", "1x1, 3x3 / 2, 1x1 (tweak B)", "shortcut: 1x1 / 2"),
        ("resnet50d_bot", "D", "1x1, 3x3 / 2, 1x1 (tweak B)", "shortcut: 2x2 average, then 1x1 (tweak D)"),
        ("resnet18d_bot", "D", "3x3 / 2, 3x3", "shortcut: 2x2 average, then 1x1 (tweak D)"),
    ],
)
def test_each_tweak_is_where_the_paper_has_it(name: str, letter: str, residual: str, shortcut: str) -> None:
    head, stem, *down = structure(made(name))
    assert head.startswith(f"ResNet-{letter}: ")
    assert ("tweak C" in stem) == (letter in "CD")
    assert [line.split(":")[0] for line in down] == ["layer2.0", "layer3.0", "layer4.0"]
    assert all(residual in line and shortcut in line for line in down)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet10d_bot", "resnet50a_bot", "mobilenet_v1_bot.ra4_e3600_r224_in1k", "test_vit"])
def test_every_network_has_a_sheet(name: str) -> None:
    lines = sheet(name)
    titles = [line.split(" ")[0] for line in lines]
    assert {"network", "classes", "input", "weights", "card", "cost", "layer"} <= set(titles)


def test_attention_is_counted_beside_the_layers() -> None:
    assert sheet("test_vit")[-1].endswith("in products that are no layers of their own")


def test_a_run_has_a_sheet_of_its_own(tmp_path: Path) -> None:
    write_teacher(tmp_path / "model")
    (tmp_path / "config.yaml").write_text("model: test_resnet\n")
    (tmp_path / "model" / "README.md").write_text("# a card\n")
    write_temperature(tmp_path / "model", 1.23)
    lines = sheet(str(tmp_path), every_layer=True)
    assert f"recipe     {tmp_path / 'config.yaml'}" in lines
    assert f"card       {tmp_path / 'model' / 'README.md'}" in lines
    assert "licence    mit" in lines
    assert "calibrated botzoo predict divides the logits by the temperature 1.23" in lines
    assert any(line.startswith("layer1.0.conv1") for line in lines)


def test_what_is_timms_own_is_called_so() -> None:
    lines = sheet("test_resnet.r160_in1k")
    place = "https://huggingface.co/timm/test_resnet.r160_in1k"
    assert f"card       timm's own; see its model card on the Hub: {place}" in lines
    assert "licence    apache-2.0, of the weights; the data's terms come on top" in lines


@pytest.mark.parametrize(
    ("name", "message"),
    [("resnet50dbot", "Did you mean 'resnet50d_bot'"), ("resnet50d_bot.glu", "Its tags: gluon_in1k")],
)
def test_a_wrong_name_has_a_hint(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        sheet(name)
