"""The boxes of a data set as images to classify."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from botzoo.data.decode import decode
from botzoo.data.images import read_images
from botzoo.data.splits import in_fold, with_validation
from botzoo.errors import DataError
from botzoo.sources.base import ImageData, SourceOptions, Split
from botzoo.sources.find import Kind, find_images
from botzoo.sources.targets.find import find_boxes
from sources.targets.made import Rows, coco, picture, text, voc_xml, write_json

CROPS = SourceOptions(crops=True)
BOXES: Rows = ((0, 1, 2, 11, 12), (1, 4, 0, 30, 5.5), (0, 3, 3, 3, 9), (1, 5, 5, 9, 9))
"""The second leaves its picture, and the third has no area."""


@pytest.fixture
def boxed(tmp_path: Path) -> Path:
    """Ten pictures, each other than the others, of four boxes each."""
    rng = np.random.default_rng(0)
    for i in range(10):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 24, 3), np.uint8)).save(tmp_path / "images" / f"{i}.png")
        text(tmp_path / "xml" / f"{i}.xml", voc_xml(BOXES))
    return tmp_path


def crops(folder: Path) -> ImageData[Split]:
    return find_images(str(folder), CROPS)


def test_each_box_is_an_image_of_its_class(boxed: Path) -> None:
    data = crops(boxed)
    assert (data.class_names, len(data.train), data.train.labels[:3].tolist()) == (("cat", "dog"), 30, [0, 1, 1])
    picture = Image.open(boxed / "images" / "0.png")
    for i, box in enumerate([(1, 2, 11, 12), (4, 0, 24, 6), (5, 5, 9, 9)]):
        assert np.array_equal(decode(data.train.read(i)), picture.crop(box))
    assert data.train.describe(2) == f"{boxed / 'images' / '0.png'}, box 4"
    assert "train: 30 crops of 10 pictures, 10 boxes left out as crowds or too small" in data.notes


def test_crowds_are_no_crops(tmp_path: Path) -> None:
    made = coco()
    made["annotations"][0]["iscrowd"] = 1
    picture(tmp_path / "a.png")
    write_json(tmp_path / "train.json", made)
    assert [crops(tmp_path).train.describe(0)] == [f"{tmp_path / 'a.png'}, box 2"]


def test_those_of_one_picture_stay_together(boxed: Path) -> None:
    data = crops(boxed)
    for cut in (with_validation(data, 0.3, 0), in_fold(data, 1, 3, 0)):
        groups = [set(split.groups) for split in cut.splits.values()]  # type: ignore[arg-type]
        assert sum(map(len, groups)) == 10
        assert not groups[0] & groups[1]


def test_groups_are_those_of_the_pictures_and_cut_none_apart(boxed: Path) -> None:
    data = find_images(str(boxed), SourceOptions(crops=True, group=r"(\d)\.png$"))
    groups = [str(group) for group in data.train.groups]  # by the name of the picture, never by the number of the box
    assert groups == [str(i) for i in range(10) for _ in range(3)]


@pytest.mark.parametrize("said", ["labels", "label_column", "label_separator"])
@pytest.mark.parametrize(("asked", "kind"), [("--data.crops", "classify"), ("--task detect", "detect")])
def test_what_is_said_of_a_table_of_classes_is_refused(said: str, asked: str, kind: Kind, boxed: Path) -> None:
    options = SourceOptions(crops=kind == "classify", **{said: "a"})
    flag = "--labels" if said == "labels" else f"--data.{said.replace('_', '-')}"
    with pytest.raises(DataError, match=f"^{flag} is for a table of classes: leave it out for {asked}\\.$"):
        find_images(str(boxed), options, kind)


def test_a_picture_of_another_size_than_its_annotation_is_cut_at_the_same_place(boxed: Path) -> None:
    path = boxed / "images" / "3.png"
    large = Image.open(path).resize((48, 32), Image.Resampling.NEAREST)
    large.save(path)
    assert np.array_equal(decode(crops(boxed).train.read(9)), large.crop((2, 4, 22, 24)))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16"])
def test_pictures_of_any_kind_are_cut_as_they_are(mode: str, boxed: Path) -> None:
    values = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24) * 100
    image = Image.fromarray(values) if mode == "I;16" else Image.open(boxed / "images" / "0.png").convert(mode)
    (boxed / "images" / "0.png").unlink()
    path = boxed / "images" / ("0.tif" if mode in ("CMYK", "I;16") else "0.png")
    image.save(path)
    data = crops(boxed)
    i = next(i for i in range(30) if data.train.describe(i).startswith(str(path)))
    whole = image.convert("RGB") if mode == "CMYK" else image
    assert np.array_equal(decode(data.train.read(i)), decode(whole.crop((1, 2, 11, 12))))


def test_a_broken_picture_is_named_with_its_boxes(boxed: Path) -> None:
    (boxed / "images" / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"3 of 30 images cannot be read: .*0\.png, box 1: its picture cannot be read"):
        read_images(crops(boxed).train)


def test_it_can_be_sent_to_a_worker(boxed: Path) -> None:
    train = crops(boxed).train
    train.read(0)
    assert pickle.loads(pickle.dumps(train)).read(4) == train.read(4)


def test_real_boxes_are_cut_out(shared_data: Path) -> None:
    data, whole = crops(shared_data / "bccd"), find_boxes(str(shared_data / "bccd"))
    assert data.class_names == whole.class_names
    sides = np.concatenate([each.corners[:, 2:] - each.corners[:, :2] for each in whole.train.boxes])
    assert len(data.train) == 2805 - int((sides < 2).any(1).sum())
    assert decode(data.train.read(0)).size == tuple(sides[0])
