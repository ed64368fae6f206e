"""The layouts of your-data.md, each made as it is shown there."""

import re
from pathlib import Path

import pytest

from botzoo.errors import DataError
from botzoo.options.accepted import splits_of
from botzoo.sources.base import SourceOptions
from botzoo.sources.find import find_images
from data.pictures import RED, encode

PAGE = (Path(__file__).parents[2] / "docs" / "your-data.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`.*`) \| (.*) \|$", PAGE.split("| files | understood as |")[1].split("\n\n")[0], re.MULTILINE)


def said(options: str) -> str:
    """What is understood of the folder photos, or asked about it."""
    try:
        data = find_images("photos", SourceOptions(splits=splits_of(options) if options else {}))
    except DataError as error:
        return str(error)
    return f"{', '.join(f'{role} {len(split)}' for role, split in data.splits.items())}; {'; '.join(data.notes)}"


@pytest.mark.parametrize(("files", "understood"), ROWS)
def test_a_layout_is_understood_as_the_page_says(
    files: str, understood: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in re.findall("`(.*?)`", files):
        path = tmp_path / "photos" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no image" if path.suffix == ".txt" else encode(RED))
    asked = understood.startswith("asked about")
    assert asked or said("").startswith(understood.split(";")[0])
    for shown in re.findall("`(.*?)`", understood):
        assert shown in said("")
    for option in re.findall(r"--data\.splits (\S+)`", understood):
        assert said(option).startswith("train ")


def test_there_are_such_rows() -> None:
    assert len(ROWS) >= 10
