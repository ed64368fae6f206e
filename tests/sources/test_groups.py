"""Images of one group stay in one split and in one fold."""

import re
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image

from botzoo.data.splits import in_fold, joined, with_validation
from botzoo.errors import DataError
from botzoo.sources.base import ImageData, SourceOptions, Split
from botzoo.sources.find import find_images
from botzoo.sources.groups import SERIES, numbered, searched
from data.pictures import open_images

PATIENTS = 15


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two classes, 15 patients in each, of whom some are in both; 2 to 6 scans of each."""
    draw = np.random.default_rng(0)
    for k, kind in enumerate(("healthy", "ill")):
        for patient in range(PATIENTS):
            folder = tmp_path / "scans" / kind / f"p{patient + 10 * k}"
            folder.mkdir(parents=True)
            for i in range(draw.integers(2, 7)):
                Image.new("L", (8, 8), int(draw.integers(256))).save(folder / f"scan{patient + 10 * k}_{i:03}.png")
    return tmp_path / "scans"


def of(data: ImageData[Split]) -> dict[str, set[str]]:
    """The groups of each split, by role."""
    return {role: {str(split.groups[i]) for i in range(len(split))} for role, split in data.splits.items()}  # type: ignore[index]


def refusal(data: Path, group: str) -> str:
    with pytest.raises(DataError) as caught:
        find_images(str(data), SourceOptions(group=group))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("group", ["1", r"/(p\d+)/", r"p\d+", r"scan(?P<patient>\d+)_"])
def test_folders_and_expressions_tell_the_same_patients(scans: Path, group: str) -> None:
    split = find_images(str(scans), SourceOptions(group=group)).train
    assert split.groups is not None
    pairs = {(name, split.describe(i).split("/")[-2]) for i, name in enumerate(split.groups)}
    assert len(pairs) == len({name for name, _ in pairs}) == PATIENTS + 10


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_whole_groups_are_set_aside_and_each_class_keeps_its_share(scans: Path, fraction: float, seed: int) -> None:
    data = open_images(str(scans), fraction, seed, group="1")
    assert not of(data)["train"] & of(data)["validation"]
    assert data.validation is not None
    shares = data.validation.class_counts(2) / (data.train.class_counts(2) + data.validation.class_counts(2))
    assert abs(shares - fraction).max() < 0.08


def test_a_group_is_in_one_fold(scans: Path) -> None:
    data = find_images(str(scans), SourceOptions(group="1"))
    folds = [with_validation(in_fold(data, k, 3, 0), 0.2, 0) for k in (1, 2, 3)]
    tested = [of(fold)["test"] for fold in folds]
    assert sum(map(len, tested)) == len(set.union(*tested)) == PATIENTS + 10
    assert all(len(set.union(*of(fold).values())) == sum(map(len, of(fold).values())) for fold in folds)


def test_several_labels_stay_together_too() -> None:
    draw = np.random.default_rng(0)
    names, labels = np.array([f"p{i // 4}" for i in range(80)], object), draw.integers(0, 2, (80, 5)).astype(np.uint8)
    split = Split("train", labels, lambda i: b"", str, groups=names)
    data = with_validation(ImageData("made", tuple("abcde"), split), 0.25, 0)
    assert not of(data)["train"] & of(data)["validation"]
    assert len(of(data)["validation"]) == 5


def test_joined_splits_keep_their_groups_and_straddling_ones_are_told(tmp_path: Path) -> None:
    for role, numbers in {"train": range(6), "val": range(4, 8)}.items():
        for kind in ("cat", "dog"):
            (tmp_path / role / kind).mkdir(parents=True)
            for i in numbers:
                Image.new("L", (8, 8), 9 * i).save(tmp_path / role / kind / f"{kind}-video{i}-frame1.png")
    data = find_images(str(tmp_path), SourceOptions(group=SERIES))
    assert "4 of the 8 groups in the validation split are in training too" in data.notes[-1]
    assert len(of(joined(data))["train"]) == 16


def test_a_column_tells_groups_and_an_empty_cell_is_one_of_its_own(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    cells = {"image": [np.full((8, 8), i, np.uint8) for i in range(8)], "label": [0, 1] * 4, "site": [*"aabbccd", None]}
    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.Value("int64"), "site": datasets.Value("string")}
    )
    datasets.Dataset.from_dict(cells, features=kinds).to_parquet(str(tmp_path / "train.parquet"))
    assert of(find_images(str(tmp_path), SourceOptions(group="site")))["train"] == {
        *"abcd",
        "image 7 of the train split",
    }
    assert "Did you mean 'site'?" in refusal(tmp_path, "sites")


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("3", "lies in 2 folders: give a number from 1 to that"),
        ("0", "give a number from 1"),
        ("[a", "is no regular expression"),
        ("(?=x)", "is no regular expression"),
        ("nothing", "finds nothing in"),
        ("scan", "are one group, 'scan'"),
        ("x" * 501, "500 are the most"),
        ("(" * 200, "is no regular expression"),
    ],
)
def test_what_tells_no_groups_is_refused_in_one_line(scans: Path, group: str, said: str) -> None:
    assert said in refusal(scans, group)


def test_an_expression_takes_linear_time(scans: Path) -> None:
    assert searched("(a+)+$", ["a" * 5000 + "b"]) == [None]  # Python's own would never end


def test_a_class_of_one_group_cannot_be_cut(tmp_path: Path) -> None:
    labels, names = np.array([0] * 6 + [1] * 6), np.array([*"aabbcc", *"dddddd"], object)
    data = ImageData("made", ("x", "y"), Split("train", labels, lambda i: b"", str, groups=names))
    with pytest.raises(DataError, match="class 'y' of made"):
        [in_fold(data, k, 2, 0) for k in (1, 2)]
    assert of(with_validation(data, 0.3, 0))["validation"] <= set("abc")


def test_the_page_is_true(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "your-data.md").read_text(encoding="utf-8")
    table = page.split("| `--data.group` |")[1].split("\n\n")[0]
    shown = re.search(r"`photos/(\S+)` is of", table)
    assert shown
    for path in (shown[1], "well/p8/scan8_001.png"):
        (tmp_path / path).parent.mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / path)
    for group, first in re.findall(r"^\| `'?([^|]*?)'?` \|[^|]*\| `(.*)` \|$", table, re.MULTILINE):
        assert first in of(find_images(str(tmp_path), SourceOptions(group=group)))["train"]


def test_a_whole_number_is_one_group_however_it_is_written(tmp_path: Path) -> None:
    images = [np.zeros((4, 4), np.uint8)] * 4
    ones = pandas.DataFrame({"image": images, "label": [*"abab"], "patient": [1, 1, 2, 3]})
    floats = pandas.DataFrame({"image": images[:2], "label": [*"ab"], "patient": [1.0, None]})
    data = find_images({"train": ones, "val": floats}, SourceOptions(group="patient"))
    assert of(data) == {"train": {"1", "2", "3"}, "validation": {"1", "image 1 of the validation split"}}


def test_what_is_found_empty_is_not_found() -> None:
    assert searched(r"p(\d*)", ["p1", "p", "x"]) == ["1", None, None]


def test_groups_are_numbered_as_by_numpy() -> None:
    names = np.random.default_rng(0).choice(["b", "a10", "a9", "\u00e9", "Z", ""], 50).astype(object)
    assert (numbered(names) == np.unique(names.astype(str), return_inverse=True)[1]).all()
    long = np.array(["x" * 1_000_000] + ["y"] * 20_000, object)  # as fixed-width text they would take 80 GB
    assert numbered(long).tolist() == [0] + [1] * 20_000
