"""The same boxes out of COCO's, VOC's and YOLO's files, and what each kind has of its own."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from faster_coco_eval import mask as rle

from botzoo.data.images import read_images
from botzoo.sources.base import SourceOptions
from botzoo.sources.targets.boxes import Boxes
from botzoo.sources.targets.checks import check_boxes
from botzoo.sources.targets.find import find_boxes
from botzoo.sources.targets.formats.outlines import area_of, run_lengths, sides_of
from botzoo.tasks.dense import usual_input
from sources.targets.made import (
    BOXES,
    HEIGHT,
    NAMES,
    WIDTH,
    coco,
    corners,
    picture,
    refusal,
    text,
    voc_xml,
    write_json,
    yolo_lines,
)

CORNERS = [list(box[1:]) for box in BOXES]


def test_voc_pairs_files_by_stem_and_takes_splits_from_folders(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        picture(tmp_path / split / "a.png")
        text(tmp_path / split / "a.xml", voc_xml())
    data = find_boxes(str(tmp_path))
    assert list(data.splits) == ["train", "validation"]
    assert corners(data) == CORNERS
    assert data.train.boxes[0].labels.tolist() == [0, 1]
    assert data.train.sizes.tolist() == [[HEIGHT, WIDTH]]


def test_files_of_the_challenge_itself_count_pixels_from_one(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages" / "a.png")
    text(tmp_path / "Annotations" / "a.xml", voc_xml([(0, 1, 1, WIDTH, HEIGHT)], "The VOC2007 Database"))
    assert corners(find_boxes(str(tmp_path))) == [[0, 0, WIDTH, HEIGHT]]


def test_difficult_objects_are_marked(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.xml", voc_xml(more="<difficult>1</difficult>"))
    data = find_boxes(str(tmp_path))
    assert data.train.boxes[0].difficult.all()
    assert "train: 1 image with 2 boxes, 2 of them difficult" in data.notes


def test_lists_in_imagesets_say_the_splits_and_trainval_is_the_sum(tmp_path: Path) -> None:
    for stem in "abc":
        picture(tmp_path / "V" / "JPEGImages" / f"{stem}.png")
        text(tmp_path / "V" / "Annotations" / f"{stem}.xml", voc_xml())
    for word, stems in {"train": "a", "val": "b", "trainval": "ab", "cat_train": "c", "test": "cd"}.items():
        text(tmp_path / "V" / "ImageSets" / "Main" / f"{word}.txt", *(f"{stem} 1" for stem in stems))
    data = find_boxes(str(tmp_path))
    assert {role: [Path(s.describe(i)).stem for i in range(len(s))] for role, s in data.splits.items()} == {
        "train": ["a"],
        "validation": ["b"],
        "test": ["c"],
    }
    assert any("without an XML file, such as 'd of test'" in note for note in data.notes)


def test_the_user_says_which_lists_are_used(tmp_path: Path) -> None:
    for stem in "abc":
        picture(tmp_path / "JPEGImages" / f"{stem}.png")
        text(tmp_path / "Annotations" / f"{stem}.xml", voc_xml())
    for word, stems in {"train": "a", "val": "b", "trainval": "ab", "test": "c"}.items():
        text(tmp_path / "ImageSets" / "Main" / f"{word}.txt", *stems)
    data = find_boxes(str(tmp_path), SourceOptions(splits={"train": ["trainval"], "test": ["test"]}))
    assert {role: len(split) for role, split in data.splits.items()} == {"train": 2, "test": 1}


@pytest.mark.parametrize(
    "content",
    [
        '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>',
        "<a>" * 30 + "</a>" * 30,
        "<annotation><object>",
        "",
    ],
)
def test_xml_that_could_be_more_than_it_is_is_refused(tmp_path: Path, content: str) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.xml", content)
    assert "a.xml is no XML that is read" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        (voc_xml().replace("<name>cat</name>", ""), "object without 'name'"),
        (voc_xml().replace("<xmax>11</xmax>", ""), "without 'bndbox/xmax'"),
        (voc_xml().replace(">11<", ">nan<"), "'nan' as xmax"),
    ],
)
def test_objects_without_class_or_edge_are_refused(tmp_path: Path, xml: str, says: str) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.xml", xml)
    assert says in refusal(tmp_path)


def test_coco_numbers_categories_with_holes_in_their_order(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    write_json(tmp_path / "_annotations.coco.json", coco(ids=(3, 90)))
    data = find_boxes(str(tmp_path))
    assert data.class_names == NAMES
    assert corners(data) == CORNERS
    assert any("category ids 3 to 90 have holes" in note for note in data.notes)


@pytest.mark.parametrize(
    ("other", "odd"), [({"name": "cow"}, "2 being 'cow' and not 'dog'"), ({"id": 7}, "2 being nothing and not 'dog'")]
)
def test_coco_files_of_other_categories_are_told_apart(tmp_path: Path, other: dict[str, object], odd: str) -> None:
    picture(tmp_path / "a.png")
    write_json(tmp_path / "train.json", coco())
    write_json(
        tmp_path / "val.json", coco([]) | {"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"} | other]}
    )
    assert f"val.json has other categories than {tmp_path / 'train.json'}, {odd}: make" in refusal(tmp_path)


def test_coco_has_images_without_boxes_and_crowds(tmp_path: Path) -> None:
    made = coco(images=("a.png", "b.png"))
    made["annotations"] = [made["annotations"][0] | {"iscrowd": 1}, made["annotations"][1]]
    for name in "ab":
        picture(tmp_path / "train2017" / f"{name}.png")
    write_json(tmp_path / "annotations" / "instances_train2017.json", made)
    text(tmp_path / "annotations" / "captions_train2017.json", "{}")
    data = find_boxes(str(tmp_path))
    assert [each.crowd.tolist() for each in data.train.boxes] == [[True, False], []]
    assert "train: 2 images with 2 boxes, 1 of them crowds, 1 image without boxes" in data.notes


def test_coco_finds_each_image_in_the_folder_of_its_split(tmp_path: Path) -> None:
    for split in ("train", "val"):
        picture(tmp_path / split / "a.png")
        write_json(tmp_path / "annotations" / f"{split}.json", coco())
    data = find_boxes(str(tmp_path))
    assert data.splits["validation"].describe(0) == str(tmp_path / "val" / "a.png")


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "train/../../x.png", None, 7])
def test_coco_never_leaves_the_folder(tmp_path: Path, name: object) -> None:
    picture(tmp_path / "secret.png")
    picture(tmp_path / "data" / "a.png")
    write_json(tmp_path / "data" / "train.json", coco(images=(name,)))  # type: ignore[arg-type]
    assert "names no image in" in refusal(tmp_path / "data")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"category_id": 7}, "category_id 7, which is none"),
        ({"category_id": None}, "a box without a class: add category_id"),
        ({"category_id": "1"}, "'1' as category_id: it must be a whole number"),
        ({"bbox": [1, 2, 3]}, "must be [left, top, width, height]"),
        ({"bbox": [1, 2, 3, "x"]}, "'x' as bbox"),
        ({"image_id": 99}, "annotation of the image '99'"),
        ({"bbox": None}, "None as bbox"),
    ],
)
def test_damaged_annotations_of_coco_are_refused(tmp_path: Path, change: dict, says: str) -> None:
    made = coco()
    made["annotations"][0] |= change
    picture(tmp_path / "a.png")
    write_json(tmp_path / "train.json", made)
    assert says in refusal(tmp_path)


def test_coco_has_a_file_once(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    write_json(tmp_path / "train.json", coco(images=("a.png", "a.png")))
    assert "has the file a.png twice, as the images 0 and 1: make them one" in refusal(tmp_path)


def test_areas_are_those_of_masks_where_coco_has_them(tmp_path: Path) -> None:
    made = coco([(0, 0, 0, 10, 10)] * 3)
    made["annotations"][1]["segmentation"] = [[0, 0, 10, 0, 0, 10]]
    made["annotations"][2]["area"] = 7.5
    picture(tmp_path / "a.png")
    write_json(tmp_path / "train.json", made)
    assert find_boxes(str(tmp_path)).train.boxes[0].areas.tolist() == [100, 50, 7.5]


ROWS = 3 * HEIGHT  # of the run lengths below: columns 3 to 4, of which rows 2 to 8 are inside
OUTLINES: dict[str, object] = {
    "one polygon": [[3, 2, 5, 2, 5, 9]],
    "two polygons": [[3, 4, 4, 4, 4, 9], [4, 2, 5, 2, 5, 3]],
    "run lengths": {
        "size": [HEIGHT, WIDTH],
        "counts": [ROWS + 2, 7, HEIGHT - 7, 7, WIDTH * HEIGHT - ROWS - 16 - HEIGHT],
    },
}


@pytest.mark.parametrize("outline", OUTLINES)
def test_an_annotation_of_coco_without_a_box_has_that_around_its_outline(tmp_path: Path, outline: str) -> None:
    made = coco(BOXES[:1])
    made["annotations"][0] |= {"bbox": None, "segmentation": OUTLINES[outline]}
    picture(tmp_path / "a.png")
    write_json(tmp_path / "train.json", made)
    assert corners(find_boxes(str(tmp_path))) == [[3, 2, 5, 9]]


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_are_those_of_coco(seed: int) -> None:
    inside = np.random.default_rng(seed).random((61, 43)) < 0.3 + 0.2 * seed
    encoded = rle.encode(np.asfortranarray(inside.astype(np.uint8)))
    counts = encoded["counts"].decode()
    assert area_of({"size": [61, 43], "counts": counts}) == inside.sum()
    assert sum(run_lengths(counts)) == inside.size


@pytest.mark.parametrize("counts", ["a" * 40, "\x00", "é", [-1, 3], [0, 10**400], ["x"], None])
def test_run_lengths_that_are_none_have_no_area_and_no_sides(counts: object) -> None:
    assert area_of({"counts": counts}) is None
    assert sides_of({"size": [9, 7], "counts": counts}) is None


def test_yolo_reads_lists_of_names_and_of_numbered_names(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "train" / "a.png")
    picture(tmp_path / "images" / "train" / "empty.png")
    text(tmp_path / "labels" / "train" / "a.txt", *yolo_lines())
    for names in ("[cat, dog]", "{0: cat, 1: dog}"):
        text(tmp_path / "data.yaml", "train: ../images/train", f"names: {names}")
        data = find_boxes(str(tmp_path))
        assert (data.class_names, corners(data)) == (NAMES, CORNERS)
        assert len(data.train.boxes[1]) == 0


@pytest.mark.parametrize("count", ["3", "1", "two", "[2]"])
def test_yolo_has_as_many_names_as_it_says(tmp_path: Path, count: str) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.txt", *yolo_lines())
    text(tmp_path / "data.yaml", "nc: 2", "names: [cat, dog]")
    assert find_boxes(str(tmp_path)).class_names == NAMES
    text(tmp_path / "data.yaml", f"nc: {count}", "names: [cat, dog]")
    refused = refusal(tmp_path)
    assert "data.yaml has nc: " in refused
    assert refused.endswith("and 2 names, 'cat', 'dog': make nc 2, or name each class.")


def test_an_empty_line_among_the_classes_of_yolo_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.txt", *yolo_lines())
    text(tmp_path / "classes.txt", "cat", "", "dog")
    assert "classes.txt, line 2, is empty, and the line is the class's number" in refusal(tmp_path)


def test_yolo_takes_splits_from_data_yaml_wherever_its_paths_begin(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        picture(tmp_path / split / "images" / "a.png")
        text(tmp_path / split / "labels" / "a.txt", *yolo_lines())
    text(
        tmp_path / "data.yaml",
        "train: ../train/images",
        "val: /home/me/set/valid/images",
        "test: ../test/images",
        "names: [cat, dog]",
    )
    data = find_boxes(str(tmp_path))
    assert {role: len(split) for role, split in data.splits.items()} == {"train": 1, "validation": 1}
    assert any("test split that has no images of its own here" in note for note in data.notes)


def test_yolo_uses_images_of_two_splits_in_the_first(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    text(tmp_path / "labels" / "a.txt", *yolo_lines())
    text(tmp_path / "data.yaml", "train: images", "val: images", "names: [cat, dog]")
    data = find_boxes(str(tmp_path))
    assert list(data.splits) == ["train"]
    assert any("names 1 image for two splits" in note for note in data.notes)


def test_yolo_takes_the_box_around_a_polygon(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 10, 10)
    text(tmp_path / "a.txt", "0 0.1 0.2 0.5 0.2 0.1 0.6")
    text(tmp_path / "classes.txt", "cat")
    data = find_boxes(str(tmp_path))
    assert corners(data) == [[1, 2, 5, 6]]
    assert data.train.boxes[0].areas.round(4).tolist() == [8]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0 .5 .5 .2", "which is no box"),
        ("0 .5 .5 .2 .2 .9", "which is no box"),
        ("cat .5 .5 .2 .2", "which is no box"),
        ("2 .5 .5 .2 .2", "has the class 2, and data.yaml names 2 classes"),
        ("0 100 100 20 20", "places are shares"),
        ("0 .5 .5 nan .2", "'nan' as a place"),
    ],
)
def test_lines_of_yolo_that_are_no_box_are_refused(tmp_path: Path, line: str, says: str) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "data.yaml", "names: [cat, dog]")
    text(tmp_path / "a.txt", line)
    refused = refusal(tmp_path)
    assert says in refused
    assert "a.txt, line 1," in refused


def test_lists_of_images_of_yolo_stay_in_the_folder(tmp_path: Path) -> None:
    picture(tmp_path / "data" / "a.png")
    text(tmp_path / "list.txt", "a.png")
    text(tmp_path / "data" / "data.yaml", "train: ../list.txt", "names: [cat]")
    assert "not in the data set's own folder" in refusal(tmp_path / "data")


def as_rows(boxes: Boxes) -> list[tuple[int, float, float, float, float]]:
    return [(int(k), *map(float, c)) for k, c in zip(boxes.labels, boxes.corners, strict=True)]


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_real_boxes_are_the_same_in_every_kind(shared_data: Path, tmp_path: Path, kind: str) -> None:
    """Convert 20 images of a real data set in VOC's files, and compare box by box."""
    whole = find_boxes(str(shared_data / "bccd"))
    places = range(160, 180)  # one box among them has no area
    entries = [(Path(whole.train.describe(i)), whole.train.boxes[i]) for i in places]
    for path, _ in entries:
        (tmp_path / "images").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "images")
    if kind == "coco":
        annotations = [
            {"image_id": i, "category_id": k, "bbox": [a, b, c - a, d - b]}
            for i, (_, boxes) in enumerate(entries)
            for k, a, b, c, d in as_rows(boxes)
        ]
        images = [{"id": i, "file_name": path.name, "width": 640, "height": 480} for i, (path, _) in enumerate(entries)]
        categories = [{"id": k, "name": name} for k, name in enumerate(whole.class_names)]
        write_json(tmp_path / "train.json", {"images": images, "annotations": annotations, "categories": categories})
    else:
        text(tmp_path / "data.yaml", "train: images", f"names: [{', '.join(whole.class_names)}]")
        for path, boxes in entries:
            lines = [
                f"{k} {(a + c) / 1280:.9f} {(b + d) / 960:.9f} {(c - a) / 640:.9f} {(d - b) / 480:.9f}"
                for k, a, b, c, d in as_rows(boxes)
            ]
            text(tmp_path / "labels" / f"{path.stem}.txt", *lines)
    read = find_boxes(str(tmp_path))
    assert read.class_names == whole.class_names
    by_name = {Path(read.train.describe(i)).name: read.train.boxes[i] for i in range(len(read.train))}
    for path, boxes in entries:
        again = by_name[path.name]
        assert again.labels.tolist() == boxes.labels.tolist()
        np.testing.assert_allclose(again.corners, boxes.corners, atol=1e-3)


def test_lists_that_name_none_of_the_files_are_told(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    text(tmp_path / "xml" / "a.xml", voc_xml())
    text(tmp_path / "ImageSets" / "Main" / "train.txt", "b")
    assert "name none of its 1 XML file, such as xml/a.xml: put those into Annotations" in refusal(tmp_path)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("packed", [True, False])
def test_run_lengths_without_a_box_have_that_around_their_pixels(seed: int, packed: bool) -> None:
    inside = np.zeros((9, 7), np.uint8)
    rng = np.random.default_rng(seed)
    inside[tuple(rng.integers(0, (9, 7), (1 + seed, 2)).T)] = 1
    inside[3 : 3 + seed, 1:6] = 1
    encoded = rle.encode(np.asfortranarray(inside))
    runs = encoded["counts"].decode()
    found = sides_of({"size": [9, 7], "counts": runs if packed else run_lengths(runs)})
    y, x = np.nonzero(inside)
    assert found == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]


@pytest.mark.parametrize("kind", ["yolo", "coco"])
def test_a_picture_that_is_none_is_found_and_told_when_pictures_are_read(tmp_path: Path, kind: str) -> None:
    for stem in "ab":
        picture(tmp_path / f"{stem}.png")
        text(tmp_path / f"{stem}.txt", *(yolo_lines() if kind == "yolo" else []))
    if kind == "yolo":
        text(tmp_path / "data.yaml", "names: [cat, dog]")
    else:
        write_json(tmp_path / "train.json", coco(images=("a.png", "b.png")))
    (tmp_path / "a.png").write_bytes(b"no image")
    data = find_boxes(str(tmp_path))
    assert usual_input(data, 480)[0] == 64
    images, bad = read_images(data.train, skip_corrupt=True)
    assert (len(images), [each.name for each in bad]) == (1, [str(tmp_path / "a.png")])


def test_the_boxes_of_a_picture_that_is_none_are_no_finding_of_their_own(tmp_path: Path) -> None:
    for stem in "ab":
        picture(tmp_path / f"{stem}.png")
        text(tmp_path / f"{stem}.txt", *yolo_lines())
    text(tmp_path / "data.yaml", "names: [cat, dog]")
    (tmp_path / "a.png").write_bytes(b"no image")
    assert [each.kind for each in check_boxes(find_boxes(str(tmp_path)))] == ["unreadable"]
