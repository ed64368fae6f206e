"""Small data sets with boxes and masks of every kind, and how one is refused, for the tests of this folder."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from botzoo.errors import DataError
from botzoo.sources.base import ImageData
from botzoo.sources.targets.boxes import BoxSplit
from botzoo.sources.targets.find import find_boxes

Rows = Sequence[tuple[int, float, float, float, float]]
"""Label, left, top, right and bottom."""

BOXES: Rows = ((0, 1, 2, 11, 12), (1, 4, 0, 20, 5.5))
NAMES = ("cat", "dog")
WIDTH, HEIGHT = 24, 16


def picture(path: Path, width: int = WIDTH, height: int = HEIGHT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (20, 90, 160)).save(path)
    return path


def text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


def mask(path: Path, values: object, mode: str | None = None) -> Path:
    """Write a mask of whole numbers, (H, W) or (H, W, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Image.fromarray(np.asarray(values, np.uint8))
    if mode == "P":
        made.putpalette([7 * k % 256 for k in range(768)])
    made.save(path)
    return path


def voc_xml(boxes: Rows = BOXES, database: str = "Unknown", more: str = "") -> str:
    objects = "".join(
        f"<object><name>{NAMES[k]}</name>{more}<bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax>"
        "</bndbox></object>"
        for k, a, b, c, d in boxes
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    return f"<annotation><source><database>{database}</database></source>{size}{objects}</annotation>"


def coco(boxes: Rows = BOXES, ids: Sequence[int] = (1, 2), images: Sequence[str] = ("a.png",), **more: object) -> dict:
    """What COCO's JSON says of images that have the same boxes each."""
    annotations = [
        {"id": 9 * i + j, "image_id": i, "category_id": ids[k], "bbox": [a, b, c - a, d - b], "iscrowd": 0}
        for i in range(len(images))
        for j, (k, a, b, c, d) in enumerate(boxes)
    ]
    files = [{"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT} for i, name in enumerate(images)]
    categories = [{"id": own, "name": name} for own, name in zip(ids, NAMES, strict=True)]
    return {"images": files, "annotations": annotations, "categories": categories} | more


def write_json(path: Path, values: object) -> Path:
    return text(path, json.dumps(values))


def yolo_lines(boxes: Rows = BOXES) -> list[str]:
    return [
        f"{k} {(a + c) / 2 / WIDTH:.9f} {(b + d) / 2 / HEIGHT:.9f} {(c - a) / WIDTH:.9f} {(d - b) / HEIGHT:.9f}"
        for k, a, b, c, d in boxes
    ]


def corners(data: ImageData[BoxSplit], i: int = 0, role: str = "train") -> list[list[float]]:
    return data.splits[role].boxes[i].corners.round(4).tolist()


def refusal(name: Path | str, find: Callable[..., object] = find_boxes, **options: object) -> str:
    """The one line with which opening ``name`` is refused."""
    with pytest.raises(DataError) as caught:
        find(str(name), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _voc(folder: Path) -> None:
    for i in range(4):
        picture(folder / "JPEGImages" / f"{i}.png")
        text(folder / "Annotations" / f"{i}.xml", voc_xml())


def _yolo(folder: Path) -> None:
    _unnamed(folder)
    text(folder / "data.yaml", "names: [cat, dog]")


def _unnamed(folder: Path) -> None:
    for i, split in enumerate(("train", "train", "valid", "valid")):
        picture(folder / split / "images" / f"{i}.png")
        text(folder / split / "labels" / f"{i}.txt", *yolo_lines())


def _coco(folder: Path) -> None:
    for i in range(4):
        picture(folder / "train2017" / f"{i}.png")
    write_json(folder / "annotations" / "instances_train2017.json", coco(images=[f"{i}.png" for i in range(4)]))


def _masks(folder: Path) -> None:
    for i in range(4):
        picture(folder / "images" / f"{i}.png")
        mask(folder / "masks" / f"{i}.png", np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 3)


def _masks_in_splits(folder: Path) -> None:
    for split in ("train", "val"):
        _masks(folder / split)


def _masks_beside(folder: Path) -> None:
    _masks(folder)
    (folder / "images").rename(folder / "train")
    (folder / "masks").rename(folder / "train_masks")


FORMS: dict[str, Callable[[Path], None]] = {
    "voc": _voc,
    "yolo": _yolo,
    "coco": _coco,
    "masks": _masks,
    "masks in splits": _masks_in_splits,
    "masks beside": _masks_beside,
}
"""Writers of four pictures, or four a split, with boxes or with masks, into a folder."""

BOXED = ("voc", "yolo", "coco")
"""Those of them that have boxes."""


def write_form(form: str, folder: Path) -> Path:
    FORMS[form](folder)
    return folder


def write_unnamed(folder: Path) -> Path:
    """Write YOLO's files without the names of the classes."""
    _unnamed(folder)
    return folder
