"""Columns of lists of labels: every kind that is read, and every way in which one can be wrong."""

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from botzoo.data.streaming.find import find_shards
from botzoo.errors import DataError
from botzoo.sources.find import find_images
from data.pictures import open_images

NAMES = ["cat", "dog", "eel"]
CLASSES = datasets.List(datasets.ClassLabel(names=NAMES))
SETS = [[0], [0, 2], [], [1, 2], [2], [1]]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the library makes of parquet files out of the user's own cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def table(cells: list[Any], feature: Any = CLASSES, column: str = "labels", **more: Any) -> datasets.Dataset:
    images = [{"bytes": f"image {i}".encode(), "path": None} for i in range(len(cells))]
    features = datasets.Features({"image": datasets.Image(), column: feature})
    return datasets.Dataset.from_dict({"image": images, column: cells}, features)


def saved(folder: Path, *args: Any, **splits: datasets.Dataset) -> str:
    """Write a data set as ``save_to_disk`` does: of one split, or of those named."""
    whole = datasets.DatasetDict(splits) if splits else table(*args)
    whole.save_to_disk(str(folder / "data"))
    return str(folder / "data")


def refusal(name: str) -> str:
    with pytest.raises(DataError) as caught:
        find_images(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_lists_of_class_labels_are_found_by_type(tmp_path: Path) -> None:
    data = find_images(saved(tmp_path, SETS, CLASSES, "seen"))
    assert data.train.labels.ndim == 2
    assert data.class_names == tuple(NAMES)
    assert data.train.labels.dtype == np.uint8
    assert data.train.labels.tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 0], [0, 1, 1], [0, 0, 1], [0, 1, 0]]
    assert data.train.class_counts(3).tolist() == [2, 2, 3]


def test_parquet_files_are_read_alike(tmp_path: Path) -> None:
    table(SETS).to_parquet(tmp_path / "train.parquet")
    table(SETS[:3]).to_parquet(tmp_path / "test.parquet")
    data = find_images(str(tmp_path))
    assert data.train.labels.ndim == 2
    assert data.test is not None
    assert data.test.labels.tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 0]]


def test_text_is_a_name_itself(tmp_path: Path) -> None:
    cells = [["dog"], ["cat", "dog"], [], ["eel"]]
    data = find_images(saved(tmp_path, cells, datasets.List(datasets.Value("string"))))
    assert data.class_names == ("cat", "dog", "eel")
    assert data.train.labels.tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("kind", ["int64", "uint8", "bool"])
def test_zeros_and_ones_are_labels_without_names(tmp_path: Path, kind: str) -> None:
    cells = [[1, 0, 0], [0, 0, 0], [1, 1, 1]]
    data = find_images(saved(tmp_path, cells, datasets.List(datasets.Value(kind))))
    assert data.class_names == ("class 0", "class 1", "class 2")
    assert data.train.labels.tolist() == cells


def test_other_numbers_are_labels_themselves(tmp_path: Path) -> None:
    data = find_images(saved(tmp_path, [[7], [3, 7], []], datasets.List(datasets.Value("int64"))))
    assert (data.class_names, data.train.labels.tolist()) == (("3", "7"), [[0, 1], [1, 1], [0, 0]])


def test_one_label_for_each_image_goes_before_lists(tmp_path: Path) -> None:
    one = table(SETS).add_column("label", [0, 1, 2] * 2).cast_column("label", datasets.ClassLabel(names=NAMES))
    one.save_to_disk(str(tmp_path / "data"))
    assert find_images(str(tmp_path / "data")).train.labels.ndim == 1


def test_a_test_split_without_labels_is_not_used(tmp_path: Path) -> None:
    data = find_images(saved(tmp_path, train=table(SETS), test=table([None, None])))
    assert data.test is None
    assert "the test split has no labels, so it is not used" in data.notes


@pytest.mark.parametrize(
    ("cells", "inner", "words"),
    [
        ([[0.5]], datasets.Value("float32"), "has type List(Value('float32')): labels must be"),
        ([[[0]]], datasets.List(datasets.Value("int64")), "has type List(List("),
        ([["a"], None], datasets.Value("string"), "Row 1 of the train split"),
        ([["a", None], ["b"]], datasets.Value("string"), "has label None"),
        ([["a"], ["a"]], datasets.Value("string"), "has one class, 'a'"),
        ([[0, 0], [0, 0]], datasets.Value("int64"), "No image in the train split"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(tmp_path: Path, cells: list[Any], inner: Any, words: str) -> None:
    assert words in refusal(saved(tmp_path, cells, datasets.List(inner)))


def test_a_number_outside_the_names_is_refused(tmp_path: Path) -> None:
    table([[0], [1], [2, 3]], datasets.List(datasets.Value("int64"))).to_parquet(tmp_path / "train.parquet")
    declared = table(SETS).features
    whole = datasets.load_dataset("parquet", data_files=str(tmp_path / "train.parquet"), cache_dir=str(tmp_path / "c"))
    whole["train"].cast(datasets.Features({"image": datasets.Image(), "labels": declared["labels"]})).save_to_disk(
        str(tmp_path / "data")
    )
    assert "Row 2 of the train split" in (said := refusal(str(tmp_path / "data")))
    assert "has label 3, which is none of its 3 classes: 'cat', 'dog', 'eel'" in said


def test_a_label_of_the_validation_split_alone_is_refused(tmp_path: Path) -> None:
    text = datasets.List(datasets.Value("string"))
    name = saved(tmp_path, train=table([["a"], ["b"]], text), validation=table([["c"]], text))
    assert "Row 0 of the validation split" in refusal(name)


def test_zeros_and_ones_must_be_as_many_in_every_split(tmp_path: Path) -> None:
    numbers = datasets.List(datasets.Value("int64"))
    name = saved(tmp_path, train=table([[0, 1], [1, 1]], numbers), validation=table([[1]], numbers))
    assert "there must be 2 of them, each 0 or 1" in refusal(name)


def test_a_stream_of_lists_is_refused(tmp_path: Path) -> None:
    table(SETS).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"leave --data\.streaming out"):
        find_shards(str(tmp_path))


def test_images_are_set_aside_at_random_but_never_the_last_of_a_label(tmp_path: Path) -> None:
    cells = [[0]] * 30 + [[1, 0]] * 10 + [[2]]
    for seed in range(5):
        data = open_images(saved(tmp_path / str(seed), cells), val_fraction=0.5, seed=seed)
        assert data.validation is not None
        assert (len(data.train), len(data.validation)) == (21, 20)
        assert data.train.labels.sum(0).min() == 1
        assert any("whatever their labels" in note for note in data.notes)
        assert "none of those has 'eel', so nothing is known of them" in data.notes
