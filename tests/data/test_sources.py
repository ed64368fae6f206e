"""Every kind of data set that can be named, and every way in which one can be wrong."""

import http.server
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import datasets
import huggingface_hub.constants
import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from botzoo.data.sources.find import names_by_split, open_images
from botzoo.data.sources.hub import HUB_NAMES
from botzoo.errors import DataError, NetworkError

LABELS = datasets.ClassLabel(names=["cat", "dog"])


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the library makes of parquet files out of the user's own cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def write(folder: Path, files: str, each: int = 3) -> Path:
    """Write ``each`` images into each of the space-separated folders; + stands for a space in a name."""
    for name in files.split():
        inside = folder / name.replace("+", " ")
        inside.mkdir(parents=True)
        for i in range(each):
            Image.new("RGB", (4, 4), (i, 0, 0)).save(inside / f"{i}.png")
    return folder


def table(rows: int = 10, image: str = "image", label: str = "label", **more: object) -> datasets.Dataset:
    """A data set of ``rows`` images, the labels 0 and 1 in turn."""
    cells = [{"bytes": f"image {i}".encode(), "path": None} for i in range(rows)]
    features = datasets.Features({image: datasets.Image(), label: LABELS})
    return datasets.Dataset.from_dict({image: cells, label: [i % 2 for i in range(rows)]}, features)


def refusal(name: Path | str, **options: str) -> str:
    """The one line with which opening ``name`` is refused."""
    with pytest.raises(DataError) as caught:
        open_images(str(name), **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What can be named


def test_digits_are_those_of_scikit_learn_and_are_not_mirrored() -> None:
    data = open_images("digits")
    assert len(data.splits["train"]) + len(data.splits["validation"]) == len(load_digits().target) == 1797
    assert data.class_names == tuple("0123456789")
    assert not data.mirrored


def test_a_folder_of_class_folders_is_split_by_class(tmp_path: Path) -> None:
    data = open_images(str(write(tmp_path, "cat dog", each=10)))
    assert data.class_names == ("cat", "dog")
    assert data.validation is not None
    assert np.bincount(data.train.labels).tolist() == [8, 8]
    assert np.bincount(data.validation.labels).tolist() == [2, 2]
    assert data.notes == ("no validation split: 4 of 20 training images (20% of each class) are set aside",)


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


@pytest.mark.parametrize("names", ["train validation test", "Train VAL Test", "training valid testing"])
def test_split_folders_are_found_under_their_usual_names(tmp_path: Path, names: str) -> None:
    for name in names.split():
        write(tmp_path / name, "cat dog")
    data = open_images(str(tmp_path))
    assert list(data.splits) == ["train", "validation", "test"]
    assert data.notes == ()


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert open_images(str(write(tmp_path, "train car plane"))).class_names == ("car", "plane", "train")


def test_a_class_called_train_may_be_sorted_further(tmp_path: Path) -> None:
    data = open_images(str(write(tmp_path, "train/steam train/diesel car plane")))
    assert data.class_names == ("car", "plane", "train")


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    assert open_images(str(write(tmp_path, "test control"))).class_names == ("control", "test")


def test_folders_beside_the_splits_are_no_classes(tmp_path: Path) -> None:
    write(tmp_path, "train/cat train/dog val/cat val/dog extra")
    data = open_images(str(tmp_path))
    assert data.class_names == ("cat", "dog")
    assert data.notes == ("not used: 'extra', not named as a split",)


def test_a_table_beside_the_class_folders_of_a_split_does_not_hide_them(tmp_path: Path) -> None:
    write(tmp_path, "train/cat train/dog")
    (tmp_path / "train" / "labels.csv").write_text("a,b")
    assert open_images(str(tmp_path)).class_names == ("cat", "dog")


def test_an_unlabelled_test_folder_is_left_alone(tmp_path: Path) -> None:
    data = open_images(str(write(tmp_path, "train/cat train/dog test")))
    assert data.class_names == ("cat", "dog")
    assert "the test folder has no class folders, so it is not used" in data.notes


def test_images_outside_class_folders_are_mentioned(tmp_path: Path) -> None:
    Image.new("L", (1, 1)).save(write(tmp_path, "cat dog") / "stray.png")
    assert any("1 image(s)" in note for note in open_images(str(tmp_path)).notes)


def test_class_names_may_hold_spaces_and_any_script(tmp_path: Path) -> None:
    assert open_images(str(write(tmp_path, "black+cat Žaba 犬"))).class_names == ("black cat", "Žaba", "犬")


def test_linked_files_and_folders_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "real", "cat dog")
    (tmp_path / "data" / "cat").mkdir(parents=True)
    (tmp_path / "data" / "cat" / "a.png").symlink_to(tmp_path / "real" / "cat" / "0.png")
    (tmp_path / "data" / "cat" / "more").symlink_to(tmp_path / "real" / "cat")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "real" / "dog")
    data = open_images(str(tmp_path / "data"))
    assert sum(len(split) for split in data.splits.values()) == 1 + 3 + 3


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "cat dog .git cat/.thumbs __MACOSX")
    for junk in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png"):
        (tmp_path / "cat" / junk).touch()
    data = open_images(str(tmp_path))
    assert data.class_names == ("cat", "dog")
    assert sum(len(split) for split in data.splits.values()) == 6


@pytest.mark.parametrize("stray", ["notes.txt", "boxes.json", "about.md", "LIST.CSV"])
def test_a_file_that_is_no_image_by_its_name_is_counted_and_not_used(tmp_path: Path, stray: str) -> None:
    (write(tmp_path, "cat dog") / "cat" / stray).write_text("nice cat")
    data = open_images(str(tmp_path))
    assert sum(len(split) for split in data.splits.values()) == 6
    assert data.notes[0].startswith(f"not used: 1 file(s) in {tmp_path}")
    assert stray in data.notes[0]


@pytest.mark.parametrize("name", ["notes.heic", "photo.JPG", "scan"])
def test_a_file_that_may_be_an_image_is_kept_so_that_reading_reports_it(tmp_path: Path, name: str) -> None:
    (write(tmp_path, "cat dog") / "cat" / name).write_text("nice cat")
    assert sum(len(split) for split in open_images(str(tmp_path)).splits.values()) == 7


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


def test_a_split_can_be_sent_to_another_process(tmp_path: Path) -> None:
    table().save_to_disk(tmp_path / "saved")
    for name in ("digits", str(tmp_path / "saved"), str(write(tmp_path / "folders", "cat dog"))):
        split = open_images(name).train
        copy = pickle.loads(pickle.dumps(split))
        assert np.array_equal(copy.read(1), split.read(1))
        assert copy.describe(1) == split.describe(1)


def test_cifar10_has_its_ten_classes_and_a_test_split(shared_data: Path) -> None:
    data = open_images(str(shared_data / "cifar10"))
    assert data.class_names[:3] == ("airplane", "automobile", "bird")
    assert {role: len(split) for role, split in data.splits.items()} == {
        "train": 40_000,
        "validation": 10_000,
        "test": 10_000,
    }
    assert np.bincount(data.train.labels).tolist() == [4000] * 10


# What can be wrong: names and folders


def test_an_unknown_name_is_refused_with_close_matches() -> None:
    assert "Did you mean 'cifar10' or 'cifar100'?" in refusal("cifar1")
    assert all(name in refusal("nonsense") for name in ("digits", *HUB_NAMES))
    assert "There is no data set ''" in refusal("")


def test_a_missing_folder_is_refused_with_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, "photos/cat")
    assert "Did you mean 'photos'?" in refusal(tmp_path / "photo")


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cats.zip").touch()
    assert "is a file" in refusal(tmp_path / "cats.zip")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "is empty" in refusal(tmp_path)


def test_images_without_class_folders_are_refused(tmp_path: Path) -> None:
    assert "has no class folders" in refusal(write(tmp_path, "photos") / "photos")


def test_splits_without_class_folders_are_refused(tmp_path: Path) -> None:
    assert "put the images of each class into a folder of its own" in refusal(write(tmp_path, "train val"))


def test_splits_without_a_training_one_are_refused(tmp_path: Path) -> None:
    assert "no train folder" in refusal(write(tmp_path, "val/cat val/dog test/cat test/dog"))


def test_two_folders_for_one_split_are_refused(tmp_path: Path) -> None:
    assert "two validation splits" in refusal(write(tmp_path, "train/cat train/dog val/cat valid/cat"))


def test_a_validation_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    assert "has no class folders" in refusal(write(tmp_path, "train/cat train/dog val"))


def test_one_class_is_refused(tmp_path: Path) -> None:
    assert "has one class, 'cat'" in refusal(write(tmp_path, "cat"))


def test_one_folder_around_the_classes_is_refused_with_the_right_path(tmp_path: Path) -> None:
    assert f"give {tmp_path / 'flowers'}" in refusal(write(tmp_path, "flowers/daisy flowers/rose"))


def test_class_folders_without_any_image_are_refused(tmp_path: Path) -> None:
    assert "is empty: it has no images" in refusal(write(tmp_path, "cat dog", each=0))


@pytest.mark.parametrize("root", ["", "train/"])
def test_an_empty_class_folder_is_refused(tmp_path: Path, root: str) -> None:
    write(tmp_path, f"{root}cat {root}dog"), (tmp_path / root / "eel").mkdir()
    assert "no training images of 'eel'" in refusal(tmp_path)


def test_a_class_without_validation_images_is_mentioned(tmp_path: Path) -> None:
    data = open_images(str(write(tmp_path, "train/cat train/dog val/cat")))
    assert data.notes == ("the validation split has no images of 'dog', so nothing is known of them",)


def test_a_validation_class_without_training_images_is_refused(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "train/cat train/dog val/cat val/dogs"))
    assert "has the class 'dogs'" in message
    assert "Did you mean 'dog'?" in message


def test_a_class_of_one_image_cannot_be_split(tmp_path: Path) -> None:
    assert "class 'cat' has one image" in refusal(write(tmp_path, "cat dog", each=1))


# What can be wrong: tables


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
    assert "cannot be read" in refusal(tmp_path)


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


# What can be wrong: the Hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """A Hub that gives every request the same answer, to be put into the dictionary."""
    answer: dict[str, object] = {"status": 404, "code": "RepoNotFound"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(str(answer["status"])))
            self.send_header("X-Error-Code", str(answer["code"]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    for settings in (huggingface_hub.constants, datasets.config):
        monkeypatch.setattr(settings, "HF_HUB_OFFLINE", False)
    yield answer
    server.shutdown()
    server.server_close()


def test_a_data_set_that_the_hub_does_not_have_is_refused(hub: dict[str, object]) -> None:
    assert "There is no data set 'someone/cats' on the Hub" in refusal("someone/cats")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [(403, "GatedRepo", "is gated: accept its terms"), (503, "", "refused to answer"), (401, "", "hf auth login")],
)
def test_a_refusal_of_the_hub_says_what_to_do(hub: dict[str, object], status: int, code: str, expected: str) -> None:
    hub |= {"status": status, "code": code}
    with pytest.raises((NetworkError, DataError), match=expected):
        open_images("someone/cats")


def test_an_impossible_hub_id_is_refused(hub: dict[str, object]) -> None:
    assert "There is no data set 'a--b/c..d' on the Hub" in refusal("a--b/c..d")


OFFLINE = """
import sys, time
from botzoo.errors import NetworkError
from botzoo.data.sources.find import open_images
import datasets
began = time.perf_counter()
try:
    open_images("cifar100")
except NetworkError as error:
    print(error)
print(len(open_images("someone/cats").train))
print(time.perf_counter() - began)
"""


def test_without_a_network_the_cache_works_and_the_rest_is_refused_at_once(tmp_path: Path) -> None:
    cached = tmp_path / "datasets" / "someone___cats" / "default" / "0.0.0"
    table().to_parquet(tmp_path / "train.parquet")
    datasets.load_dataset("parquet", data_files=str(tmp_path / "train.parquet"), cache_dir=tmp_path / "made")
    cached.mkdir(parents=True)
    made = next((tmp_path / "made").rglob("dataset_info.json")).parent
    shutil.move(made, cached / "0123456789abcdef")
    for file in (cached / "0123456789abcdef").glob("parquet-*.arrow"):
        file.rename(file.with_name(file.name.replace("parquet-", "cats-")))
    env = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_DATASETS_CACHE": ""}
    del env["HF_DATASETS_CACHE"]
    done = subprocess.run([sys.executable, "-c", OFFLINE], env=env, capture_output=True, text=True, check=False)
    message, rows, seconds = done.stdout.splitlines() or [done.stderr, "", "99"]
    assert "uoft-cs/cifar100 is not cached" in message
    assert "--dataset digits, or a folder of images" in message
    assert rows == "8"
    assert float(seconds) < 15


# Names of classes that do not agree


def test_names_of_class_folders_are_those_of_each_split(tmp_path: Path) -> None:
    write(tmp_path, "val/Cat val/dog train/cat train/dog")
    assert names_by_split(str(tmp_path)) == {"train": ["cat", "dog"], "validation": ["Cat", "dog"]}


def test_names_of_a_text_column_are_those_of_each_split(tmp_path: Path) -> None:
    for role, names in {"train": ["cat", "dog"], "test": ["cat", "dog "]}.items():
        table(2).remove_columns("label").add_column("label", names).to_parquet(tmp_path / f"{role}.parquet")
    assert names_by_split(str(tmp_path)) == {"train": ["cat", "dog"], "test": ["cat", "dog "]}


def test_declared_names_are_those_of_each_split(tmp_path: Path) -> None:
    table(4).to_parquet(tmp_path / "train.parquet")
    assert names_by_split(str(tmp_path), label_column="label") == {"train": ["cat", "dog"]}
    assert names_by_split("owner/name") == {}
