"""Pictures that stand for images that could not be fetched, by name and by what they show."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from botzoo_finetune.doctor.placeholders import NAMES, flatness
from running import QUICK, command

pytestmark = pytest.mark.slow  # all of them together


def placeholders(data: Path, output: Path) -> list[dict[str, Any]]:
    """Return the findings of placeholders; whatever else is found, the exit status is 1 where one is to be looked at."""
    status = command("--check", "--dataset", data, "--output", output, *QUICK)
    report = json.loads((output / "check.json").read_text())
    found = [finding for finding in report["findings"] if finding["check"] == "placeholder"]
    assert status == 1 or not any(finding["look"] for finding in found)
    return found


@pytest.mark.parametrize(
    "no", ["no image", "{}NotFound", "{}_not_available", "photo-unavailable", "missing-{}", "no_{}s"]
)
@pytest.mark.parametrize("picture", ["image", "Photo", "img"])
@pytest.mark.parametrize("around", ["{}", "{}_01", "01-{}", "{}(2)"])
def test_names_of_placeholders_are_known(no: str, picture: str, around: str) -> None:
    assert NAMES.search(around.format(no.format(picture)))


@pytest.mark.parametrize(
    "name", ["piano_photo", "image_0001", "missing_hole_03", "northern", "casino image", "pic12", "404"]
)
def test_names_of_others_are_left_alone(name: str) -> None:
    assert not NAMES.search(name)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_one_picture_under_several_labels_is_named_from_three_times_on(
    count: int, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, data := tmp_path / "data")
    for k in range(1, count):
        shutil.copyfile(data / "class0" / "0.png", data / f"class{k % 3}" / f"again{k}.png")
    found = placeholders(data, tmp_path / "out")
    assert [len(finding["images"]) for finding in found] == ([count] if count > 2 else [])


@pytest.mark.parametrize("copies", [2, 3])
@pytest.mark.parametrize("name", ["cat", "no-image"])
@pytest.mark.parametrize("blank", [False, True])
def test_an_image_is_in_one_finding(copies: int, name: str, blank: bool, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, data := tmp_path / "data")
    Image.new("RGB", (32, 32)).save(data / "blank.png") if blank else shutil.copyfile(
        data / "class0" / "0.png", data / "blank.png"
    )
    for k in range(copies):
        shutil.copyfile(data / "blank.png", data / f"class{k}" / f"{name}{k}.png")
    (data / "blank.png").unlink()
    assert command("--check", "--dataset", data, "--output", tmp_path / "out", *QUICK) == 1
    report = json.loads((tmp_path / "out" / "check.json").read_text())
    found = Counter(image["name"] for finding in report["findings"] if finding["look"] for image in finding["images"])
    assert {Path(image).name for image in found} >= {f"{name}{k}.png" for k in range(copies)}
    assert set(found.values()) == {1}


def with_next_to_nothing(photos: Path, tmp_path: Path, name: str) -> Path:
    """Return a copy of the photos with one more that is nearly blank."""
    shutil.copytree(photos, data := tmp_path / "data")
    pixels = np.full((32, 32, 3), 250, np.uint8)
    pixels[14:18, 10:22] = 0
    Image.fromarray(pixels).save(data / "class1" / name)
    return data


def test_a_picture_of_next_to_nothing_is_named_among_others(photos: Path, tmp_path: Path) -> None:
    data = with_next_to_nothing(photos, tmp_path, "imageNotFound.gif")
    (finding,) = placeholders(data, tmp_path / "out")
    assert "named as a placeholder" in finding["reason"]
    assert "95% of it is one grey" in finding["reason"]
    assert finding["look"]


def test_a_picture_of_next_to_nothing_with_a_usual_name_is_worth_knowing_only(photos: Path, tmp_path: Path) -> None:
    data = with_next_to_nothing(photos, tmp_path, "sunflower.png")
    (finding,) = placeholders(data, tmp_path / "out")
    assert not finding["look"]


@pytest.mark.parametrize(("share", "levels"), [(1.0, 1), (0.5, 2), (0.25, 4)])
def test_flatness_is_the_share_of_the_commonest_grey(share: float, levels: int) -> None:
    assert flatness(Image.fromarray(np.repeat(np.arange(levels, dtype=np.uint8) * 60, 16).reshape(-1, 4))) == share
