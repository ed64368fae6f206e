"""Boxes, masks and classes are told apart, in folders and in archives, whatever was asked for."""

import json
import shutil
from pathlib import Path

import datasets
import pytest

from botzoo.data.images import read_images
from botzoo.errors import DataError
from botzoo.sources.base import SourceOptions
from botzoo.sources.find import Kind, find_images
from conftest import write_photos
from sources.targets.made import BOXED, FORMS, text, write_form, write_json, write_unnamed


def told(folder: Path, kind: Kind) -> str:
    with pytest.raises(DataError) as caught:
        find_images(str(folder), kind=kind)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(folder), "photos")


@pytest.mark.parametrize("form", FORMS)
def test_boxes_and_masks_are_never_taken_for_classes(form: str, tmp_path: Path) -> None:
    own, other = ("detect", "segment") if form in BOXED else ("segment", "detect")
    folder = write_form(form, tmp_path / "photos")
    said = told(folder, "classify")
    assert said.startswith(f"photos has {'boxes' if form in BOXED else 'masks'}: give --task {own}")
    assert f", which --task {own} learns. Give" in told(folder, other)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_an_archive_is_read_as_the_folder_in_it(form: str, kind: str, tmp_path: Path) -> None:
    task: Kind = "detect" if form in BOXED else "segment"
    folder = write_form(form, tmp_path / "photos")
    whole = find_images(str(folder), kind=task)
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path, "photos"))
    found = find_images(str(packed), kind=task)
    assert (found.class_names, list(found.splits)) == (whole.class_names, list(whole.splits))
    assert read_images(found.train)[0].fingerprint == read_images(whole.train)[0].fingerprint
    assert found.train.describe(0).startswith(str(packed))
    if task == "segment":
        assert found.train.describe_mask(0).startswith(str(packed))
    assert "unpacked in the cache" in found.notes[0]
    assert f"give --task {task}" in told(packed, "classify")


def test_the_boxes_of_an_archive_can_be_cut_out(tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", write_form("voc", tmp_path / "photos"))
    data = find_images(packed, SourceOptions(crops=True))
    assert (len(data.train), data.train.describe(0)) == (8, f"{packed}/JPEGImages/0.png, box 1")


def test_in_errors_an_archive_has_its_own_name(tmp_path: Path) -> None:
    folder = write_form("yolo", tmp_path / "photos")
    text(folder / "data.yaml", "names: [cat")
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    with pytest.raises(Exception, match=r"packed\.zip/data\.yaml"):
        find_images(packed, kind="detect")


def test_boxes_without_classes_are_said_to_be_that(tmp_path: Path) -> None:
    said = told(write_unnamed(tmp_path / "photos"), "detect")
    assert said.startswith("photos has boxes without classes: 4 text files of YOLO's, such as train/labels/0.txt")
    assert "Add a data.yaml with names, or a classes.txt." in said


def test_json_without_categories_is_said_to_be_that(tmp_path: Path) -> None:
    file = write_form("coco", tmp_path / "photos") / "annotations" / "instances_train2017.json"
    write_json(file, {key: value for key, value in json.loads(file.read_text()).items() if key != "categories"})
    said = told(tmp_path / "photos", "detect")
    assert "boxes without classes: annotations/instances_train2017.json lists images and annotations" in said


def test_rows_of_boxes_without_classes_are_said_to_be_that(tmp_path: Path) -> None:
    cells = {"image": [{"bytes": b"", "path": None}], "objects": [{"bbox": [[0.0, 0.0, 1.0, 1.0]]}]}
    table = datasets.Dataset.from_dict(cells).cast_column("image", datasets.Image())
    (tmp_path / "photos").mkdir()
    table.to_parquet(tmp_path / "photos" / "train.parquet")
    assert "boxes without classes: 'bbox' in column 'objects', and no category beside it" in told(
        tmp_path / "photos", "detect"
    )


@pytest.mark.parametrize("kind", ["detect", "segment"])
def test_what_has_neither_is_said_to_look_like_classes(kind: Kind, tmp_path: Path) -> None:
    said = told(write_photos(tmp_path / "photos" / "train", 2, 1).parent, kind)
    assert "it has class folders, 'class0', 'class1', as for one label an image, which --task classify learns" in said


@pytest.mark.parametrize("names", [("images", "masks"), ("with_mask", "without_mask"), ("face", "mask")])
def test_classes_may_be_called_as_masks_are(names: tuple[str, str], tmp_path: Path) -> None:
    write_photos(tmp_path, 2, 4)  # files of the same names in both, and no masks
    for k, name in enumerate(names):
        (tmp_path / f"class{k}").rename(tmp_path / name)
    assert find_images(str(tmp_path)).class_names == names
