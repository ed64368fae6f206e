"""botzoo verify of a network that gives an image any number of labels: the figure is mean average precision."""

import json
import re
import shutil
from pathlib import Path

import datasets
import pytest
import torch
from safetensors.torch import load_file, save_file

from botzoo.errors import DataError, PublishError
from botzoo.hub import verify as verifying
from botzoo.hub.package import pack
from botzoo.hub.verify import Check, exit_status, verify
from botzoo.results.card.claim import claim_in_card
from conftest import write_pictures
from running import code_run_here

CHECKS = ("weights", "run", "classes", "images", "mAP", "code")


@pytest.fixture
def run(finished_multi_label_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_multi_label_run, tmp_path / "run"))


def checked(name: str, run: Path, dataset: Path) -> Check:
    """Return one check, without those after it."""
    return next(check for check in verify(str(run), str(dataset)) if check.name == name)


def claim_instead(run: Path, value: float, low: float, high: float) -> None:
    card = run / "model" / "README.md"
    text = re.sub(r"value: [\d.]+", f"value: {value}", card.read_text(), count=1)
    card.write_text(re.sub(r"(interval_95:\n\s+- )[\d.]+(\n\s+- )[\d.]+", rf"\g<1>{low}\g<2>{high}", text, count=1))


def test_the_card_claims_the_map_of_the_log(run: Path) -> None:
    claim = claim_in_card(run / "model" / "README.md")
    assert claim is not None
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert (claim.figure, claim.images) == ("mAP", 12)
    assert claim.value == pytest.approx(max(line["map"] for line in lines if line["split"] == "validation"), abs=1e-3)


def test_an_honest_model_agrees_in_everything(run: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "run_code", code_run_here)
    checks = list(verify(str(run), str(pictures)))
    assert [(check.name, check.outcome) for check in checks] == [(name, "agrees") for name in CHECKS]
    assert exit_status(checks) == 0


def test_a_figure_that_its_own_images_deny_differs(run: Path, pictures: Path) -> None:
    claim_instead(run, 3.0, 0.0, 100.0)
    check = checked("mAP", run, pictures)
    assert (check.outcome, exit_status([check])) == ("differs", 1)
    assert "published 3.00 % (95 % interval 0.00 to 100.00): of the very same images" in check.words


def test_a_bootstrap_interval_may_leave_its_figure_out(run: Path, pictures: Path) -> None:
    claim = claim_in_card(run / "model" / "README.md")
    assert claim is not None
    claim_instead(run, claim.value, claim.value - 2, claim.value - 1)
    assert checked("mAP", run, pictures).outcome == "agrees"


def test_other_weights_differ(run: Path, pictures: Path) -> None:
    file = run / "model" / "model.safetensors"
    save_file({name: torch.zeros_like(tensor) for name, tensor in load_file(file).items()}, file)
    found = [checked(name, run, pictures).outcome for name in ("weights", "mAP")]
    assert found == ["differs", "differs"]


@pytest.mark.parametrize(("high", "outcome"), [(100.0, "agrees"), (1.0, "unknown")])
def test_of_other_images_the_interval_decides(run: Path, tmp_path: Path, high: float, outcome: str) -> None:
    claim_instead(run, 0.5, 0.0, high)
    other = write_pictures(tmp_path / "other", seed=9)
    assert checked("mAP", run, other).outcome == outcome


def test_images_of_one_label_each_are_refused(run: Path, photos: Path) -> None:
    with pytest.raises(DataError, match=r"has one label to an image, and the network is for any number of labels"):
        list(verify(str(run), str(photos)))


def test_a_card_of_another_figure_than_the_networks_differs(run: Path, pictures: Path) -> None:
    card = run / "model" / "README.md"
    card.write_text(card.read_text().replace("type: mean_average_precision", "type: accuracy"))
    assert "the card claims top-1, which is not" in checked("mAP", run, pictures).words


@pytest.mark.parametrize("printed", [["mauve: 61.0%"], ["nothing"], ["KeyError: names"]])
def test_code_that_says_other_labels_differs(
    run: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, printed: list[str]
) -> None:
    monkeypatch.setattr(verifying, "run_code", lambda code, image, model: printed)
    check = checked("code", run, pictures)
    assert (check.outcome, printed[0] in check.words) == ("differs", True)


def test_images_of_other_classes_say_nothing(run: Path, pictures: Path) -> None:
    plain = datasets.load_from_disk(str(pictures)).cast_column("colours", datasets.List(datasets.Value("int64")))
    names = datasets.List(datasets.ClassLabel(names=["red", "green", "blue", "black"]))
    plain.cast_column("colours", names).save_to_disk(str(run / "other"))
    found = {check.name: check.outcome for check in verify(str(run), str(run / "other"))}
    assert (found["classes"], found["mAP"], "code" in found) == ("differs", "unknown", False)


def test_weights_that_are_not_those_of_the_card_are_not_published(run: Path) -> None:
    file = run / "model" / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    with pytest.raises(PublishError, match="not those that its card is of"):
        pack(run, "me/pictures", "mit")
