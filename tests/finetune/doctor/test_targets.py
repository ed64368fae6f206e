"""What --check says of boxes and masks, of data sets in which everything is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from botzoo.data.images import read_images
from botzoo.sources.find import Kind, find_images
from botzoo.tasks.find import task_of
from botzoo_finetune.doctor.duplicates import check_duplicates
from botzoo_finetune.doctor.findings import Finding, Roll
from botzoo_finetune.doctor.page import ADVICE
from botzoo_finetune.doctor.targets import check_targets
from running import command
from sources.targets.made import BOXES, HEIGHT, WIDTH, Rows, coco, mask, picture, text, voc_xml, write_json

BAD: dict[str, Rows] = {
    "fine": BOXES,
    "no area": [*BOXES, (0, 3, 3, 3, 9)],
    "outside": [*BOXES, (0, 3, 3, 90, 9)],
    "double": [*BOXES, BOXES[0]],
    "nothing on it": [],
}


def bad_boxes(folder: Path) -> Path:
    """Pictures that are called by what is wrong with their boxes."""
    for k, (name, boxes) in enumerate(BAD.items()):
        rng = np.random.default_rng(k)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)).save(folder / "images" / f"{name}.png")
        text(folder / "xml" / f"{name}.xml", voc_xml(boxes))
    return folder


def bad_masks(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    made = {
        "fine": rng.integers(0, 2, (HEIGHT, WIDTH)),
        "size": rng.integers(0, 2, (HEIGHT, WIDTH + 1)),
        "unreadable": np.full((HEIGHT, WIDTH), 7),  # a class that has no name
        "nothing on it": np.zeros((HEIGHT, WIDTH)),
        "ignored": np.full((HEIGHT, WIDTH), 255),
    }
    for name, values in made.items():
        picture(folder / "images" / f"{name}.png")
        mask(folder / "masks" / f"{name}.png", values)
    text(folder / "classes.txt", "sky", "road", "unused class")
    return folder


def found(folder: Path, kind: Kind) -> tuple[list[Finding], Roll]:
    data = find_images(str(folder), kind=kind)
    read = {role: read_images(split, skip_corrupt=True) for role, split in data.splits.items()}
    roll = Roll(
        data.class_names,
        {role: images for role, (images, _) in read.items()},
        [bad.name for _, b in read.values() for bad in b],
    )
    return check_targets(task_of(data), data, roll), roll


@pytest.mark.parametrize(("make", "kind"), [(bad_boxes, "detect"), (bad_masks, "segment")])
def test_each_picture_is_named_with_what_is_wrong_with_it(make: object, kind: Kind, tmp_path: Path) -> None:
    findings, roll = found(make(tmp_path), kind)  # type: ignore[operator]
    said = {finding.check: [Path(roll.entry(i).name).stem for i in finding.images] for finding in findings}
    assert {check for check, names in said.items() if names == [check]} == said.keys() - {"unused class"}
    wanted = {"size", "unreadable", "nothing on it", "ignored", "unused class"}
    assert said.keys() == (wanted if kind == "segment" else BAD.keys() - {"fine"})
    assert said.keys() <= ADVICE.keys()


def test_a_picture_of_two_splits_is_named(tmp_path: Path) -> None:
    for role, own in (("train", "b"), ("val", "c")):
        picture(tmp_path / f"{own}.png")
        write_json(tmp_path / f"{role}.json", coco(images=("a.png", f"{own}.png")))
    picture(tmp_path / "a.png")
    (finding,), roll = found(tmp_path, "detect")
    assert (finding.check, roll.entry(finding.images[0])[:2]) == ("two splits", (str(tmp_path / "a.png"), "validation"))


def test_a_picture_of_two_splits_is_found_under_another_name(tmp_path: Path) -> None:
    for role in ("train", "val"):
        picture(tmp_path / f"{role}.png")
        write_json(tmp_path / f"{role}.json", coco(images=(f"{role}.png",)))
    _, roll = found(tmp_path, "detect")
    (copies,) = check_duplicates(roll)
    assert [roll.entry(i).split for i in copies.images] == ["train", "validation"]


@pytest.mark.slow
def test_the_report_has_it_and_the_exit_status_tells(tmp_path: Path) -> None:
    words = ("--dataset", bad_boxes(tmp_path / "d"), "--task", "detect", "--check", "--output", tmp_path / "out")
    assert command(*words, "--model", "test_resnet", "--scratch", "--img-size", "32", "--batch-size", "2") == 1
    report = json.loads((tmp_path / "out" / "check.json").read_text())
    checks = {finding["check"] for finding in report["findings"]}
    assert {"no area", "outside", "double", "nothing on it"} <= checks
    assert "no area" in (tmp_path / "out" / "check.html").read_text()
