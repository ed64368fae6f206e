"""The table of what files hold in your-data.md: each example is written, read as a run reads it, and looked at."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from botzoo.commands.train import command
from botzoo.data import open as opening
from botzoo.options.command_line import parse

PAGE = Path(__file__).parents[2] / "docs" / "your-data.md"
ROW = re.compile(r"^\| [^|]* \| `([^|]*)` \| (?:`([^|]*)`)? ?\| (\(.*\)), (\d+) to (\d+) \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text(encoding="utf-8"))


def test_all_rows_of_the_table_are_found() -> None:
    assert len(ROWS) == PAGE.read_text(encoding="utf-8").split("| files hold |")[1].split("\n\n")[0].count("\n") - 1


@pytest.mark.parametrize(("example", "options", "shape", "low", "high"), ROWS)
def test_an_example_becomes_the_pixels_that_the_page_says(
    example: str, options: str, shape: str, low: str, high: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"Image": Image, "np": np}
    if "tifffile" in example:
        names["tifffile"] = pytest.importorskip("tifffile")
    if ".heic" in example:
        pytest.importorskip("pillow_heif").register_heif_opener()
    for name in ("train/cat", "train/dog", "val/cat", "val/dog"):
        (tmp_path / name).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / name)
        exec(example, names)
    config = parse(command(), shlex.split(options)).config.data
    found = opening.find(str(tmp_path), config)
    _, images, _ = opening.read(found, config, split_seed=0, bars=False)
    pixels = images["train"].pixels(0)
    assert (str(pixels.shape), str(pixels.min()), str(pixels.max())) == (shape, low, high)
