"""Which kind of data a name means, and what is said where it means none."""

import pickle
from pathlib import Path

import numpy as np

from botzoo.sources.hub import HUB_NAMES
from data.pictures import open_images
from sources.made import refusal, table, write


def test_a_split_can_be_sent_to_another_process(tmp_path: Path) -> None:
    table().save_to_disk(tmp_path / "saved")
    for name in ("digits", str(tmp_path / "saved"), str(write(tmp_path / "folders", "cat dog"))):
        split = open_images(name).train
        copy = pickle.loads(pickle.dumps(split))
        assert np.array_equal(copy.read(1), split.read(1))
        assert copy.describe(1) == split.describe(1)


def test_an_unknown_name_is_refused_with_close_matches() -> None:
    assert "Did you mean 'cifar10' or 'cifar100'?" in refusal("cifar1")
    assert all(name in refusal("nonsense") for name in ("digits", *HUB_NAMES))
    assert "There is no data set ''" in refusal("")


def test_a_missing_folder_is_refused_with_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, "photos/cat")
    assert "Did you mean 'photos'?" in refusal(tmp_path / "photo")


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cats.rar").touch()
    said = "is a file: give the folder that holds the images, an archive or a table of labels (.zip, "
    assert said in refusal(tmp_path / "cats.rar")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "is empty" in refusal(tmp_path)
