"""Small data sets of every kind, and how one is refused, for the tests of this folder."""

from pathlib import Path

import datasets
import pytest
from PIL import Image

from botzoo.errors import DataError
from data.pictures import open_images

LABELS = datasets.ClassLabel(names=["cat", "dog"])


def write(folder: Path, files: str, each: int = 3) -> Path:
    """Write ``each`` images into each of the space-separated folders; + stands for a space in a name."""
    for name in files.split():
        inside = folder / name.replace("+", " ")
        inside.mkdir(parents=True)
        for i in range(each):
            Image.new("RGB", (4, 4), (i, 0, 0)).save(inside / f"{i}.png")
    return folder


def table(rows: int = 10, image: str = "image", label: str = "label", **more: object) -> datasets.Dataset:
    """A data set of ``rows`` images, the labels 0 and 1 in turn."""
    cells = [{"bytes": f"image {i}".encode(), "path": None} for i in range(rows)]
    features = datasets.Features({image: datasets.Image(), label: LABELS})
    return datasets.Dataset.from_dict({image: cells, label: [i % 2 for i in range(rows)]}, features)


def refusal(name: Path | str, **options: str) -> str:
    """The one line with which opening ``name`` is refused."""
    with pytest.raises(DataError) as caught:
        open_images(str(name), **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)
