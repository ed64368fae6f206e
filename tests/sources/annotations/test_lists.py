"""Label lists of text and JSON, in every form that they are found in."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest

from botzoo.errors import DataError
from botzoo.sources.annotations import table as module
from botzoo.sources.annotations.table import read_table
from botzoo.sources.base import SourceOptions
from botzoo.sources.find import find_images

PAIRS = {"a/1.jpg": "cat", "a/2.jpg": "dog", "b/3.jpg": "cat", "b/my 4.jpg": "red dog"}
FRAME = pandas.DataFrame({"file": [*PAIRS], "label": [*PAIRS.values()]})

TEXTS = {
    "blanks": "\n".join(f"{file} {label}" for file, label in PAIRS.items()),
    "more blanks": "\r\n\r\n".join(f"{file}   {label}  " for file, label in PAIRS.items()),
    "tabs": "\n".join(f"{file}\t{label}" for file, label in PAIRS.items()),
    "commas": "\n".join(f"{file},{label}" for file, label in PAIRS.items()),
    "semicolons": "\n".join(f"{file}; {label}" for file, label in PAIRS.items()),
    "names": "file label\n" + "\n".join(f"{file} {label}" for file, label in PAIRS.items()),
    "comments": "# of all images\n#\n" + "\n".join(f"{file} {label}" for file, label in PAIRS.items()),
}
JSONS: dict[str, Any] = {
    "labels": PAIRS,
    "lists": {file: [label] for file, label in PAIRS.items()},
    "files by label": {label: [file for file, own in PAIRS.items() if own == label] for label in set(PAIRS.values())},
    "names by label": {"cat": ["a/1", "b/3"], "dog": ["a/2"], "red dog": ["b/my 4"]},
    "rows by file": {file: {"label": label} for file, label in PAIRS.items()},
    "rows": [{"file": file, "label": label} for file, label in PAIRS.items()],
    "pairs": [[file, label] for file, label in PAIRS.items()],
    "one in an object": {"labels": [[file, label] for file, label in PAIRS.items()]},
    "columns": FRAME.to_dict("list"),
    "columns of pandas": json.loads(FRAME.to_json()),
    "parts of pandas": json.loads(FRAME.to_json(orient="split")),
    "index of pandas": json.loads(FRAME.set_index("file").to_json(orient="index")),
}


def write_images(folder: Path) -> Path:
    for file in PAIRS:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"")
    return folder


def found(folder: Path, labels: Any) -> dict[str, str]:
    data = find_images(str(folder), SourceOptions(labels=labels))
    names = (data.train.describe(i).removeprefix(data.train.root) for i in range(len(data.train)))
    return dict(zip(names, (data.class_names[k] for k in data.train.labels), strict=True))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_list_of_text_has_a_file_and_its_label_on_each_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(text)
    assert found(write_images(tmp_path / "images"), tmp_path / "list.txt") == PAIRS


@pytest.mark.parametrize("content", JSONS.values(), ids=JSONS)
def test_labels_in_json_have_any_usual_form(content: Any, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps(content))
    assert found(write_images(tmp_path / "images"), tmp_path / "list.json") == PAIRS


@pytest.mark.parametrize("content", [*JSONS.values(), tuple(PAIRS.items()), {Path(k): [v] for k, v in PAIRS.items()}])
def test_in_python_labels_may_be_what_json_holds(content: Any, tmp_path: Path) -> None:
    assert found(write_images(tmp_path / "images"), content) == PAIRS


@pytest.mark.parametrize("labels", [["cat", "dog"], pandas.Series(["cat"]), 7])
def test_labels_without_files_are_refused_with_the_forms_that_have_them(labels: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'^The labels are (of|a) .*: give a file, a DataFrame, \{"1.jpg": "cat"'):
        found(write_images(tmp_path), labels)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
@pytest.mark.parametrize("name", ["t.csv.", "t.tsv.", "t.jsonl.", "t.ndjson.", "t.json.", "t.txt."])
def test_what_is_packed_is_read_as_what_is_not(name: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    kind = name.split(".")[1]
    plain = {"csv": FRAME.to_csv(index=False), "tsv": FRAME.to_csv(index=False, sep="\t"), "txt": TEXTS["blanks"]}
    lines = FRAME.to_json(orient="records", lines=True)
    text = plain.get(kind) or (json.dumps(PAIRS) if kind == "json" else lines)
    path = tmp_path / f"{name}{pack.__module__.strip('_').replace('gzip', 'gz').replace('lzma', 'xz')}"
    path.write_bytes(pack(text.encode()))
    assert [*read_table(path).columns.values()] == [[*PAIRS], [*PAIRS.values()]]


@pytest.mark.parametrize(
    ("lines", "columns"),
    [
        (["1.jpg 0 1 0", "2.jpg 1 0 0"], 4),  # 0 and 1 for each class
        (["000001 3", "000002 4"], 2),
        (["3 a/1.jpg", "4 b/2 3.jpg"], 2),
        (["1.jpg golden retriever", "2.jpg pug"], 2),
        (["Abyssinian_1 1 1 1", "pug_2 37 2 25"], 4),
        (["only.jpg", "files.jpg"], 1),
        (["a.jpg\tx\ty", "b.jpg\tx\ty"], 3),
        (["#1.jpg cat", "#2.jpg dog"], 2),
    ],
)
def test_words_behind_a_file_are_one_label_unless_all_are_numbers(
    lines: list[str], columns: int, tmp_path: Path
) -> None:
    (tmp_path / "t.txt").write_text("\n".join(lines))
    table = read_table(tmp_path / "t.txt")
    assert (len(table.columns), len(table)) == (columns, len(lines))


def test_lists_of_splits_belong_together(tmp_path: Path) -> None:
    write_images(tmp_path)
    for split, files in (("train", ["a/1.jpg", "a/2.jpg"]), ("val", ["b/3.jpg"])):
        (tmp_path / f"{split}.txt").write_text("".join(f"{file} {PAIRS[file]}\n" for file in files))
    data = find_images(str(tmp_path), SourceOptions(labels="train.txt"))
    assert {role: len(split) for role, split in data.splits.items()} == {"train": 2, "validation": 1}


def test_splits_may_be_keys_in_json(tmp_path: Path) -> None:
    write_images(tmp_path)
    content = {"train": [["a/1.jpg", 0, "cat"], ["a/2.jpg", 1, "dog"]], "val": [["b/3.jpg", 0, "cat"]], "test": []}
    (tmp_path / "split.json").write_text(json.dumps(content))
    data = find_images(str(tmp_path), SourceOptions(labels="split.json"))
    assert (data.class_names, list(data.splits)) == (("cat", "dog"), ["train", "validation"])


def coco(*annotations: tuple[int, int]) -> dict[str, Any]:
    return {
        "info": {"year": 2021},
        "images": [{"id": i, "file_name": file, "place": f"site {i % 2}"} for i, file in enumerate(PAIRS)],
        "annotations": [
            {"id": i, "image_id": a, "category_id": b, "bbox": [0, 0, 1, 1]} for i, (a, b) in enumerate(annotations)
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
    }


def test_annotations_of_coco_are_labels(tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    (tmp_path / "c.json").write_text(json.dumps(coco((0, 7), (0, 7), (1, 9), (3, 7))))
    assert found(tmp_path / "images", tmp_path / "c.json") == {"a/1.jpg": "cat", "a/2.jpg": "dog", "b/my 4.jpg": "cat"}
    (tmp_path / "c.json").write_text(json.dumps(coco((0, 7), (0, 9), (1, 9), (3, 7))))
    data = find_images(str(tmp_path / "images"), SourceOptions(labels=tmp_path / "c.json", group="place"))
    assert data.train.labels.tolist() == [[1, 1], [0, 1], [1, 0]]
    assert data.train.groups is not None
    assert data.train.groups.tolist() == ["site 0", "site 1", "site 1"]


@pytest.mark.parametrize("odd", [(9, 7), (0, 8)])
def test_annotations_of_nothing_are_refused(odd: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(coco(odd)))
    with pytest.raises(DataError, match=r"not as COCO has them \(KeyError [89]\)"):
        read_table(tmp_path / "c.json")


def test_a_list_that_nobody_names_is_not_read(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "labels.txt").write_text(TEXTS["blanks"])
    assert find_images(str(tmp_path)).class_names == ("a", "b")


def test_a_table_is_read_and_not_its_packed_copy(tmp_path: Path) -> None:
    for file in ("1.jpg", "2.jpg"):
        (tmp_path / file).write_bytes(b"")
    (tmp_path / "labels.csv").write_text("file,label\n1.jpg,cat\n2.jpg,dog\n")
    (tmp_path / "labels.csv.gz").write_bytes(b"anything")
    assert find_images(str(tmp_path)).class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.txt", b"1.jpg cat\n2.jpg", "2 cells in its first line, and 1 in that of '2.jpg'"),
        ("t.txt", b"x" * 10_001, "a line of it has 10,001 letters"),
        ("t.json", b"{", "mend it"),
        ("t.json", b"3", 'give {"1.jpg": "cat"'),
        ("t.json", b"[" * 100_000, "mend it"),
        ("t.json", b'{"a": {}, "b": 1}', 'give {"1.jpg": "cat"'),
        ("t.csv.gz", gzip.compress(b"file,label\n1.jpg,cat\n", mtime=0)[:-9], "cut off or damaged"),
        ("t.csv.gz", gzip.compress(b"file,label\n" + b"\0" * 4096, mtime=0), "no text"),
        (
            "t.xyz",
            b"",
            "whose name ends in .csv, .tsv, .jsonl, .ndjson, .parquet, .txt, .json, or in one of these and .gz",
        ),
    ],
)
def test_what_is_no_list_is_refused_in_one_line(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
def test_a_bomb_is_unpacked_no_further_than_a_table_may_have(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TEXT", 1 << 16)
    (tmp_path / "t.csv.gz").write_bytes(pack(bytes(1 << 20)))
    with pytest.raises(DataError, match="65,536 bytes when it is unpacked"):
        read_table(tmp_path / "t.csv.gz")


def test_an_archive_of_one_table_is_that_table(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "train.csv.zip", "w") as archive:
        archive.writestr("train.csv", FRAME.to_csv(index=False))
    assert found(write_images(tmp_path / "images"), tmp_path / "train.csv.zip") == PAIRS


@pytest.mark.parametrize(
    ("names", "said"), [(["a.csv", "b.csv"], "'a.csv', 'b.csv': name one"), (["a.md"], "no table")]
)
def test_an_archive_of_several_tables_or_none_is_refused_by_its_name(
    names: list[str], said: str, tmp_path: Path
) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        for name in names:
            archive.writestr(name, FRAME.to_csv(index=False))
    with pytest.raises(DataError, match=rf"^\S+/t\.zip holds .*{said}"):
        found(write_images(tmp_path / "images"), tmp_path / "t.zip")


def test_files_beside_the_table_and_outside_of_the_data_set_are_said(tmp_path: Path) -> None:
    (write_images(tmp_path) / "list.txt").write_text(TEXTS["blanks"])
    data = find_images(str(tmp_path / "a"), SourceOptions(labels=tmp_path / "list.txt"))
    assert f"outside of the data set's folder: --dataset {tmp_path} has both" in " ".join(data.notes)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "9.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=f"a/1.jpg lies beside the table.*--dataset {tmp_path} has both"):
        find_images(str(tmp_path / "c"), SourceOptions(labels=tmp_path / "list.txt"))
