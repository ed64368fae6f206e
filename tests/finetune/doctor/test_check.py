"""botzoo-finetune --check, from the command to its three files."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from running import command

TINY = ("--model", "test_resnet", "--scratch", "--img-size", 32, "--mixed-precision", "fp32", "--engine.device", "cpu")


def check(data: Path, output: Path, *more: str) -> int:
    """Return the exit status."""
    return command("--check", "--dataset", data, "--output", output, *TINY, *more)


def findings(output: Path, check: str) -> list[dict[str, Any]]:
    report = json.loads((output / "check.json").read_text())
    return [finding for finding in report["findings"] if finding["check"] == check]


@pytest.fixture
def splits(photos: Path, tmp_path: Path) -> Path:
    """A data set with a test split; every image is there once."""
    folder = tmp_path / "data"
    shutil.copytree(photos, folder / "train")
    for file in sorted((folder / "train").glob("*/1?.png")):
        place = folder / "test" / file.parent.name / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        file.rename(place)
    return folder


def test_a_sound_data_set_ends_with_status_0(splits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(splits, tmp_path / "out") == 0
    assert "result          nothing to look at\n" in capsys.readouterr().out
    assert (tmp_path / "out" / "look_at.txt").read_text() == ""
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["check.html", "check.json", "look_at.txt"]


def test_what_is_wrong_is_listed_and_ends_with_status_1(splits: Path, tmp_path: Path) -> None:
    leaked, broken = splits / "test" / "class0" / "10.png", splits / "train" / "class1" / "3.png"
    copy = shutil.copyfile(leaked, splits / "train" / "class0" / "copy.png")
    broken.write_bytes(broken.read_bytes()[:100])
    assert check(splits, tmp_path / "out") == 1
    (corrupt,) = findings(tmp_path / "out", "corrupt")
    assert corrupt["images"] == [{"name": str(broken), "split": "", "label": ""}]
    lines = dict(line.split("\t") for line in (tmp_path / "out" / "look_at.txt").read_text().splitlines())
    assert lines[str(leaked)].endswith(f" and test: also {copy}")
    assert set(lines) == {str(leaked), str(copy), str(broken)}


def test_a_wrong_label_is_found(splits: Path, tmp_path: Path) -> None:
    wrong = (splits / "train" / "class0" / "2.png").rename(splits / "train" / "class1" / "wrong.png")
    assert check(splits, tmp_path / "out") == 1
    (finding,) = findings(tmp_path / "out", "labels")
    assert (finding["images"][0]["name"], finding["suggested"]) == (str(wrong), "class0")


def test_the_page_needs_nothing_else_and_trusts_no_name(splits: Path, tmp_path: Path) -> None:
    (splits / "train" / "class2").rename(splits / "train" / "<script>")
    (splits / "test" / "class2").rename(splits / "test" / "<script>")
    shutil.copyfile(splits / "test" / "<script>" / "10.png", splits / "train" / "<script>" / "<img onerror=1>.png")
    assert check(splits, tmp_path / "out") == 1
    page = (tmp_path / "out" / "check.html").read_text()
    assert "&lt;img onerror=1&gt;.png" in page
    assert "<script" not in page
    assert "<img onerror" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count('src="data:image/jpeg;base64,') == 2


def test_names_that_are_no_utf_8_are_written_all_the_same(splits: Path, tmp_path: Path) -> None:
    shutil.copyfile(splits / "test" / "class0" / "10.png", splits / "train" / "class0" / "\udcff.png")
    assert check(splits, tmp_path / "out") == 1
    (finding,) = findings(tmp_path / "out", "duplicates")
    assert finding["images"][0]["name"].endswith("\udcff.png")


def test_names_that_differ_between_splits_are_found(splits: Path, tmp_path: Path) -> None:
    (splits / "test" / "class2").rename(splits / "test" / "Class2 ")
    assert check(splits, tmp_path / "out") == 1
    (finding,) = findings(tmp_path / "out", "names")
    assert finding["reason"].startswith("'class2' (train) and 'Class2 ' (test) differ by case")


def test_a_class_with_one_image_is_found_where_training_would_refuse_it(photos: Path, tmp_path: Path) -> None:
    data = shutil.copytree(photos, tmp_path / "data")
    for file in sorted((data / "class2").iterdir())[1:]:
        file.unlink()
    assert check(data, tmp_path / "out") == 1
    assert "class 'class2' has one image" in findings(tmp_path / "out", "usable")[0]["reason"]
    assert len(findings(tmp_path / "out", "counts")) == 2


def test_before_training_one_line_says_what_is_in_two_splits(
    splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = ["--dry-run", "--dataset", splits, *TINY, "--output", tmp_path / "out"]
    monkeypatch.chdir(tmp_path)
    assert command(*plan) == 0
    assert "\ncheck " not in capsys.readouterr().out
    shutil.copyfile(splits / "test" / "class0" / "10.png", splits / "train" / "class0" / "copy.png")
    assert command(*plan) == 0
    assert "\ncheck      in more than one split: 1 file (" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--dataset", "digit"], "digits"),
        (["--dry-run"], "give one of the two"),
        (["--data.streaming", "true"], "leave --data.streaming out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_status_2(
    more: list[str], said: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(photos, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_left_as_it_is(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert check(photos, tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_labels_of_too_many_images_and_classes_are_not_checked_and_that_is_said(
    splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("botzoo_finetune.doctor.labels.LARGEST", 10)
    assert check(splits, tmp_path / "check") == 0
    assert "labels were not checked: " in (said := capsys.readouterr().out)
    assert "images of 3 classes would take too much memory" in said
