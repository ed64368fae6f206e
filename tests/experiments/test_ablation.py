"""Ablations: what each rung is trained with, what is refused, and going on after a kill."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from botzoo.errors import ConfigError, DataError
from botzoo.experiments.ablation import ablate, rung_options
from botzoo.experiments.report import Ablation
from botzoo.options.accepted import seed_list
from botzoo.options.command_line import made
from botzoo.options.config import AblateConfig
from botzoo.recipes.ladders import Ladder, Rung, load_ladder, select
from running import SIGKILLED, run, signal_at_step

pytestmark = pytest.mark.slow

LADDER = """
rungs:
- {name: plain, options: {scratch: true, cosine: false}}
- {name: cosine, options: {scratch: true, cosine: true}}
- {name: wild, options: {scratch: true, linear_scaling: false, lr: 99, optim: {weight_decay: 1e6}}}
- {name: taught, options: {scratch: true, distillation: resnet10d_bot}}  # a teacher of 100 other classes
"""


def go(given: dict[str, Any], epochs: int = 1) -> Ablation:
    return ablate(made(given | {"epochs": epochs}, AblateConfig), given, "botzoo ablate", lambda config: [])


def go_and_die_at_step(given: dict[str, Any], step: int) -> None:
    signal_at_step(signal.SIGKILL, step, total=True)
    go(given)


@pytest.fixture(scope="module")
def given(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Options of a ladder of which two rungs are trained with one seed in the folder ``output``."""
    folder = tmp_path_factory.mktemp("ablation")
    (folder / "mine.yaml").write_text(LADDER)
    shutil.copytree(photos, folder / "data")
    quick = {"model": "test_resnet", "img_size": 32, "batch_size": 16, "checkpoint_every": 1, "mixed_precision": "fp32"}
    paths = {"ladder": str(folder / "mine.yaml"), "dataset": str(folder / "data"), "output": str(folder / "out")}
    options = quick | paths | {"rungs": "plain,cosine", "seeds": "1"}
    go(options)
    return options


@pytest.fixture
def copy(given: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The same options, with a copy of that folder."""
    shutil.copytree(given["output"], tmp_path / "out")
    return given | {"output": str(tmp_path / "out")}


def results(folder: str) -> list[tuple[str, float, float]]:
    """Return name, accuracy and loss of every run in the report."""
    rungs = json.loads(Path(folder, "ablation.json").read_text())["rungs"]
    return [(run["rung"], run["top1"], run["loss"]) for rung in rungs for run in rung["runs"]]


def test_the_epochs_hold_for_every_rung_and_the_warmup_keeps_its_share() -> None:
    every = rung_options(load_ladder("table4"), {}, 12, None)
    assert {(o["epochs"], o["warmup"]) for o in every.values()} == {(12, 0), (12, 0.5)}


def test_options_given_hold_for_every_rung() -> None:
    common = {"model": "resnet10d_bot", "optim": {"momentum": 0.8}}
    every = rung_options(load_ladder("table6"), common, 4, "local-dir:t")
    assert {(o["model"], o["optim"]["momentum"]) for o in every.values()} == {("resnet10d_bot", 0.8)}


def test_the_teacher_goes_to_the_rungs_that_have_one() -> None:
    every = rung_options(load_ladder("table6"), {}, 4, "local-dir:teacher")
    taught = {name for name, o in every.items() if o.get("distillation") == "local-dir:teacher"}
    assert taught == {"distill", "distill-mixup"}


@pytest.mark.parametrize(
    ("ladder", "common", "message"),
    [
        ("table5", {"model": "resnet18d_bot"}, "--model is what the ladder table5 varies"),
        ("table6", {"label_smoothing": 0.2}, "--label-smoothing is what the ladder table6 varies"),
        ("table6", {"distillation": "x"}, "Give --teacher instead"),
        ("table4", {"cosine": False, "optim": {"decay": "plateau"}}, "plateau looks at the very images"),
    ],
)
def test_what_a_ladder_varies_cannot_be_given(ladder: str, common: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rung_options(load_ladder(ladder), common, 4, None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mixupp": 0.2}, "Rung a: There is no option 'mixupp'.*Did you mean 'mixup'"),
        ({"lr": "high"}, "Rung a: --lr is 'high'"),
        ({"mixup": -1}, "Rung a: --mixup is -1"),
    ],
)
def test_a_rung_with_a_wrong_option_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rung_options(Ladder("mine", "", (Rung("a", wrong),)), {}, 4, None)


def test_text_of_a_ladder_becomes_what_its_option_holds() -> None:
    ladder = Ladder("mine", "", (Rung("a", {"lr": "1e-3", "cosine": "false", "warmup": "1"}),))
    found = rung_options(ladder, {}, 4, None)["a"]
    assert (found["lr"], found["cosine"], found["warmup"]) == (0.001, False, 1.0)


def test_the_warmup_keeps_its_share_when_the_lowest_rung_is_left_out() -> None:
    ladder = select(load_ladder("table6"), ["mixup"])  # whose recipe has 200 epochs, the lowest one's 120
    assert rung_options(ladder, {}, 12, None)["mixup"]["warmup"] == pytest.approx(0.5)


def test_a_teacher_without_a_rung_that_learns_from_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="--teacher x: no rung learns from a teacher"):
        rung_options(load_ladder("table4"), {}, 4, "x")


@pytest.mark.parametrize(("text", "seeds"), [("3", [0, 1, 2]), ("0,1,5", [0, 1, 5]), ("4, 2", [4, 2])])
def test_seeds_are_a_count_or_a_list(text: str, seeds: list[int]) -> None:
    assert seed_list(text) == seeds


@pytest.mark.parametrize("text", ["0", "1,1", "two", "-1", "1,,2", "", "1234567890", "9" * 5000])
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--seeds is .* different whole numbers"):
        seed_list(text)


def test_epochs_have_to_be_given() -> None:
    with pytest.raises(ConfigError, match="--epochs is None: it must be given"):
        AblateConfig()


def test_a_seed_of_its_own_makes_no_sense() -> None:
    with pytest.raises(ConfigError, match=r"--seed is 3: .*--seeds"):
        AblateConfig(epochs=1, seed=3)


def test_finished_runs_are_not_trained_again(given: dict[str, Any]) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(given["output"]).rglob("*.safetensors")}
    assert set(go(given).cells) == {("plain", 0), ("cosine", 0)}
    assert {path: path.stat().st_mtime_ns for path in Path(given["output"]).rglob("*.safetensors")} == before


def test_a_killed_ablation_ends_as_one_that_was_not(given: dict[str, Any], tmp_path: Path) -> None:
    killed = given | {"output": str(tmp_path / "out")}
    assert run(go_and_die_at_step, killed, 5) == SIGKILLED  # each run takes three
    assert results(killed["output"]) == results(given["output"])[:1]
    go(killed)
    assert results(killed["output"]) == results(given["output"])


def test_a_folder_of_other_options_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"its rung (plain|cosine) has epochs = 1, not 2"):
        go(given, epochs=2)


def test_the_report_has_what_earlier_commands_finished_and_trains_what_is_asked(copy: dict[str, Any]) -> None:
    second = go(copy | {"rungs": "cosine", "seeds": "0,5"})
    assert set(second.cells) == {("plain", 0), ("cosine", 0), ("cosine", 5)}
    assert second.earlier
    assert second.ladder.rung("cosine").below == "plain"


def test_a_missing_teacher_is_named_before_the_first_run(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Rung taught: The teacher resnet10d_bot knows 100 classes.*--teacher"):
        go(given | {"output": str(tmp_path / "out"), "rungs": "plain,taught"})
    assert not (tmp_path / "out").exists()


def test_a_diverged_run_is_recorded_and_the_ladder_goes_on(copy: dict[str, Any]) -> None:
    first, again = (go(copy | {"rungs": "wild,cosine"}) for _ in range(2))
    assert set(first.diverged) == {("wild", 0)}
    assert (again.diverged, again.cells) == (first.diverged, first.cells)


def test_other_images_than_those_of_the_finished_runs_are_refused(copy: dict[str, Any], tmp_path: Path) -> None:
    shutil.rmtree(Path(copy["output"], "cells", "cosine"))
    image = next(Path(copy["dataset"]).rglob("*.png"))
    try:
        moved = image.rename(tmp_path / "moved.png")
        with pytest.raises(DataError, match="have changed since the runs"):
            go(copy)
    finally:
        moved.rename(image)


def test_a_damaged_result_is_named(copy: dict[str, Any]) -> None:
    Path(copy["output"], "cells", "plain", "seed-0", "cell.json").write_text("{")
    with pytest.raises(ConfigError, match=r"plain/seed-0/cell\.json is damaged"):
        go(copy)


def test_a_second_ablation_in_the_same_folder_is_refused(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botzoo.training.recording.folder.PATIENCE", 0.1)
    with FileLock(tmp_path / ".lock"), pytest.raises(ConfigError, match="Another process is at work in"):
        go(given | {"output": str(tmp_path)})
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
