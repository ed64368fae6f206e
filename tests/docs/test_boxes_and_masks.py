"""The boxes and masks of your-data.md, each read as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from botzoo.sources.find import find_images
from sources.targets.made import picture, text

PAGE = (Path(__file__).parents[2] / "docs" / "your-data.md").read_text(encoding="utf-8").split("## Boxes and masks")[1]
FORMS = re.findall(r"^[^\n]*, with `--task (\w+)`: (train [^\n]*)\n\n```\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)


def write(line: str) -> None:
    """Write a file as the page shows it: a picture, a mask, or a text."""
    path, mark, rest = re.fullmatch(r"(\S+?)(?:(:| =) (.*))?\n*", line, re.DOTALL).groups()  # type: ignore[union-attr]
    if mark is None:
        picture(Path(path), 100, 50)
    elif mark == ":":
        text(Path(path), *(each.strip() for each in rest.splitlines()))
    else:
        values = [ImageColor.getrgb(cell) if cell[0] == "#" else int(cell) for cell in rest.split()]
        rows = np.linspace(0, len(values), 50, endpoint=False).astype(int)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array(values, np.uint8)[rows][:, None].repeat(100, 1)).save(path)


def test_the_page_has_them() -> None:
    assert [task for task, _, _ in FORMS] == ["detect"] * 3 + ["segment"] * 3


@pytest.mark.parametrize(("task", "said", "files"), FORMS)
def test_a_form_is_read_as_the_page_says(
    task: str, said: str, files: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in re.split(r"\n(?=photos/)", files):
        write(line)
    data = find_images("photos", kind=task)  # type: ignore[arg-type]
    parts = []
    for role, split in data.splits.items():
        counts = split.class_counts(len(data.class_names))
        pictures = f"{len(split)} picture{'s' * (len(split) > 1)}"
        parts.append(
            ", ".join([f"{role} {pictures}", *(f"{n} {c}" for n, c in zip(data.class_names, counts, strict=True))])
        )
    assert "; ".join(parts) == said
