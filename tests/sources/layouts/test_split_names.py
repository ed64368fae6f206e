"""What names say of splits: of folders, tables and files alike."""

from pathlib import Path

import datasets
import pytest

from botzoo.errors import DataError
from botzoo.options.accepted import splits_of
from botzoo.sources.layouts.split_names import by_role, is_close, is_plain, role_of
from data.pictures import open_images
from sources.made import table

KNOWN = {
    "train": "train TRAIN training my_train train-2024 trainImages Training_Set train1 trainA trainval train_val",
    "validation": "val valid validate validation dev eval evaluation val-2024 val2 Val_Images validation.set",
    "test": "test testing test_set testset test1 my-test hold-out Holdout holdout_v2",
    "none": "unlabeled Unlabelled test_unlabeled unsup",
}
OTHERS = "cat extra tested contest trainer devil evaluations2x medieval vaild trian images photos train-test 犬 Žaba 12"


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in KNOWN.items() for name in names.split()])
def test_names_of_splits_are_known_with_what_stands_beside_them(role: str, name: str) -> None:
    assert role_of(name) == role
    assert is_plain(name)


@pytest.mark.parametrize("name", OTHERS.split())
def test_other_names_say_nothing(name: str) -> None:
    assert role_of(name) is None
    assert not is_plain(name)


@pytest.mark.parametrize("name", ["training-shoes", "eval board", "test tube", "val d'Isère", "dev 犬"])
def test_a_word_more_may_make_it_a_class(name: str) -> None:
    assert role_of(name)
    assert not is_plain(name)


@pytest.mark.parametrize(("name", "close"), [("vaild", True), ("trian_set", True), ("tests", True), ("cat", False)])
def test_slips_are_near_the_names_of_splits(name: str, close: bool) -> None:
    assert is_close(name) == close


@pytest.mark.parametrize("text", ["validation=vaild", "train=a+b,test=c d", "none=x,train=.", "validation=a/b"])
def test_an_option_gives_names_to_roles(text: str) -> None:
    assert text == ",".join(f"{role}={'+'.join(names)}" for role, names in splits_of(text).items())


@pytest.mark.parametrize(
    "text", ["", "vaild", "val=x", "train=", "train=a+", "train=a,train=b", "train=a,test=a", "=a"]
)
def test_an_option_that_says_no_role_or_no_name_or_a_name_twice_is_none(text: str) -> None:
    assert splits_of(text) == {}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("train-00000-of-00002 train-00001-of-00002 eval-0", {"train": [0, 1], "validation": [2]}),
        ("data/0 data/1 test/0", {"train": [0, 1], "test": [2]}),
        ("test/train-0 test/holdout-0", {"train": [0], "test": [1]}),
        ("trian test", {"train": [0], "test": [1]}),
        ("brain_scans", {"train": [0]}),
        ("val1-0 val2-0 train", {"train": [2], "validation": [0, 1]}),
    ],
)
def test_files_are_sorted_by_the_last_name_of_a_split_in_their_path(files: str, expected: dict[str, list[int]]) -> None:
    named = [f"{file}.parquet" for file in files.split()]
    assert by_role("data", named, {})[0] == {role: [named[i] for i in own] for role, own in expected.items()}


def test_a_file_that_may_be_a_split_is_asked_about_and_what_is_said_holds() -> None:
    files = ["train-0.parquet", "vaild-0.parquet", "vaild-1.parquet"]
    with pytest.raises(DataError, match=r"--data\.splits validation=vaild;"):
        by_role("data", files, {})
    assert by_role("data", files, {"validation": ["vaild"]})[0] == {"train": files[:1], "validation": files[1:]}
    assert by_role("data", files, {"none": ["vaild"]}) == ({"train": files[:1]}, [])
    with pytest.raises(DataError, match=r"no file 'valid', which --data\.splits names"):
        by_role("data", files, {"test": ["valid"]})


def test_the_tables_of_a_dict_are_told_by_their_names_or_the_users(tmp_path: Path) -> None:
    cut = datasets.DatasetDict({"my_train": table(8), "val1": table(2), "val2": table(4), "extra": table(2)})
    cut.save_to_disk(tmp_path)
    for data in (str(tmp_path), dict(cut)):
        with pytest.raises(DataError, match=r"--data\.splits validation=val1\+val2;"):
            open_images(data)
        read = open_images(data, splits={"validation": ["val1", "val2"]})
        assert {role: len(split) for role, split in read.splits.items()} == {"train": 8, "validation": 6}
        assert read.notes == ("not used: 'extra', not named as a split",)
