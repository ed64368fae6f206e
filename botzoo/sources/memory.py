"""Data that Python users have in memory, or in objects that read it: data sets of libraries, tables, arrays, lists."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from botzoo.errors import DataError
from botzoo.pixels.arrays import MOST_CHANNELS, as_picture_shape
from botzoo.pixels.colours import file_of, has_sixteen_bit_colour
from botzoo.pixels.values import is_deep
from botzoo.sources.annotations.images import Rows, as_data
from botzoo.sources.annotations.table import is_frame, read_frame
from botzoo.sources.base import (
    NOTHING_SAID,
    Columns,
    Encoded,
    ImageData,
    Labels,
    SourceOptions,
    Split,
    checked,
)
from botzoo.sources.folders import IMAGE_SUFFIXES
from botzoo.sources.labels import read_labels, unsaid
from botzoo.sources.tables import as_splits, open_tables, pick_column
from botzoo.util.outgoing import in_quotes

KINDS = (
    "a datasets.Dataset or DatasetDict, a torch Dataset or a list of (image, label), a pair (images, labels), a pandas "
    "DataFrame, or a dict of these by split"
)

IMAGES = (
    "a path, bytes, a PIL image, an array of numbers (H, W) or (H, W, C), or a tensor (C, H, W), whole numbers or float in "
    "[0, 1]"
)

_ONE_AT_A_TIME = Lock()  # data sets of others need not bear threads


def in_memory(data: Any, options: SourceOptions = NOTHING_SAID) -> ImageData[Split]:
    """Return data that was handed over as an object as a data set, with the checks of any other.

    Args:
        data: one of

            - a ``datasets.Dataset`` or ``DatasetDict``;
            - a torch ``Dataset``, or a list, of (image, label). It is read once to learn the labels and again for the
              images, so it must give the same image each time: augmentations belong into the run's transform;
            - a tuple (images, labels) of equal lengths, the images for example uint8 of shape (N, H, W) or (N, H, W, C);
            - a ``DataFrame`` of pandas or polars with a column of images, and labels as in any table, see ``read_answers``;
              paths in it begin where the user is;
            - a dict of splits of one of these kinds, by their usual names (train, validation or val, test).

            An image is a path, encoded bytes, a PIL image, an array (H, W) or (H, W, C), or a tensor (C, H, W), of whole
            numbers or of floating point in [0, 1]. Numbers that are not uint8 are brought to 8 bits as those of files are,
            by one range for all images; (H, W, 4) of uint8 is RGBA. Of colours of 16 bits a picture that Pillow has opened
            keeps all, and one that it has decoded already keeps 8. A label is a whole number or text, or a list of these where
            an image may have several, or of 0 and 1 for each class.
        options: what the user says of it.

    Raises:
        DataError: it is of another kind, shape, dtype or length, has fewer than two classes, or ambiguous columns.
    """
    name = "data in memory"  # in messages and on the card
    if type(data).__name__ == "Series":
        raise DataError(
            f"{name} is a Series, which has images or labels, not both: give a DataFrame, or (images, labels)."
        )
    library = sys.modules.get("datasets")
    one = is_frame(data) and not isinstance(data, dict)  # whose column of splits may have the user's words
    splits, notes = ({"train": data}, []) if one else as_splits(name, data, options)
    options = options if one else replace(options, splits={})
    # Where the library was not imported, nothing is of its kind, and an import would take seconds.
    tables = [library is not None and isinstance(split, library.Dataset) for split in splits.values()]
    if any(tables):
        if not all(tables):
            raise DataError(f"The splits of {name} are of several kinds: give all as datasets.Dataset, or none.")
        found = open_tables(name, splits, options)
        return checked(replace(found, notes=(*found.notes, *notes), in_memory=True))
    if options.labels is not None:
        raise DataError(f"{name} has its labels with it: leave labels out, or give the folder of the images as data.")
    if any(map(is_frame, splits.values())):
        if not all(map(is_frame, splits.values())):
            raise DataError(f"The splits of {name} are of several kinds: give all as DataFrames, or none.")
        framed = _of_frames(name, splits, options)
        return checked(replace(framed, notes=(*framed.notes, *notes), in_memory=True))
    parts = {role: _part(name, role, split, options) for role, split in splits.items()}
    parts = {role: _by_names_of(parts["train"], part, f"{role} split of {name}") for role, part in parts.items()}
    labels = [label for part in parts.values() for label in part.labels]
    lists = [label for label in labels if isinstance(label, list)]
    if lists and len(lists) < len(labels):
        raise DataError(f"Some images of {name} have a list of labels and others one label: give all of them lists.")
    single = [value for label in lists for value in label] if lists else labels
    if len({isinstance(label, str) for label in single}) > 1:
        raise DataError(f"Some labels of {name} are text and others are numbers: give all of them as one of both.")
    names = parts["train"].names
    if names is None and not lists:  # of lists ``read_labels`` tells, of names ``checked``
        known = set(parts["train"].labels)
        for role, part in parts.items():
            if unknown := [label for label in part.labels if label not in known]:
                has = f"The {role} split of {name} has the label {in_quotes(unknown[0])}"
                raise DataError(f"{has}, which no training image has.")
    if names is None:
        notes += unsaid(label for found in parts["train"].labels for label in (found if lists else [found]))
    class_names, hot = read_labels(name, {role: p.labels for role, p in parts.items()}, names, lists=bool(lists))
    cut = {role: Split(role, hot[role], part.read, part.describe) for role, part in parts.items()}
    of_roles, said = (cut["train"], cut.get("validation"), cut.get("test")), tuple(notes)
    return checked(ImageData(name, class_names, *of_roles, notes=said, declared=names is not None, in_memory=True))


def _of_frames(name: str, frames: dict[str, Any], options: SourceOptions) -> ImageData[Split]:
    """Return the data set in DataFrames, by role."""
    rows, images, paths = Rows(), list[Any](), dict[str, int]()
    for role, frame in frames.items():
        table = read_frame(name, frame, None if len(frames) == 1 else role)
        filled = {column: next((c for c in cells if c is not None), None) for column, cells in table.columns.items()}
        found = [column for column, cell in filled.items() if _is_image(cell)]
        image = pick_column(name, "image", options.image_column, list(table.columns), found)
        given = list(frame[image]) if image in frame.columns else table.columns[image]  # else it was the index
        _check_images(f"{role} split of {name}", given)
        places: list[int | None] = []
        for i, cell in enumerate(given, len(images)):  # a path that comes twice is one image
            places.append(paths.setdefault(os.fspath(cell), i) if isinstance(cell, str | os.PathLike) else i)
        images += given
        rows.add(table, image, lambda _, found=places: found, options)  # type: ignore[misc]
    part = _Part(images, [], "train")

    def make(role: str, places: list[int], labels: Labels, columns: Columns) -> Split:
        whole = Split(role, np.zeros(len(images), np.int64), part.read, part.describe)
        return replace(whole.take(np.array(places, np.int64)), labels=labels, rows=None, columns=columns)

    return as_data(name, rows, [part.describe(i) for i in range(len(images))], make, options, lambda _: "the DataFrame")


@dataclass(frozen=True)
class _Part:
    """A split as it was handed over: images, labels as they stand, and the names that the labels are numbers of."""

    images: Sequence[Any] | _Items
    labels: list[Any]
    role: str
    names: Sequence[str] | None = None

    def read(self, i: int) -> Encoded:
        return _encoded(self.images[i], self.describe(i))

    def describe(self, i: int) -> str:
        image = None if isinstance(self.images, _Items) else self.images[i]
        return os.fspath(image) if isinstance(image, str | Path) else f"image {i} of the {self.role} split"


@dataclass(frozen=True)
class _Items:
    """The images of a data set of (image, label)."""

    items: Any

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        with _ONE_AT_A_TIME:
            return self.items[i][0]


def _part(name: str, role: str, split: Any, options: SourceOptions) -> _Part:
    where = f"{role} split of {name}"
    if options.image_column or options.label_column:
        raise DataError(f"{name} has no columns: leave image_column and label_column out.")
    names = None
    images: Any = _Items(split)
    if isinstance(split, tuple) and len(split) == 2:
        for what, values in zip(("images", "labels"), split, strict=True):
            if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
                raise DataError(f"The {what} of the {where} are {_shown(values)}: give one for each image.")
        images, given = map(list, split)
        if len(images) != len(given):
            has = f"{len(images):,} images and {len(given):,} labels"
            raise DataError(f"The {where} has {has}: give one label for each.")
        items: Any = zip(images, given, strict=True)
    elif hasattr(split, "__getitem__") and hasattr(split, "__len__") and not isinstance(split, str | bytes):
        items = (split[i] for i in range(len(split)))
    else:
        raise DataError(f"The {where} is of type {type(split).__name__}: give {KINDS}.")
    labels = []
    for i, item in enumerate(items):
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise DataError(f"Item {i} of the {where} is {_shown(item)}, and (image, label) is needed: give {KINDS}.")
        labels.append(_label(item[1], f"image {i} of the {where}"))
        _encoded(item[0], f"image {i} of the {where}", check_only=True)  # what is wrong is said now, not in an epoch
    if isinstance(images, _Items) and all(isinstance(label, int) for label in labels):
        dataset = split  # torchvision's name the classes that the labels are numbers of; a part of one leads to it
        while not hasattr(dataset, "classes") and hasattr(dataset, "dataset"):
            dataset = dataset.dataset
        names = getattr(dataset, "classes", None)
    return _Part(images, labels, role, list(map(str, names)) if isinstance(names, list | tuple) else None)


def _by_names_of(train: _Part, part: _Part, where: str) -> _Part:
    """Return a part with its labels as numbers of the training classes, where its own are numbered in another way."""
    if train.names is None or part.names is None or list(part.names) == list(train.names):
        return part
    number = {each: k for k, each in enumerate(train.names)}
    if unknown := sorted({*part.names} - number.keys()):
        raise DataError(
            f"The {where} has the class {in_quotes(unknown[0])}, which the training split has not: add images of it."
        )
    if wrong := next((label for label in part.labels if not 0 <= label < len(part.names)), None):
        raise DataError(f"The {where} has the label {wrong}, and its classes are {len(part.names)}: mend it.")
    return replace(part, labels=[number[part.names[label]] for label in part.labels], names=train.names)


def _check_images(where: str, images: list[Any]) -> None:
    """Raise DataError for what is no image, or where all are paths and lead nowhere."""
    for i, image in enumerate(images):  # what is wrong is said now, not in an epoch
        _encoded(image, f"image {i} of the {where}", check_only=True)
    paths = [image for image in images if isinstance(image, str | Path)]
    if paths and len(paths) == len(images) and not any(Path(path).exists() for path in paths):
        cure = "give the folder that they begin at as data, and the DataFrame as labels"
        raise DataError(f"No file of the {where} is there, from {Path.cwd()} on, such as {_shown(paths[0])}: {cure}.")


def _label(value: Any, where: str) -> Any:
    """Return a label as an int or text, or a list of these."""
    if getattr(value, "ndim", None) == 0:  # a NumPy number, or a tensor of one
        value = value.item()
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple | set) or getattr(value, "ndim", None) == 1:
        return [_label(inner, where) for inner in value]
    must = "labels must be whole numbers or text, or lists of these where an image may have several"
    raise DataError(f"The label of {where} is {_shown(value)}: {must}.")


def _is_image(cell: Any) -> bool:
    """Tell whether a table's cell may be an image, by its type or, of a path, its suffix."""
    if isinstance(cell, str):
        return cell.lower().endswith(IMAGE_SUFFIXES)
    stored = isinstance(cell, dict) and {"bytes", "path"} <= set(cell)
    return stored or isinstance(cell, bytes | Path | Image.Image) or getattr(cell, "ndim", 0) >= 2


def _encoded(image: Any, where: str, *, check_only: bool = False) -> Encoded:
    """Return an image as a data set's ``read`` gives it; with ``check_only`` pictures of Pillow's are not converted."""
    if isinstance(image, dict) and {"bytes", "path"} <= set(image):  # as the library datasets stores it
        image = image["bytes"] if image["bytes"] is not None else image["path"]
    if isinstance(image, str | Path):
        return Path(image)
    if isinstance(image, bytes):
        return image
    if isinstance(image, Image.Image):
        if has_sixteen_bit_colour(image) and not check_only:  # of which Pillow would leave the lower bits out
            with _ONE_AT_A_TIME:
                return file_of(image) or _pixels(ImageOps.exif_transpose(image))
        return np.empty(0, np.uint8) if check_only else _pixels(ImageOps.exif_transpose(image))
    pixels, torch = image, sys.modules.get("torch")
    if torch is not None and isinstance(image, torch.Tensor):
        if image.is_floating_point():
            low, high = (float(image.min()), float(image.max())) if image.numel() else (0.0, 0.0)
            if not 0 <= low <= high <= 1:
                are = f"The pixels of {where} are floating-point numbers from {low:g} to {high:g}"
                raise DataError(f"{are}: they must be in [0, 1]; leave normalising to the network.")
            image = (image * 255).round().to(torch.uint8)
        pixels = (image.permute(1, 2, 0) if image.ndim == 3 else image).cpu().numpy()
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype.kind not in "uif"
        or pixels.ndim not in (2, 3)
        or not pixels.size
    ):
        raise DataError(f"The pixels of {where} are {_shown(image)}: give {IMAGES}.")
    try:
        as_picture_shape(pixels.shape)
    except ValueError as error:
        have = f"The pixels of {where} have shape {tuple(image.shape)}"
        most = f"with up to {MOST_CHANNELS} channels"
        raise DataError(f"{have}: an array must be (H, W, C), a tensor (C, H, W), {most}.") from error
    return pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels  # Pillow takes grey as (H, W)


def _pixels(image: Image.Image) -> NDArray[Any]:
    """Return all that a picture of Pillow's holds: its values of more than 8 bits, or its transparency too."""
    if is_deep(image):
        return np.asarray(image)
    clear = image.has_transparency_data
    return np.asarray(image if image.mode in ("L", "RGB") and not clear else image.convert("RGBA" if clear else "RGB"))


def _shown(value: Any) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{type(value).__name__} {tuple(shape)} of {dtype}"
    text = repr(value)
    return text if len(text) <= 40 and "\n" not in text else f"of type {type(value).__name__}"
