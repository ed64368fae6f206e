"""Tables of the library datasets whose rows have an image and its boxes, or an image and its mask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.sources.base import Encoded, ImageData, SourceOptions
from botzoo.sources.files import inside
from botzoo.sources.labels import element
from botzoo.sources.tables import pick_column
from botzoo.sources.targets.assemble import checked_boxes
from botzoo.sources.targets.boxes import Boxes, BoxSplit, from_sides
from botzoo.sources.targets.coding import Coding
from botzoo.sources.targets.masks import MaskSplit, masked
from botzoo.sources.targets.pictures import SIZELESS, encoded_size, number
from botzoo.util.text import counted, listing

BOXES = ("bbox", "bboxes", "box", "boxes")
CATEGORIES = ("category", "categories", "label", "labels", "category_id", "class", "class_id")
MASKS = ("mask", "label", "labels", "annotation", "segmentation", "segmentation_mask", "semantic_mask", "gt", "target")


@dataclass(frozen=True)
class _Cells:
    """Encoded images in a column of a table; paths in it lead into ``folders`` only."""

    table: Any
    column: str
    role: str
    folders: Sequence[Path]

    def __call__(self, i: int) -> Encoded:
        cell = self.table.data.column(self.column)[i].as_py() or {}
        content, path = cell.get("bytes"), cell.get("path")
        return content or b"" if content is not None or not path else inside(path, self.folders, self.describe(i))

    def describe(self, i: int) -> str:
        return f"row {i} of the {self.role} split"

    @property
    def files(self) -> tuple[str, ...]:
        """The files that hold all of the images; none where a cell is the path of another file."""
        inline = all(chunk.field("bytes").null_count == 0 for chunk in self.table.data.column(self.column).chunks)
        return tuple(str(file["filename"]) for file in self.table.cache_files) if inline else ()


def _cells(table: Any, column: str, role: str, folders: Sequence[Path]) -> _Cells:
    import datasets

    own = table.with_format(None).select_columns([column]).flatten_indices()
    return _Cells(own.cast_column(column, datasets.Image(decode=False)), column, role, folders)


def _image_columns(features: Mapping[str, Any]) -> list[str]:
    import datasets

    declared = [column for column, feature in features.items() if isinstance(feature, datasets.Image)]
    # files that other programs have written declare no type
    stored = [c for c, feature in features.items() if isinstance(feature, dict) and set(feature) == {"bytes", "path"}]
    return declared or stored


def box_columns(features: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return the column of objects, and the fields of boxes and categories in it; None where there is none."""
    for column, feature in features.items():
        fields = _fields(feature)
        boxes = next((each for each in BOXES if each in fields), None)
        category = next((each for each in CATEGORIES if each in fields), None)
        if boxes and category:
            return column, boxes, category
    return None


def unclassed(features: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return a column and a field in it that has boxes, where none beside it has their categories."""
    found = ((column, each) for column, feature in features.items() for each in BOXES if each in _fields(feature))
    return next(found, None) if box_columns(features) is None else None


def _fields(feature: Any) -> Mapping[str, Any]:
    """Return the fields of a group of lists, or of a list of groups; none of anything else."""
    inner = element(feature)
    found = inner if isinstance(inner, dict) else feature if isinstance(feature, dict) else {}
    return found


def open_box_rows(
    name: str, tables: Mapping[str, Any], options: SourceOptions, folders: Sequence[Path]
) -> ImageData[BoxSplit]:
    """Return tables whose rows have ``objects: {bbox, category}`` as a data set, by role.

    Boxes are left, top, width, height in pixels, as COCO has them, unless in the training split some of these would
    leave their image and, read as left, top, right, bottom, none would. Numbers up to 1 are shares of the sides.

    Raises:
        DataError: a row is damaged, has other numbers of boxes and categories or a category that is no class, or as
            ``checked_boxes``.
    """
    features = tables["train"].features
    columns = box_columns(features)
    assert columns is not None
    objects, _, category = columns
    image = pick_column(name, "image", options.image_column, list(features), _image_columns(features))
    tables, left = _labelled(name, tables, (image, objects))
    cells = {role: _cells(table, image, role, folders) for role, table in tables.items()}
    rows = {role: [*_rows(table, cells[role], columns)] for role, table in tables.items()}
    classes = _Classes.of(_fields(features[objects])[category], chain.from_iterable(rows.values()))
    way, note = _way([(found, size) for found, _, size in rows["train"]])
    splits = {role: _split(name, of_role, cells[role], classes, way) for role, of_role in rows.items()}
    notes = [*left, f"boxes are those in {objects!r}: {note}"]
    return checked_boxes(name, splits, classes.names, notes, declared=classes.declared)


def _labelled(name: str, tables: Mapping[str, Any], columns: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the tables without a test split that lacks a column, and a note on that; raise DataError of any other."""
    kept, notes = {}, []
    for role, table in tables.items():
        missing = [column for column in columns if column not in table.features]
        if missing and role != "test":
            has = f"it has {listing(list(table.features))}"
            raise DataError(f"The {role} split of {name} has no column {missing[0]!r}: {has}.")
        if missing:  # which are often kept secret
            notes.append(f"the test split has no column {missing[0]!r}, so it is not used")
        else:
            kept[role] = table
    return kept, notes


Row = tuple[NDArray[np.float64], list[Any], tuple[int, int]]
"""The boxes of an image as they stand, (n, 4), their categories, and height and width of the image, 0 of an unreadable one."""


def _rows(table: Any, cells: _Cells, columns: tuple[str, str, str]) -> Iterator[Row]:
    objects, boxes, category = columns
    sized = {"height", "width"} <= set(table.features)
    plain = table.with_format(None).select_columns([objects, *(["height", "width"] if sized else [])])
    for i, row in enumerate(plain):
        where = f"{cells.describe(i).capitalize()}"
        found = row[objects] or {}
        if isinstance(found, list):
            found = {field: [each and each[field] for each in found] for field in (boxes, category)}
        sides, labels = (_listed(found.get(field)) for field in (boxes, category))
        if (
            len(sides) != len(labels)
            or None in labels
            or not all(isinstance(side, list) and len(side) == 4 for side in sides)
        ):
            raise DataError(
                f"{where} has {len(sides)} boxes and {len(labels)} categories: each box needs four numbers and one."
            )
        values = [[number(value, where, boxes) for value in side] for side in sides]
        said = [int(number(row[side] or 0, where, side, 0)) for side in ("height", "width")] if sized else [0, 0]
        height, width = said if all(said) else _size(cells(i), where)
        yield np.array(values, np.float64).reshape(-1, 4), list(labels), (height, width)


def _listed(cell: Any) -> list[Any]:
    return cell if isinstance(cell, list) else [] if cell is None else [cell]


def _size(encoded: Encoded, where: str) -> tuple[int, int]:
    try:
        return encoded_size(encoded, where)
    except DataError:  # which is told of later, with all others
        return 0, 0


class _Classes(NamedTuple):
    """The classes of boxes: those that the table declares, which it calls by numbers, or all that are there, as text."""

    names: list[str]
    declared: bool

    @classmethod
    def of(cls, feature: Any, rows: Iterable[Row]) -> _Classes:
        """Return those of a field of categories; of a field that declares none, numbers come in their order."""
        declared = getattr(element(feature) or feature, "names", None)
        if declared is not None:
            return cls(list(declared), True)
        found = {str(category) for _, categories, _ in rows for category in categories}
        return cls(sorted(found, key=lambda each: (len(each) * each.isdecimal(), each)), False)

    def labels(self, rows: Sequence[Row], where: Callable[[int], str]) -> Iterator[list[int]]:
        """Yield the labels of the boxes of each row, which ``where`` names; raise DataError of a category that is none."""
        number_of = {each: k for k, each in enumerate(range(len(self.names)) if self.declared else self.names)}
        for i, (_, categories, _) in enumerate(rows):
            keys = categories if self.declared else [*map(str, categories)]
            if odd := [key for key in keys if key not in number_of]:
                classes = counted(len(self.names), "class", "classes")
                has = f"{where(i)} has the category {odd[0]!r}, which is none of the {classes}, numbered from 0 on"
                raise DataError(f"{has}: mend the row, or name the class.")
            yield [number_of[key] for key in keys]


Way = Callable[[NDArray[np.float64], tuple[int, int]], NDArray[np.float32]]


def _way(seen: Sequence[tuple[NDArray[np.float64], tuple[int, int]]]) -> tuple[Way, str]:
    """Return how boxes are read, and the words for it."""
    some = [(boxes, size) for boxes, size in seen if len(boxes) and all(size)]
    shares = bool(some) and max(boxes.max() for boxes, _ in some) <= 1
    scale = (lambda size: (1, 1)) if shares else (lambda size: size)
    as_sides = all(_fit(from_sides(boxes), scale(size)) for boxes, size in some)
    as_corners = not as_sides and all(_fit(boxes, scale(size)) for boxes, size in some)
    order = "left, top, right, bottom" if as_corners else "left, top, width, height"
    words = f"{order}, {'shares of the sides' if shares else 'in pixels'}"
    return partial(_read, as_corners, shares), words


def _fit(corners: NDArray[Any], size: tuple[int, int]) -> bool:
    height, width = size
    slack = 1e-3 * max(size) + (1 if max(size) > 1 else 0)
    inside = (corners >= -slack).all() and (corners <= np.array([width, height, width, height]) + slack).all()
    return bool(inside and (corners[:, 2:] >= corners[:, :2]).all())


def _read(as_corners: bool, shares: bool, boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float32]:
    height, width = size
    pixels = boxes * np.array([width, height, width, height]) if shares else boxes
    return pixels.astype(np.float32) if as_corners else from_sides(pixels)


def _split(name: str, rows: Sequence[Row], cells: _Cells, classes: _Classes, way: Way) -> BoxSplit:
    """Return the split of such rows, whose boxes are read in that ``way``."""
    labels = classes.labels(rows, lambda i: f"{cells.describe(i).capitalize()} of {name}")
    made = [Boxes.of(way(found, size), own) for (found, _, size), own in zip(rows, labels, strict=True)]
    sizes = np.array([size for _, _, size in rows], np.int32).reshape(-1, 2)
    split = BoxSplit.of(cells.role, made, sizes, cells, cells.describe)
    return replace(split, problems=dict.fromkeys(np.flatnonzero(~sizes.all(1)).tolist(), SIZELESS))


def mask_columns(features: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the columns of the image and of its mask: of two, one is called a mask; None where it is not so."""
    images = _image_columns(features)
    masks = [column for column in MASKS if column in images]
    rest = [column for column in images if column not in masks]
    return (rest[0], masks[0]) if len(masks) == 1 and len(rest) == 1 else None


def _described(mask: _Cells, i: int) -> str:
    return f"the mask of {mask.describe(i)}"


def open_mask_rows(
    name: str, tables: Mapping[str, Any], options: SourceOptions, folders: Sequence[Path]
) -> ImageData[MaskSplit]:
    """Return tables whose rows have an image and its mask as a data set, by role; classes are called by their numbers.

    Raises:
        DataError: a split lacks a column, or as ``masked``.
    """
    columns = mask_columns(tables["train"].features)
    assert columns is not None
    tables, left = _labelled(name, tables, columns)

    def make(table: Any, role: str, coding: Coding) -> MaskSplit:
        image, mask = (_cells(table, column, role, folders) for column in columns)
        of = partial(_described, mask)
        split = MaskSplit.of(role, len(table), image, image.describe, mask, of, coding)
        return replace(split, stored_in=image.files if mask.files else ())

    makers = {role: partial(make, table) for role, table in tables.items()}
    return masked(name, makers, [], {}, [*left, f"images are those in {columns[0]!r}, masks those in {columns[1]!r}"])
