"""Whatever stands in the files of a data set, it is read or refused in one line."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botzoo.errors import BotzooError
from botzoo.sources.targets import assemble
from botzoo.sources.targets.checks import check_boxes, check_masks
from botzoo.sources.targets.find import find_boxes, find_masks
from sources.targets.made import coco, mask, picture, refusal, text, voc_xml, write_json, yolo_lines

VALUES = [
    None,
    True,
    -1,
    1.5,
    1e30,
    10**30,
    float("nan"),
    "",
    "../../x",
    [],
    [[]],
    {},
    [1, 2, 3, 4],
    "9" * 5000,
    [None],
]
PIECES = [
    b"",
    b"\0",
    b"nan",
    b"1e400",
    b"-1",
    b"9" * 30,
    b"{",
    b"]",
    b"<",
    b"&x;",
    b"\xff\xfe",
    b"null",
    b'"',
    b"../",
    b"\n",
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield (*path, key)
        yield from places(each, (*path, key))


def used(folder: Path, *, masks: bool = False) -> None:
    """Read everything in a folder, or see it refused in a line."""
    refused = ""
    try:
        if masks:
            check_masks(find_masks(str(folder)))
        else:
            data = find_boxes(str(folder))
            check_boxes(data)
            assert all(np.isfinite(each.corners).all() and np.isfinite(each.areas).all() for each in data.train.boxes)
            assert (data.train.sizes >= 0).all()
    except BotzooError as error:
        refused = str(error)
    assert "\n" not in refused
    assert len(refused) < 1000


@pytest.mark.parametrize("seed", range(24))
def test_any_value_in_json(tmp_path: Path, seed: int) -> None:
    rng, made = random.Random(seed), coco(images=("a.png", "b.png"))
    made["annotations"][0] |= {"segmentation": {"counts": "d0;2n", "size": [16, 24]}, "area": 4}
    made["annotations"][1] |= {"segmentation": [[0, 0, 3, 4, 5, 6]]}
    *above, last = rng.choice(list(places(made)))
    inside: Any = made
    for key in above:
        inside = inside[key]
    inside[last] = rng.choice(VALUES)
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    write_json(tmp_path / "train.json", made)
    used(tmp_path)


@pytest.mark.parametrize("seed", range(24))
def test_any_byte_in_any_file(tmp_path: Path, seed: int) -> None:
    rng, kind = random.Random(seed), seed % 4
    picture(tmp_path / "images" / "a.png")
    if kind == 0:
        text(tmp_path / "a.xml", voc_xml())
        picture(tmp_path / "a.png")
    elif kind == 1:
        text(tmp_path / "train.json", json.dumps(coco()))
    elif kind == 2:
        text(tmp_path / "labels" / "a.txt", *yolo_lines())
        text(tmp_path / "data.yaml", "train: images", "names: [cat, dog]")
    else:
        mask(tmp_path / "masks" / "a.png", np.full((16, 24, 3), (1, 2, 3)))
        text(tmp_path / "classes.csv", "name,r,g,b", "cat,1,2,3", "dog,4,5,6")
    file = rng.choice(sorted(path for path in tmp_path.rglob("*") if path.is_file()))
    content = file.read_bytes()
    at = rng.randrange(len(content))
    file.write_bytes(content[:at] + rng.choice(PIECES) + content[at + rng.randrange(4) :])
    used(tmp_path, masks=kind == 3)


OUTLINES: list[Any] = [
    {"counts": [1, 10**400]},
    {"counts": [1, float("inf")]},
    {"counts": [1, 10**30]},
    [[0, 0, 10**400, 1, 2, 2]],
    [[0, 0, 1e200, 0, 1e200, 1e200]],
    [[float("nan")] * 6],
]


@pytest.mark.parametrize("outline", OUTLINES, ids=range(len(OUTLINES)))
@pytest.mark.parametrize("boxed", [True, False])
def test_any_number_in_an_outline(tmp_path: Path, outline: Any, boxed: bool) -> None:
    made = coco()
    made["annotations"][0] |= {"segmentation": outline} | ({} if boxed else {"bbox": None})
    picture(tmp_path / "a.png")
    write_json(tmp_path / "train.json", made)
    used(tmp_path)


@pytest.mark.parametrize("encoding", ["none", "base64", "rot13", "utf-16", "utf-7", "idna"])
def test_any_encoding_in_xml(tmp_path: Path, encoding: str) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "a.xml", f'<?xml version="1.0" encoding="{encoding}"?>', voc_xml())
    used(tmp_path)


@pytest.mark.parametrize("name", ["a.xml", "train.json", "data.yaml"])
def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / name)
    says = f"{tmp_path / name} cannot be read: it is a FIFO, and only regular files are read. Mend or remove it."
    assert refusal(tmp_path) == says


@pytest.mark.parametrize(("size", "kind"), [(10**12, "int64"), (-5, "int64"), ("abc", "string"), (1e400, "float64")])
def test_any_size_in_a_row(tmp_path: Path, size: Any, kind: str) -> None:
    content = {"bytes": picture(tmp_path / "a.png").read_bytes(), "path": None}
    objects = {"bbox": [[1, 2, 3, 4]], "category": [0]}
    write_rows(tmp_path / "set", {"image": content, "objects": objects, "height": size, "width": size}, kind)
    assert "as height, which is no number of pixels" in refusal(tmp_path / "set")


@pytest.mark.parametrize("objects", [{"bbox": [1, 2, 3, 4], "category": 3}, {"bbox": 5.0, "category": 3}])
def test_any_shape_in_a_row(tmp_path: Path, objects: Any) -> None:
    content = {"bytes": picture(tmp_path / "a.png").read_bytes(), "path": None}
    write_rows(tmp_path / "set", {"image": content, "objects": objects})
    used(tmp_path / "set")


def write_rows(folder: Path, row: dict[str, Any], kind: str | None = None) -> None:
    datasets = pytest.importorskip("datasets")
    folder.mkdir()
    table = datasets.Dataset.from_list([row]).cast_column("image", datasets.Image())
    for side in ("height", "width") if kind else ():
        table = table.cast_column(side, datasets.Value(kind))
    table.to_parquet(folder / "train.parquet")


@pytest.mark.parametrize(("most", "says"), [("MOST_CLASSES", "2 classes"), ("MOST_BOXES", "a.png has 2 boxes")])
def test_more_than_memory_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: str, says: str
) -> None:
    monkeypatch.setattr(assemble, most, 1)
    picture(tmp_path / "a.png")
    write_json(tmp_path / "train.json", coco())
    assert says in refusal(tmp_path)
