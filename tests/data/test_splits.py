"""Splits that a run makes itself."""

from pathlib import Path

import numpy as np
import pytest

from botzoo.data.splits import with_validation
from botzoo.sources.find import find_images
from data.pictures import open_images
from sources.made import refusal, write
from sources.targets.made import coco, picture, write_json


def test_setting_aside_loses_and_doubles_no_image_and_depends_on_the_seed(tmp_path: Path) -> None:
    name = str(write(tmp_path, "cat dog", each=10))
    splits = [open_images(name, seed=seed).splits for seed in (0, 0, 1)]
    files = [{role: [split.describe(i) for i in range(len(split))] for role, split in s.items()} for s in splits]
    assert files[0] == files[1] != files[2]
    assert len(set(files[0]["train"]) | set(files[0]["validation"])) == 20


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
def test_each_class_keeps_images_on_both_sides(tmp_path: Path, fraction: float) -> None:
    write(tmp_path, "common", each=60), write(tmp_path, "rare", each=2)
    splits = open_images(str(tmp_path), val_fraction=fraction).splits
    assert all(np.bincount(split.labels, minlength=2).min() >= 1 for split in splits.values())


def test_a_class_of_one_image_cannot_be_split(tmp_path: Path) -> None:
    assert "class 'cat' has one image" in refusal(write(tmp_path, "cat dog", each=1))


@pytest.mark.parametrize("seed", range(10))
def test_where_few_pictures_have_boxes_one_of_them_is_set_aside(tmp_path: Path, seed: int) -> None:
    made = coco(images=[f"{i}.png" for i in range(20)])
    made["annotations"] = [each for each in made["annotations"] if each["image_id"] < 2]
    for i in range(20):
        picture(tmp_path / f"{i}.png")
    write_json(tmp_path / "train.json", made)
    cut = with_validation(find_images(str(tmp_path), kind="detect"), 0.2, seed)
    assert cut.validation.labels.any()
    assert cut.train.labels.any()
