"""Splits of tables: columns that tell them, and what the user says of tables, values and folders."""

from pathlib import Path
from typing import Any

import pandas
import pytest

from botzoo.errors import DataError
from botzoo.options.accepted import splits_of
from botzoo.sources.annotations.splits import split_column
from botzoo.sources.base import SourceOptions
from botzoo.sources.find import find_images

NAMES = [f"{i}.jpg" for i in range(12)]
FRAME = pandas.DataFrame(
    {"file": NAMES, "label": ["cat", "dog", "owl"] * 4, "split": ["train"] * 6 + ["vaild"] * 3 + ["x"] * 3}
)


def sizes(folder: Path, said: str = "", labels: Any = None) -> dict[str, int]:
    options = SourceOptions(splits=splits_of(said) if said else {}, labels=labels)
    return {role: len(split) for role, split in find_images(str(folder), options).splits.items()}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).write_bytes(b"image")
    return tmp_path


@pytest.mark.parametrize("as_frame", [True, False])
def test_values_of_a_column_are_what_the_user_says(photos: Path, as_frame: bool) -> None:
    FRAME.to_csv(photos / "labels.csv", index=False)
    labels = FRAME if as_frame else None
    assert sizes(photos, "validation=vaild,test=x", labels) == {"train": 6, "validation": 3, "test": 3}
    assert sizes(photos, "validation=vaild,none=x", labels) == {"train": 6, "validation": 3}
    with pytest.raises(DataError, match=r"'x', which is no split: .* --data.splits validation=vaild\+x; none leaves"):
        sizes(photos, "validation=vaild", labels)


def test_values_of_a_frame_of_images_are_too(photos: Path) -> None:
    frame = FRAME.assign(file=[str(next(photos.rglob(name))) for name in NAMES])
    data = find_images(frame, SourceOptions(splits=splits_of("validation=vaild,none=x")))
    assert {role: len(split) for role, split in data.splits.items()} == {"train": 6, "validation": 3}


@pytest.mark.parametrize("labels", [None, "train.csv"])
def test_tables_are_what_the_user_says(photos: Path, labels: str | None) -> None:
    rows = FRAME[["file", "label"]]
    for name, part in (("train", rows[:6]), ("val", rows[6:9]), ("mine", rows[9:])):
        part.to_csv(photos / f"{name}.csv", index=False)
    assert sizes(photos, "", labels) == {"train": 6, "validation": 3}
    assert sizes(photos, "none=val.csv", labels) == {"train": 6}
    assert sizes(photos, "test=mine", labels) == {"train": 6, "validation": 3, "test": 3}
    assert sizes(photos, "train=train+mine", labels) == {"train": 9, "validation": 3}
    with pytest.raises(DataError, match=r"--data.splits names 'nosuch', which is no table"):
        sizes(photos, "none=nosuch", labels)


def test_folders_of_the_files_are_what_the_user_says(photos: Path) -> None:
    FRAME[["file", "label"]].to_csv(photos / "labels.csv", index=False)
    (photos / "b").mkdir()
    for name in NAMES[6:]:
        (photos / name).rename(photos / "b" / name)
    assert sizes(photos, "validation=b", "labels.csv") == {"train": 6, "validation": 6}


@pytest.mark.parametrize("cells", [["False", "True"], ["0", "1"], [False, True]])
def test_a_column_may_say_which_rows_are_for_validation(cells: list[Any]) -> None:
    assert split_column("t.csv", {"is_valid": cells}, None) == ("is_valid", ["train", "validation"])
    assert split_column("t.csv", {"valid": ["0", "1"], "set": ["0", "1"]}, None) is None
    with pytest.raises(DataError, match=r"--data.splits train=1,test=0"):
        split_column("t.csv", {"is_train": ["0", "1"]}, None)


def test_columns_that_are_not_used_are_named(photos: Path) -> None:
    FRAME[["file", "label"]].assign(set=[0, 1] * 6, fold=[0, 1, 2] * 4).to_csv(photos / "labels.csv", index=False)
    notes = find_images(str(photos), SourceOptions(labels="labels.csv", group="fold")).notes
    assert "not used: column 'set'" in notes
