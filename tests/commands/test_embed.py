"""A finished run becomes weights of the package: in fp16, evaluated as such, with a card that says the same."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from botzoo.commands.embed import CARDS, TRANSFER, embed, with_transfer
from botzoo.errors import ConfigError
from botzoo.models.pretrained import EMBEDDED
from botzoo.results.card.claim import Claim, claim_in_card
from botzoo.util.files import sha256_of
from running import final_weights

NAME = "test_resnet.mine"


@pytest.fixture(scope="module")
def run(finished_run: Path) -> Path:
    return finished_run


@pytest.fixture(scope="module")
def embedded(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of both the weights and the card."""
    folder = tmp_path_factory.mktemp("package")
    embed(run, "apache-2.0", folder, folder, NAME)
    return folder


def test_the_weights_are_those_of_the_run_in_fp16(run: Path, embedded: Path) -> None:
    ours, theirs = load_file(embedded / f"{NAME}.safetensors"), final_weights(run)
    assert all(torch.equal(ours[name], theirs[name].half()) for name in theirs if theirs[name].is_floating_point())


def test_card_and_file_make_the_same_claim(embedded: Path) -> None:
    claim = Claim(**json.loads((embedded / f"{NAME}.json").read_text())["claim"])
    assert claim == claim_in_card(embedded / f"{NAME}.md")
    assert claim.weights_sha256 == sha256_of(embedded / f"{NAME}.safetensors")


def test_the_card_needs_no_download_and_finds_its_pictures(embedded: Path) -> None:
    text = (embedded / f"{NAME}.md").read_text()
    assert f'timm.create_model("{NAME}", pretrained=True)' in text
    assert f"]({NAME}/learning_curve.png)" in text
    assert (embedded / NAME / "learning_curve.png").is_file()
    assert "local-dir:." not in text


def test_the_recipe_travels_with_the_weights(run: Path, embedded: Path) -> None:
    assert (embedded / f"{NAME}.yaml").read_text() == (run / "model" / "recipe.yaml").read_text()


def test_a_run_that_has_not_finished_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has not finished"):
        embed(tmp_path, "apache-2.0", tmp_path, tmp_path)


def test_the_card_says_how_the_weights_serve_other_data_where_that_was_measured(tmp_path: Path) -> None:
    (tmp_path / "transfer.md").write_text("## As frozen features\n\n71 %\n")
    card = "## Results\n\n61 %\n\n## Training\n\n36 epochs\n"
    expected = "## Results\n\n61 %\n\n## As frozen features\n\n71 %\n\n## Training\n\n36 epochs\n"
    assert with_transfer(card, tmp_path / "transfer.md") == expected


def test_the_packaged_card_has_that_section() -> None:
    section = (CARDS / EMBEDDED / TRANSFER).read_text(encoding="utf-8").strip()
    assert f"\n{section}\n\n## Training\n" in (CARDS / f"{EMBEDDED}.md").read_text(encoding="utf-8")


def test_an_average_of_epochs_is_refused(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    text = (copy / "config.yaml").read_text().partition("\n")[2]  # without its digest
    (copy / "config.yaml").write_text(text.replace("soup: null", "soup: 3"))
    with pytest.raises(ConfigError, match=r"an average of epochs \(--soup\)"):
        embed(copy, "apache-2.0", tmp_path, tmp_path)


def test_the_temperature_travels_with_the_weights(run: Path, embedded: Path) -> None:
    beside = json.loads((embedded / f"{NAME}.json").read_text())
    found = re.search(r"^temperature = (\S+)  #", (embedded / f"{NAME}.md").read_text(), re.M)
    assert beside.get("calibration") == ({"temperature": float(found[1])} if found else None)
