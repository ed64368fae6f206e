"""YOLO: a text file for each image, a line for each box, and the names of the classes in data.yaml or classes.txt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from botzoo.errors import ConfigError, DataError
from botzoo.sources.annotations.paths import ENDS, Found
from botzoo.sources.base import ImageData, SourceOptions
from botzoo.sources.files import inside, own_folders, read_text
from botzoo.sources.folders import files_in
from botzoo.sources.layouts.split_names import role_of
from botzoo.sources.targets.assemble import Boxed, box_split, checked_boxes, named_classes
from botzoo.sources.targets.boxes import Boxes, BoxSplit, from_centres
from botzoo.sources.targets.formats.outlines import polygon_area
from botzoo.sources.targets.pictures import (
    SIZELESS,
    Pairs,
    encoded_size,
    files_named,
    is_kind,
    number,
    roles_of_folders,
)
from botzoo.util.text import brief, counted, listing
from botzoo.util.yaml_files import mapping_in

NAMES = ("classes.txt", "obj.names", "classes.names")
"""Lists of the classes, one a line, where there is no data.yaml."""

MOST = 100
"""Folders or lists of images of a split."""

USUAL = ("data", "dataset")
"""Stems of the YAML file that is surely meant."""

_NO_LABELS = (*NAMES, "train.txt", "val.txt", "test.txt", "label_colors.txt")


def yolo_file(root: Path) -> Path | None:
    """Return the file in a folder that names the classes: a YAML file with ``names``, or one of ``NAMES``."""
    found = sorted((Path(file) for file in files_in(root)), key=lambda path: (len(path.parts), path.name))
    labels = bool(_label_files(root))
    for path in (each for each in found if each.suffix.lower() in (".yaml", ".yml")):
        usual = path.stem.lower() in USUAL  # others may be of anything
        with nullcontext() if usual else suppress(ConfigError, DataError):
            if (usual or labels) and "names" in _told(path):
                return path
    return next((path for path in found if path.name.lower() in NAMES), None) if labels else None


def _told(file: Path) -> dict[str, Any]:
    """Return what a YAML file says, all of it as text; raise ConfigError or DataError where it cannot be read."""
    return mapping_in(read_text(file), file, as_text=True)


def _label_files(root: Path) -> list[str]:
    files = [(file, file.rpartition("/")[2].lower()) for file in files_named(root, ".txt")]
    kept = [file for file, name in files if name not in _NO_LABELS and not name.startswith("readme")]
    return [file for file in kept if "imagesets/" not in file.lower()]


def yolo_labels(root: Path) -> list[str]:
    """Return the text files in a folder that are about one of its images and begin with a line of a box, if any."""
    if not (files := _label_files(root)):
        return []
    pairs = Pairs(Found(root))
    first = next((file for file in files if pairs.place(file) is not None and _lines(root / file)), None)
    fits = first is not None and re.fullmatch(r"\d+(\s+[-+.\deE]+){4,}", _lines(root / first)[0])
    return files if fits else []


def open_yolo(name: str, root: Path, file: Path, options: SourceOptions) -> ImageData[BoxSplit]:
    """Return the data set whose classes ``file`` names; an image without a text file has no boxes.

    Raises:
        DataError: a line is no box, or is of a class that has no name; ``nc`` is not the number of the names; or as
            ``checked_boxes``.
        ConfigError: the YAML file is damaged.
    """
    told = _told(file) if file.suffix.lower() in (".yaml", ".yml") else {}
    class_names = _class_names(told, file) if told else named_classes(file)
    found = Found(root)
    roles, notes = _roles(name, found, told, file, options)
    chosen = [i for i, role in enumerate(roles) if role]
    pairs, at = Pairs(found, chosen), {}
    lost = []
    for text in _label_files(root):
        place = pairs.place(text)
        if place is None:
            lost.append(text)
        else:
            at[place] = root / text
    if lost:
        notes.append(f"not used: {counted(len(lost), 'text file')} without an image, such as {listing(lost, 2)}")
    if bare := len(chosen) - len(at):
        notes.append(f"{counted(bare, 'image')} without a text file: nothing is on them")
    entries: dict[str, list[Boxed]] = {}
    for i in chosen:
        entries.setdefault(roles[i], []).append(_entry(i, found.files[i], at.get(i), class_names, file))
    splits = {role: box_split(role, each, found) for role, each in entries.items()}
    return checked_boxes(name, splits, class_names, notes, declared=True)


def _entry(place: int, image: str, text: Path | None, class_names: Sequence[str], names_in: Path) -> Boxed:
    """Return an image with the boxes in its ``text``, which are shares of its sides; without one nothing is on it."""
    try:
        height, width = encoded_size(Path(image), image)
    except DataError:
        return Boxed(place, Boxes.of(), problem=SIZELESS)
    boxes = _read_boxes(text, height, width, class_names, names_in) if text is not None else Boxes.of()
    return Boxed(place, boxes, height, width)


def _class_names(told: Mapping[str, Any], file: Path) -> list[str]:
    """Return the names in a list, or in a mapping of numbers from 0 on; there are ``nc``, where that is said."""
    names = told["names"]
    if isinstance(names, Mapping):
        if sorted(names) != sorted(map(str, range(len(names)))):
            raise DataError(f"names in {file} are of {listing(list(names))}: they must be numbered 0, 1, 2 and so on.")
        names = [names[str(k)] for k in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(each, str) and each.strip() for each in names):
        raise DataError(f"names in {file} must be a list of the classes, or `0: name` lines.")
    if (count := told.get("nc")) and count != str(len(names)):
        has = f"{file} has nc: {brief(str(count), 20)} and {counted(len(names), 'name')}, {listing(names)}"
        raise DataError(f"{has}: make nc {len(names)}, or name each class.")
    return [each.strip() for each in names]


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]


def _roles(
    name: str, found: Found, told: Mapping[str, Any], file: Path, options: SourceOptions
) -> tuple[list[str], list[str]]:
    """Return the split of each image, "" of those that are not used, and notes: as the YAML file says, else by folders."""
    by_key = {role_of(key): told[key] for key in ("train", "val", "test") if told.get(key)}
    said = {str(role): places for role, places in by_key.items()}
    if "train" not in said or options.splits:
        return roles_of_folders(name, found.names, options.splits)
    roles, again = [""] * len(found.names), 0
    for role, places in said.items():
        several = places if isinstance(places, list) else [places]
        if len(several) > MOST:
            raise DataError(
                f"{file} names {len(several):,} places for {role} images: {MOST} are read. Name folders of them."
            )
        named = (_places(str(each), found, file) for each in several)
        for i in chain.from_iterable(named):
            again += roles[i] not in ("", role)
            roles[i] = roles[i] or role
    if "train" not in roles:
        raise DataError(
            f"{file} names {brief(repr(said['train']), 80)} for training, where no image is: mend its `train`."
        )
    notes = [f"not used: {counted(roles.count(''), 'image')} in no split of {file.name}"] if "" in roles else []
    notes += [f"{file.name} names {counted(again, 'image')} for two splits, used in the first of them"] if again else []
    absent = [role for role in said if role not in roles]
    return roles, notes + [f"{file.name} names a {role} split that has no images of its own here" for role in absent]


def _places(named: str, found: Found, file: Path) -> list[int]:
    """Return the images that a folder has, or a list of files names; both are looked up among what was found.

    Of ../train/images and of an absolute path of another machine the end counts that is a folder here.
    """
    if named.endswith(".txt"):
        path = inside(named, own_folders(found.root), str(file))
        lines = _lines(path) if path.is_file() else []
        return [i for i in found.places(lines, path.parent, [None] * len(lines)) if i is not None]
    parts = [part for part in named.replace("\\", "/").split("/") if part not in ("", ".", "..")][-ENDS:]
    ends = [parts[k:] for k in range(len(parts)) if not k or not all(map(is_kind, parts[k:]))]
    for end in map("/".join, ends):
        for fits in (str.startswith, str.__contains__):  # from the data set's folder on, else in a folder of it
            hits = [i for i, own in enumerate(found.names) if fits(f"/{own}", f"/{end}/")]
            if hits:
                return hits
    return [] if parts else list(range(len(found.names)))


def _read_boxes(path: Path, height: int, width: int, class_names: Sequence[str], names_in: Path) -> Boxes:
    """Return the boxes of an image: of lines with four numbers as they are, of longer ones those around a polygon."""
    labels, centres, areas = [], [], []
    for k, line in enumerate(_lines(path)):
        where = f"{path}, line {k + 1},"
        label, *values = line.split()
        numbers = np.array([number(value, where, "a place") for value in values])
        if not (
            label.isdecimal() and len(label) < 10 and (len(numbers) == 4 or (len(numbers) > 5 and not len(numbers) % 2))
        ):
            raise DataError(f"{where} is {brief(line, 60)!r}, which is no box: write `class x y width height`.")
        if int(label) >= len(class_names):
            has = f"{where} has the class {label}, and {names_in.name} names {counted(len(class_names), 'class', 'classes')}"
            raise DataError(f"{has}, from 0 on: add its name, or mend the line.")
        if np.abs(numbers).max() > 2:
            raise DataError(
                f"{where} has {brief(line, 60)!r}: places are shares of the image's sides, from 0 to 1. Mend it."
            )
        labels.append(int(label))
        area = float(numbers[2:].prod()) * height * width
        if len(numbers) > 4:
            points = numbers.reshape(-1, 2)
            area = polygon_area(points) * height * width
            low, high = points.min(0), points.max(0)
            numbers = np.concatenate([(low + high) / 2, high - low])
        centres.append(numbers)
        areas.append(area)
    return Boxes.of(from_centres(centres, height, width), labels, areas=np.array(areas, np.float32))
