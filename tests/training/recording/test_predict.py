"""--predict: answers of the finished network for other splits, and for folders with labels or without."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from botzoo.errors import DataError
from botzoo.inference.load import load
from botzoo.report.view import FinishedRun
from botzoo.results.report import describe
from botzoo.training.recording.predict import IS_NAME, free_name
from conftest import write_photos
from running import train_briefly

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders in train, images without labels in test, and, in more, others with labels."""
    folder = tmp_path_factory.mktemp("competition")
    write_photos(folder / "train", classes=3, each=12)
    write_photos(folder / "more", classes=2, each=3, seed=1)
    write_photos(folder / "unsorted", classes=1, each=5, seed=2)
    (folder / "unsorted/class0").rename(folder / "test")
    shutil.rmtree(folder / "unsorted")
    shutil.move(folder / "more", folder.parent / f"{folder.name}-new")
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    wanted = ("test", f"{data}-new", "train", "validation", "test")
    folder = train_briefly(data, tmp_path_factory.mktemp("run") / "run", epochs=1, predict=wanted)
    return FinishedRun.load(folder)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_each_has_a_file(run: FinishedRun, data: Path) -> None:
    new = f"{data.name}-new"
    tables = {"predictions", "errors"}
    assert {path.stem for path in run.folder.glob("*.csv")} == {
        *tables, "predictions-test", *(f"{table}-{name}" for table in tables for name in (new, "train")),
    }  # fmt: skip
    assert [row["file"] for row in rows(run.folder / "predictions-test.csv")] == [f"{i}.png" for i in range(5)]
    assert len(rows(run.folder / "predictions-train.csv")) == 3 * 12 - 3 * 2
    assert len(rows(run.folder / "predictions.csv")) == 3 * 2


def test_a_folder_beside_train_without_class_folders_has_no_labels(run: FinishedRun) -> None:
    assert {(row["label"], row["loss"], row["correct"]) for row in rows(run.folder / "predictions-test.csv")} == {
        ("",) * 3
    }


def test_the_names_of_class_folders_are_labels(run: FinishedRun, data: Path) -> None:
    found = list(run.predictions(f"{data.name}-new"))
    assert [answer.label for answer in found] == ["class0"] * 3 + ["class1"] * 3
    assert all(answer.correct == (answer.answer == answer.label) for answer in found)
    assert len(rows(run.folder / f"errors-{data.name}-new.csv")) == sum(not answer.correct for answer in found)


@pytest.mark.parametrize("name", ["test", "train"])
def test_the_answers_are_those_of_the_trained_network(run: FinishedRun, data: Path, name: str) -> None:
    found = list(run.predictions(name))
    files = [data / name / answer.file.removeprefix("train/") for answer in found]
    others = load(run).predict(files, temperature=1, mixed_precision="fp32")
    assert [answer.answer for answer in found] == [other.label for other in others]
    assert [answer.probability for answer in found] == pytest.approx([other.probability for other in others], abs=1e-5)


def test_the_card_writes_them_again_to_the_byte(run: FinishedRun, tmp_path: Path) -> None:
    copy = shutil.copytree(run.folder, tmp_path / "copy")
    before = {path.name: path.read_bytes() for path in copy.glob("*.csv")}
    for path in copy.glob("*.csv"):
        path.unlink()
    describe(copy)
    assert {path.name: path.read_bytes() for path in copy.glob("*.csv")} == before


def test_the_record_says_what_was_asked_about_and_not_where_it_lay(run: FinishedRun, data: Path) -> None:
    facts = json.loads((run.folder / "run.json").read_text())
    assert facts["predicted"] == ["test", f"{data.name}-new", "train", "validation"]
    assert {f"evaluation/{name}.parquet" for name in facts["predicted"]} <= facts["files"].keys()
    assert str(data.parent) not in (run.model_folder / "README.md").read_text()


def test_a_network_for_several_labels_is_asked_too(finished_multi_label_run: Path) -> None:
    found = list(FinishedRun.load(finished_multi_label_run).predictions("class0"))
    assert (len(found), {answer.loss for answer in found}) == (20, {None})
    assert {answer.answer for answer in found} == {"red"}  # as the photos of this class are


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "vaild",
            r"--predict vaild: there is no such split, nor a folder .* Give train, validation, or a folder of images",
        ),
        ("validatoin", "Did you mean 'validation'"),
        ("EMPTY", "There is no image in the folder .*empty of --predict"),
        ("BROKEN", "1 of 1 images cannot be read: .*broken/x.png"),
    ],
)
def test_what_cannot_be_asked_about_is_one_line_before_the_folder_is_made(
    photos: Path, tmp_path: Path, word: str, said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/x.png").write_bytes(b"no image")
    wanted = str(tmp_path / word.lower()) if word.isupper() else word
    with pytest.raises(DataError, match=said):
        train_briefly(photos, tmp_path / "run", predict=(wanted,))
    assert not (tmp_path / "run").exists()


NAMES: list[tuple[str, Any]] = [
    ("photos/new", "new"),
    ("./test", "test-2"),
    ("/a/TEST", "TEST-2"),
    ("a b/c d", "c_d"),
    ("x\x1b[2J\n<b>", "x_2J_b_"),
    ("...", None),
    (".hidden", "hidden"),
    ("start", "start-2"),
    ("ü" * 300, "ü" * 32),
    ("photos.zip", "photos.zip"),
]


@pytest.mark.parametrize(("word", "name"), NAMES)
def test_a_folder_is_called_by_what_is_harmless_in_its_name(word: str, name: str | None) -> None:
    found = free_name(word, {"train", "test", "start"})
    assert IS_NAME.fullmatch(found)
    assert name in (None, found)
