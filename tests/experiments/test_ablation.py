"""Ablations: what each rung is trained with, what is refused, and going on after a kill."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from botzoo.errors import ConfigError, DataError
from botzoo.experiments.ablation import Ablation, ablate, rung_options
from botzoo.options.command_line import made
from botzoo.options.config import AblateConfig, seed_list
from botzoo.recipes.ladders import Ladder, Rung, load_ladder, select
from running import SIGKILLED, run, run_distributed

LADDER = """
rungs:
- {name: plain, options: {scratch: true, cosine: false}}
- {name: cosine, options: {scratch: true, cosine: true}}
"""


def options(folder: Path, photos: Path) -> dict[str, Any]:
    (folder / "mine.yaml").write_text(LADDER)
    quick = {"model": "test_resnet", "img_size": 32, "batch_size": 16, "checkpoint_every": 1, "mixed_precision": "fp32"}
    return quick | {"ladder": str(folder / "mine.yaml"), "dataset": str(photos), "output": str(folder / "out")}


def go(given: dict[str, Any], epochs: int = 1, seeds: str = "1", report: Any = lambda so_far: None) -> Ablation:
    return ablate(made(given | {"epochs": epochs, "seeds": seeds}, AblateConfig), given, "botzoo ablate", report)


def go_and_die_at_step(given: dict[str, Any], step: int) -> None:
    """Run the ladder in this process and kill it after optimizer step ``step``, counted over all runs."""
    import os
    import signal

    from botzoo.training.trainer import Trainer

    take, taken = Trainer.step, []

    def counted(self: Trainer, k: int, batches: Any) -> Any:
        loss = take(self, k, batches)
        taken.append(k)
        if len(taken) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    Trainer.step = counted  # type: ignore[method-assign]
    go(given)


def results(folder: Path) -> list[tuple[str, float, float]]:
    """Return name, accuracy and loss of every run."""
    cells = [json.loads(path.read_text()) for path in sorted(folder.glob("cells/*/*/cell.json"))]
    return [(cell["rung"], cell["top1"], cell["loss"]) for cell in cells]


def test_the_epochs_hold_for_every_rung_and_the_warmup_keeps_its_share() -> None:
    every = rung_options(load_ladder("table4"), {}, 12, None)
    assert {(o["epochs"], o["warmup"]) for o in every.values()} == {(12, 0), (12, 0.5)}


def test_options_given_hold_for_every_rung() -> None:
    every = rung_options(
        load_ladder("table6"), {"model": "resnet10d_bot", "optim": {"momentum": 0.8}}, 4, "local-dir:t"
    )
    assert {(o["model"], o["optim"]["momentum"]) for o in every.values()} == {("resnet10d_bot", 0.8)}


def test_the_teacher_goes_to_the_rungs_that_have_one() -> None:
    every = rung_options(load_ladder("table6"), {}, 4, "local-dir:teacher")
    taught = {name for name, o in every.items() if o.get("distillation") == "local-dir:teacher"}
    assert taught == {"distill", "distill-mixup"}


@pytest.mark.parametrize(
    ("ladder", "given", "message"),
    [
        ("table5", {"model": "resnet18d_bot"}, "--model is what the ladder table5 varies"),
        ("table6", {"label_smoothing": 0.2}, "--label-smoothing is what the ladder table6 varies"),
        ("table6", {"distillation": "x"}, "Give --teacher instead"),
    ],
)
def test_what_a_ladder_varies_cannot_be_given(ladder: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rung_options(load_ladder(ladder), given, 4, None)


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


def test_finished_runs_are_not_trained_again(tmp_path: Path, photos: Path) -> None:
    given = options(tmp_path, photos)
    first = go(given)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.safetensors")}
    again = go(given)
    assert again.cells == first.cells
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.safetensors")} == before


def test_a_killed_ablation_ends_as_one_that_was_not(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole, killed = (options(tmp_path / name, photos) for name in ("whole", "killed"))
    assert run(go_and_die_at_step, killed, 5) == SIGKILLED
    assert run(go, killed) == run(go, whole) == 0
    expected, found = (results(tmp_path / name / "out") for name in ("whole", "killed"))
    assert found == expected


def test_the_report_follows_every_run(tmp_path: Path, photos: Path) -> None:
    seen: list[int] = []
    go(options(tmp_path, photos), report=lambda so_far: seen.append(len(so_far.cells)))
    assert seen == [1, 2]


def test_a_folder_of_other_options_is_refused(tmp_path: Path, photos: Path) -> None:
    given = options(tmp_path, photos)
    go(given | {"rungs": "plain"})
    with pytest.raises(ConfigError, match=r"results of another ladder: its rung plain has epochs = 1, not 2"):
        go(given | {"rungs": "plain"}, epochs=2)


def test_a_folder_of_something_else_is_left_as_it_is(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="holds something else"):
        go(options(tmp_path, photos))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_results_of_a_ladder_with_other_rungs_are_refused(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ladder.json").write_text(json.dumps({"ladder": "other", "rungs": {}}))
    with pytest.raises(ConfigError, match=r"results of another ladder, other"):
        go(options(tmp_path, photos))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"ladder": "x", "rungs": 3}', '{"ladder": "x", "rungs": {"a": 1}}'])
def test_a_damaged_record_of_the_ladder_is_named(tmp_path: Path, photos: Path, text: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ladder.json").write_text(text)
    with pytest.raises(ConfigError, match=r"ladder\.json is damaged"):
        go(options(tmp_path, photos))


def test_options_of_a_rung_without_a_run_may_still_change(tmp_path: Path, photos: Path) -> None:
    given = options(tmp_path, photos)
    go(given | {"rungs": "plain"})
    before = (tmp_path / "mine.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(before.replace("cosine: true", "cosine: true, label_smoothing: 0.1"))
    assert len(go(given | {"rungs": "plain"}).cells) == 1
    assert len(go(given).cells) == 2


def test_the_report_has_what_earlier_commands_finished_and_trains_what_is_asked(tmp_path: Path, photos: Path) -> None:
    given = options(tmp_path, photos)
    go(given | {"rungs": "plain"}, seeds="2")
    second = go(given | {"rungs": "cosine"}, seeds="1")
    assert set(second.cells) == {("plain", 0), ("plain", 1), ("cosine", 0)}
    assert second.earlier
    assert second.ladder.rung("cosine").below == "plain"


def test_two_processes_train_the_whole_ladder(tmp_path: Path, photos: Path) -> None:
    given = options(tmp_path, photos)
    assert run_distributed(2, go, given) == [0, 0]
    assert len(list((tmp_path / "out" / "cells").glob("*/*/cell.json"))) == 2


def test_the_warmup_keeps_its_share_when_the_lowest_rung_is_left_out() -> None:
    ladder = select(load_ladder("table6"), ["mixup"])  # whose recipe has 200 epochs, the lowest one's 120
    assert rung_options(ladder, {}, 12, None)["mixup"]["warmup"] == pytest.approx(0.5)


def test_a_teacher_without_a_rung_that_learns_from_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="--teacher x: no rung learns from a teacher"):
        rung_options(load_ladder("table4"), {}, 4, "x")


def test_decay_on_a_plateau_is_refused() -> None:
    with pytest.raises(ConfigError, match="plateau looks at the very images"):
        rung_options(load_ladder("table4"), {"cosine": False, "optim": {"decay": "plateau"}}, 4, None)


def test_a_missing_teacher_is_named_before_the_first_run(tmp_path: Path, photos: Path) -> None:
    given = options(tmp_path, photos)
    taught = "- {name: taught, options: {scratch: true, distillation: resnet10d_bot}}\n"  # of 100 other classes
    (tmp_path / "mine.yaml").write_text(LADDER + taught)
    with pytest.raises(ConfigError, match="Rung taught: The teacher resnet10d_bot knows 100 classes"):
        go(given)
    assert not (tmp_path / "out").exists()


def test_a_diverged_run_is_recorded_and_the_ladder_goes_on(tmp_path: Path, photos: Path) -> None:
    given = options(tmp_path, photos)
    (tmp_path / "mine.yaml").write_text(LADDER.replace("cosine: false", "cosine: false, linear_scaling: false, lr: 99"))
    first = go(given | {"optim": {"weight_decay": 1e3}}, epochs=2)
    again = go(given | {"optim": {"weight_decay": 1e3}}, epochs=2)
    assert set(first.diverged) == {("plain", 0)}
    assert (again.diverged, set(again.cells)) == (first.diverged, {("cosine", 0)})


def test_other_images_than_those_of_the_finished_runs_are_refused(tmp_path: Path, photos: Path) -> None:
    given, data = options(tmp_path, photos), tmp_path / "data"
    shutil.copytree(photos, data)
    go(given | {"dataset": str(data), "rungs": "plain"})
    next(data.rglob("*.png")).unlink()
    with pytest.raises(DataError, match="have changed since the runs"):
        go(given | {"dataset": str(data)})


def test_a_damaged_result_is_named(tmp_path: Path, photos: Path) -> None:
    given = options(tmp_path, photos)
    go(given | {"rungs": "plain"})
    next((tmp_path / "out").rglob("cell.json")).write_text("{")
    with pytest.raises(ConfigError, match=r"The result of a run in .*plain/seed-0 is damaged"):
        go(given)


def test_a_second_ablation_in_the_same_folder_is_refused(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botzoo.training.folder.PATIENCE", 0.1)
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(ConfigError, match="Another process is at work in"):
        go(options(tmp_path, photos))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


def test_text_of_a_ladder_becomes_what_its_option_holds() -> None:
    ladder = Ladder("mine", "", (Rung("a", {"lr": "1e-3", "cosine": "false", "warmup": "1"}),))
    found = rung_options(ladder, {}, 4, None)["a"]
    assert (found["lr"], found["cosine"], found["warmup"]) == (0.001, False, 1.0)
