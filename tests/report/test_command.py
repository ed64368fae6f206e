"""botzoo report: what it writes, and what it refuses in one line."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from botzoo.commands import report
from botzoo.errors import BotzooError
from botzoo.report.models import evaluated_model
from botzoo.results.record import RunRecord
from conftest import write_photos
from running import write_teacher


def test_it_writes_into_the_run_s_folder_or_where_it_is_told(finished_run: Path, tmp_path: Path) -> None:
    place = tmp_path / "page.html"
    report.run([str(finished_run / "model"), "--output", str(place)])
    other = shutil.copytree(finished_run, tmp_path / "other")
    report.run([str(finished_run), str(other), "--output", str(tmp_path / "both.html")])
    assert "12 validation images" in place.read_text()
    assert "no clear difference" in (tmp_path / "both.html").read_text()


@pytest.mark.slow
def test_a_model_without_its_run_is_evaluated_on_images_that_are_given(finished_run: Path, photos: Path) -> None:
    record, material = evaluated_model(finished_run / "model", str(photos))
    known = RunRecord.load(finished_run)
    name = {name: i for i, name in enumerate(record.image_names)}
    rows = [name[one] for one in known.image_names]
    assert len(record.evaluation) == 60
    assert np.array_equal(record.evaluation.predicted[rows], known.evaluation.predicted)
    assert material.evaluated.picture(0) is not None


def test_classes_are_matched_by_their_names(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_teacher(folder, classes=4)
    record, _ = evaluated_model(folder, str(photos))
    assert record.class_names == ["class0", "class1", "class2", "class3"]
    assert np.bincount(record.evaluation.labels).tolist() == [20, 20, 20]


REFUSED = {
    "{model}": "is a model without its run, which has the answers: give labelled images with --data",
    "{model} --data {others}": "has images of 'class3', 'class4', and the network knows 'class0'",
    "{tmp}": "is not the folder of a run",
    "{run} --output {tmp}": "is a folder: give the name of a file",
    "{run} --output {tmp}/no/page.html": "There is no folder",
    "{run} --output {tmp}/mine.html": "is there already and no report: give another name, or --overwrite",
    "{run} --data {tmp}/no": "no",
    "{run} --data {others}": "has none of the 12 images that were evaluated",
    "{run} --data=": "--data is '': give a folder or the name of a data set",
    "{run} {tmp}": "is not the folder of a run",
    "{run} {run}/model": "is given 2 times: leave all but one out",
    "": "The following arguments are required: RUN",
}


@pytest.mark.parametrize("words", REFUSED)
def test_bad_input_is_refused_in_one_line(words: str, finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("mine")
    model, others = tmp_path / "model", tmp_path / "others"
    if "{model}" in words:
        write_teacher(model)
    if "{others}" in words:
        write_photos(others, classes=5, each=2)
    places = {"run": finished_run, "tmp": tmp_path, "model": model, "others": others}
    with pytest.raises(BotzooError, match=re.escape(REFUSED[words])) as refused:
        report.run(words.format(**places).split())
    assert len(str(refused.value).splitlines()) == 1
    assert (tmp_path / "mine.html").read_text() == "mine"
