"""The same run with several seeds: what they share, what is said of them, and adding to them."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from scipy.stats import t

from botzoo.hub.verify import verify
from running import quick_command, run_distributed


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    AcceleratorState._reset_state()


def end_with_command(argv: list[str]) -> None:
    raise SystemExit(quick_command(*argv))


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
    argv = ["--dataset", str(photos), "--seeds", "2,5", "--seed", "7", "--output", str(folder)]
    assert quick_command(*argv) == 0
    assert (folder / "seed-1" / "cell.json").stat().st_mtime_ns == before
    found = report(folder)
    values = [row["top1"] for row in found["runs"]]
    assert [row["run"] for row in found["runs"]] == ["seed-2", "seed-5", "seed-0", "seed-1"]
    assert found["top1"]["standard_deviation"] == pytest.approx(np.std(values, ddof=1))
    low, high = t.interval(0.95, 3, np.mean(values), np.std(values, ddof=1) / math.sqrt(4))
    assert found["top1"]["interval_95"] == pytest.approx([max(0, low), min(100, high)])


def test_that_the_images_chose_the_epochs_is_said(folder: Path) -> None:
    assert report(folder)["chosen_on_split"] is True


def test_two_processes_train_all_seeds(photos: Path, tmp_path: Path) -> None:
    argv = ["--dataset", str(photos), "--seeds", "2", "--output", str(tmp_path / "out")]
    assert run_distributed(2, end_with_command, argv) == [0, 0]
    assert [row["run"] for row in report(tmp_path / "out")["runs"]] == ["seed-0", "seed-1"]


def test_verify_finds_the_images_that_a_run_was_judged_on(folder: Path, photos: Path) -> None:
    checks = verify(str(folder / "seed-1"), str(photos))
    assert next(check for check in checks if check.name == "images").outcome == "agrees"


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


def test_a_folder_of_something_else_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert quick_command("--seeds", "2", "--output", str(tmp_path)) == 2
    assert "holds something else and is left as it is" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
