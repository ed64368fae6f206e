"""The walk-throughs of contributing.md, followed as they stand in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:python)?\n(.*?)```", PAGE, re.DOTALL)


def block(start: str) -> str:
    """Return the block of the page that begins with ``start``."""
    return next(text for text in BLOCKS if text.startswith(start))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text, f"{file} has no {old!r}"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def followed(tmp_path: Path) -> Path:
    """A copy of the project in which every step of the page has been done."""
    root = tmp_path / "copy"
    for name in ("botzoo", "finetune", "tests", "docs", "cards"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for path, text in re.findall(
        r"\*\*\d\.\*\* `([\w/]+\.py)`(?:(?!\*\*\d\.\*\*).)*?```python\n(.*?)```", PAGE, re.DOTALL
    ):
        assert not (root / path).exists()
        (root / path).write_text(text, encoding="utf-8")
    edit(root / "botzoo/options/config.py", "    no_bias_decay: bool", f"{block('    cutout')}    no_bias_decay: bool")
    find = root / "botzoo/sources/find.py"
    edit(find, "\nSOURCES", "\nfrom botzoo.sources.array_files import ArrayFiles\nSOURCES")
    find.write_text(re.sub(r"SOURCES: list.*", block("SOURCES").strip(), find.read_text()), encoding="utf-8")
    beside = root / "botzoo/results/card/beside.py"
    edit(beside, "\nimport ", "\nimport numpy as np\nimport ")
    beside.write_text(f"{beside.read_text()}\n\n{block('@beside')}", encoding="utf-8")
    edit(
        root / "botzoo/inference/export/formats.py",
        "FORMATS = {\n",
        f"FORMATS = {{\n{block('    ' + chr(34) + '.pt2')}",
    )
    return root


def test_what_they_add_passes_its_tests(followed: Path) -> None:
    new = [path for path in re.findall(r"`(tests/[\w/]+\.py)`", PAGE) if not (ROOT / path).exists()]
    assert len(new) == 4
    env = os.environ | {"PYTHONPATH": os.pathsep.join((str(followed), str(followed / "finetune")))}
    words = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *new]
    done = subprocess.run(words, cwd=followed, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
