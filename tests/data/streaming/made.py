"""Small data sets in shards, and how one is refused, for the tests of this folder."""

import io
import tarfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from botzoo.data.order import Order
from botzoo.data.streaming.find import find_shards
from botzoo.data.streaming.shards import Shards
from botzoo.data.streaming.stream import Stream
from botzoo.data.transforms import TrainTransform
from botzoo.errors import BotzooError
from botzoo.sources.base import ImageData, SourceOptions

GREY = 30


def png(value: int, size: int = 16) -> bytes:
    """An image of one colour, another one for each value, so that it tells which one it is."""
    file = io.BytesIO()
    Image.new("RGB", (size, size), (value // 256, value % 256, GREY)).save(file, "PNG")
    return file.getvalue()


def write_tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def samples(first: int, count: int, classes: int = 3) -> list[tuple[str, bytes]]:
    pairs = [((f"{i:05}.cls", str(i % classes).encode()), (f"{i:05}.png", png(i))) for i in range(first, first + count)]
    return [member for pair in pairs for member in pair]


def write_tars(folder: Path, sizes: tuple[int, ...] = (7, 1, 12, 9, 11), validation: int = 10) -> Path:
    """Tar shards of so many images each, coloured by their numbers, and one for validation."""
    firsts = np.cumsum((0, *sizes))
    for i, size in enumerate(sizes):
        write_tar(folder / f"train-{i:04}.tar", samples(int(firsts[i]), size))
    write_tar(folder / "val-0000.tar", samples(0, validation))
    return folder


def table(first: int, count: int, **columns: Any) -> datasets.Dataset:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])})
    rows = range(first, first + count)
    cells = [{"bytes": png(i), "path": None} for i in rows]
    return datasets.Dataset.from_dict({"image": cells, "label": [i % 3 for i in rows]}, features)


def write_tables(folder: Path, sizes: tuple[int, ...] = (7, 1, 12, 9, 11), validation: int = 10) -> Path:
    folder.mkdir(parents=True)
    firsts = np.cumsum((0, *sizes))
    for i, size in enumerate(sizes):
        rows = table(int(firsts[i]), size)
        rows.to_parquet(folder / f"train-{i:05}-of-{len(sizes):05}.parquet", batch_size=4)
    table(0, validation).to_parquet(folder / "validation-00000-of-00001.parquet")
    return folder


def find(name: Path | str, classes: str | None = None, **said: Any) -> ImageData[Shards]:
    return find_shards(str(name), SourceOptions(**said), classes=classes)


def stream(folder: Path | str, buffer: int = 6, role: str = "train", **options: Any) -> Stream:
    return Stream(find(folder, **options).splits[role], buffer)


def numbers(stream: Stream, order: Order, first: int, last: int) -> list[list[int]]:
    """The numbers of the images of each micro-batch of the steps [first, last)."""
    return [[row.key[1] for row in rows] for rows in stream.micro_batches(order, first, last)]


def refusal(name: Path | str, **options: Any) -> str:
    """The one line with which streaming ``name`` is refused."""
    with pytest.raises(BotzooError) as caught:
        find(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_numbers(folder: Path, labels: list[int | None], name: str = "train") -> None:
    """A parquet file whose labels are plain numbers, and 3 images for validation."""
    folder.mkdir(exist_ok=True)
    for file, values in ((name, labels), ("validation", [0, 1, 2])):
        plain = {"image": [{"bytes": png(i), "path": None} for i in range(len(values))], "label": values}
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        datasets.Dataset.from_dict(plain, features).to_parquet(folder / f"{file}.parquet")


TRANSFORM = TrainTransform(8, "bilinear", 0.3, 0.5, 1)
