"""How images are prepared for weights, by whose word, and the line where that may be another network's."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm

from botzoo.models.create import create_model
from botzoo.training.plan import input_lines
from running import write_teacher

pytestmark = pytest.mark.slow  # all of them together

CFG = timm.get_pretrained_cfg("test_resnet")
USUAL = {"mean": list(CFG.mean), "std": list(CFG.std)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("weights") / "model")


def lines(weights: Path, given: str, architecture: str = "test_resnet", **entry: Any) -> list[str]:
    """Return what the plan says where config.json says ``entry``; ``given`` is a kind of address or a file's name."""
    config = json.loads((weights / "config.json").read_text())
    config |= {"architecture": architecture, "pretrained_cfg": {**config["pretrained_cfg"], **entry}}
    (weights / "config.json").write_text(json.dumps(config))
    source = f"local-dir:{weights}" if given == "local-dir:" else str(weights / given)
    return list(input_lines(create_model("test_resnet", 3, pretrained=source)))


@pytest.mark.parametrize("given", ["local-dir:", "model.safetensors"])
@pytest.mark.parametrize("changed", [{"mean": [0.4] * 3}, {"std": [0.4] * 3}, {"mean": [0.1] * 3, "std": [0.2] * 3}])
def test_another_mean_than_that_of_the_architecture_is_a_warning(weights: Path, given: str, changed: Any) -> None:
    said = lines(weights, given, **{**USUAL, **changed})
    assert "which is not timm's for test_resnet" in said[1]
    assert (f"mean {USUAL['mean'][0]:.4g}" in said[0]) == (given == "model.safetensors" or "mean" not in changed)


@pytest.mark.parametrize("given", ["local-dir:", "model.safetensors"])
def test_weights_of_another_architecture_are_a_warning(weights: Path, given: str) -> None:
    assert "is for test_vit, not test_resnet: give --model test_vit" in lines(weights, given, "test_vit", **USUAL)[1]


@pytest.mark.parametrize("given", ["local-dir:", "model.safetensors"])
def test_what_agrees_is_said_in_one_line(weights: Path, given: str) -> None:
    (line,) = lines(weights, given, **USUAL)
    assert line.startswith(f"mean {USUAL['mean'][0]:.4g} ")
    assert ("as config.json of" in line) == (given == "local-dir:")
