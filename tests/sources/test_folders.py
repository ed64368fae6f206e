"""Folders of class folders, and every way in which one can be wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from botzoo.sources.find import names_by_split
from data.pictures import open_images
from sources.made import refusal, write


def test_a_folder_of_class_folders_is_split_by_class(tmp_path: Path) -> None:
    data = open_images(str(write(tmp_path, "cat dog", each=10)))
    assert data.class_names == ("cat", "dog")
    assert data.validation is not None
    assert np.bincount(data.train.labels).tolist() == [8, 8]
    assert np.bincount(data.validation.labels).tolist() == [2, 2]
    assert data.notes == ("no validation split: 4 of 20 training images (20% of each class) are set aside",)


@pytest.mark.parametrize("names", ["train validation test", "Train VAL Test", "training valid testing"])
def test_split_folders_are_found_under_their_usual_names(tmp_path: Path, names: str) -> None:
    for name in names.split():
        write(tmp_path / name, "cat dog")
    data = open_images(str(tmp_path))
    assert list(data.splits) == ["train", "validation", "test"]
    assert data.notes == ()


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert open_images(str(write(tmp_path, "train car plane"))).class_names == ("car", "plane", "train")


def test_a_class_called_train_may_be_sorted_further_if_that_is_said(tmp_path: Path) -> None:
    write(tmp_path, "train/steam train/diesel car plane")
    assert "--data.splits train=. takes them and 'train' for classes" in refusal(tmp_path)
    assert open_images(str(tmp_path), splits={"train": ["."]}).class_names == ("car", "plane", "train")


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    assert open_images(str(write(tmp_path, "test control"))).class_names == ("control", "test")


def test_folders_beside_the_splits_are_no_classes(tmp_path: Path) -> None:
    write(tmp_path, "train/cat train/dog val/cat val/dog extra")
    data = open_images(str(tmp_path))
    assert data.class_names == ("cat", "dog")
    assert data.notes == ("not used: 'extra', not named as a split",)


def test_a_table_beside_the_class_folders_of_a_split_does_not_hide_them(tmp_path: Path) -> None:
    write(tmp_path, "train/cat train/dog")
    (tmp_path / "train" / "labels.csv").write_text("a,b")
    assert open_images(str(tmp_path)).class_names == ("cat", "dog")


def test_an_unlabelled_test_folder_is_left_alone(tmp_path: Path) -> None:
    data = open_images(str(write(tmp_path, "train/cat train/dog test")))
    assert data.class_names == ("cat", "dog")
    command = f"botzoo predict {tmp_path / 'test'} --model RUN"
    said = f"so it is not used: what is in its 3 images, the trained network says with {command}"
    assert f"the test folder has no class folders, {said}" in data.notes


def test_images_outside_class_folders_are_mentioned(tmp_path: Path) -> None:
    Image.new("L", (1, 1)).save(write(tmp_path, "cat dog") / "stray.png")
    assert any("1 image in" in note for note in open_images(str(tmp_path)).notes)


def test_class_names_may_hold_spaces_and_any_script(tmp_path: Path) -> None:
    assert open_images(str(write(tmp_path, "black+cat Žaba 犬"))).class_names == ("black cat", "Žaba", "犬")


def test_linked_files_and_folders_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "real", "cat dog")
    (tmp_path / "data" / "cat").mkdir(parents=True)
    (tmp_path / "data" / "cat" / "a.png").symlink_to(tmp_path / "real" / "cat" / "0.png")
    (tmp_path / "data" / "cat" / "more").symlink_to(tmp_path / "real" / "cat")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "real" / "dog")
    data = open_images(str(tmp_path / "data"))
    assert sum(len(split) for split in data.splits.values()) == 1 + 3 + 3


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "cat dog .git cat/.thumbs __MACOSX")
    for junk in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png"):
        (tmp_path / "cat" / junk).touch()
    data = open_images(str(tmp_path))
    assert data.class_names == ("cat", "dog")
    assert sum(len(split) for split in data.splits.values()) == 6


@pytest.mark.parametrize("stray", ["notes.txt", "boxes.json", "about.md", "LIST.CSV"])
def test_a_file_that_is_no_image_by_its_name_is_counted_and_not_used(tmp_path: Path, stray: str) -> None:
    (write(tmp_path, "cat dog") / "cat" / stray).write_text("nice cat")
    data = open_images(str(tmp_path))
    assert sum(len(split) for split in data.splits.values()) == 6
    assert data.notes[0].startswith(f"not used: 1 file that is no image in {tmp_path}")
    assert stray in data.notes[0]


@pytest.mark.parametrize("name", ["notes.heic", "photo.JPG"])
def test_a_file_that_may_be_an_image_is_kept_so_that_reading_reports_it(tmp_path: Path, name: str) -> None:
    (write(tmp_path, "cat dog") / "cat" / name).write_text("nice cat")
    assert sum(len(split) for split in open_images(str(tmp_path)).splits.values()) == 7


def test_images_without_class_folders_are_refused(tmp_path: Path) -> None:
    assert "has no class folders" in refusal(write(tmp_path, "photos") / "photos")


def test_splits_without_class_folders_are_refused(tmp_path: Path) -> None:
    assert "put the images of each class into a folder of its own" in refusal(write(tmp_path, "train val"))


def test_splits_without_a_training_one_are_refused(tmp_path: Path) -> None:
    assert "/train with class folders in it" in refusal(write(tmp_path, "val/cat val/dog test/cat test/dog"))


def test_two_folders_for_one_split_are_refused(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, "train/cat train/dog val/cat valid/cat"))
    assert "--data.splits validation=val+valid" in said


def test_a_validation_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    assert "has no class folders" in refusal(write(tmp_path, "train/cat train/dog val"))


def test_one_class_is_refused(tmp_path: Path) -> None:
    assert "has one class, 'cat'" in refusal(write(tmp_path, "cat"))


@pytest.mark.parametrize("around", ["flowers", "a/b", "data/data", "PetImages"])
@pytest.mark.parametrize("inside", ["daisy rose", "train/daisy train/rose", "train/daisy train/rose val/daisy"])
def test_folders_around_the_classes_are_gone_through(tmp_path: Path, around: str, inside: str) -> None:
    data = open_images(str(write(tmp_path, " ".join(f"{around}/{each}" for each in inside.split()))))
    assert data.class_names == ("daisy", "rose")
    assert f"the only folder is {tmp_path / around}: its folders are taken" in data.notes


def test_class_folders_without_any_image_are_refused(tmp_path: Path) -> None:
    assert "is empty: it has no images" in refusal(write(tmp_path, "cat dog", each=0))


@pytest.mark.parametrize("root", ["", "train/"])
def test_an_empty_class_folder_is_refused(tmp_path: Path, root: str) -> None:
    write(tmp_path, f"{root}cat {root}dog"), (tmp_path / root / "eel").mkdir()
    assert "no training images of 'eel'" in refusal(tmp_path)


def test_a_class_without_validation_images_is_mentioned(tmp_path: Path) -> None:
    data = open_images(str(write(tmp_path, "train/cat train/dog val/cat")))
    assert data.notes == ("the validation split has no images of 'dog', so nothing is known of them",)


def test_a_validation_class_without_training_images_is_refused(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "train/cat train/dog val/cat val/dogs"))
    assert "has the class 'dogs'" in message
    assert "Did you mean 'dog'?" in message


def test_names_of_class_folders_are_those_of_each_split(tmp_path: Path) -> None:
    write(tmp_path, "val/Cat val/dog train/cat train/dog")
    assert names_by_split(str(tmp_path)) == {"train": ["cat", "dog"], "validation": ["Cat", "dog"]}
