"""Images whose labels stand in a table, in every place that one may lie, and what is said or asked of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from botzoo.data.splits import in_fold, joined, with_validation
from botzoo.errors import DataError
from botzoo.sources.base import ImageData, SourceOptions, Split
from botzoo.sources.find import find_images, names_by_split
from sources.made import table

NAMES = [f"{i:02}.jpg" for i in range(12)]
LABELS = ["cat", "dog", "owl"] * 4
ROWS = list(zip(NAMES, LABELS, strict=True))


def images(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def csv(*rows: Any, head: str = "file,label") -> str:
    return "\n".join([head, *(",".join(map(str, row)) for row in rows)])


def opened(folder: Path, **said: Any) -> ImageData[Split]:
    return find_images(str(folder), SourceOptions(**said))


def said(data: ImageData[Split]) -> dict[str, list[str]]:
    """The label of each image by its name, in the split that it is in."""
    names = data.class_names
    return {
        f"{role}: {Path(split.describe(i)).name}": [names[k] for k in np.atleast_1d(split.labels[i].nonzero()[0])]
        if split.labels.ndim > 1
        else [names[split.labels[i]]]
        for role, split in data.splits.items()
        for i in range(len(split))
    }


ALL = {f"train: {name}": [label] for name, label in ROWS}


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        opened(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["labels.csv", "metadata.csv", "train.csv", "LABELS.CSV", "annotations.tsv"])
@pytest.mark.parametrize("place", ["", "images/", "train/", "a/b/"])
def test_a_table_of_a_usual_name_is_found_and_finds_its_images(tmp_path: Path, name: str, place: str) -> None:
    folder = images(tmp_path / "photos", *(place + file for file in NAMES))
    (folder / name).write_text(csv(*ROWS).replace(",", "\t" if name.endswith("tsv") else ","))
    data = opened(folder)
    assert said(data) == ALL
    assert data.train.read(0) == folder / place / "00.jpg"


def test_ids_beside_a_folder_of_images(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *(f"train/{name}" for name in NAMES), "test/12.jpg")
    (folder / "train.csv").write_text(csv(*((name[:2], label) for name, label in ROWS), head="id,breed"))
    (folder / "sample_submission.csv").write_text("id,cat,dog,owl\n12,0,0,0\n")
    data = opened(folder)
    assert said(data) == ALL
    assert "not used: 1 image without a row, such as 'test/12.jpg'" in data.notes


@pytest.mark.parametrize("options", [{}, {"labels": "train.csv"}, {"labels": "train_more.csv"}])
def test_each_split_may_have_its_table(tmp_path: Path, options: dict[str, str]) -> None:
    folder = images(tmp_path / "photos", *(f"train/{name}" for name in NAMES), "test/12.jpg", "test/13.jpg")
    more = "_more" if "more" in str(options) else ""
    (folder / f"train{more}.csv").write_text(csv(*ROWS))
    (folder / f"test{more}.csv").write_text(csv(("12.jpg", "owl"), ("13.jpg", "cat")))
    assert said(opened(folder, **options)) == ALL | {"test: 12.jpg": ["owl"], "test: 13.jpg": ["cat"]}


@pytest.mark.parametrize("options", [{}, {"labels": "train/_classes.csv"}])
def test_each_folder_of_a_split_may_have_its_table(tmp_path: Path, options: dict[str, str]) -> None:
    folder = tmp_path / "photos"
    for part in ("train", "valid", "test"):
        images(folder, *(f"{part}/{name}" for name in NAMES))
        rows = ((name, i % 2, int(i > 3)) for i, name in enumerate(NAMES))
        (folder / part / "_classes.csv").write_text(csv(*rows, head="filename, label, dog"))
    data = opened(folder, **options)
    assert (data.class_names, [*data.splits]) == (("label", "dog"), ["train", "validation", "test"])
    assert data.train.labels.tolist() == [[i % 2, int(i > 3)] for i in range(12)]


def test_splits_are_told_by_a_column_or_by_folders(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *(f"{part}/{name}" for part in ("train", "test") for name in NAMES))
    rows = [(part, name, label) for part in ("train", "test") for name, label in ROWS]
    both = ALL | {f"test: {name}": [label] for name, label in ROWS}
    (folder / "labels.csv").write_text(csv(*rows, head="split,file,label"))
    assert said(opened(folder)) == both
    (folder / "labels.csv").write_text(csv(*((f"{part}/{name}", label) for part, name, label in rows)))
    assert said(opened(folder)) == both


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_other_forms_say_the_same(tmp_path: Path, form: str) -> None:
    folder = images(tmp_path / "photos", *NAMES)
    frame = pandas.DataFrame(ROWS, columns=["file_name", "label"])
    frame.to_json(folder / "metadata.jsonl", orient="records", lines=True)
    if form == "parquet":
        (folder / "metadata.jsonl").unlink()
        frame.to_parquet(folder / "train.parquet")
    assert said(opened(folder)) == ALL


def test_a_table_may_lie_anywhere_or_be_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = images(tmp_path / "photos", *NAMES)
    (tmp_path / "mine.csv").write_text(csv(*((f"photos/{name}", label) for name, label in ROWS)))
    monkeypatch.chdir(tmp_path)
    assert said(opened(folder, labels="mine.csv")) == said(opened(tmp_path / "mine.csv")) == ALL


@pytest.mark.parametrize("several", [False, True])
def test_frames_are_tables(tmp_path: Path, several: bool) -> None:
    folder = images(tmp_path / "photos", *NAMES)
    frame = pandas.DataFrame(ROWS, columns=["file", "label"])
    given: Any = {"train": frame[:9], "val": frame[9:]} if several else frame
    data = opened(folder, labels=given)
    assert sorted(key.split()[1] for key in said(data)) == NAMES
    assert (data.in_memory, len(data.splits)) == (True, 1 + several)


def test_class_folders_come_before_a_table_that_says_the_same(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *(f"{label}/{name}" for name, label in ROWS))
    (folder / "metadata.csv").write_text(csv(*((f"{label}/{name}", label.upper()) for name, label in ROWS)))
    data = opened(folder)
    assert (said(data), data.notes) == (
        ALL,
        ("not used: metadata.csv, as the class folders say the same; --labels would read it",),
    )
    assert opened(folder, labels="metadata.csv").class_names == ("CAT", "DOG", "OWL")


def test_class_folders_and_a_table_that_says_otherwise_are_a_question(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *(f"kind{i % 2}/{name}" for i, name in enumerate(NAMES)))
    (folder / "metadata.csv").write_text(csv(*ROWS))
    asked = refusal(folder)
    assert f"give --labels {folder / 'metadata.csv'}, or --labels folders" in asked
    assert said(opened(folder, labels="metadata.csv")) == ALL
    assert opened(folder, labels="folders").class_names == ("kind0", "kind1")


def test_a_table_of_images_in_parts_is_no_question(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *(f"part{i % 2}/{name}" for i, name in enumerate(NAMES)))
    (folder / "metadata.csv").write_text(csv(*ROWS))
    assert said(opened(folder)) == ALL


@pytest.mark.parametrize(
    "text", ["file,weight\ncat/00.jpg,0.5\ndog/01.jpg,1.5", "id,name\n0,cat\n1,dog\n2,owl", "", "a,a"]
)
def test_a_table_without_labels_is_none_beside_class_folders(tmp_path: Path, text: str) -> None:
    folder = images(tmp_path / "photos", *(f"{label}/{name}" for name, label in ROWS))
    (folder / "metadata.csv").write_text(text)
    data = opened(folder)
    assert (said(data), data.notes) == (ALL, ("not used: metadata.csv, as there are class folders",))


def test_two_tables_are_a_question(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *NAMES)
    for name in ("labels.csv", "train.csv"):
        (folder / name).write_text(csv(*ROWS))
    assert f"'labels.csv', 'train.csv': name one with --labels {folder / 'labels.csv'}" in refusal(folder)
    (folder / "labels.csv").write_text("id,weight\n00,0.5\n")
    assert said(opened(folder)) == ALL


def test_a_table_of_another_name_is_named(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *NAMES)
    (folder / "birds.csv").write_text(csv(*ROWS))
    assert f"give --labels {folder / 'birds.csv'}" in refusal(folder)


def test_what_is_not_used_is_counted_and_named(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *NAMES[1:])
    rows = [*ROWS[:-1], ROWS[3], ("05.jpg", "owl"), ("nowhere/../x.jpg", "ant")]
    (folder / "labels.csv").write_text(csv(*rows, ("11.jpg", "")))
    data = opened(folder)
    assert data.class_names == ("cat", "dog", "owl")
    assert said(data) == {key: ALL[key] for key in list(ALL)[1:-1]}
    assert data.notes == (
        "labels are those in column 'label' of labels.csv, one to an image",
        "column 'file' of labels.csv names 11 of 11 images",
        "not used: 2 of 15 rows, without a file, such as '00.jpg', 'nowhere/../x.jpg'",
        "counted once: 2 more rows of images that have one, saying the same",
        "not used: 1 row of the train split without a label",
    )


def test_a_test_split_may_keep_its_labels_secret(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *NAMES)
    rows = [(name, "test" if i > 8 else "train", "" if i > 8 else label) for i, (name, label) in enumerate(ROWS)]
    (folder / "labels.csv").write_text(csv(*rows, head="file,split,label"))
    data = opened(folder)
    assert (data.test, len(data.train)) == (None, 9)
    assert "the test split has no labels, so it is not used" in data.notes


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("cat/a.jpg", "cat"), ("cat/b.jpg", "dog")],
            "names no image in .*'cat/a.jpg', 'cat/b.jpg', and .*'00.jpg'",
        ),
        ([*ROWS, ("00.jpg", "dog")], "'00.jpg' has two rows in .*, which say 'cat' and 'dog'"),
        ([(name, name) for name in NAMES], "different in each of its 12 rows"),
        ([(name, "") for name in NAMES], "has no label column|is empty"),
        ([(name, i / 7) for i, name in enumerate(NAMES)], "different numbers with fractions"),
        ([(name, "cat") for name in NAMES], "one class, 'cat'"),
    ],
)
def test_what_cannot_be_labels_is_refused(tmp_path: Path, rows: list[Any], message: str) -> None:
    folder = images(tmp_path / "photos", *NAMES)
    (folder / "labels.csv").write_text(csv(*rows))
    with pytest.raises(DataError, match=message):
        opened(folder)


def test_splits_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *NAMES)
    rows = [(name, "test" if i > 8 else "train", label if i < 9 else "ant") for i, (name, label) in enumerate(ROWS)]
    (folder / "labels.csv").write_text(csv(*rows, head="file,split,label"))
    assert "The test split of" in refusal(folder)
    assert "has the label 'ant', which no training row has" in refusal(folder)
    (folder / "labels.csv").write_text(csv(*rows[:9], ("00.jpg", "test", "cat"), head="file,split,label"))
    assert "'00.jpg' is in the train split and in the test split" in refusal(folder)


@pytest.mark.parametrize("dataset", ["digits", "cifar10", "owner/name", "nowhere"])
def test_labels_are_of_images_in_a_folder(dataset: str) -> None:
    with pytest.raises(DataError, match=r"is no folder, and --labels x\.csv is of images in one"):
        find_images(dataset, SourceOptions(labels="x.csv"))
    with pytest.raises(DataError, match="leave labels out"):
        find_images(([b"a"], ["cat"]), SourceOptions(labels="x.csv"))


def test_what_else_a_table_says_goes_with_each_image(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *NAMES)
    rows = [(name, label, f"{name}?", "train" if i < 6 else "val") for i, (name, label) in enumerate(ROWS)]
    (folder / "labels.csv").write_text(csv(*rows, head="file,label,patient,split"))
    data = opened(folder)
    parts = [*data.splits.values(), *in_fold(joined(data), 1, 3, 0).splits.values()]
    parts += with_validation(joined(data), 0.3, 0).splits.values()
    for split in parts:
        assert [Path(split.describe(i)).name + "?" for i in range(len(split))] == list(split.columns["patient"])


def test_names_of_each_split_are_those_of_its_rows(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *NAMES)
    rows = [(name, label, "test" if i > 10 else "train") for i, (name, label) in enumerate(ROWS)]
    (folder / "labels.csv").write_text(csv(*rows, head="file,label,split"))
    assert names_by_split(str(folder)) == {"train": ["cat", "dog", "owl"], "test": ["owl"]}


@pytest.mark.slow
def test_a_table_beside_parquet_files_with_pictures_is_not_theirs(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "train.parquet")
    (tmp_path / "metadata.csv").write_text(csv(*ROWS))
    assert opened(tmp_path).class_names == ("cat", "dog")


def test_an_onehot_table_and_a_list_of_words_say_the_same(shared_data: Path) -> None:
    cards = shared_data / "small" / "cards_multilabel"
    words, hot = opened(cards), opened(cards, labels="train_onehot.csv")
    assert {role: len(split) for role, split in words.splits.items()} == {"train": 296, "test": 67}
    assert {k: sorted(v) for k, v in said(words).items()} == {k: sorted(v) for k, v in said(hot).items()}
    assert "two rows" in refusal(cards, labels="train_labels_original_boxes.csv")


def test_links_of_the_user_are_followed_and_a_tables_paths_are_not(tmp_path: Path) -> None:
    images(tmp_path / "elsewhere", *NAMES)
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "images").symlink_to(tmp_path / "elsewhere")
    (folder / "labels.csv").write_text(csv(*((f"images/{name}", label) for name, label in ROWS)))
    assert said(opened(folder)) == ALL
    (folder / "labels.csv").write_text(csv(*((f"../elsewhere/{name}", label) for name, label in ROWS)))
    shutil.rmtree(tmp_path / "elsewhere")
    images(tmp_path / "elsewhere", *NAMES)
    (folder / "images").unlink()
    images(folder, "own.jpg")
    assert "names no image" in refusal(folder)


def test_rows_of_json_may_hold_anything_else(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *NAMES)
    rows = [{"file_name": name, "label": label, "boxes": {"x": [1]}, "text": None} for name, label in ROWS]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert said(opened(folder)) == ALL


def test_class_folders_agree_with_a_table_only_if_the_splits_do_too(tmp_path: Path) -> None:
    rows = [(f"{kind}/{i}.jpg", kind, "test" if i > 3 else "train") for kind in ("cat", "dog") for i in range(6)]
    folder = images(tmp_path, *(name for name, _, _ in rows))
    (folder / "metadata.csv").write_text(csv(*rows, head="file,label,split"))
    with pytest.raises(DataError, match="has other splits, 'train', 'test'"):
        opened(folder)
    assert len(opened(folder, labels=str(folder / "metadata.csv")).splits["test"]) == 4
    (folder / "metadata.csv").write_text(csv(*(row[:2] for row in rows)))
    assert len(opened(folder).train) == 12


@pytest.mark.parametrize("odd", ["12.jpg", "extra/12.jpg"])
def test_images_outside_the_folders_of_splits_are_asked_about(tmp_path: Path, odd: str) -> None:
    names = [f"{'test' if i % 3 else 'train'}/{name}" for i, (name, _) in enumerate(ROWS)]
    folder = images(tmp_path, *names, odd)
    (folder / "labels.csv").write_text(csv(*zip([*names, odd], [*"ab"] * 6 + ["a"], strict=True)))
    with pytest.raises(DataError, match=f"others outside, such as '{odd}'"):
        opened(folder)
    if "/" in odd:
        assert {role: len(split) for role, split in opened(folder, splits={"none": ["extra"]}).splits.items()} == {
            "train": 4,
            "test": 8,
        }


@pytest.mark.parametrize("names", ["train.csv val.csv dev.csv", "train/labels.csv val/labels.csv dev/labels.csv"])
def test_two_tables_of_one_split_are_asked_about(tmp_path: Path, names: str) -> None:
    folder = images(tmp_path, *NAMES)
    up = "../" if "/" in names else ""
    for k, name in enumerate(names.split()):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(csv(*[(f"{up}{NAMES[i]}", "ab"[i % 2]) for i in range(4 * k, 4 * k + 4)]))
    with pytest.raises(DataError, match="all tables of the validation split"):
        opened(folder)
    kept, left = ("val", "dev") if up else ("val.csv", "dev.csv")
    data = opened(folder, splits={"validation": [kept], "none": [left]})
    assert [*said(data)] == [f"train: {n}" for n in NAMES[:4]] + [f"validation: {n}" for n in NAMES[4:8]]


def in_classes(root: Path, columns: list[str], *cells: Any, name: str = "labels.csv") -> Path:
    """Images in class folders, and a table of them with these columns; each of ``cells`` goes round and round."""
    folder = images(root / "photos", *(f"{label}/{file}" for file, label in ROWS))
    rows = [(file, *(each[i % len(each)] for each in cells)) for i, (file, _) in enumerate(ROWS)]
    (folder / name).write_text(csv(*rows, head=",".join(["file", *columns])))
    return folder


def test_a_table_in_doubt_beside_class_folders_is_a_question(tmp_path: Path) -> None:
    folder = in_classes(tmp_path, ["Edema", "Mass", "Sex"], ["1", "", "-1"], "01", "MF")
    assert "labels.csv is in doubt: " in (asked := refusal(folder))
    assert asked.endswith("Or give --labels folders.")
    assert "holds '1', empty cells, '-1'" in refusal(folder, label_column="Edema,Mass")
    assert opened(folder, labels="folders").class_names == ("cat", "dog", "owl")


@pytest.mark.parametrize(("label", "classes"), [(None, ("cat", "dog", "owl")), ("size", ("big", "small"))])
def test_columns_that_are_asked_for_are_those_of_the_table(
    tmp_path: Path, label: str | None, classes: tuple[str, ...]
) -> None:
    folder = in_classes(tmp_path, ["label", "size", "patient"], LABELS, ["big", "small"], "aabbc")
    data = opened(folder, label_column=label, group="patient")
    assert data.class_names == classes
    assert data.train.groups is not None
    assert set(data.train.groups) == {"a", "b", "c"}


@pytest.mark.parametrize("name", ["metadata_of_all.csv", "GroundTruth.csv"])
def test_a_table_of_any_name_that_says_otherwise_is_a_question(tmp_path: Path, name: str) -> None:
    folder = in_classes(tmp_path, ["dx"], ["a", "b"], name=name)
    assert f"may hold the labels: give --labels {folder / name}, or --labels folders" in refusal(folder)
    in_classes(tmp_path, ["dx"], LABELS, name=name)
    assert opened(folder).notes == (f"not used: '{name}', as there are class folders",)
    assert f"--data.group dx is a column of {folder / name}: give --labels" in refusal(folder, group="dx")


def test_parts_beside_a_table_that_names_their_images_are_asked_about(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *(f"HAM_part_{i % 2 + 1}/{name}" for i, name in enumerate(NAMES)))
    rows = [(name, "xyz"[i % 3], "ab"[i // 6]) for i, name in enumerate(NAMES)]
    (folder / "HAM.csv").write_text(csv(*rows, head="file,site,dx"))
    assert f"give --labels {folder / 'HAM.csv'}" in refusal(folder)


def test_only_tables_with_labels_are_said_to_have_them_and_predict_is_shown(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", *(f"train/{name}" for name in NAMES), "test/20.jpg")
    (folder / "train.csv").write_text(csv(*ROWS))
    (folder / "test.csv").write_text("file\n20.jpg\n")
    notes = opened(folder).notes
    assert notes[0] == "labels are those in column 'label' of train.csv, one to an image"
    assert notes[-1].endswith(f"says with botzoo predict {folder / 'test'} --model RUN")


def test_words_of_one_split_are_said(tmp_path: Path) -> None:
    folder = images(tmp_path, *NAMES)
    rows = [(*row, ["Training", "PublicTest", "PrivateTest"][i // 4]) for i, row in enumerate(ROWS)]
    (folder / "labels.csv").write_text(csv(*rows, head="file,label,Usage"))
    data = opened(folder)
    assert (len(data.train), len(data.splits["test"])) == (4, 8)
    assert "splits are those in column 'Usage'; PrivateTest and PublicTest are test" in data.notes
