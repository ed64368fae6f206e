"""The commands on long images that your-data.md shows, up to the first step."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from botzoo.options.command_line import parse
from botzoo.training.setup import set_up
from botzoo_finetune import cli

PAGE = Path(__file__).parents[2] / "docs" / "your-data.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("## Long images")[2].partition("\n## ")[0]
SHOWN = {
    "--data.fit squash": "64 x 64 px, images squashed to it",
    "--data.fit pad": "64 x 64 px, images padded to its shape",
    "--img-size 32 128": "32 x 128 px;",
}


@pytest.mark.slow
@pytest.mark.parametrize("words", re.findall(r"^    botzoo-finetune --dataset panoramas (.*)$", SECTION, re.MULTILINE))
def test_a_command_on_long_images_prepares_them_as_it_says(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(16):
        (folder := tmp_path / "panoramas" / f"class{i % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((10, 40, 3), 10 * i, np.uint8)).save(folder / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    options = ["--dataset", "panoramas", "--mixed-precision", "fp32", *words.split()]
    assert set_up(parse(cli.command(), options).config).feed.describe().startswith(SHOWN[words])
