"""What names of files tell of images that belong together."""

import pytest

from botzoo_finetune.doctor.findings import Finding
from botzoo_finetune.doctor.quick import check_groups


def named(form: str) -> list[Finding]:
    """What names suggest of 40 images, the first half in training: ``{g}`` is one of ten groups, ``{i}`` the image."""
    paths = [form.format(g=i % 10, i=i, c=i % 2) for i in range(40)]
    return check_groups({"train": paths[:20], "validation": paths[20:]}, 2)


@pytest.mark.parametrize(
    "form",
    [
        "{c}/patient{g}_{i:03}.png", "v{g}-frame{i:04}.jpg", "{c}/IMG_12{g}_crop{i}.jpg", "scan{g} ({i}).png",
        "000{g}_c1s1_{i:06}.jpg", "cell{g}.slice.{i}.tif", "cat{g}_jpg.rf.{i:032x}.jpg",
    ],
)  # fmt: skip
def test_series_of_images_in_two_splits_are_told(form: str) -> None:
    assert [finding.check for finding in named(form)] == ["groups"]


@pytest.mark.parametrize(
    "form",
    [
        "{c}/cat.{i:03}.jpg", "class{c}_{i}.png", "{c}/{i}.png", "{c}/{g}.png", "IMG_{i:04}.JPG", "{i:08}.jpg", "frame{i}.png",
        "1000{i:05}_f52e8ee0{i:02x}_n.jpg", "{i:032x}.png", "row {i} of the train split", "photo ({i}).jpg", "DSC{i:05}.ARW",
    ],
)  # fmt: skip
def test_numbers_of_a_class_or_a_camera_are_no_series(form: str) -> None:
    assert named(form) == []
