"""Data that is handed over as an object, against the same images in a folder, and what is refused."""

import re
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, Subset

from botzoo.data.images import read_images
from botzoo.errors import DataError
from botzoo.sources.base import ImageData, SourceOptions, Split
from botzoo.sources.find import find_images
from data.pictures import noise, open_images

NAMES = ["cat", "cat", "dog", "dog"]
PICTURES = [noise(12, 10, seed) for seed in range(4)]
ARRAYS = np.stack([np.asarray(picture) for picture in PICTURES])


class Items(Dataset[Any]):
    """A torch data set, with the names of its classes as torchvision's have them."""

    def __init__(self, images: Any, labels: Any, classes: list[str] | None = None) -> None:
        self.images, self.labels = images, labels
        if classes:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return self.images[i], self.labels[i]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four pictures in two class folders."""
    path = tmp_path_factory.mktemp("folder")
    for i, (picture, name) in enumerate(zip(PICTURES, NAMES, strict=True)):
        (path / name).mkdir(exist_ok=True)
        picture.save(path / name / f"{i}.png")
    return path


def contents(data: ImageData[Split]) -> tuple[Any, ...]:
    images, _ = read_images(data.train)
    pixels = [images.pixels(i).tolist() for i in range(len(images))]
    return data.class_names, images.labels.tolist(), pixels


def tensors(scale: float) -> list[torch.Tensor]:
    found = [torch.from_numpy(array.copy()).permute(2, 0, 1) for array in ARRAYS]
    return found if scale == 1 else [tensor / scale for tensor in found]


def hugging_face() -> datasets.Dataset:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    return datasets.Dataset.from_dict({"image": PICTURES, "label": [0, 0, 1, 1]}, features)


@pytest.mark.parametrize(
    "data",
    [
        (PICTURES, NAMES),
        (ARRAYS, np.array(NAMES)),
        Items(tensors(1), NAMES),
        Items(tensors(255), torch.tensor([0, 0, 1, 1]), ["cat", "dog"]),
        Subset(Items(PICTURES, [0, 0, 1, 1], ["cat", "dog"]), range(4)),
        list(zip(PICTURES, NAMES, strict=True)),
        pandas.DataFrame({"id": range(4), "picture": PICTURES, "label": NAMES}),
        {"train": (PICTURES, NAMES)},
        hugging_face(),
        datasets.DatasetDict(train=hugging_face()),
    ],
    ids=["pictures", "arrays", "uint8", "float", "subset", "list", "frame", "dict", "dataset", "datasetdict"],
)
def test_images_in_memory_are_those_of_a_folder(data: Any, folder: Path) -> None:
    found = find_images(data)
    assert contents(found) == contents(find_images(str(folder)))
    assert found.in_memory


def test_paths_have_the_fingerprint_of_the_folder(folder: Path) -> None:
    paths = [folder / name / f"{i}.png" for i, name in enumerate(NAMES)]
    for images in (paths, list(map(str, paths)), [path.read_bytes() for path in paths]):
        found, whole = (read_images(find_images(data).train)[0] for data in ((images, NAMES), folder))
        assert found.fingerprint == whole.fingerprint


def test_splits_are_found_by_their_names_and_validation_is_set_aside_where_there_is_none() -> None:
    parts = {"train": (PICTURES, NAMES), "val": Items(PICTURES, NAMES), "testing": (ARRAYS, NAMES)}
    assert list(find_images(parts).splits) == ["train", "validation", "test"]
    assert not open_images(parts).set_aside
    assert open_images(parts["train"]).set_aside


@pytest.mark.parametrize(
    "labels", [[["a"], [], ["a", "b"], ["b"]], np.array([[1, 0], [0, 0], [1, 1], [0, 1]])], ids=["names", "indicators"]
)
def test_lists_of_labels_are_several_labels(labels: Any) -> None:
    data = find_images((PICTURES, labels))
    assert data.train.labels.ndim == 2
    assert data.train.labels.tolist() == [[1, 0], [0, 0], [1, 1], [0, 1]]


def test_columns_can_be_named() -> None:
    frame = pandas.DataFrame({"image": PICTURES, "mask": PICTURES, "kind": NAMES})
    assert "several image columns, image, mask" in refusal(frame)
    assert find_images(frame, SourceOptions(image_column="image", label_column="kind")).class_names == ("cat", "dog")


@pytest.mark.parametrize(
    "labels",
    [
        {"label": ["a|b", "a", "b", ""]},
        {"a": [1, 1, 0, None], "b": [1.0, 0.0, 1.0, None]},
        {"labels": [["a", "b"], ["a"], ["b"], None]},
    ],
    ids=["text", "one-hot", "lists"],
)
def test_a_frame_says_several_labels_as_any_table(labels: dict[str, Any], folder: Path) -> None:
    paths = [str(folder / name / f"{i}.png") for i, name in enumerate(NAMES)]
    data = find_images(pandas.DataFrame({"path": paths, **labels}))
    assert (data.class_names, data.train.labels.tolist()) == (("a", "b"), [[1, 1], [1, 0], [0, 1]])


def test_a_frame_has_splits_and_other_columns(folder: Path) -> None:
    paths = [str(folder / name / f"{i}.png") for i, name in enumerate(NAMES)]
    frame = pandas.DataFrame(
        {"path": [*paths, paths[0]], "label": [*NAMES, "cat"], "split": ["train", "val"] * 2 + ["train"]}
    )
    data = find_images(frame.assign(who=[*"wxyz", "w"]))
    assert {role: list(split.columns["who"]) for role, split in data.splits.items()} == {
        "train": ["w", "y"],
        "validation": ["x", "z"],
    }


def test_a_frame_of_paths_that_lead_nowhere_is_refused() -> None:
    assert "give the folder that they begin at as data" in refusal(
        pandas.DataFrame({"path": [f"{i}.png" for i in range(4)], "label": NAMES})
    )


def test_numbers_of_declared_classes_may_be_missing() -> None:
    data = find_images(Items(PICTURES, [0, 0, 2, 2], ["cat", "dog", "eel"]))
    assert data.class_names == ("cat", "dog", "eel")


def test_an_exif_orientation_is_followed_and_the_picture_left_as_it_was(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    PICTURES[0].save(tmp_path / "turned.jpg", exif=exif)
    picture = Image.open(tmp_path / "turned.jpg")
    images, _ = read_images(find_images(([picture, *PICTURES[1:]], NAMES)).train)
    assert images.image(0).size == (10, 12)
    assert picture.size == (12, 10)


def refusal(data: Any) -> str:
    """The one line with which ``data`` is refused."""
    with pytest.raises(DataError) as caught:
        find_images(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (7, "is of type int: give a datasets.Dataset"),
        (pandas.Series(["a.jpg"]), "is a Series, which has images or labels, not both"),
        (pandas.DataFrame({"image": PICTURES}), "has no label column, and no columns but those that are used"),
        ({"test": (PICTURES, NAMES)}, "has no training split, only 'test'"),
        ({"image": PICTURES, "label": NAMES}, "has no training split"),
        (ARRAYS, r"Item 0 .* is ndarray \(10, 12, 3\) of uint8, and \(image, label\) is needed"),
        ((PICTURES, NAMES[:3]), "4 images and 3 labels"),
        ((PICTURES, "cats"), "labels .* are 'cats'"),
        ((PICTURES, [0.5] * 4), "label of image 0 .* is 0.5: labels must be whole numbers or text"),
        ((PICTURES, [None] * 4), "is None"),
        ((PICTURES, ["cat", 1, "cat", 1]), "text and others are numbers"),
        ((PICTURES, ["cat", ["dog"], "cat", "dog"]), "a list of labels and others"),
        ((PICTURES, ["cat"] * 4), "one class, 'cat'"),
        ((ARRAYS / 255j, NAMES), "of complex128: give a path"),
        ((ARRAYS.transpose(0, 3, 1, 2), NAMES), r"have shape \(3, 10, 12\)"),
        (([3] * 4, NAMES), "are 3: give a path"),
        (([torch.full((3, 4, 4), 2.0)] * 4, NAMES), "floating-point numbers from 2 to 2"),
        ({"train": (PICTURES, NAMES), "val": hugging_face()}, "several kinds"),
        (
            {"train": (PICTURES, NAMES), "val": (PICTURES, ["cat", "eel", "dog", "dog"])},
            "has the label 'eel', which no training",
        ),
    ],
)
def test_what_cannot_be_data_is_refused_in_one_line(data: Any, message: str) -> None:
    assert re.search(message, refusal(data)), refusal(data)


def test_labels_of_another_numbering_are_those_of_the_training_classes() -> None:
    train = Items(ARRAYS[:3], [0, 1, 2], ["cat", "dog", "owl"])
    found = find_images({"train": train, "val": Items(ARRAYS[2:], [0, 1], ["cat", "owl"])})
    assert found.validation is not None
    assert [found.class_names[k] for k in found.validation.labels] == ["cat", "owl"]
    with pytest.raises(DataError, match="class 'eel', which the training split has not"):
        find_images({"train": train, "val": Items(ARRAYS[2:], [0, 1], ["cat", "eel"])})


def test_labels_that_may_mean_that_nothing_is_known_are_said(photos: Path) -> None:
    files = [str(path) for path in sorted(photos.glob("*/*.png"))[:6]]
    notes = find_images(list(zip(files, ["cat", "NA", "", "cat", "NA", ""], strict=True))).notes
    assert any("'NA' in 2 rows and '' in 2 rows are classes as any others" in note for note in notes)
