"""COCO's JSON: one file a split, with its images, categories and annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from botzoo.errors import DataError
from botzoo.sources.annotations.paths import Found
from botzoo.sources.base import ImageData, SourceOptions
from botzoo.sources.files import named, read_file
from botzoo.sources.layouts.split_names import by_role, option
from botzoo.sources.targets.assemble import Boxed, box_split, checked_boxes
from botzoo.sources.targets.boxes import Boxes, BoxSplit, from_sides
from botzoo.sources.targets.formats.outlines import area_of, sides_of
from botzoo.sources.targets.pictures import files_named, number
from botzoo.util.files import parse_json
from botzoo.util.text import brief, counted, listing

BYTES = 1 << 29
"""Of one file; that of COCO's 118,287 training images has 448 MB."""

PARTS = ("images", "annotations", "categories")


def coco_files(root: Path) -> dict[str, dict[str, Any]]:
    """Return what the JSON files of COCO's kind in a folder hold, by their paths inside it.

    Of those whose names begin with instances the others are what else is known of the same images, such as captions.
    """
    names = files_named(root, ".json")
    named_so = [name for name in names if name.rpartition("/")[2].lower().startswith("instances")]
    read = {name: read_coco(root / name) for name in named_so or names}
    return {name: found for name, found in read.items() if found is not None}


def unclassed_coco(root: Path) -> list[str]:
    """Return the JSON files in a folder that list images and annotations, and no categories."""
    names = files_named(root, ".json")
    return [name for name in names if read_coco(root / name, PARTS[:2]) is not None]


def read_coco(path: Path, parts: Sequence[str] = PARTS) -> dict[str, Any] | None:
    """Return what a file holds, None where it is no JSON with these lists; raise DataError where it cannot be read."""
    try:
        with named(path):
            found = parse_json(read_file(path, BYTES).decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is not there any more: check its folder.") from error
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path} is damaged or no JSON ({brief(error)}): mend or remove it.") from error
    fits = isinstance(found, dict) and all(isinstance(found.get(part), list) for part in parts)
    return found if fits else None


def open_coco(name: str, root: Path, read: Mapping[str, dict[str, Any]], options: SourceOptions) -> ImageData[BoxSplit]:
    """Return the data set that JSON files describe; the classes are the categories in the order of their ids.

    Raises:
        DataError: two files are of one split, they have other categories, an image is not there, or an annotation is damaged;
            or as ``checked_boxes``.
    """
    roles, notes = by_role(name, list(read), options.splits)
    for role, each in roles.items():
        if len(each) > 1:
            likely = {role: each[:1], "none": each[1:]}
            cure = f"say which one, such as {option(likely)}"
            raise DataError(f"{name} has {listing(each)}, which are all of the {role} split: {cure}.")
    files = {role: each[0] for role, each in roles.items()}
    categories = {role: _categories(read[file], f"{root / file}") for role, file in files.items()}
    first = categories["train"]
    for role, other in categories.items():
        if other != first:
            differ = f"{root / files[role]} has other categories than {root / files['train']}"
            raise DataError(f"{differ}, {_first_difference(other, first)}: make them the same.")
    ids = sorted(first)
    if ids and ids != list(range(ids[0], ids[0] + len(ids))):
        notes.append(
            f"category ids {ids[0]} to {ids[-1]} have holes: the {len(ids)} classes are numbered in their order"
        )
    found, number_of = Found(root), {own: k for k, own in enumerate(ids)}
    splits = {}
    for role, file in files.items():
        entries, lost = _entries(read[file], found, root / file, role, number_of)
        if lost:
            notes.append(
                f"not used: {counted(len(lost), 'image')} of {file} without a file, such as {listing(lost, 2)}"
            )
        splits[role] = box_split(role, entries, found)
    return checked_boxes(name, splits, [first[own] for own in ids], notes, declared=True)


def _categories(read: Mapping[str, Any], where: str) -> dict[int, str]:
    """Return the names of the categories by their ids."""
    found: dict[int, str] = {}
    for each in read["categories"]:
        own = _whole(each, "id", f"{where}, in a category,")
        if own in found:
            raise DataError(f"{where} has two categories with the id {own}: give each its own.")
        text = each.get("name")
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{where} has a category, of the id {own}, without a name: add it.")
        found[own] = text.strip()
    return found


def _first_difference(one: Mapping[int, str], other: Mapping[int, str]) -> str:
    """Return in words the first category that two files with different ones do not share."""
    own = min(own for own in {*one, *other} if one.get(own) != other.get(own))
    called, instead = (brief(repr(names[own]), 60) if own in names else "nothing" for names in (one, other))
    return f"{own} being {called} and not {instead}"


def _entries(
    read: Mapping[str, Any], found: Found, path: Path, role: str, number_of: Mapping[int, int]
) -> tuple[list[Boxed], list[str]]:
    """Return the images of a file with their boxes, and the names of those that are not there."""
    images = [each for each in read["images"] if isinstance(each, dict)]
    names = [each.get("file_name") for each in images]
    places = found.places(names, path.parent, [role] * len(images))
    keys = [str(each.get("id")) for each in images]
    if len(set(keys)) < len(keys) or len(images) < len(read["images"]):
        raise DataError(f"{path} has two images with one id, or one that is no image: mend it.")
    of_image: dict[str, list[dict[str, Any]]] = {key: [] for key in keys}
    for each in read["annotations"]:
        key = str(each.get("image_id")) if isinstance(each, dict) else None
        if key not in of_image:
            raise DataError(
                f"{path} has an annotation of the image {brief(repr(key), 60)}, which it does not list: mend it."
            )
        of_image[key].append(each)
    entries, lost, key_of = [], [], dict[int, str]()
    for image, key, cell, place in zip(images, keys, names, places, strict=True):
        where = f"{path}, at image {brief(key, 60)},"
        if place is None:
            lost.append(str(cell))
            continue
        if (other := key_of.setdefault(place, key)) != key:  # what is on one would be said not to be on the other
            both = f"{path} has the file {brief(str(cell), 60)} twice, as the images {brief(other, 60)} and {brief(key, 60)}"
            raise DataError(f"{both}: make them one.")
        height, width = (int(number(image.get(side) or 0, where, side, 0)) for side in ("height", "width"))
        entries.append(Boxed(place, _boxes(of_image[key], number_of, where), height, width))
    if not images:
        raise DataError(f"{path} lists no images: there is nothing of the {role} split.")
    if not entries:
        raise DataError(f"{path} names no image in {found.root}, only {listing(lost, 2)}: put them there.")
    return entries, lost


def _boxes(annotations: Sequence[Mapping[str, Any]], number_of: Mapping[int, int], where: str) -> Boxes:
    """Return the boxes of an image; of an annotation without one, that around its polygons or run lengths."""
    sides, labels, crowd, areas = [], [], [], []
    for each in annotations:
        if each.get("category_id") is None:
            raise DataError(f"{where} has a box without a class: add category_id, the id of one of its categories.")
        own = _whole(each, "category_id", where)
        if own not in number_of:
            raise DataError(f"{where} has the category_id {own}, which is none of its categories: mend it.")
        labels.append(number_of[own])
        sides.append(_sides(each, where))
        crowd.append(str(each.get("iscrowd")).lower() in ("1", "1.0", "true"))
        areas.append(_area(each, sides[-1], where))
    return Boxes.of(from_sides(sides), labels, crowd, areas=np.array(areas, np.float32))


def _sides(annotation: Mapping[str, Any], where: str) -> list[float]:
    sides = annotation.get("bbox")
    if sides is None and (around := sides_of(annotation.get("segmentation"))) is not None:
        return [number(side, where, "a side of its segmentation") for side in around]
    if not isinstance(sides, list) or len(sides) != 4:
        raise DataError(f"{where} has {brief(repr(sides), 60)} as bbox: it must be [left, top, width, height].")
    return [number(side, where, "bbox") for side in sides]


def _area(annotation: Mapping[str, Any], sides: Sequence[float], where: str) -> float:
    """Return the area of an object: as it stands, else of its outline, else of its box."""
    if annotation.get("area") is not None:
        return number(annotation["area"], where, "area", 0)
    outlined = area_of(annotation.get("segmentation"))
    if outlined is not None:
        return number(outlined, where, "area of its segmentation", 0)
    return max(0.0, sides[2]) * max(0.0, sides[3])


def _whole(values: Any, key: str, where: str) -> int:
    found = values.get(key) if isinstance(values, dict) else None
    if not isinstance(found, int) or isinstance(found, bool):
        raise DataError(f"{where} has {brief(repr(found), 60)} as {key}: it must be a whole number.")
    return found
