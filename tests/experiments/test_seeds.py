"""The same run with several seeds: what they share, what is said of them, and adding to them."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from scipy.stats import t

from running import quick_command

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds") / "out"
    assert quick_command("--dataset", str(photos), "--seeds", "2", "--seed", "7", "--output", str(folder)) == 0
    return folder


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "seeds.json").read_text())
    return found


def test_all_seeds_have_the_same_split_and_not_the_same_weights(folder: Path) -> None:
    facts = [json.loads((folder / f"seed-{seed}" / "run.json").read_text()) for seed in (0, 1)]
    assert facts[0]["fingerprints"] == facts[1]["fingerprints"]
    first, second = (load_file(folder / f"seed-{seed}" / "model" / "model.safetensors") for seed in (0, 1))
    assert not all(tensor.equal(second[name]) for name, tensor in first.items())
    assert report(folder)["split_seed"] == 7


def test_the_card_names_the_seed_of_the_split(folder: Path) -> None:
    card = (folder / "seed-1" / "model" / "README.md").read_text()
    assert "drawn at random, class by class, with seed 7" in card
    assert "| `seed` | `1` |" in card


def test_more_seeds_join_those_that_are_there(folder: Path, photos: Path) -> None:
    before = (folder / "seed-1" / "cell.json").stat().st_mtime_ns
    assert quick_command("--dataset", str(photos), "--seeds", "5,1", "--seed", "7", "--output", str(folder)) == 0
    assert (folder / "seed-1" / "cell.json").stat().st_mtime_ns == before
    found = report(folder)
    values = [row["top1"] for row in found["runs"]]
    assert [row["run"] for row in found["runs"]] == ["seed-5", "seed-1", "seed-0"]
    assert found["top1"]["standard_deviation"] == pytest.approx(np.std(values, ddof=1))
    low, high = t.interval(0.95, 2, np.mean(values), np.std(values, ddof=1) / math.sqrt(3))
    assert found["top1"]["interval_95"] == pytest.approx([max(0, low), min(100, high)])


def test_that_the_images_chose_the_epochs_is_said(folder: Path) -> None:
    assert report(folder)["chosen_on_split"] is True


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--seeds 1,1", "--seeds is '1,1': it must be a count such as 3, up to 10,000, or different whole numbers"),
        ("--seeds 2 --budget 10m", "--budget is '10m': it must be left out: it is for one run"),
        ("--seeds 2 --batch-size auto", "--batch-size is 'auto': it must be a number: the same for every run"),
        ("--seeds 2 --folds 3", "--folds and --seeds each do something else than train"),
        ("--seeds", "--seeds needs a value after it"),
    ],
)
def test_what_cannot_be_done_is_one_line(given: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--epochs=null"] if "--budget" in given else []
    assert quick_command(*words, *given.split()) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
