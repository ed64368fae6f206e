"""What a network answered, on the disk and back."""

from pathlib import Path

import numpy as np
import pytest
import torch

from botzoo.errors import CheckpointError
from botzoo.tasks.answers import lists, read_answers, write_answers
from botzoo.tasks.classification import CLASSIFICATION
from botzoo.tasks.find import task_named
from botzoo.tasks.multi_label import MULTI_LABEL
from botzoo.tasks.task import Answers, Task

TASKS: tuple[Task, ...] = (CLASSIFICATION, MULTI_LABEL)
"""Those whose answers are of an image as a whole."""
LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = {"classification": torch.arange(6) % 4, "multi_label": (LOGITS > 0.3).to(torch.uint8)}


def the_answers(task: Task) -> Answers:
    return task.answers(LOGITS, LABELS[task.name])


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_answers_come_back_to_the_bit(task: Task, tmp_path: Path) -> None:
    before = the_answers(task)
    write_answers(tmp_path / "evaluation" / "test.parquet", list("abcdef"), before)
    names, after = read_answers(tmp_path / "evaluation" / "test.parquet")
    assert names == list("abcdef")
    assert {k: (v.dtype, v.shape, v.tobytes()) for k, v in after.items()} == {
        k: (v.dtype, v.shape, v.tobytes()) for k, v in before.items()
    }
    assert [path.name for path in (tmp_path / "evaluation").iterdir()] == ["test.parquet"]


@pytest.mark.parametrize("shape", [(2,), (3, 1), (2, 0), (1, 3, 4), (2, 0, 8), (4, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("kind", [np.float32, np.int64, np.uint8, bool], ids=lambda kind: kind.__name__)
def test_arrays_of_any_rank_come_back_to_the_bit(shape: tuple[int, ...], kind: type, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2, shape).astype(kind)
    write_answers(tmp_path / "a.parquet", [str(i) for i in range(shape[0])], {"values": values})
    after = read_answers(tmp_path / "a.parquet")[1]["values"]
    assert (after.dtype, after.shape, after.tobytes()) == (values.dtype, values.shape, values.tobytes())


@pytest.mark.parametrize("lengths", [(2, 0, 3), (0, 0), (1,)], ids=str)
def test_lists_of_any_length_come_back_to_the_bit(lengths: tuple[int, ...], tmp_path: Path) -> None:
    before = lists([np.random.default_rng(n).random((n, 6), np.float32) for n in lengths])
    write_answers(tmp_path / "a.parquet", [*map(str, lengths)], {"values": before})
    after = read_answers(tmp_path / "a.parquet")[1]["values"]
    assert [(rows.dtype, rows.shape, rows.tobytes()) for rows in after] == [
        (rows.dtype, rows.shape, rows.tobytes()) for rows in before
    ]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_an_evaluation_keeps_the_answers_that_it_was_made_of(task: Task) -> None:
    before = the_answers(task)
    kept = task.evaluation(before).answers
    assert kept.keys() == before.keys()
    assert all(kept[name] is before[name] for name in before)


def test_optional_answers_may_be_left_out() -> None:
    few = CLASSIFICATION.answers(LOGITS, LABELS["classification"], everything=False)
    assert "log_p" not in few
    assert CLASSIFICATION.evaluation(few).log_p is None


def test_names_are_text_whatever_they_hold(tmp_path: Path) -> None:
    names = ["../../etc/passwd", "<b>", "line\nbreak", "猫", "", "broken\udcff.png"]
    write_answers(tmp_path / "a.parquet", names, the_answers(CLASSIFICATION))
    assert read_answers(tmp_path / "a.parquet")[0] == [*names[:5], "broken\\udcff.png"]


def test_half_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "evaluation" / "test.parquet"
    write_answers(path, list("abcdef"), the_answers(CLASSIFICATION))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"test\.parquet cannot be read"):
        read_answers(path)


def test_a_task_that_there_is_not_is_called_so() -> None:
    with pytest.raises(CheckpointError, match="no task 'counting'"):
        task_named("counting")


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_named_classes_are_the_likeliest_first(task: Task) -> None:
    shares = task.probabilities(LOGITS)
    for row, named in zip(shares, task.named(shares, 2), strict=True):
        assert [k for k, _ in named] == row.argsort(descending=True)[:2].tolist()
        np.testing.assert_allclose([share for _, share in named], row.sort(descending=True).values[:2])


def test_without_a_number_the_task_chooses_how_many_are_named() -> None:
    one, several = (task.named(task.probabilities(LOGITS)) for task in TASKS)
    assert [len(named) for named in one] == [4] * 6
    assert [len(named) for named in several] == (LOGITS > 0).sum(1).tolist()


def test_other_code_is_asked_about_the_image_that_is_least_in_doubt() -> None:
    sure = torch.tensor([[0.1, 0.0], [0.0, 0.1], [9.0, 0.0]])  # in half precision, the first two may turn over
    evaluation = CLASSIFICATION.evaluation(CLASSIFICATION.answers(sure, torch.tensor([0, 0, 0])))
    assert evaluation.telling() == 2
    assert evaluation.confirmed(["a", "b"], ["a: 99.9%"]) == (True, "a")
