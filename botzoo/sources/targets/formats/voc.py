"""Pascal VOC: an XML file for each image, and lists of the images of each split in ImageSets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.sources.annotations.paths import Found
from botzoo.sources.annotations.splits import roles_of
from botzoo.sources.base import ImageData, SourceOptions
from botzoo.sources.files import read_text
from botzoo.sources.layouts.split_names import Said, is_plain, role_of
from botzoo.sources.targets.assemble import ROLES, Boxed, box_split, checked_boxes
from botzoo.sources.targets.boxes import Boxes, BoxSplit
from botzoo.sources.targets.formats.markup import read_xml
from botzoo.sources.targets.pictures import Pairs, files_named, number, roles_of_folders
from botzoo.util.text import brief, counted, listing

OWN = "The VOC"
"""Begins the name of the data base in the challenge's own files."""


class Annotation(NamedTuple):
    """What an XML file says of an image; ``own`` is whether it is one of the challenge's own files."""

    names: list[str]  # of the classes of its n boxes
    corners: NDArray[np.float64]  # (n, 4), in pixels, as ``Boxes`` has them
    difficult: list[bool]
    height: int
    width: int
    own: bool


def voc_files(root: Path) -> list[str]:
    """Return the XML files in a folder by their paths inside it, none where the first is no annotation of VOC's kind."""
    files = files_named(root, ".xml")
    return files if files and read_xml(root / files[0]).tag == "annotation" else []


def open_voc(name: str, root: Path, files: Sequence[str], options: SourceOptions) -> ImageData[BoxSplit]:
    """Return the data set that XML files describe.

    The challenge's own files count pixels from 1, and the right and lower edge are the last pixel inside the box: of these 1
    is taken from left and top. Other programs write edges, which are taken as they stand.

    Raises:
        DataError: a file is damaged or has boxes without classes or edges; or as ``checked_boxes``.
    """
    found = Found(root)
    roles, notes = _roles(name, root, files, options)
    pairs = Pairs(found)
    entries: dict[str, list[tuple[int, Annotation]]] = {}
    lost = []
    for file, role in zip(files, roles, strict=True):
        if role and (place := pairs.place(file)) is None:
            lost.append(file)
        elif role and place is not None:
            entries.setdefault(role, []).append((place, read_annotation(root / file)))
    if lost:
        notes.append(f"not used: {counted(len(lost), 'XML file')} without an image, such as {listing(lost, 2)}")
    every = [each for of_role in entries.values() for _, each in of_role]
    if own := sum(each.own for each in every):
        notes.append(f"{counted(own, 'file')} of the challenge itself: pixels are counted from 1 in them")
    class_names = sorted({label for each in every for label in each.names})
    number_of = {label: k for k, label in enumerate(class_names)}
    splits = {
        role: box_split(role, [_boxed(place, each, number_of) for place, each in of_role], found)
        for role, of_role in entries.items()
    }
    return checked_boxes(name, splits, class_names, notes, declared=False)


def _boxed(place: int, found: Annotation, number_of: dict[str, int]) -> Boxed:
    labels = [number_of[label] for label in found.names]
    return Boxed(place, Boxes.of(found.corners, labels, difficult=found.difficult), found.height, found.width)


def read_annotation(path: Path) -> Annotation:
    """Return what an XML file says of its image; raise DataError where it is damaged or a box has no class or edge."""
    root = read_xml(path)
    if root.tag != "annotation":
        raise DataError(
            f"{path} begins with <{brief(root.tag, 40)}>, and files of VOC's kind with <annotation>: remove it."
        )
    own = (root.findtext("source/database") or "").strip().startswith(OWN)
    objects = root.findall("object")
    names = [_text(each, "name", path) for each in objects]
    edges = [[_edge(each, side, path) for side in ("xmin", "ymin", "xmax", "ymax")] for each in objects]
    corners = np.array(edges, np.float64).reshape(-1, 4) - (np.array([1, 1, 0, 0]) if own else 0)
    difficult = [(each.findtext("difficult") or "0").strip().lower() in ("1", "true", "yes") for each in objects]
    height, width = (
        int(number(root.findtext(f"size/{side}") or 0, str(path), side, 0)) for side in ("height", "width")
    )
    return Annotation(names, corners, difficult, height, width, own)


def _text(element: Element, tag: str, path: Path) -> str:
    if not (text := (element.findtext(tag) or "").strip()):
        raise DataError(f"{path} has an object without {tag!r}: add it, or remove the object.")
    return text


def _edge(element: Element, side: str, path: Path) -> float:
    return number(_text(element, f"bndbox/{side}", path), str(path), side)


def _roles(name: str, root: Path, files: Sequence[str], options: SourceOptions) -> tuple[list[str], list[str]]:
    """Return the split of each file by the lists in ImageSets, else by the folders, and notes on that."""
    lists = _lists(root, options.splits)
    if not lists:
        return roles_of_folders(name, files, options.splits)
    where = {(_above(file), Path(file).stem): k for k, file in enumerate(files)}
    roles, notes, missing, twice = [""] * len(files), [], [], []
    for folder, word, role, stems in lists:
        for stem in stems:
            place = where.get((folder, stem))
            if place is None:
                missing.append(f"{stem} of {word}")
            elif roles[place] not in ("", role):
                twice.append(f"{stem} of {word}")
            else:
                roles[place] = role
    if twice:
        raise DataError(f"ImageSets of {name} has images in two splits, such as {listing(twice, 2)}: remove one.")
    if not any(roles):
        are = f"The lists in ImageSets of {name} name none of its {counted(len(files), 'XML file')}, such as {files[0]}"
        raise DataError(f"{are}: put those into Annotations beside ImageSets, or remove the lists.")
    notes.append(f"splits are those in ImageSets: {listing(list(dict.fromkeys(each.word for each in lists)))}")
    if missing:
        notes.append(
            f"not used: {counted(len(missing), 'image')} in it without an XML file, such as {listing(missing, 2)}"
        )
    if left := roles.count(""):
        notes.append(f"not used: {counted(left, 'XML file')} that no list names")
    return roles, notes


def _above(file: str) -> str:
    """Return the folder that holds Annotations or ImageSets: there may be several, such as VOC2007 and VOC2012."""
    parts = file.split("/")
    cut = next((k for k, part in enumerate(parts) if part.lower() in ("annotations", "imagesets")), len(parts) - 1)
    return "/".join(parts[:cut])


class _List(NamedTuple):
    folder: str  # that ImageSets lies in
    word: str  # name of the list
    role: str
    stems: list[str]


def _lists(root: Path, said: Said) -> list[_List]:
    """Return the lists of images that are used: as the user says, else by name, trainval only where it is not in two."""
    texts = [file for file in files_named(root, ".txt") if "/imagesets/main/" in f"/{file.lower()}"]
    roles = roles_of(said)
    by_name = {file: roles.get(Path(file).stem) or role_of(Path(file).stem) for file in texts if _is_list(file, roles)}
    words = {(_above(file), Path(file).stem) for file in by_name}
    found = []
    for file, role in by_name.items():
        folder, word = _above(file), Path(file).stem
        in_two = word == "trainval" and {(folder, "train"), (folder, "val")} <= words
        if role in ROLES and not (in_two and word not in roles):
            lines = (line.split() for line in read_text(root / file).splitlines())
            found.append(_List(folder, word, str(role), [line[0] for line in lines if line]))
    return found


def _is_list(file: str, roles: dict[str, str]) -> bool:
    """Tell whether a file lists a split: the user's names stand for all, and of others cat_train is of a class."""
    word = Path(file).stem
    return word in roles if roles else is_plain(word)
