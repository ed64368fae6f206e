"""Which folders are splits and which are classes, and what is asked where that is in doubt."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from botzoo.errors import DataError
from botzoo.options.accepted import splits_of
from botzoo.sources import folders
from botzoo.sources.base import SourceOptions
from botzoo.sources.find import find_images
from sources.made import refusal, write

UNDERSTOOD = {
    "train/a train/b validate/a validate/b": "a b: train 6, validation 6",
    "train/a train/b eval/a holdout/b": "a b: train 6, validation 3, test 3",
    "training_set/a training_set/b test_set/a": "a b: train 6, test 3",
    "my_train/a my_train/b val-2024/a test1": "a b: train 6, validation 3",
    "train/a train/b unlabeled": "a b: train 6",
    "train/a train/b test/images": "a b: train 6",
    "train/train/a train/train/b test/test/a": "a b: train 6, test 3",
    "train/a/images train/b/images": "a b: train 6",
    "a/images b/images": "a b: train 6",
    "a b unlabeled": "a b: train 6",
    "training-shoes boots": "boots training-shoes: train 6",
    "training-shoes/red training-shoes/blue eval+board/x eval+board/y boots": "boots eval board training-shoes: train 15",
    "training-shoes/x training-shoes/y eval-board/x": "x y: train 6, validation 3",
}
ASKED = {
    "train/a train/b vaild/a": {"validation=vaild": "a b: train 6, validation 3"},
    "train/a train/b vaild": {"none=vaild": "a b: train 6"},
    "train/a train/b x/b": {"validation=x": "a b: train 6, validation 3", "none=x": "a b: train 6"},
    "train/a train/b val1/a val2/b": {"validation=val1+val2": "a b: train 6, validation 6"},
    "train/a train/b train-old/a": {"none=train-old": "a b: train 6", "train=train+train-old": "a b: train 9"},
    "trian/a trian/b test/a test/b": {"train=trian,test=test": "a b: train 6, test 6"},
    "train/a train/b car": {"none=car": "a b: train 6", "train=.": "car train: train 9"},
    "a b test": {"none=test": "a b: train 6", "train=.": "a b test: train 9"},
    "a b val/a val/b": {"validation=val": "a b: train 6, validation 6"},
    "color/a color/b gray/a gray/b": {"train=.": "color gray: train 12", "train=color,none=gray": "a b: train 6"},
    "a/train a/val b/train b/val": {"train=.": "a b: train 12"},
    "images/train/a images/train/b images/val/a notes": {"train=images/train,none=notes": "a b: train 6"},
    "x/train/a x/train/b y/train/a": {"train=x/train+y/train": "a b: train 9", "train=.": "x y: train 9"},
    "x/p/a x/p/b y/p/a y/p/b": {"train=x/p+y/p": "a b: train 12", "train=.": "x y: train 12"},
    "train/a train/b unlabeled/a": {"none=unlabeled": "a b: train 6"},
    "train test control": {"train=.": "control test train: train 9"},
    "data/train/a data/train/b data/vaild/a": {"validation=vaild": "a b: train 6, validation 3"},
}


def read(folder: Path, said: str = "") -> str:
    """The classes and the images of each split."""
    data = find_images(str(folder), SourceOptions(splits=splits_of(said) if said else {}))
    return f"{' '.join(data.class_names)}: {', '.join(f'{role} {len(s)}' for role, s in data.splits.items())}"


@pytest.mark.parametrize("folders", UNDERSTOOD)
def test_a_layout_that_is_clear_is_understood(folders: str, tmp_path: Path) -> None:
    assert read(write(tmp_path, folders)) == UNDERSTOOD[folders]


@pytest.mark.parametrize("folders", ASKED)
def test_a_layout_in_doubt_is_asked_about_in_one_line_and_what_is_said_settles_it(folders: str, tmp_path: Path) -> None:
    write(tmp_path, folders)
    with pytest.raises(DataError, match=r"--data\.splits|--dataset") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    for said, expected in ASKED[folders].items():
        assert read(tmp_path, said) == expected


@pytest.mark.parametrize("folders", ASKED)
def test_the_command_that_is_shown_can_be_given(folders: str, tmp_path: Path) -> None:
    write(tmp_path, folders)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    for flag, value in re.findall(
        r"(--data\.splits|--dataset) ('[^']*'|[^\s;,]+(?:,\w+=[^\s;,]+)*)", str(caught.value)
    ):
        value = shlex.split(value)[0]
        assert read(tmp_path, value) if flag == "--data.splits" else read(Path(value))


def test_what_was_said_is_kept_in_the_next_question(tmp_path: Path) -> None:
    write(tmp_path, "train/a train/b val1/a val2/b vaild/a car test")
    first, second = "validation=val1+val2", "validation=val1+val2,none=vaild"
    for said, asked in [("", first), (first, second)]:
        with pytest.raises(DataError, match=f"--data.splits {re.escape(asked)};"):
            read(tmp_path, said)
    assert read(tmp_path, second) == "a b: train 6, validation 6"


@pytest.mark.parametrize("folder", ["test", "unlabeled", "test1"])
def test_images_without_labels_are_left_to_predict(folder: str, tmp_path: Path) -> None:
    notes = find_images(str(write(tmp_path, f"train/a train/b {folder}"))).notes
    command = f"what is in its 3 images, the trained network says with botzoo predict {tmp_path / folder} --model RUN"
    assert any(note.endswith(command) for note in notes)


@pytest.mark.parametrize("word", ["vaild", "../data", "/etc", "a/../../b"])
def test_only_folders_of_the_data_set_are_named(word: str, tmp_path: Path) -> None:
    write(tmp_path / "data", "train/a train/b valid/a")
    with pytest.raises(DataError, match=f"no folder '{word}', which --data.splits names: it has 'train', 'valid'"):
        read(tmp_path / "data", f"validation={word}")


@pytest.mark.parametrize("name", ["IMG_1", "a.jpeg_large", "b.JPG.1", "photo.txt"])
def test_what_a_file_is_its_content_says_where_its_name_does_not(name: str, tmp_path: Path) -> None:
    write(tmp_path, "cat dog")
    shutil.move(tmp_path / "cat" / "0.png", tmp_path / "cat" / name)
    (tmp_path / "cat" / "text").write_text("no picture")
    data = find_images(str(tmp_path))
    assert len(data.train) == 6
    assert data.notes == (
        f"not used: 1 file that is no image in {tmp_path}, such as {tmp_path / 'cat' / 'text'}",
        f"1 file is an image by its content, not by its name: in {tmp_path}, such as {tmp_path / 'cat' / name}",
    )


@pytest.mark.parametrize("group", [None, "1", "([0-9])"])
@pytest.mark.parametrize("loose", [False, True])
def test_splits_inside_of_classes_are_refused_whatever_else_is_there(
    group: str | None, loose: bool, tmp_path: Path
) -> None:
    write(tmp_path, "cat/train cat/test dog/train dog/test")
    if loose:
        for name in ("cat", "dog"):
            shutil.copy(tmp_path / "cat" / "train" / "0.png", tmp_path / name / "cover.png")
    with pytest.raises(DataError, match="as splits inside of classes"):
        find_images(str(tmp_path), SourceOptions(group=group))


def test_a_folder_inside_of_another_split_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a/cat a/dog a/test/cat a/test/dog")
    with pytest.raises(DataError, match="'a/test', which lies in 'a'"):
        find_images(str(tmp_path), SourceOptions(splits={"train": ["a"], "test": ["a/test"]}))


def test_folders_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, f"cat/{'b/' * 40}c dog")
    assert find_images(str(tmp_path), SourceOptions()).class_names == ("cat", "dog")
    monkeypatch.setattr(folders, "MOST_DEEP", 35)
    with pytest.raises(DataError, match="lies in more than 35 folders"):
        find_images(str(tmp_path), SourceOptions())


def test_a_column_is_of_a_table_and_never_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "cat dog")
    for options in (SourceOptions(label_column="kind"), SourceOptions(image_column="kind")):
        with pytest.raises(DataError, match=r"-column kind is of a table, .* --labels FILE"):
            find_images(str(tmp_path), options)


def test_archives_without_class_folders_beside_them_are_named(tmp_path: Path) -> None:
    for name in ("images.zip", "more.zip", "train.csv"):
        (tmp_path / name).write_text("a")
    command = f"--dataset {tmp_path / 'images.zip'} --labels {tmp_path / 'train.csv'}"
    with pytest.raises(DataError, match=f"such as {re.escape(command)}"):
        find_images(str(tmp_path))


PARTS = ["fold{}", "Fold_{}", "part-{}", "batch{}", "images_00{}", "split{}", "my set {}"]


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("group", [None, "2"])
def test_folds_and_other_parts_are_no_classes(name: str, group: str | None, tmp_path: Path) -> None:
    parts = [name.format(k) for k in (1, 2, 3)]
    write(tmp_path, " ".join(f"{part}/{each}".replace(" ", "+") for part in parts for each in ("cat", "dog")))
    with pytest.raises(
        DataError, match=r"as parts of one data set: --data.splits \S*train=.*joins them, and --data.group 2"
    ):
        find_images(str(tmp_path), SourceOptions(group=group))
    data = find_images(str(tmp_path), SourceOptions(splits={"train": parts}, group="2"))
    assert data.class_names == ("cat", "dog")
    assert {*data.train.groups} == {*parts}  # type: ignore[misc]


@pytest.mark.parametrize("name", PARTS)
def test_parts_without_class_folders_need_a_table(name: str, tmp_path: Path) -> None:
    parts = [name.format(k) for k in (1, 2)]
    write(tmp_path, " ".join(part.replace(" ", "+") for part in parts))
    assert "give the labels with --labels FILE" in refusal(tmp_path)
    assert find_images(str(tmp_path), SourceOptions(splits={"train": ["."]})).class_names == tuple(sorted(parts))


@pytest.mark.parametrize(
    "names", ["class1 class2", "1 2", "grade-a grade-b", "fold1 fold2 cat", "photo1 image2", "a b"]
)
def test_other_names_with_numbers_are_classes(names: str, tmp_path: Path) -> None:
    assert list(find_images(str(write(tmp_path, names))).class_names) == sorted(names.split())
