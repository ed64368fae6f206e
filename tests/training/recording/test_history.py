"""metrics.jsonl: written line by line, rewound on resuming, drawn at the end."""

import json
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


def test_rewind_drops_what_came_after_the_step(tmp_path: Path) -> None:
    written(tmp_path, train(10), validation(10, 1), train(20))
    history = History(tmp_path / "metrics.jsonl")
    history.rewind(10)
    assert history.records == lines(history) == [train(10), validation(10, 1)]


@pytest.mark.parametrize("half", ['{"step": 20, "spl', "{", "\x00\x00\x00", ""])
def test_rewind_drops_a_half_written_last_line(tmp_path: Path, half: str) -> None:
    history = written(tmp_path, train(10))
    with history.path.open("a") as file:
        file.write(half)
    history.rewind(100)
    history.add(train(20))
    assert lines(history) == [train(10), train(20)]


def test_a_complete_last_line_without_its_newline_is_kept(tmp_path: Path) -> None:
    history = written(tmp_path, train(10))
    history.path.write_text(history.path.read_text().rstrip("\n"))
    history.rewind(100)
    history.add(train(20))
    assert lines(history) == [train(10), train(20)]


def test_rewind_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    written(tmp_path, train(10)).rewind(0)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_rewind_without_a_file_is_an_empty_history(tmp_path: Path) -> None:
    history = History(tmp_path / "metrics.jsonl")
    history.rewind(10)
    assert history.records == []
    assert not history.path.exists()


def test_other_processes_keep_records_and_write_none(tmp_path: Path) -> None:
    history = History(tmp_path / "metrics.jsonl", enabled=False)
    history.add(train(10))
    assert history.records == [train(10)]
    assert not history.path.exists()


def test_other_processes_read_the_file_and_leave_it(tmp_path: Path) -> None:
    main = written(tmp_path, train(10), train(20))
    other = History(main.path, enabled=False)
    other.rewind(10)
    assert other.records == [train(10)]
    assert lines(main) == [train(10), train(20)]


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
