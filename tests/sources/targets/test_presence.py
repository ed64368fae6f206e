"""Masks are read once, whoever asks: later runs and other processes are told what was found."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from botzoo.sources import files
from botzoo.sources.base import ImageData
from botzoo.sources.find import find_images
from botzoo.sources.targets.find import find_masks
from botzoo.sources.targets.masks import MaskSplit
from botzoo.sources.targets.presence import with_presence
from sources.targets.made import mask, write_form


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files count as unchanged for long."""
    monkeypatch.setattr(files, "SETTLING", -1)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The masks that are decoded, by their places."""
    places: list[int] = []
    whole = MaskSplit.mask
    monkeypatch.setattr(MaskSplit, "mask", lambda split, i: places.append(i) or whole(split, i))  # type: ignore[func-returns-value]
    return places


def look(folder: Path) -> MaskSplit:
    data: ImageData[MaskSplit] = find_images(str(folder), kind="segment")
    return data.train


def found(split: MaskSplit) -> tuple[Any, ...]:
    return split.labels.tolist(), split.digests.tolist(), split.problems


def in_rows(folder: Path) -> None:
    def png(values: object) -> dict[str, Any]:
        file = io.BytesIO()
        Image.fromarray(np.asarray(values, np.uint8)).save(file, "PNG")
        return {"bytes": file.getvalue(), "path": None}

    cells = {"image": [png(np.zeros((2, 3, 3)))] * 4, "mask": [png([[0, 1, k], [1, 0, 0]]) for k in range(4)]}
    rows = datasets.Dataset.from_dict(cells, datasets.Features(dict.fromkeys(cells, datasets.Image())))
    folder.mkdir(exist_ok=True)
    rows.to_parquet(folder / "train.parquet")


def in_files(folder: Path) -> None:
    write_form("masks", folder)
    mask(folder / "masks" / "3.png", [[0, 1, 2]])  # of another size than its picture


@pytest.mark.parametrize("write", [in_files, in_rows])
def test_masks_that_have_not_changed_are_decoded_once(
    write: Callable[[Path], None], tmp_path: Path, decoded: list[int]
) -> None:
    write(tmp_path / "data")
    first = look(tmp_path / "data")
    assert sorted(decoded) == [0, 1, 2, 3]
    decoded.clear()
    assert found(look(tmp_path / "data")) == found(first)
    assert not decoded


@pytest.mark.parametrize("name", ["masks/1.png", "images/1.png"])
def test_they_are_decoded_again_where_one_or_its_picture_has_changed(
    name: str, tmp_path: Path, decoded: list[int]
) -> None:
    in_files(tmp_path)
    look(tmp_path)
    mask(tmp_path / name, [[1, 1], [1, 1]])
    decoded.clear()
    assert 1 in look(tmp_path).problems  # of another size
    assert sorted(decoded) == [0, 1, 2, 3]


def test_what_could_not_be_read_is_tried_again(tmp_path: Path, decoded: list[int]) -> None:
    in_files(tmp_path)
    (tmp_path / "masks" / "2.png").write_bytes(b"none")
    first = look(tmp_path)
    decoded.clear()
    assert found(look(tmp_path)) == found(first)
    assert decoded == [2]


def test_a_process_that_is_told_reads_none(tmp_path: Path, decoded: list[int]) -> None:
    in_files(tmp_path)
    data, said = find_masks(str(tmp_path)), list[Any]()

    def asked(work: Callable[[], Any]) -> Any:
        said.append(work())
        return said[0]

    first = with_presence(data, asked).train
    decoded.clear()
    assert found(with_presence(data, lambda work: said[0]).train) == found(first)
    assert not decoded
