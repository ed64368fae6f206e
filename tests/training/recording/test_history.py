"""metrics.jsonl: written line by line, taken up by a run that goes on, drawn at the end."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from botzoo.training.recording.history import History, lr_figure
from botzoo.training.steps.schedule import Schedule
from botzoo.util.pictures import drawn


def train(step: int) -> dict[str, Any]:
    return {"step": step, "split": "train", "loss": 2.0 / step, "lr": 0.1, "images_per_second": 9.0}


def validation(step: int, epoch: int, top1: float = 50.0) -> dict[str, Any]:
    return {"step": step, "epoch": epoch, "split": "validation", "loss": 1.0, "top1": top1, "top5": 90.0}


def written(folder: Path, *records: dict[str, Any]) -> History:
    history = History(folder / "metrics.jsonl")
    for record in records:
        history.add(record)
    return history


def lines(history: History) -> list[Any]:
    return [json.loads(line) for line in history.path.read_text().splitlines()]


def test_each_record_is_a_line_at_once(tmp_path: Path) -> None:
    history = written(tmp_path, train(10))
    assert lines(history) == [train(10)]
    history.add(train(20))
    assert lines(history) == [train(10), train(20)]


def test_a_run_goes_on_from_the_lines_of_its_checkpoint(tmp_path: Path) -> None:
    written(tmp_path, train(10), validation(10, 1))
    copy = tmp_path / "copy"
    shutil.copyfile(tmp_path / "metrics.jsonl", copy)
    history = written(tmp_path, train(20))
    history.path.write_bytes(b"\xff" + history.path.read_bytes())
    history.take_up(copy)
    assert history.records == lines(history) == [train(10), validation(10, 1)]


def test_without_a_checkpoint_the_history_is_empty(tmp_path: Path) -> None:
    history = written(tmp_path, train(10))
    history.take_up(tmp_path / "none")
    assert history.records == lines(history) == []


def test_other_processes_keep_records_and_write_none(tmp_path: Path) -> None:
    history = History(tmp_path / "metrics.jsonl", enabled=False)
    history.add(train(10))
    assert history.records == [train(10)]
    assert not history.path.exists()


def test_other_processes_read_the_copy_and_write_none(tmp_path: Path) -> None:
    copy = written(tmp_path, train(10)).path
    other = History(tmp_path / "other.jsonl", enabled=False)
    other.take_up(copy)
    assert other.records == [train(10)]
    assert not other.path.exists()


def test_of_picks_a_split(tmp_path: Path) -> None:
    history = written(tmp_path, train(10), validation(10, 1), train(20))
    assert history.of("validation") == [validation(10, 1)]


@pytest.mark.parametrize("total", [1, 2, 300_000])
def test_the_picture_of_the_learning_rate_can_be_saved(tmp_path: Path, total: int) -> None:
    schedule = Schedule(0.4, total, total // 10, cosine=False, falls=(total // 2,), factor=0.1)
    assert drawn(tmp_path / "lr.png", lambda: lr_figure(schedule, max(1, total // 3), "resnet10d_bot on digits"))


def test_the_picture_shows_the_rate_on_both_sides_of_a_fall() -> None:
    schedule = Schedule(0.4, 300_000, 1000, cosine=False, falls=(150_001,), factor=0.5)
    rates = lr_figure(schedule, 100_000, "").axes[0].get_lines()[0].get_ydata()
    assert set(rates[10:]) == {0.4, 0.2}
    assert len(rates) < 3000
