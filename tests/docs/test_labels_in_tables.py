"""The tables of labels of your-data.md, each read as it stands there."""

import re
from pathlib import Path

import pytest

from botzoo.errors import DataError
from botzoo.sources.base import ImageData, SourceOptions, Split
from botzoo.sources.find import find_images

PAGE = (
    (Path(__file__).parents[2] / "docs" / "your-data.md").read_text(encoding="utf-8").split("## Labels in a table")[1]
)
TABLES = re.findall(r"^`([\w.]+)`([^\n]*?) is (train [^\n]*):\n\n```\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
REFUSED = re.findall(r"^\| (`\d\.jpg,.*`|`x\.jpg,.*) \| `(.*)` \|$", PAGE, re.MULTILINE)


def understood(data: ImageData[Split]) -> str:
    parts = []
    for role, split in data.splits.items():
        counts = split.class_counts(len(data.class_names))
        parts.append(
            f"{role} {len(split)} ({', '.join(f'{n} {c}' for n, c in zip(data.class_names, counts, strict=True))})"
        )
    return ", ".join(parts)


def test_the_page_has_them() -> None:
    assert (len(TABLES), len(REFUSED)) == (10, 3)


@pytest.mark.parametrize(("name", "where", "said", "text"), TABLES)
def test_a_table_is_understood_as_the_page_says(name: str, where: str, said: str, text: str, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for image in re.findall(r"[\w/][\w /]*\.(?:jpg|png)", text) or [f"{row[:8]}.jpg" for row in text.splitlines()[1:]]:
        path = photos / ("images" if "beside" in where else "") / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (photos / name).write_text(text)
    labels = photos / name if "--labels" in where else None
    data = find_images(photos, SourceOptions(labels=labels))
    assert understood(data) == said.split("),")[0].rstrip(")") + ")" if "each" in said else said
    assert ("several labels each" in said) == (data.train.labels.ndim == 2)


@pytest.mark.parametrize(("rows", "line"), REFUSED)
def test_what_is_refused_is_told_in_that_line(
    rows: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    cells = [row for row in re.findall("`(.*?)`", rows) if "," in row]
    for image in re.findall(r"\d\.jpg", rows):
        Path("photos", image).write_bytes(b"")
    Path("photos", "labels.csv").write_text("\n".join(["file,label", *cells]))
    with pytest.raises(DataError) as caught:
        find_images("photos")
    assert str(caught.value) == line.replace("\\|", "|")
