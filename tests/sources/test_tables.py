"""Parquet files and saved data sets, and every way in which one can be wrong."""

from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet
import pytest

from botzoo.sources.base import SourceOptions
from botzoo.sources.find import find_images, names_by_split
from data.pictures import open_images
from sources.made import LABELS, refusal, table, write


@pytest.mark.parametrize("layout", ["{}.parquet", "data/{}-00000-of-00001.parquet", "default/{}/0000.parquet"])
def test_parquet_files_are_found_in_the_usual_layouts(tmp_path: Path, layout: str) -> None:
    for split in ("train", "test"):
        path = tmp_path / layout.format(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        table(image="img").to_parquet(path)
    data = open_images(str(tmp_path))
    assert data.class_names == ("cat", "dog")
    assert {role: len(split) for role, split in data.splits.items()} == {"train": 8, "validation": 2, "test": 10}
    assert data.train.read(0).startswith(b"image ")  # type: ignore[union-attr]


def test_parquet_files_without_a_split_in_their_names_are_for_training(tmp_path: Path) -> None:
    table(4).to_parquet(tmp_path / "a.parquet")
    table(6).to_parquet(tmp_path / "b.PARQUET")
    assert sum(len(split) for split in open_images(str(tmp_path)).splits.values()) == 10


def test_what_lies_beside_parquet_files_does_not_matter(tmp_path: Path) -> None:
    folder = write(tmp_path / "my [data] set*", "figures", each=9)
    (folder / "README.md").write_text("# Cats and dogs")
    table().to_parquet(folder / "train.parquet")
    assert open_images(str(folder)).class_names == ("cat", "dog")


def test_the_card_of_a_parquet_folder_names_its_files(tmp_path: Path) -> None:
    table(8).to_parquet(tmp_path / "one.parquet")
    table(6).to_parquet(tmp_path / "two.parquet")
    files = "  - {split: train, path: one.parquet}\n  - {split: validation, path: two.parquet}"
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}\n---\n")
    assert {role: len(split) for role, split in open_images(str(tmp_path)).splits.items()} == {
        "train": 8,
        "validation": 6,
    }


def test_a_read_only_parquet_folder_can_be_read(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "train.parquet")
    tmp_path.chmod(0o555)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert len(open_images(str(tmp_path)).train) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("one", [True, False])
def test_saved_data_sets_can_be_read(tmp_path: Path, one: bool) -> None:
    saved = table().shuffle(seed=0) if one else datasets.DatasetDict({"train": table(), "valid": table(4)})
    saved.save_to_disk(tmp_path / "saved")
    data = open_images(str(tmp_path / "saved"))
    assert {role: len(split) for role, split in data.splits.items()} == (
        {"train": 8, "validation": 2} if one else {"train": 10, "validation": 4}
    )


def test_rows_keep_their_labels_whatever_their_order(tmp_path: Path) -> None:
    shuffled = table().shuffle(seed=0).select(range(8))
    shuffled.save_to_disk(tmp_path / "saved")
    train = open_images(str(tmp_path / "saved")).train
    numbers = [int(train.read(i).split()[1]) for i in range(len(train))]  # type: ignore[union-attr,arg-type]
    assert [number % 2 for number in numbers] == train.labels.tolist()


def test_labels_may_be_text(tmp_path: Path) -> None:
    names = ["dog", "cat", "dog", "cat"]
    table(4).remove_columns("label").add_column("label", names).to_parquet(tmp_path / "train.parquet")
    data = open_images(str(tmp_path), val_fraction=0.5)
    assert data.class_names == ("cat", "dog")
    assert sorted(data.train.labels.tolist()) == [0, 1]


def test_images_of_no_declared_type_are_found(tmp_path: Path) -> None:
    plain = datasets.Dataset.from_dict({"jpg": [b"a", b"b"] * 4, "cls": [0, 1] * 4})
    plain.to_parquet(tmp_path / "train.parquet")
    train = open_images(str(tmp_path)).train
    assert [train.read(i) for i in range(len(train))] == [b"ab"[k : k + 1] for k in train.labels]


def test_cifar10_has_its_ten_classes_and_a_test_split(shared_data: Path) -> None:
    data = open_images(str(shared_data / "cifar10"))
    assert data.class_names[:3] == ("airplane", "automobile", "bird")
    assert {role: len(split) for role, split in data.splits.items()} == {
        "train": 40_000,
        "validation": 10_000,
        "test": 10_000,
    }
    assert np.bincount(data.train.labels).tolist() == [4000] * 10


def test_an_unknown_column_is_refused_with_close_matches(tmp_path: Path) -> None:
    table(image="img").to_parquet(tmp_path / "train.parquet")
    assert "Did you mean 'img'?" in refusal(tmp_path, image_column="imgs")
    assert "it has img, label" in refusal(tmp_path, label_column="klass")


def test_several_label_columns_are_refused_until_one_is_named(tmp_path: Path) -> None:
    two = table().add_column("coarse", [0] * 10).cast_column("coarse", LABELS)
    two.to_parquet(tmp_path / "train.parquet")
    assert "several label columns, label, coarse" in refusal(tmp_path)
    assert len(open_images(str(tmp_path), label_column="label").train) == 8


@pytest.mark.parametrize(("column", "flag"), [("x", "image"), ("score", "label"), ("boxes", "label")])
def test_a_column_of_the_wrong_type_is_refused(tmp_path: Path, column: str, flag: str) -> None:
    wrong = table().add_column("x", [1] * 10).add_column("score", [0.5] * 10).add_column("boxes", [[0.5]] * 10)
    wrong.to_parquet(tmp_path / "train.parquet")
    message = refusal(tmp_path, **{f"{flag}_column": column})
    assert f"Column '{column}'" in message
    assert f"--data.{flag}-column" in message


def test_a_parquet_file_of_something_else_is_refused(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["a"], "n": [1]}).to_parquet(tmp_path / "train.parquet")
    assert "no image column among text, n" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing of the kind"])
def test_a_damaged_parquet_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.parquet").write_bytes(content)
    assert "train.parquet is damaged" in refusal(tmp_path)


def test_a_parquet_file_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "train.parquet")
    content = bytearray((tmp_path / "train.parquet").read_bytes())
    content[-200:-8] = bytes(192)
    (tmp_path / "train.parquet").write_bytes(content)
    assert "is damaged" in refusal(tmp_path)


def test_a_damaged_saved_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("label", [7, -2])
def test_a_label_out_of_range_is_refused(tmp_path: Path, label: int) -> None:
    arrow = table(4).data.table
    arrow = arrow.set_column(1, arrow.schema.field(1), pyarrow.array([0, 1, 0, label]))
    pyarrow.parquet.write_table(arrow, tmp_path / "train.parquet")
    message = refusal(tmp_path)
    assert "row 3 of the train split" in message
    assert f"has label {label}, which is out of range for 2 classes" in message


def _saved(data: datasets.Dataset, path: Path) -> str:
    data.save_to_disk(path)
    return str(path)


def test_a_row_without_a_label_is_refused(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict(
        {"image": [None] * 4, "label": [0, 1, None, 1]}, datasets.Features({"image": datasets.Image(), "label": LABELS})
    )
    assert "row 2 of the train split" in refusal(_saved(rows, tmp_path / "saved"))


def test_a_test_split_without_labels_is_not_used(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "train.parquet")
    hidden = datasets.Dataset.from_dict({"image": [None] * 3, "label": [-1] * 3}, table().features)
    hidden.to_parquet(tmp_path / "test.parquet")
    data = open_images(str(tmp_path))
    assert data.test is None
    assert data.notes[0] == "the test split has no labels, so it is not used"


def test_splits_that_number_the_classes_differently_are_refused(tmp_path: Path) -> None:
    other = table().cast_column("label", datasets.ClassLabel(names=["dog", "cat"]))
    datasets.DatasetDict({"train": table(), "validation": other}).save_to_disk(tmp_path / "saved")
    assert "other classes than the training split" in refusal(tmp_path / "saved")


def test_a_data_set_without_a_training_split_is_refused(tmp_path: Path) -> None:
    datasets.DatasetDict({"test": table(), "extra": table()}).save_to_disk(tmp_path / "saved")
    assert "has no training split, only 'test', 'extra'" in refusal(tmp_path / "saved")


def subset(split: str, labels: list[int]) -> datasets.Dataset:
    """Rows of a data set that declares three classes."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog", "eel"])})
    cells = [{"bytes": b"image", "path": None}] * len(labels)
    return datasets.Dataset.from_dict({"image": cells, "label": labels}, features, split=split)


def test_a_declared_class_without_images_stays_a_class(tmp_path: Path) -> None:
    data = open_images(_saved(subset("train", [0, 1] * 5), tmp_path / "saved"))
    assert data.class_names == ("cat", "dog", "eel")
    assert data.notes[0] == "no training images of 'eel', which the data declares: classes that are never learned"
    assert np.bincount(data.splits["validation"].labels, minlength=3).tolist() == [1, 1, 0]


def test_a_declared_class_with_images_for_validation_only_is_refused(tmp_path: Path) -> None:
    both = datasets.DatasetDict({"train": subset("train", [0, 1] * 5), "validation": subset("validation", [0, 2])})
    both.save_to_disk(tmp_path / "saved")
    assert "has images of 'eel', of which there are no training images" in refusal(tmp_path / "saved")


def test_names_of_a_text_column_are_those_of_each_split(tmp_path: Path) -> None:
    for role, names in {"train": ["cat", "dog"], "test": ["cat", "dog "]}.items():
        table(2).remove_columns("label").add_column("label", names).to_parquet(tmp_path / f"{role}.parquet")
    assert names_by_split(str(tmp_path)) == {"train": ["cat", "dog"], "test": ["cat", "dog "]}


def test_declared_names_are_those_of_each_split(tmp_path: Path) -> None:
    table(4).to_parquet(tmp_path / "train.parquet")
    assert names_by_split(str(tmp_path), SourceOptions(label_column="label")) == {"train": ["cat", "dog"]}
    assert names_by_split("owner/name") == {}


def arrow(kind: str) -> pyarrow.Array:
    """Four labels in a column of this type."""
    plain = pyarrow.array(["cat", "dog"] * 2)
    listed = pyarrow.array([["cat"], ["dog"]] * 2)
    if kind == "dictionary":
        return plain.dictionary_encode()
    return {"list": listed, "large_list": listed.cast(pyarrow.large_list(pyarrow.large_string()))}.get(
        kind, plain.cast(kind) if not kind.endswith("list") else listed
    )


TEXTS = ["string", "large_string", "string_view", "binary", "large_binary", "dictionary"]


@pytest.mark.parametrize("kind", [*TEXTS, "list", "large_list"])
def test_labels_are_text_in_every_type_of_text_and_lists_of_one(kind: str) -> None:
    pictures = pyarrow.array([{"bytes": bytes([200 + i]), "path": None} for i in range(4)])
    data = find_images(datasets.Dataset(pyarrow.table({"image": pictures, "label": arrow(kind)})))
    assert (data.class_names, data.train.labels.tolist()) == (("cat", "dog"), [0, 1, 0, 1])
    assert data.notes == (("each list in 'label' has one label, so that an image has one",) if "list" in kind else ())


@pytest.mark.parametrize("kind", TEXTS)
def test_paths_are_text_in_every_type_of_text(kind: str) -> None:
    paths = pyarrow.array([f"photos/{i}.png" for i in range(4)])
    cells = paths.dictionary_encode() if kind == "dictionary" else paths.cast(kind)
    data = find_images(datasets.Dataset(pyarrow.table({"picture": cells, "label": arrow("large_string")})))
    assert [data.train.read(i) for i in range(4)] == [Path(f"photos/{i}.png") for i in range(4)]


@pytest.mark.parametrize("kind", ["binary", "large_binary", "binary_view"])
def test_pictures_are_bytes_in_every_type_of_bytes(kind: str) -> None:
    pictures = pyarrow.array([bytes([137, 80, i]) for i in range(4)], kind)
    for label in ("string", "binary"):
        data = find_images(datasets.Dataset(pyarrow.table({"x": pictures, "label": arrow(label)})))
        assert data.train.read(3) == bytes([137, 80, 3])


def test_a_list_of_several_labels_in_one_split_is_several_labels_in_all() -> None:
    one, two = ({"image": [b"\xff", b"\xfe"], "label": cells} for cells in ([["a"], ["b"]], [["a", "b"], ["a"]]))
    data = find_images({role: datasets.Dataset.from_dict(cells) for role, cells in (("train", one), ("val", two))})
    assert data.train.labels.tolist() == [[1, 0], [0, 1]]
