"""predictions.csv and errors.csv of runs that never took place, and of one that did."""

import csv
import logging
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.metrics import accuracy_score

from botzoo.errors import CheckpointError, DataError
from botzoo.report.view import FinishedRun
from botzoo.results.predictions import Predictions, predictions, write_predictions
from botzoo.results.record import RunRecord
from botzoo.tasks.answers import write_answers
from botzoo.tasks.classification import CLASSIFICATION, Evaluation
from botzoo.tasks.multi_label import MULTI_LABEL, MultiLabelEvaluation
from recorded import NAMES, a_record

FIRST = ["file", "label", "answer", "probability", "loss", "correct"]


def seen(images: int = 40, classes: int = 6, seed: int = 0) -> Evaluation:
    """Return what random logits answer, with the probabilities of all classes."""
    rng = np.random.default_rng(seed)
    log_p, labels = log_softmax(rng.normal(0, 2, (images, classes)), 1), rng.integers(0, classes, images)
    loss, sure = -log_p[np.arange(images), labels].astype(np.float32), np.exp(log_p.max(1)).astype(np.float32)
    return Evaluation(labels, log_p.argmax(1), np.ones(images, bool), loss, sure, log_p.astype(np.float16))


def several(images: int = 40, classes: int = 6) -> MultiLabelEvaluation:
    rng = np.random.default_rng(1)
    labels, logits = rng.integers(0, 2, (images, classes), np.uint8), rng.normal(0, 2, (images, classes))
    logits[0] = -1  # no label
    logits[1:5] = np.where(labels[1:5] > 0, 3, -3)  # all right
    return MultiLabelEvaluation(labels, logits.astype(np.float32), rng.random(images).astype(np.float32))


def written(folder: Path, evaluation: Any = None, file: str = "predictions.csv", **given: Any) -> list[dict[str, str]]:
    """Return the rows of a file that is written of a record."""
    write_predictions(a_record(folder, seen=evaluation or seen(), **given))
    with (folder / file).open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_a_row_is_an_image_in_the_order_of_the_split(tmp_path: Path) -> None:
    rows, known = written(tmp_path), seen()
    assert [*rows[0]][:6] == FIRST
    assert [row["file"] for row in rows] == [f"{i}.png" for i in range(40)]
    assert [row["label"] for row in rows] == [NAMES[k] for k in known.labels]
    assert [row["answer"] for row in rows] == [NAMES[k] for k in known.predicted]
    assert [float(row["loss"]) for row in rows] == pytest.approx(known.nll.tolist(), abs=1e-6)
    assert accuracy_score(known.labels, known.predicted) == np.mean([row["correct"] == "True" for row in rows])


def test_each_class_has_a_column_of_probabilities(tmp_path: Path) -> None:
    rows, logits = written(tmp_path), np.random.default_rng(0).normal(0, 2, (40, 6))
    found = np.array([[float(row[f"p_{name}"]) for name in NAMES] for row in rows])
    assert found == pytest.approx(softmax(logits, 1), abs=5e-4)  # they are kept in half precision
    assert [float(row["probability"]) for row in rows] == found.max(1).tolist()


def test_the_answer_is_the_likeliest_class_also_where_half_precision_has_two_alike() -> None:
    log_p = np.log(np.array([[0.49999, 0.50001]]))
    labels = np.array([1])
    known = Evaluation(labels, labels, labels > 0, np.ones(1, "f4"), np.float32([0.50001]), log_p.astype(np.float16))
    found = CLASSIFICATION.per_image(known.answers, "ab").probabilities
    assert found is not None
    assert found.argmax() == 1


def test_of_many_classes_the_likeliest_are_named() -> None:
    names = [f"class {k}" for k in range(101)]
    known = seen(5, 101)
    table = Predictions(CLASSIFICATION, names, list("abcde"), known.answers).table()
    assert [*table][6:] == [f"{part}{k}" for k in range(1, 6) for part in ("top", "p_top")]
    assert known.log_p is not None
    for rank in range(5):
        best = np.argsort(-known.log_p.astype(float), 1, kind="stable")[:, rank]
        assert table[f"p_top{rank + 1}"] == pytest.approx(
            np.exp(np.sort(known.log_p.astype(float))[:, -1 - rank]), rel=1e-3
        )
        assert rank or table["top1"] == table["answer"] == [names[k] for k in best]


@pytest.mark.parametrize(("form", "columns"), [("wide", "p_ant"), ("top", "top1")])
def test_the_option_chooses_the_form(tmp_path: Path, form: str, columns: str) -> None:
    assert [*written(tmp_path, options={"predictions": form})[0]][6] == columns


def test_probabilities_that_were_not_kept_have_no_columns(tmp_path: Path) -> None:
    assert [*written(tmp_path, replace(seen(), log_p=None))[0]] == FIRST


def test_errors_are_the_wrong_answers_with_the_largest_loss_first(tmp_path: Path) -> None:
    rows, known = written(tmp_path, file="errors.csv"), seen()
    wrong = np.flatnonzero(known.labels != known.predicted)
    assert [row["file"] for row in rows] == [f"{i}.png" for i in wrong[np.argsort(-known.nll[wrong])]]
    assert [*rows[0]][:5] == FIRST[:5]


def test_of_several_labels_all_are_said_and_have_to_be_right(tmp_path: Path) -> None:
    rows, known = written(tmp_path, several(), task="multi_label"), several()
    said = [known.said(i, NAMES) for i in range(40)]
    assert [(row["label"], row["answer"]) for row in rows] == [each[:2] for each in said]
    assert [float(row["probability"] or "nan") for row in rows] == pytest.approx(
        [s[2] for s in said], abs=1e-6, nan_ok=True
    )
    assert np.mean([row["correct"] == "True" for row in rows]) == accuracy_score(known.labels, known.given) > 0
    assert [[float(row[f"p_{name}"]) for name in NAMES] for row in rows] == pytest.approx(expit(known.logits), abs=1e-6)


@pytest.mark.parametrize(("task", "known"), [(CLASSIFICATION, seen()), (MULTI_LABEL, several())])
def test_without_labels_nothing_is_right_or_wrong(tmp_path: Path, task: Any, known: Any) -> None:
    answers = {name: each for name, each in known.answers.items() if name not in task.of_labels}
    write_answers(tmp_path / "evaluation" / "new.parquet", [*map(str, range(40))], answers)
    rows = written(tmp_path, known, "predictions-new.csv", task=task.name, predicted=["new"])
    assert {(row["label"], row["loss"], row["correct"]) for row in rows} == {("", "", "")}
    assert not (tmp_path / "errors-new.csv").exists()
    with pytest.raises(DataError, match="Nobody knows"):
        Predictions(task, NAMES, list(map(str, range(40))), answers).wrong()


NASTY = ["=1+1", "@x", " -2", "a\nb", "\x1b[31m", 'quo"te', "a,b", "\u202ered", "<b>", "\udcff", "cat"]


def test_names_may_hold_anything(tmp_path: Path) -> None:
    write_predictions(replace(a_record(tmp_path, tuple(NASTY), seen(11, 11)), image_names=NASTY))
    text = (tmp_path / "predictions.csv").read_text()
    rows = list(csv.reader(text.splitlines()))
    assert [len(row) for row in rows] == [6 + 11] * 12
    assert not [cell for row in rows for cell in row if cell.lstrip().startswith(tuple("=+-@"))]
    assert text.replace("\n", "").isprintable()


def test_what_is_no_number_is_an_empty_cell_and_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = seen()
    known.nll[3] = known.confidence[3] = np.nan
    with caplog.at_level(logging.WARNING):
        rows = written(tmp_path, known)
    assert [record.getMessage() for record in caplog.records] == [
        "answers for validation that are no finite numbers: 1; their cells are empty"
    ]
    assert (rows[3]["loss"], rows[3]["probability"]) == ("", "")


def test_a_loss_of_minus_nought_is_a_number(tmp_path: Path) -> None:
    known = seen()
    known.nll[:] = -0.0
    assert {row["loss"] for row in written(tmp_path, known)} == {"0.0"}


@pytest.fixture(scope="module")
def run(finished_run: Path) -> FinishedRun:
    return FinishedRun.load(finished_run)


def test_python_has_what_the_file_has(run: FinishedRun) -> None:
    read = pandas.read_csv(run.folder / "predictions.csv")
    table = pandas.DataFrame(run.predictions().table())
    pandas.testing.assert_frame_equal(read, table, atol=1e-6, rtol=0, check_dtype=False)
    assert [*read.columns] == [*FIRST, "p_class0", "p_class1", "p_class2"]
    rows = pandas.DataFrame(run.predictions())
    pandas.testing.assert_frame_equal(rows, table[FIRST])
    assert 100 * read["correct"].mean() == pytest.approx(run.metrics["top1"])


def test_the_files_are_made_again_to_the_byte(finished_run: Path, tmp_path: Path) -> None:
    write_predictions(replace(RunRecord.load(finished_run), folder=tmp_path))
    for name in ("predictions.csv", "errors.csv"):
        assert (tmp_path / name).read_bytes() == (finished_run / name).read_bytes()


def test_a_split_without_answers_is_refused_with_those_there_are(run: FinishedRun) -> None:
    with pytest.raises(DataError, match=r"no answers for 'vaild': give one of validation, or train with --predict\."):
        run.predictions("vaild")


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", ".x", "", "x" * 60, 7])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="as predicted, which no run does"):
        write_predictions(a_record(tmp_path, predicted=[name]))


@pytest.mark.slow
def test_rows_are_written_as_they_are_made(tmp_path: Path) -> None:
    record = a_record(tmp_path, tuple(f"c{k}" for k in range(40)), seen(3000, 40))
    tracemalloc.start()
    write_predictions(record)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 9e6  # of 120,000 numbers
    assert len(predictions(record)) == 3000
