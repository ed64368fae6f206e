"""What the checks find in boxes and masks that are wrong in each of the ways there are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from botzoo.sources.targets.checks import check_boxes, check_masks
from botzoo.sources.targets.find import find_boxes, find_masks
from sources.targets.made import BOXES, HEIGHT, WIDTH, Rows, coco, mask, picture, text, voc_xml, write_json


def kinds(folder: Path) -> dict[str, tuple[int, ...]]:
    return {each.kind: each.images for each in check_boxes(find_boxes(str(folder)))}


@pytest.mark.parametrize(
    ("boxes", "kind"),
    [
        ([*BOXES, (0, 5, 5, 5, 9)], "no area"),
        ([*BOXES, (0, 9, 5, 5, 9)], "no area"),
        ([*BOXES, (0, 5, 5, WIDTH + 2, 9)], "outside"),
        ([*BOXES, (0, -2, 5, 9, 9)], "outside"),
        ([*BOXES, BOXES[0]], "double"),
    ],
)
def test_boxes_that_are_wrong_are_found(tmp_path: Path, boxes: Rows, kind: str) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.xml", voc_xml(boxes))
    assert kinds(tmp_path) == {kind: (0,)}


def test_right_boxes_are_passed_over(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.xml", voc_xml([*BOXES, (0, 0, 0, WIDTH + 0.5, HEIGHT), (1, *BOXES[0][1:])]))
    assert kinds(tmp_path) == {}


def test_a_picture_on_its_side_is_told_from_one_of_another_size(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[274] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.jpg", exif=turned)
    picture(tmp_path / "b.png", WIDTH + 3)
    for stem in "ab":
        text(tmp_path / f"{stem}.xml", voc_xml())
    found = [each for each in check_boxes(find_boxes(str(tmp_path))) if each.kind == "size"]
    assert [("on its side" in each.reason, each.images) for each in found] == [(True, (0,)), (False, (1,))]


def test_pictures_without_boxes_classes_without_and_damaged_pictures_are_found(tmp_path: Path) -> None:
    made = coco(BOXES[:1], images=("a.png", "b.png"))
    made["annotations"] = made["annotations"][:1]
    text(tmp_path / "a.png", "no picture")
    picture(tmp_path / "b.png")
    write_json(tmp_path / "train.json", made)
    assert kinds(tmp_path) == {"unused class": (), "unreadable": (0,), "nothing on it": (1,)}


def test_a_picture_of_two_splits_is_found(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for split in ("train", "val"):
        write_json(tmp_path / f"{split}.json", coco())
    assert kinds(tmp_path) == {"two splits": (0,)}


def test_masks_that_are_wrong_are_found_and_the_rest_is_read(tmp_path: Path) -> None:
    wrong = {
        "0": np.zeros((2, 4)),
        "1": np.full((2, 3), 9),
        "2": np.full((2, 3), 255),
        "3": np.zeros((2, 3)),
        "4": [[0, 1, 1]] * 2,
    }
    for stem, values in wrong.items():
        picture(tmp_path / "images" / f"{stem}.png", 3, 2)
        mask(tmp_path / "masks" / f"{stem}.png", values)
    text(tmp_path / "classes.txt", "sky", "road", "car")
    found = {each.kind: each.images for each in check_masks(find_masks(str(tmp_path)))}
    assert found == {"unreadable": (1,), "size": (0,), "ignored": (2,), "nothing on it": (0, 3), "unused class": ()}


def test_a_mask_with_an_unknown_colour_is_found_and_the_colour_is_named(tmp_path: Path) -> None:
    values = np.array([[(0, 0, 9), (9, 9, 9)]] * 2)
    for stem in "ab":
        picture(tmp_path / "images" / f"{stem}.png", 2, 2)
        mask(tmp_path / "masks" / f"{stem}.png", values + (stem == "b"))
    text(tmp_path / "classes.csv", "name,r,g,b", "sky,0,0,9", "road,9,9,9")
    (found,) = check_masks(find_masks(str(tmp_path)))
    assert (found.kind, found.images) == ("unreadable", (1,))
    assert "has the colour '#01010a', '#0a0a0a', which the table of colours does not name" in found.reason


def test_the_two_boxes_without_area_of_a_real_data_set_are_found(shared_data: Path) -> None:
    found = check_boxes(find_boxes(str(shared_data / "bccd")))
    assert [(each.kind, each.split, len(each.images)) for each in found] == [
        ("no area", "train", 1),
        ("no area", "validation", 1),
    ]


@pytest.mark.slow
def test_nothing_is_wrong_with_real_masks(shared_data: Path) -> None:
    assert not [each for each in check_masks(find_masks(str(shared_data / "camvid"))) if each.look]
