"""Tables of each form against pandas, and what is no table."""

import json
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from botzoo.errors import DataError
from botzoo.sources.annotations import table as module
from botzoo.sources.annotations.table import Table, read_frame, read_table, tidy

FRAME = pandas.DataFrame(
    {
        "id": ["007", "01", "1e3", "1"],
        "label": ["käse", "a, b", 'two\nlines "quoted"', None],
        "n": [1, 2, 3, 4],
        "lists": [["a"], [], ["a", "b"], ["c"]],
    }
)


def written(folder: Path, frame: pandas.DataFrame, name: str) -> Path:
    path = folder / name
    if name.endswith("jsonl"):
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    elif name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep={"tsv": "\t", "csv": ","}[name[-3:]], lineterminator="\r\n")
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "T.CSV", "t.jsonl", "t.parquet"])
def test_cells_are_those_that_were_written(tmp_path: Path, name: str) -> None:
    frame = FRAME.drop(columns=["lists"])
    table = read_table(written(tmp_path, frame, name if name != "T.CSV" else "t.csv"))
    assert table.columns["id"] == list(frame.id)
    assert table.columns["label"] == ["käse", "a, b", 'two\nlines "quoted"', None]
    assert [int(n) for n in table.columns["n"]] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_lists_are_lists(tmp_path: Path, name: str) -> None:
    assert read_table(written(tmp_path, FRAME, name)).columns["lists"] == [["a"], [], ["a", "b"], ["c"]]


def test_a_frame_is_a_table() -> None:
    assert read_frame("it", FRAME).columns["label"][-1] is None
    assert list(read_frame("it", FRAME.set_index("id")).columns) == ["id", "label", "n", "lists"]
    assert read_frame("it", pa.Table.from_pandas(FRAME)).columns == read_frame("it", FRAME).columns


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "binary", "large_binary", "dictionary"])
def test_text_of_every_type_is_text(tmp_path: Path, kind: str) -> None:
    texts = ["a", None, "ü", "a"] * 3
    plain = pa.array(texts)
    cells = {
        "string": plain,
        "large_string": plain.cast(pa.large_string()),
        "string_view": plain.cast(pa.string_view()),
        "binary": plain.cast(pa.binary()),
        "large_binary": plain.cast(pa.large_binary()),
        "dictionary": plain.dictionary_encode(),
    }[kind]
    pq.write_table(pa.table({"x": cells}), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").columns["x"] == texts


def test_pictures_in_a_parquet_file_are_no_columns_of_a_table(tmp_path: Path) -> None:
    pictures = [{"bytes": bytes(500), "path": None}] * 3
    columns = {"image": pictures, "raw": [bytes([k]) * 500 for k in range(3)], "label": ["a", "b", "a"]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet", compression="none")
    assert list(read_table(tmp_path / "t.parquet").columns) == ["label"]


@pytest.mark.parametrize("first", ["image;label", "image\tlabel", "image,label", "\ufeffimage,label"])
def test_separators_and_marks_of_spreadsheets_are_understood(tmp_path: Path, first: str) -> None:
    between = next(c for c in ";\t," if c in first)
    (tmp_path / "t.csv").write_text(f"{first}\n1.jpg{between}cat\n", encoding="utf-8")
    assert read_table(tmp_path / "t.csv").columns == {"image": ["1.jpg"], "label": ["cat"]}


def test_a_first_line_with_a_file_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("1.jpg,cat,cat\n2.jpg,dog,cat\n")
    table = read_table(tmp_path / "t.csv")
    assert (table.header, table.columns["column 1"], table.columns["column 2"]) == (
        False,
        ["1.jpg", "2.jpg"],
        ["cat", "dog"],
    )


@pytest.mark.parametrize("cell", [None, float("nan"), "", "  ", "NaN", pandas.NA, pandas.NaT])
def test_nothing_is_none(cell: Any) -> None:
    assert tidy(cell) is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"image,label\n", "is empty"),
        ("t.csv", "image,label\n1.jpg,cat\n".encode("utf-16"), "UTF-16"),
        ("t.csv", "image,label\n1.jpg,cat\n".encode("utf-16-le"), "UTF-16"),
        ("t.csv", "image,label\n1.jpg,käse\n".encode("latin-1"), "line 2, byte 0xe4"),
        ("t.csv", b"image,label\n1.jpg,cat,7\n", "Line 2 .* has 3 cells, and its first line 2"),
        ("t.csv", b"image,label\n1.jpg\n", "Line 2 .* has 1 cell,"),
        ("t.csv", b"image,label\n1.jpg," + b"x" * 200_000, "larger than field limit"),
        ("t.csv", b'image,label\n"1.jpg,cat\n', "Line 2 .* cannot be read"),
        ("t.csv", b"a,a\n1,2\n", "several columns with the name 'a'"),
        ("t.csv", b"a," * 30_000, "30,001 columns"),
        ("t.csv", b"a" * 2_000 + b",b\n1,2\n", "names of 1,000 letters"),
        ("t.jsonl", b'{"a": 1}\nnothing\n', "Line 2 .* is no JSON"),
        ("t.jsonl", b"[" * 100_000, "Line 1 .* is no JSON"),
        ("t.jsonl", b"[1, 2]\n", "Line 1 .* is not"),
        ("t.jsonl", b"1" * 10_000, "Line 1 .* is no"),
        ("t.parquet", b"PAR1 and nothing", "is damaged or no parquet file"),
        ("t.text", b"a,b\n", "is no table"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no table"):
        read_table(tmp_path / "t.csv")


def test_rows_that_a_parquet_file_only_claims_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"x": ["a"] * 100}), tmp_path / "t.parquet")
    monkeypatch.setattr("botzoo.sources.annotations.table.MAX_ROWS", 99)
    with pytest.raises(DataError, match="100 rows"):
        read_table(tmp_path / "t.parquet")


def test_a_table_without_columns_has_no_rows() -> None:
    with pytest.raises(DataError, match="is empty"):
        read_frame("it", pandas.DataFrame({"a": []}))
    assert len(Table("it", {"a": [1, 2]})) == 2


def test_columns_of_json_lines_have_the_order_of_the_file(tmp_path: Path) -> None:
    names = [f"c{7 * i % 40}" for i in range(40)]  # a set of so many has another order with almost every seed
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({name: 1, "first": 2}) for name in names))
    assert [*read_table(tmp_path / "t.jsonl").columns] == [names[0], "first", *names[1:]]
    (tmp_path / "t.jsonl").write_text(json.dumps(dict.fromkeys(names, 1)))
    assert [*read_table(tmp_path / "t.jsonl").columns] == names


def test_an_index_that_is_a_column_too_is_one() -> None:
    frame = pandas.DataFrame({"file": ["1.jpg", "2.jpg"], "label": ["a", "b"], "n": [1, 2]})
    for indexed in (frame.set_index("file", drop=False), frame.set_index("file"), frame.set_index(["file", "n"])):
        assert read_frame("x", indexed).columns["file"] == ["1.jpg", "2.jpg"]


def test_repeated_names_of_columns_are_refused(tmp_path: Path) -> None:
    frame = pandas.DataFrame([["1.jpg", "a", "b"]], columns=["file", "label", "label"])
    with pytest.raises(DataError, match="several columns with the name 'label'"):
        read_frame("x", frame)
    pq.write_table(pa.table([["1.jpg"], ["a"], ["b"]], names=["file", "label", "label"]), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="several columns with the name 'label'"):
        read_table(tmp_path / "t.parquet")


def test_a_parquet_table_has_a_most_of_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COLUMNS", 2)
    pq.write_table(pa.table({"a.b": ["1"], "a": [[1]], "c": [0]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="3 columns"):
        read_table(tmp_path / "t.parquet")
