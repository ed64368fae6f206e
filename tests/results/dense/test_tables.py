"""predictions.csv and errors.csv of boxes and masks."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from botzoo.results.dense.faults import error_analysis
from botzoo.results.predictions import predictions, write_predictions
from recorded import a_record, found_boxes, told_pixels


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_box_has_a_row_in_the_pixels_of_its_picture(tmp_path: Path) -> None:
    seen = found_boxes()
    write_predictions(a_record(tmp_path, ("ant", "=1+1", "cat"), seen, task="detection"))
    rows = read(tmp_path / "predictions.csv")
    assert len(rows) == sum(map(len, seen.detections))
    first = seen.detections[0]
    assert [float(rows[0][side]) for side in ("left", "top", "right", "bottom")] == pytest.approx(first.corners[0])
    assert (rows[0]["file"], float(rows[0]["score"])) == ("0.png", pytest.approx(float(first.scores[0]), abs=1e-6))
    assert {row["label"] for row in rows} <= {"ant", "'=1+1", "cat"}


def test_each_wrong_box_and_missed_object_is_an_error(tmp_path: Path) -> None:
    seen = found_boxes()
    write_predictions(a_record(tmp_path, ("ant", "bee", "cat"), seen, task="detection"))
    rows = read(tmp_path / "errors.csv")
    analysed = error_analysis(seen)
    assert len(rows) == sum(one.faults for one in analysed.each)
    assert [*dict.fromkeys(row["file"] for row in rows)] == [f"{i}.png" for i in analysed.worst()]
    assert all((row["mistake"] == "missed") == (row["answer"] == "") for row in rows)


def test_each_class_of_an_image_has_a_row_and_the_shares_add_up(tmp_path: Path) -> None:
    seen = told_pixels()
    write_predictions(a_record(tmp_path, ("ant", "bee", "cat", "dog"), seen, task="segmentation"))
    rows = read(tmp_path / "predictions.csv")
    assert [row["label"] for row in rows] == ["ant", "bee", "cat"] * 8
    for share in ("share", "true_share"):
        assert sum(float(row[share]) for row in rows) == pytest.approx(8, abs=1e-4)


def test_the_errors_of_masks_are_those_below_one_half_the_largest_first(tmp_path: Path) -> None:
    write_predictions(a_record(tmp_path, ("ant", "bee", "cat", "dog"), told_pixels(), task="segmentation"))
    every, wrong = read(tmp_path / "predictions.csv"), read(tmp_path / "errors.csv")
    assert len(wrong) == sum(float(row["iou"]) < 0.5 for row in every) > 0
    lost = [wrong_share(*(float(row[name]) for name in ("share", "true_share", "iou"))) for row in wrong]
    assert lost == pytest.approx(sorted(lost, reverse=True), abs=1e-5)


def wrong_share(said: float, true: float, iou: float) -> float:
    """Return union without intersection, as a share of the image."""
    return (said + true) * (1 - iou) / (1 + iou)


def test_the_table_has_the_columns_also_where_nothing_was_found() -> None:
    seen = found_boxes()
    nothing = type(seen)(np.full_like(seen.found, -1), seen.true, seen.size)
    table = predictions(a_record(names=("ant", "bee", "cat"), seen=nothing, task="detection")).table()
    assert table == {name: [] for name in ("file", "label", "score", "left", "top", "right", "bottom")}


def test_without_objects_to_compare_with_there_are_no_errors() -> None:
    found = predictions(a_record(names=("ant", "bee", "cat"), seen=found_boxes(), task="detection"))
    assert found.labelled
    assert not replace(found, answers={k: v for k, v in found.answers.items() if k != "true"}).labelled
