"""Which data set it is, by what lies in the folder; rows of tables; and one line where it is none."""

import io
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
from PIL import Image

from botzoo.data.images import read_images
from botzoo.errors import DataError
from botzoo.sources.base import NOTHING_SAID, ImageData
from botzoo.sources.tables import Loaded
from botzoo.sources.targets import find
from botzoo.sources.targets.boxes import Boxes, BoxSplit
from botzoo.sources.targets.checks import check_boxes
from botzoo.sources.targets.find import find_boxes, find_masks
from botzoo.sources.targets.rows import open_box_rows
from conftest import write_photos
from sources.targets.made import (
    BOXES,
    HEIGHT,
    WIDTH,
    coco,
    corners,
    picture,
    refusal,
    text,
    voc_xml,
    write_form,
    write_json,
    yolo_lines,
)

CORNERS = [list(box[1:]) for box in BOXES]
SIDES = [[a, b, c - a, d - b] for a, b, c, d in CORNERS]
PER_SIDE = [WIDTH, HEIGHT] * 2


def rows(folder: Path, boxes: list[list[float]], *, grouped: bool = True) -> str:
    """Write a parquet file of one image with boxes."""
    folder.mkdir()
    path = str(picture(folder / "a.png"))
    names = datasets.ClassLabel(names=["cat", "dog"])
    fields = {"bbox": datasets.List(datasets.Value("float32"), length=4), "category": names}
    lists = {key: datasets.List(kind) for key, kind in fields.items()} if grouped else datasets.List(fields)
    cell = {"bbox": boxes, "category": [0, 1]}
    listed = [dict(zip(cell, each, strict=True)) for each in zip(*cell.values(), strict=True)]
    features = datasets.Features({"image": datasets.Image(), "objects": lists})
    table = datasets.Dataset.from_dict({"image": [path], "objects": [cell if grouped else listed]}, features)
    with Path(path).open("rb") as file:
        content = {"bytes": file.read(), "path": None}
    stored = table.cast_column("image", datasets.Image(decode=False)).map(lambda _: {"image": content})
    Path(path).unlink()
    stored.cast_column("image", datasets.Image()).to_parquet(folder / "train-0.parquet")
    return str(folder)


@pytest.mark.parametrize("grouped", [True, False])
def test_rows_have_boxes_as_coco_has_them(tmp_path: Path, grouped: bool) -> None:
    data = find_boxes(rows(tmp_path / "set", SIDES, grouped=grouped))
    assert corners(data) == CORNERS
    assert data.class_names == ("cat", "dog")
    assert data.train.sizes.tolist() == [[HEIGHT, WIDTH]]
    content = data.train.read(0)
    assert isinstance(content, bytes)
    assert Image.open(io.BytesIO(content)).size == (WIDTH, HEIGHT)


def test_rows_whose_boxes_fit_only_as_corners_are_read_so(tmp_path: Path) -> None:
    outside_as_sides = [[1, 2, 11, 12], [15, 9, 20, 15.5]]
    data = find_boxes(rows(tmp_path / "set", outside_as_sides))
    assert corners(data) == outside_as_sides
    assert any("left, top, right, bottom" in note for note in data.notes)


def test_rows_of_shares_become_pixels(tmp_path: Path) -> None:
    shares = [[value / side for value, side in zip(box, PER_SIDE, strict=True)] for box in SIDES]
    data = find_boxes(rows(tmp_path / "set", shares))
    assert corners(data) == CORNERS


def test_rows_with_an_odd_number_of_values_are_refused(tmp_path: Path) -> None:
    labels = {"bbox": [[1.0, 2.0]], "category": [0]}
    (tmp_path / "set").mkdir()
    fields = {
        "bbox": datasets.List(datasets.List(datasets.Value("float32"))),
        "category": datasets.List(datasets.Value("int64")),
    }
    features = datasets.Features({"image": datasets.Image(), "objects": fields})
    made = datasets.Dataset.from_dict({"image": [{"bytes": b"", "path": None}], "objects": [labels]}, features)
    made.to_parquet(tmp_path / "set" / "train.parquet")
    assert "each box needs four numbers" in refusal(tmp_path / "set")


def test_rows_may_name_their_categories_and_have_none_on_an_image(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    path = picture(tmp_path / "a.png")
    content = {"bytes": path.read_bytes(), "path": None}
    fields = {
        "bbox": datasets.List(datasets.List(datasets.Value("float32"))),
        "category": datasets.List(datasets.Value("string")),
    }
    features = datasets.Features({"image": datasets.Image(), "objects": fields})
    cells = [{"bbox": [SIDES[0]], "category": ["dog"]}, {"bbox": [], "category": []}, None]
    table = datasets.Dataset.from_dict({"image": [content] * 3, "objects": cells}, features)
    table.to_parquet(tmp_path / "set" / "train.parquet")
    data = find_boxes(str(tmp_path / "set"))
    assert data.class_names == ("dog",)
    assert [len(each) for each in data.train.boxes] == [1, 0, 0]


def test_a_category_that_is_no_class_is_refused(tmp_path: Path) -> None:
    rows(tmp_path / "set", SIDES)
    table = datasets.Dataset.from_parquet(str(tmp_path / "set" / "train-0.parquet"))
    encoded = table.cast_column("image", datasets.Image(decode=False))
    odd = encoded.map(lambda row: {"objects": row["objects"] | {"category": [0, -1]}})
    with pytest.raises(
        DataError, match=r"^Row 0 of the train split of set has the category -1, which is none of the 2"
    ):
        open_box_rows("set", {"train": odd}, NOTHING_SAID, [])


def test_rows_of_the_hub_are_known_by_their_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(tmp_path / "set", SIDES)
    table = datasets.Dataset.from_parquet(str(tmp_path / "set" / "train-0.parquet"))
    answer = ("someone/cats", "mit", Loaded({"train": table}, []))
    monkeypatch.setattr(find, "from_hub", lambda name, hub_id, load: answer)
    data = find_boxes("someone/cats")
    assert (data.hub_id, data.license, corners(data)) == ("someone/cats", "mit", CORNERS)
    assert "and none of masks" in refusal("someone/cats", find_masks)


def test_a_test_split_without_boxes_is_not_used(tmp_path: Path) -> None:
    rows(tmp_path / "set", SIDES)
    table = datasets.Dataset.from_parquet(str(tmp_path / "set" / "train-0.parquet"))
    bare = table.remove_columns("objects")
    data = open_box_rows("set", {"train": table, "test": bare}, NOTHING_SAID, [])
    assert list(data.splits) == ["train"]
    with pytest.raises(DataError, match="The validation split of set has no column 'objects'"):
        open_box_rows("set", {"train": table, "validation": bare}, NOTHING_SAID, [])


def test_a_folder_of_classes_is_told_from_one_with_boxes(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos", 2, 1)
    for look, word in ((find_boxes, "boxes"), (find_masks, "masks")):
        refused = refusal(folder, look)
        assert f"has no {word}: it has class folders, 'class0', 'class1', as for one label an image" in refused


def test_no_folder_and_no_images_are_told(tmp_path: Path) -> None:
    assert "is not there" in refusal(tmp_path / "missing")
    assert "has no images" in refusal(tmp_path)


def test_no_box_in_training_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.xml", voc_xml([]))
    assert "No training image of" in refusal(tmp_path)
    (tmp_path / "a.xml").unlink()
    write_json(tmp_path / "train.json", coco([]))
    assert "No training image of" in refusal(tmp_path)


def test_one_class_is_enough_for_boxes(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.xml", voc_xml(BOXES[:1]))
    assert find_boxes(str(tmp_path)).class_names == ("cat",)


def test_a_mask_of_the_same_name_is_not_taken_for_the_image(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages" / "a.jpg")
    picture(tmp_path / "SegmentationClass" / "a.png")
    text(tmp_path / "Annotations" / "a.xml", voc_xml())
    assert find_boxes(str(tmp_path)).train.describe(0) == str(tmp_path / "JPEGImages" / "a.jpg")


def test_yaml_that_is_of_something_else_is_passed_over(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.txt", *yolo_lines())
    text(tmp_path / "classes.txt", "cat", "dog")
    text(tmp_path / "compose.yaml", "- a", "- b")
    assert corners(find_boxes(str(tmp_path))) == CORNERS


def test_xml_beside_text_files_is_told_of(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.txt", *yolo_lines())
    text(tmp_path / "a.xml", voc_xml())
    text(tmp_path / "classes.txt", "cat", "dog")
    assert any("not used: 1 XML file, as classes.txt" in note for note in find_boxes(str(tmp_path)).notes)


def test_two_files_of_one_split_are_a_choice(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for name in ("train_a.json", "train_b.json"):
        write_json(tmp_path / name, coco())
    assert "--data.splits" in refusal(tmp_path)


def test_usable_boxes_are_cut_at_the_edge_and_have_an_area() -> None:
    boxes = Boxes.of([[-5, 2, 8, 30], [3, 3, 3, 9], [40, 2, 50, 8]], [0, 1, 2])
    kept = boxes.usable(height=20, width=30)
    assert kept.corners.tolist() == [[0, 2, 8, 20]]
    assert kept.labels.tolist() == [0]


def broken_yolo(folder: Path) -> BoxSplit:
    write_form("yolo", folder)
    (folder / "train" / "images" / "1.png").write_bytes(b"no picture")
    return find_boxes(str(folder)).train


def broken_rows(folder: Path) -> BoxSplit:
    rows(folder / "set", SIDES)
    whole = datasets.Dataset.from_parquet(str(folder / "set" / "train-0.parquet"))
    table = whole.cast_column("image", datasets.Image(decode=False))
    broken = table.map(lambda _: {"image": {"bytes": b"no picture", "path": None}})
    both = datasets.concatenate_datasets([table, broken]).cast_column("image", datasets.Image())
    return open_box_rows("set", {"train": both}, NOTHING_SAID, []).train


@pytest.mark.parametrize("make", [broken_yolo, broken_rows])
def test_a_picture_that_cannot_be_read_may_be_left_out(make: Callable[[Path], BoxSplit], tmp_path: Path) -> None:
    split = make(tmp_path)
    assert ({*split.problems}, len(split.boxes[0])) == ({1}, 2)
    wrong = check_boxes(ImageData("cells", ("cat", "dog"), split.of_classes(2)))
    assert {finding.kind for finding in wrong if 1 in finding.images} == {"unreadable"}
    with pytest.raises(DataError, match="1 of 2 images cannot be read"):
        read_images(split)
    assert len(read_images(split, skip_corrupt=True)[0]) == 1


@pytest.mark.parametrize(
    "change",
    [{"iscrowd": 1}, {"bbox": [4, 4, 0, 9]}, {"bbox": [9, 9, -4, -4]}, {"bbox": [500, 500, 9, 9]}],
)
def test_boxes_that_teach_nothing_are_as_good_as_none(change: dict[str, object], tmp_path: Path) -> None:
    made = coco()
    made["annotations"] = [each | change for each in made["annotations"]]
    picture(tmp_path / "a.png")
    write_json(tmp_path / "train.json", made)
    assert "has a box to learn from: they are crowds, have no area or lie outside" in refusal(tmp_path)


def test_sizes_that_nothing_says_are_those_of_the_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.xml", voc_xml().replace("size>", "other>"))
    assert find_boxes(str(tmp_path)).train.sizes.tolist() == [[HEIGHT, WIDTH]]


def test_pictures_of_no_declared_type_are_found(tmp_path: Path) -> None:
    content = {"bytes": picture(tmp_path / "a.png").read_bytes(), "path": None}
    objects = {"bbox": [SIDES[0]], "category": [0]}
    (tmp_path / "boxes").mkdir()
    table = datasets.Dataset.from_dict({"image": [content], "objects": [objects]})
    table.to_parquet(tmp_path / "boxes" / "train.parquet")
    assert corners(find_boxes(str(tmp_path / "boxes"))) == [CORNERS[0]]
