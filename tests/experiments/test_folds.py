"""Cross-validation: what the folds are, what their report says, and what is refused."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import timm
from sklearn.model_selection import StratifiedKFold

from botzoo.data.splits import in_fold, joined
from botzoo.errors import ConfigError, DataError
from botzoo.experiments.estimate import spread
from botzoo.experiments.out_of_fold import write_out_of_fold
from botzoo.experiments.repeats import how_chosen
from botzoo.hub.verify import verify
from botzoo.options.accepted import fold_of
from botzoo.options.config import DataConfig
from botzoo.sources.base import ImageData, Split
from botzoo.util.guard import guarded
from botzoo_finetune import cli
from botzoo_finetune.config import FinetuneConfig
from running import quick_command

pytestmark = pytest.mark.slow


def data_of(labels: list[int], **splits: Split) -> ImageData[Split]:
    train = Split("train", np.array(labels), lambda i: Path(f"{i}.png"), lambda i: f"image {i}")
    return ImageData("mine", tuple("abc"), train, **splits)


@pytest.fixture(scope="module")
def folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds") / "out"
    assert quick_command("--dataset", str(photos), "--folds", "3", "--output", str(folder)) == 0
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "folds.json").read_text())
    return found


def test_folds_are_those_of_scikit_learn_and_each_image_is_in_one() -> None:
    labels = [0] * 30 + [1] * 13 + [2] * 7
    cuts = [in_fold(data_of(labels), k, 4, seed=3) for k in range(1, 5)]
    expected = StratifiedKFold(4, shuffle=True, random_state=3).split(np.zeros(50), labels)
    tests = [cut.test.rows.tolist() for cut in cuts if cut.test is not None and cut.test.rows is not None]
    assert tests == [test.tolist() for _, test in expected]
    assert sorted(i for test in tests for i in test) == list(range(50))
    counts = np.array([np.bincount(np.array(labels)[test]) for test in tests])
    assert (np.ptp(counts, axis=0) <= 1).all()


def test_training_and_validation_images_are_cut_together_and_the_test_split_is_not() -> None:
    other = data_of([2, 2]).train
    whole = joined(data_of([0, 1, 2], validation=other, test=other))
    assert (whole.train.labels.tolist(), whole.validation, whole.test) == ([0, 1, 2, 2, 2], None, None)
    assert [whole.train.read(i) for i in (2, 3, 4)] == [Path("2.png"), Path("0.png"), Path("1.png")]


@pytest.mark.parametrize(
    ("counts", "folds", "said"),
    [
        ((9, 4, 8), 5, "5 folds are too many: class 'b' of mine has 4 image.*give 4 or fewer"),
        ((9, 1, 8), 2, "2 folds are too many: class 'b' .* has 1 image.*add images, or remove"),
        ((9, 9, 3), 2, "leave one training image of class 'c' of mine, which has 3.*give 3 folds"),
        ((9, 9, 2), 2, "leave one training image of class 'c' of mine, which has 2.*add images"),
    ],
)
def test_too_many_folds_for_the_smallest_class_are_refused(counts: tuple[int, ...], folds: int, said: str) -> None:
    with pytest.raises(DataError, match=said):
        in_fold(data_of(np.repeat([0, 1, 2], counts).tolist()), 1, folds, seed=0)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/1", "two", "1", "-1/3"])
def test_a_fold_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--data\.fold is .* the K-th of N folds"):
        FinetuneConfig(data=DataConfig(fold=text))
    assert fold_of("2/5") == (2, 5)


def test_each_image_is_evaluated_once(folder: Path, report: dict[str, Any]) -> None:
    assert report["complete"]
    assert (report["top1"]["images"], sum(row["images"] for row in report["runs"])) == (60, 60)
    assert report["top1"]["correct"] == sum(row["correct"] for row in report["runs"])
    rows = [json.loads((folder / f"fold-{k}" / "run.json").read_text())["images"] for k in (1, 2, 3)]
    assert all(sum(images.values()) == 60 for images in rows)  # the others are trained on, or choose the epoch


def test_the_answers_of_all_folds_are_in_one_table(folder: Path, report: dict[str, Any]) -> None:
    rows, wrong = (pandas.read_csv(folder / f"{name}.csv") for name in ("predictions", "errors"))
    assert [*rows.columns[:7]] == ["file", "label", "answer", "probability", "loss", "correct", "fold"]
    assert (len(rows), rows["file"].nunique(), rows["correct"].sum()) == (60, 60, report["top1"]["correct"])
    assert rows.groupby("fold").size().to_dict() == {1: 20, 2: 20, 3: 20}
    second = pandas.read_csv(folder / "fold-2" / "predictions.csv")
    assert rows[rows["fold"] == 2].drop(columns="fold").reset_index(drop=True).equals(second)
    assert sorted(wrong["file"]) == sorted(rows[~rows["correct"]]["file"])
    assert wrong["loss"].is_monotonic_decreasing


def test_a_fold_that_was_changed_since_costs_the_table_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "fold-1").mkdir()
    write_out_of_fold(tmp_path, ["fold-1"])
    assert "predictions.csv of all folds is not written" in caplog.text
    assert not (tmp_path / "predictions.csv").exists()


def test_the_interval_over_all_images_is_wilsons(report: dict[str, Any]) -> None:
    top1 = report["top1"]
    share, n, z = top1["correct"] / top1["images"], top1["images"], 1.959964
    middle, half = share + z * z / 2 / n, z * math.sqrt(share * (1 - share) / n + z * z / 4 / n / n)
    assert top1["interval_95"] == pytest.approx(
        [100 * (middle + s * half) / (1 + z * z / n) for s in (-1, 1)], abs=1e-3
    )


def test_the_spread_over_folds_is_that_of_their_accuracies(report: dict[str, Any]) -> None:
    assert report["over_folds"] == spread([row["top1"] for row in report["runs"]])


def test_the_run_of_a_fold_is_an_ordinary_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timm.create_model(f"local-dir:{folder / 'fold-2' / 'model'}", pretrained=True)
    card = (folder / "fold-2" / "model" / "README.md").read_text()
    assert "looked at once, at the end; they did not choose the epoch" in card
    assert "Fold 2 of 3: its 20 of 60 images are the test split" in card
    assert guarded(cli.PROG, cli._main, ["--resume", str(folder / "fold-2")]) == 0
    assert "is complete" in capsys.readouterr().out


def test_finished_folds_are_not_trained_again(folder: Path, photos: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    assert quick_command("--dataset", str(photos), "--folds", "3", "--output", str(folder)) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == before


def test_verify_finds_the_images_that_a_run_was_evaluated_on(folder: Path, photos: Path) -> None:
    checks = verify(str(folder / "fold-2"), str(photos))
    assert next(check for check in checks if check.name == "images").outcome == "agrees"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--folds 4", "holds results of another command: its folds have folds = 3, not 4. Give another folder"),
        ("--folds 3 --lr 0.1", "its folds have lr = 0.2, not 0.1"),
        ("--seeds 2", "holds results of another command, folds: give another folder"),
    ],
)
def test_a_folder_of_other_runs_is_refused(
    folder: Path, photos: Path, given: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick_command("--dataset", str(photos), *given.split(), "--output", str(folder)) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--folds 1", "--folds is '1': it must be a whole number of 2 or more, up to 10,000."),
        ("--folds all", "--folds is 'all': it must be a whole number of 2 or more, up to 10,000."),
        (
            "--folds 21",
            "21 folds are too many: class 'class0' of PHOTOS has 20 images: give 20 or fewer, or add images.",
        ),
        ("--folds 3 --data.streaming", "--folds looks at all images at once: leave --data.streaming out."),
        ("--folds 3 --data.fold 1/3", "--data.fold is '1/3': it must be left out beside --folds."),
        ("--folds 3 --push-to me/pets", "--push-to is 'me/pets': it must be left out: publish the run that you like"),
    ],
)
def test_what_cannot_be_cross_validated_is_one_line(
    given: str, said: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick_command("--dataset", str(photos), *given.split(), "--output", str(tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert said.replace("PHOTOS", str(photos)) in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_seed_of_the_split_may_be_another_than_that_of_the_run() -> None:
    config = FinetuneConfig(seed=3)
    assert (config.split_seed, replace(config, data=DataConfig(split_seed=1)).split_seed) == (3, 1)


@pytest.mark.parametrize(
    ("data", "share"),
    [
        (DataConfig(), "20% of each class in"),
        (DataConfig(group="1"), "20% by whole groups in"),
        (DataConfig(crops=True), "20% by whole groups in"),
    ],
)
def test_the_last_line_says_how_the_epoch_was_chosen(data: DataConfig, share: str) -> None:
    assert share in how_chosen(replace(FinetuneConfig(), data=data), 3)
