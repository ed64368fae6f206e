"""What chooses the epoch: refused where it cannot, obeyed where it can."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest

from botzoo.errors import BotzooError, ConfigError
from botzoo.options.config import TrainConfig
from botzoo.options.facts import options_of
from botzoo.tasks.answers import read_answers
from botzoo.tasks.classification import CLASSIFICATION
from botzoo.tasks.find import TASKS
from botzoo.tasks.multi_label import MULTI_LABEL
from botzoo.tasks.task import Task
from botzoo.training.steps.selection import check_selection
from data.streaming.made import write_tars
from running import train_briefly

MIXED, ALIKE = np.array([0, 1, 1]), np.zeros(3, int)
HOT = np.array([[0, 1], [0, 1]], np.uint8)


@pytest.mark.parametrize(
    ("name", "task", "labels", "classes", "said"),
    [
        (
            "micro-f1",
            CLASSIFICATION,
            MIXED,
            2,
            "is no metric for one label to an image: give one of balanced-accuracy, ",
        ),
        (
            "kappa",
            MULTI_LABEL,
            HOT,
            2,
            "is no metric for any number of labels to an image: give one of macro-f1, micro-f1",
        ),
        ("roc-auc", CLASSIFICATION, ALIKE, 2, "is not defined on the validation split, which shows one class only"),
        ("quadratic-kappa", CLASSIFICATION, ALIKE, 2, "choose by one of balanced-accuracy, macro-f1, kappa, log-loss"),
        ("roc-auc", MULTI_LABEL, HOT, 2, "is not defined on the validation split"),
        ("roc-auc", CLASSIFICATION, MIXED, 1 << 27, "take 768 MiB for 3 validation images: 256 MiB are the most"),
    ],
)
def test_what_cannot_choose_is_refused(name: str, task: Task, labels: Any, classes: int, said: str) -> None:
    with pytest.raises(BotzooError, match=f"--select-by {name} .*{said}"):
        check_selection(name, task, len(labels), labels, classes)


@pytest.mark.parametrize(
    ("name", "labels"), [(None, ALIKE), ("log-loss", ALIKE), ("roc-auc", MIXED), ("roc-auc", None)]
)
def test_what_can_choose_is_not(name: str | None, labels: Any) -> None:
    check_selection(name, CLASSIFICATION, 3, labels, 2)


@pytest.mark.slow
def test_shards_that_count_their_labels_are_chosen_by_a_metric_too(tmp_path: Path) -> None:
    run = train_briefly(
        write_tars(tmp_path / "shards", (16,), 6),
        tmp_path / "run",
        epochs=1,
        select_by="roc-auc",
        data={"streaming": True},
    )
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["roc_auc"] > 0 for line in lines if line["split"] == "validation"] == [True]


def test_every_name_of_the_option_is_a_metric_of_a_task() -> None:
    (names, _) = get_args(options_of(TrainConfig)["select_by"].kind)
    assert {*get_args(names)} == {metric.name for task in TASKS for metric in task.metrics}


def test_rejection_needs_one_label() -> None:
    several: Any = SimpleNamespace(name="photos")
    with pytest.raises(
        ConfigError, match=r"--reject 0\.9 needs one label for each image, and images of photos may have"
    ):
        MULTI_LABEL.check(TrainConfig(reject=0.9), several)


@pytest.mark.slow
def test_a_run_keeps_the_epoch_that_the_metric_chooses_and_the_groups_of_its_images(
    photos: Path, tmp_path: Path
) -> None:
    options = {"epochs": 3, "lr": 0.05, "ema": None, "mixup": 0.0, "cutmix": 0.0, "reject": 0.5}
    run = train_briefly(photos, tmp_path / "run", select_by="log-loss", data={"group": r"(\d)\.png"}, **options)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["log_loss"] for line in lines if line["split"] == "validation"]
    facts = json.loads((run / "run.json").read_text())
    assert facts["best_epoch"] == 1 + int(np.argmin(losses))
    names, answers = read_answers(run / "evaluation" / "validation.parquet")
    groups = {name.split(".")[0][-1]: number for name, number in zip(names, answers["group"].tolist(), strict=True)}
    assert sorted(groups.values()) == list(range(len(groups)))
    card = (run / "model" / "README.md").read_text()
    assert f"bootstrap resamples of the {len(groups)} groups of images" in card
    assert "### None of these" in card
