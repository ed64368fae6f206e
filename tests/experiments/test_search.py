"""The search for hyper-parameters: what is tried, what is ended early, what is left out, and going on after a kill."""

import json
import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botzoo.errors import DivergedError
from botzoo.experiments.search import best, falls_behind, propose, rounded, search, space, train_with
from botzoo.experiments.series import Failure, Outcome, Series
from botzoo.options.command_line import made
from botzoo.options.config import OptimConfig, TrainConfig
from botzoo.training.callbacks import Callback
from botzoo.training.state import Run
from botzoo.util.files import write_json
from botzoo_finetune.config import FinetuneConfig
from conftest import write_photos
from running import quick_command, run_distributed

pytestmark = pytest.mark.slow

OPTIONS = {"lr": 0.1, "optim.weight_decay": 1e-4, "layer_decay": 0.9}


def outcome(options: dict[str, Any], *validation: float, stopped: bool = False, split_seed: int = 0) -> Outcome:
    """Return what a run of six epochs came to."""
    kept: dict[str, Any] = {"score": max(validation), "correct": round(max(validation)), "images": 100, "best_epoch": 1}
    split: dict[str, Any] = {"split": "validation", "set_aside": True, "split_seed": split_seed, "identity": {}}
    speed: dict[str, Any] = {"epochs": 6, "seconds": 1.0, "images_per_second": 1.0, "peak_memory_bytes": 1}
    seen = list(validation)
    return Outcome(
        options, "top-1", "top1", validation=seen, last={}, stopped=stopped, facts={}, **kept, **split, **speed
    )


def runs_of(*ended: Outcome | Failure, config: FinetuneConfig | None = None) -> Series[FinetuneConfig]:
    """Return a search of which these trials have ended."""
    config, accelerator = config or FinetuneConfig(lr=0.2, layer_decay=0.9), Any
    trials = {f"trial-{k}": end for k, end in enumerate(ended, 1)}
    return Series("search", config, Path(), "", accelerator, lambda config: [], ended=trials)  # type: ignore[arg-type]


class SecondDiverges(Callback):
    def on_epoch_end(self, run: Run, evaluation: Any) -> None:
        if run.folder.name == "trial-2":
            raise DivergedError("The loss became NaN.")


def go(data: Path, folder: Path, trials: int, epochs: int = 1) -> None:
    values = {"model": "test_resnet", "scratch": True, "img_size": 32, "batch_size": 16, "mixed_precision": "fp32"}
    paths = {"dataset": str(data), "output": str(folder), "epochs": epochs}
    command = f"botzoo-finetune --dataset {data} --search {trials}"
    search(made(values | paths, FinetuneConfig), str(trials), command, lambda config: [SecondDiverges()])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of three trials, of which the second diverged, in data with a test split that cannot be read."""
    folder = tmp_path_factory.mktemp("search")
    for role in ("train", "test"):
        write_photos(folder / "data" / role, classes=2, each=12)
    (folder / "data" / "test" / "class0" / "0.png").write_bytes(b"no image")
    for trials in (2, 3):  # the second command goes on
        go(folder / "data", folder / "out", trials)
    return folder / "out"


def test_the_first_trial_is_what_was_given() -> None:
    config = FinetuneConfig(lr=0.3, layer_decay=0.8)
    assert propose(runs_of(config=config), 1) == {"lr": 0.3, "optim.weight_decay": 1e-4, "layer_decay": 0.8}


def test_what_is_proposed_depends_on_the_records_and_the_number_alone() -> None:
    ended = [outcome(OPTIONS | {"lr": 0.05 * k}, 50.0 + k) for k in range(1, 8)]
    first, again, other = propose(runs_of(*ended), 8), propose(runs_of(*ended), 8), propose(runs_of(*ended), 9)
    assert first == again != other


def test_proposals_lie_in_the_space_and_fit_on_a_command_line() -> None:
    ranges = space(FinetuneConfig(lr=0.2))
    for k in range(1, 12):
        for name, value in propose(runs_of(), k).items():
            assert ranges[name].low <= value <= ranges[name].high
            assert value == rounded(value) == float(f"{value:g}")


@pytest.mark.parametrize("config", [TrainConfig(), FinetuneConfig(freeze="backbone")])
def test_without_layers_at_rates_of_their_own_there_is_no_layer_decay_to_look_for(config: TrainConfig) -> None:
    assert set(space(config)) == {"lr", "optim.weight_decay"}


def test_what_is_given_outside_of_the_space_widens_it() -> None:
    config = FinetuneConfig(layer_decay=0.3, optim=OptimConfig(weight_decay=0.05))
    ranges = space(config)
    assert (ranges["layer_decay"].low, ranges["optim.weight_decay"].high) == (0.3, 0.25)
    assert propose(runs_of(config=config), 1)["optim.weight_decay"] == 0.05


def test_a_trial_below_the_median_is_ended_and_one_above_is_not() -> None:
    curves = np.random.default_rng(0).uniform(40, 60, (5, 6)).cumsum(1)
    runs = runs_of(*(outcome(OPTIONS, *curve) for curve in curves.tolist()))
    median = float(np.median(curves[:, 3]))
    assert falls_behind(runs, 6, [1.0, 1.0, 1.0, median - 0.1], 6)
    assert not falls_behind(runs, 6, [1.0, 1.0, 1.0, median + 0.1], 6)
    assert not falls_behind(runs, 6, [1.0, 1.0], 6)  # the first third says nothing yet


def test_nothing_is_ended_before_five_trials_are_finished() -> None:
    ended = [outcome(OPTIONS, *[90.0] * 6)] * 4 + [Failure(OPTIONS, "NaN")]
    assert not falls_behind(runs_of(*ended), 6, [1.0] * 5, 6)


def test_trials_below_what_they_started_from_are_told_apart() -> None:
    kept = {"score": 95.0, "best_epoch": 0}  # the start, in both
    assert best(runs_of(replace(outcome(OPTIONS, 60.0), **kept), replace(outcome(OPTIONS, 80.0), **kept))) == "trial-2"


def test_the_best_trial_is_a_whole_one() -> None:
    ended = [outcome(OPTIONS, 50.0), outcome(OPTIONS, 90.0, stopped=True), outcome(OPTIONS, 60.0), Failure(OPTIONS, "")]
    assert best(runs_of(*ended)) == "trial-3"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("botzoo-finetune --search 9 --dataset 'my pets'", "botzoo-finetune --dataset 'my pets' --lr 0.1"),
        ("botzoo-finetune --search=9 --output=x --lr 0.3 --epochs 2", "botzoo-finetune --epochs 2 --lr 0.1"),
        ("botzoo-finetune --lr=0.3 --scratch --output x --search 9", "botzoo-finetune --scratch --lr 0.1"),
    ],
)
def test_the_command_to_train_with_has_the_options_and_no_search(typed: str, expected: str) -> None:
    assert train_with(typed, {"lr": 0.1}) == expected


def test_a_search_goes_on_past_a_diverged_trial(folder: Path) -> None:
    found = json.loads((folder / "search.json").read_text())
    assert found["diverged"] == ["trial-2"]
    assert [row["run"] for row in found["runs"]] == ["trial-1", "trial-2", "trial-3"]
    assert (folder / "search.png").stat().st_size > 1000


def test_the_best_is_a_command_with_the_options_of_its_trial(folder: Path) -> None:
    found = json.loads((folder / "search.json").read_text())["best"]
    words = shlex.split(found["train_with"])
    assert {k: float(words[words.index(f"--{k.replace('_', '-')}") + 1]) for k in found["options"]} == found["options"]
    assert "--search" not in words
    assert found["chosen_on_split"] is True


def test_a_trial_never_looks_at_the_test_split(folder: Path) -> None:
    facts = json.loads((folder / "trial-1" / "run.json").read_text())
    assert set(facts["images"]) == {"train", "validation"}
    assert "the test split is left unread" in facts["data"]["notes"]


def test_a_trial_that_falls_behind_is_ended_early(photos: Path, tmp_path: Path) -> None:
    for k in range(1, 6):
        (tmp_path / f"trial-{k}").mkdir()
        end = outcome(OPTIONS | {"lr": 0.01}, *[100.0] * 6, split_seed=1)
        write_json(tmp_path / f"trial-{k}" / "cell.json", asdict(end), seal=True)
    write_json(tmp_path / "options.json", {"command": "search", "runs": {}}, seal=True)
    go(photos, tmp_path, 6, epochs=6)
    found = json.loads((tmp_path / "search.json").read_text())
    assert (found["ended_early"], len(found["runs"][5]["validation"])) == (["trial-6"], 3)


def search_in_processes(*argv: str) -> None:
    raise SystemExit(quick_command(*argv))


def test_two_processes_search_together(photos: Path, tmp_path: Path) -> None:
    argv = ["--dataset", str(photos), "--search", "2", "--output", str(tmp_path / "out")]
    assert run_distributed(2, search_in_processes, *argv) == [0, 0]
    assert [row["run"] for row in json.loads((tmp_path / "out" / "search.json").read_text())["runs"]] == [
        "trial-1",
        "trial-2",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--search 0", "--search is '0': it must be a whole number of 1 or more, up to 10,000."),
        ("--search 3 --patience 2", "--patience is 2: it must be left out: the search itself ends what falls behind."),
    ],
)
def test_what_cannot_be_searched_is_one_line(given: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert quick_command(*given.split()) == 2
    assert capsys.readouterr().err == f"botzoo-finetune: {said}\n"


def test_a_missing_optuna_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert quick_command("--search", "3") == 2
    assert "--search needs the package optuna: pip install optuna" in capsys.readouterr().err
