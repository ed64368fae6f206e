"""Which files the cells of a table mean, in every way that people write them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from botzoo.errors import DataError
from botzoo.sources.annotations.paths import Found, file_columns

FILES = [f"{folder}/{i:03}.{suffix}" for folder, suffix in (("cat", "jpg"), ("dog", "png")) for i in range(3)]


def found(folder: Path, files: list[str]) -> Found:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"an image")
    return Found(folder)


WAYS: dict[str, Callable[[Path, str], str]] = {
    "from the folder": lambda root, file: file,
    "absolute": lambda root, file: str(root / file),
    "from where the user is": lambda root, file: f"{root.name}/{file}",
    "from the table's folder": lambda root, file: f"../{root.name}/{file}",
    "with a dot": lambda root, file: f"./{file}",
    "without suffix": lambda root, file: file.partition(".")[0],
    "backslashes": lambda root, file: file.replace("/", "\\"),
    "of another machine": lambda root, file: f"data/set/{file}",
    "from another machine's root": lambda root, file: f"/kaggle/input/{file}",
    "of a drive": lambda root, file: f"C:\\Users\\joe\\{file}".replace("/", "\\"),
    "in capitals": lambda root, file: file.upper(),
    "with detours": lambda root, file: f"cat/../{file}",
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_means_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    images = found(tmp_path / "photos", FILES)
    (tmp_path / "tables").mkdir()
    monkeypatch.chdir(tmp_path)
    cells = [WAYS[way](tmp_path / "photos", name) for name in images.names]
    assert images.places(cells, tmp_path / "tables", [None] * 6) == list(range(6))


@pytest.mark.parametrize("cell", ["b/1.jpg", "1.jpg", "1", 1])
def test_the_end_of_a_path_is_enough(tmp_path: Path, cell: str | int) -> None:
    images = found(tmp_path, ["a/b/1.jpg", "a/b/11.jpg"])
    assert images.places([cell], tmp_path, [None]) == [0]


def test_ids_keep_their_zeros(tmp_path: Path) -> None:
    images = found(tmp_path, ["7.jpg", "007.jpg"])
    assert [images.names[i or 0] for i in images.places(["007", "7"], tmp_path, [None] * 2)] == ["007.jpg", "7.jpg"]


@pytest.mark.parametrize(
    "cell",
    ["/etc/passwd", "../private.jpg", "cat/../../private.jpg", "up/private.jpg", "https://x/001.jpg", "a\0b", ""],
)
def test_what_was_not_found_in_the_folder_is_named_by_nothing(tmp_path: Path, cell: str) -> None:
    images = found(tmp_path / "photos", FILES)
    (tmp_path / "private.jpg").write_bytes(b"private")
    (tmp_path / "photos" / "up").symlink_to(tmp_path)
    assert images.places([cell, f"{tmp_path}/photos/{cell}"], tmp_path / "photos", [None] * 2) == [None, None]


def test_one_name_in_several_folders_is_a_question_unless_the_split_answers_it(tmp_path: Path) -> None:
    images = found(tmp_path, ["train/1.jpg", "test/1.jpg"])
    assert images.places(["1.jpg", "1"], tmp_path, ["train", "test"]) == [
        images.names.index("train/1.jpg"),
        images.names.index("test/1.jpg"),
    ]
    with pytest.raises(DataError, match=r"'1\.jpg' may be 'test/1\.jpg', 'train/1\.jpg'"):
        images.places(["1.jpg"], tmp_path, [None])


def test_the_column_of_files_is_found_by_what_it_names(tmp_path: Path) -> None:
    images = found(tmp_path, FILES)
    columns = {"index": [*range(6)], "label": ["000", "001"] * 3, "id": [name[:-4] for name in images.names]}
    assert file_columns(images, columns, tmp_path) == ["id"]
    columns["where"] = images.names
    assert file_columns(images, columns, tmp_path) == ["where"]
    columns["mask"] = images.names[::-1]
    assert file_columns(images, columns, tmp_path) == ["where", "mask"]
    assert file_columns(images, {"label": ["a", "b"]}, tmp_path) == []


@pytest.mark.parametrize(
    ("index", "files"),
    [("column 1", "file"), ("id", "file"), ("row", "file"), ("column 1", "photo"), ("row", "filename")],
)
def test_numbers_of_rows_are_not_the_files_where_one_file_is_missing(tmp_path: Path, index: str, files: str) -> None:
    images = found(tmp_path, [f"{i}.jpg" for i in range(19) if i != 14])
    end = "" if files in ("photo", "filename") else ".jpg"
    columns = {index: list(range(20)), files: [f"{7 * i % 20}{end}" for i in range(20)]}
    assert file_columns(images, {c: cells[:10] for c, cells in columns.items()} | {"label": [*"ab"] * 5}, tmp_path) == [
        files
    ]


def test_of_two_columns_without_suffix_and_usual_name_both_are_a_choice(tmp_path: Path) -> None:
    images = found(tmp_path, [f"{i}.jpg" for i in range(19) if i != 14])
    columns = {"row": [*range(20)], "photo": [str(7 * i % 20) for i in range(20)]}
    assert file_columns(images, {c: cells[:10] for c, cells in columns.items()}, tmp_path) == ["row", "photo"]


@pytest.mark.parametrize("role", ["test", None])
@pytest.mark.parametrize("cell", ["2.jpg", "test/2.jpg", "/home/me/test/2.jpg"])
def test_an_image_of_another_split_is_not_taken_for_one_that_is_missing(
    tmp_path: Path, role: str | None, cell: str
) -> None:
    images = found(tmp_path, ["train/1.jpg", "train/2.jpg", "test/1.jpg"])
    assert images.places([cell], tmp_path, [role or (None if "/" in cell else "test")]) == [None]


def test_a_row_may_name_an_image_in_the_folder_of_another_split(tmp_path: Path) -> None:
    images = found(tmp_path, ["train/1.jpg", "test/2.jpg"])
    assert images.places(["train/1.jpg"], tmp_path, ["test"]) == [1]
    assert images.places(["1.jpg"], tmp_path, ["validation"]) == [1]  # which has no folder


def test_ends_of_paths_are_found_as_by_a_look_at_each_file(tmp_path: Path) -> None:
    images = found(
        tmp_path, [f"{a}/{b}/{i}.{end}" for a in "xy" for b in "pq" for i, end in enumerate(("jpg", "b.png"))]
    )
    cells = {
        name[k:].removesuffix(end) for name in images.names for k in range(len(name)) for end in ("", ".jpg", ".png")
    }
    for cell in cells - {""}:
        ends = [{f"/{name}", f"/{name.rpartition('.')[0]}"} for name in images.names]
        expected = [i for i, each in enumerate(ends) if any(end.endswith(f"/{cell}") for end in each)]
        assert sorted(images._by_end(cell)) == expected
