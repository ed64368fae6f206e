"""The Python examples of README and python-api.md, run as they stand, from top to bottom."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conftest import write_photos
from dense_models import write

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def blocks(page: str) -> Iterator[tuple[str, int, str]]:
    """Yield the examples of a page with the line that each begins in, but those on a run of the reader's own."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if "runs/photos-resnet50d_bot" not in found[1]:
            yield page, text[: found.start()].count("\n") + 1, found[1]


EXAMPLES = [*blocks("README.md"), *blocks("docs/python-api.md")]


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The names that one example leaves to the next, in a folder with the data set that they are on."""
    folder = tmp_path_factory.mktemp("examples")
    photos = write_photos(folder / "photos", classes=2, each=16)
    for k, name in enumerate(("cat", "dog")):
        (photos / f"class{k}").rename(photos / name)
    for name, kind in (("blood", "boxes"), ("streets", "masks")):
        write(folder / "runs" / name, kind)
    for name in ("blood", "street"):
        Image.new("RGB", (80, 64), "red").save(folder / f"{name}.jpg")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield {"__name__": "page"}


@pytest.mark.parametrize(("page", "line", "code"), EXAMPLES, ids=[f"{page}:{line}" for page, line, _ in EXAMPLES])
def test_an_example_runs(page: str, line: int, code: str, namespace: dict[str, Any]) -> None:
    exec(compile("\n" * line + code, str(ROOT / page), "exec"), namespace)
