"""A finished run in Python."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botzoo.errors import CheckpointError, ConfigError, DataError
from botzoo.report.view import FinishedRun
from recorded import a_record, answers


@pytest.fixture(scope="module")
def run(finished_run: Path) -> FinishedRun:
    return FinishedRun.load(str(finished_run))


def test_the_figures_are_those_of_the_log(run: FinishedRun) -> None:
    last = [line for line in run.history if line["split"] == "validation"][-1]
    assert run.metrics == {key: last[key] for key in ("loss", "top1", "top5")}
    assert run.interval[0] <= run.metrics["top1"] <= run.interval[1]


def test_the_confusion_matrix_counts_every_image(run: FinishedRun) -> None:
    matrix = run.confusion()
    assert (matrix.shape, matrix.dtype, matrix.sum()) == ((3, 3), np.int64, 12)
    assert 100 * matrix.trace() / matrix.sum() == pytest.approx(run.metrics["top1"])


def test_classes_and_pictures_are_those_of_the_card(run: FinishedRun) -> None:
    assert [f.name for f in run.per_class()] == ["class0", "class1", "class2"]
    assert len(run.plot_curve().axes) == 2
    assert run.plot_confusion().axes[0].get_xlabel() == "answer"


def test_a_notebook_shows_a_picture(run: FinishedRun) -> None:
    assert run.plot_curve()._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_the_worst_images_come_first_by_their_files(run: FinishedRun, photos: Path) -> None:
    worst = run.worst(5)
    losses = [mistake.loss for mistake in worst]
    assert losses == sorted(losses, reverse=True)
    assert all((photos / mistake.name).is_file() and mistake.name.startswith(mistake.label) for mistake in worst)
    assert all(0 < mistake.confidence <= 1 for mistake in worst)


@pytest.mark.parametrize("n", [-1, 2.5, "9", None])
def test_a_number_of_images_that_is_none_is_refused(n: Any) -> None:
    with pytest.raises(ConfigError, match=f"n is {n!r}: give how many images"):
        FinishedRun(a_record()).worst(n)


def test_a_run_says_in_a_line_how_good_it_is() -> None:
    text = repr(FinishedRun(a_record(seen=answers())))
    assert "top-1 80.00 % (71.96 to 86.18) on 120 validation images" in text
    assert "&lt;run" in FinishedRun(a_record())._repr_html_()


def test_several_labels_have_no_confusion_matrix(finished_multi_label_run: Path) -> None:
    run = FinishedRun.load(finished_multi_label_run)
    assert run.metrics["map"] > 90
    assert set(run.worst(1)[0].label.split(", ")) <= {"red", "green", "blue", ""}
    with pytest.raises(DataError, match="per_class"):
        run.confusion()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not the folder of a run"):
        FinishedRun.load(tmp_path)
