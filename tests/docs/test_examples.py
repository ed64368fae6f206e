"""The examples of the pages, run as they stand; pages and commands are looked at in ``test_pages``."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import write_photos

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "python-api.md"

BLOCKS = [
    (PAGE.read_text(encoding="utf-8")[: found.start()].count("\n") + 2, found[1])
    for found in re.finditer(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
]


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The names that one example leaves to the next, in a folder with the data set that they are on."""
    folder = tmp_path_factory.mktemp("examples")
    photos = write_photos(folder / "photos", classes=2, each=16)
    for k, name in enumerate(("cat", "dog")):
        (photos / f"class{k}").rename(photos / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield {"__name__": "page"}


@pytest.mark.parametrize(("line", "code"), BLOCKS, ids=[f"line{line}" for line, _ in BLOCKS])
def test_an_example_runs(line: int, code: str, namespace: dict[str, Any]) -> None:
    exec(compile("\n" * (line - 1) + code, str(PAGE), "exec"), namespace)
