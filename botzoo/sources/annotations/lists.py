"""Label lists that are no CSV: lines of text with a file and its label, and JSON of any usual form, as rows of cells."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import Any

from botzoo.sources.annotations.paths import PATH_NAMES, plain_name
from botzoo.sources.folders import IMAGE_SUFFIXES
from botzoo.sources.layouts.split_names import role_of

LONGEST_LINE = 10_000
"""Letters in a line of text; more are no list."""

_SUFFIX = f"(?:{'|'.join(map(re.escape, IMAGE_SUFFIXES))})"
_FILE_FIRST = re.compile(rf"(.*?{_SUFFIX})\s+(\S.*)", re.I)
_FILE_LAST = re.compile(rf"(\S+)\s+(.*{_SUFFIX})", re.I)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")

Row = dict[str, Any]


def rows_of_text(text: str) -> tuple[list[list[str]], bool]:
    """Return the rows of a list, and whether the first one names its columns.

    Between the cells of a line are tabs; or else commas or semicolons where every line has them and none has a blank behind
    an image's name; or blanks. Names of files and of labels may hold blanks then: the name of an image ends with its suffix,
    any other with the first blank. What follows a file is one cell, or one for each word where all are numbers. Lines at the
    top that begin with # are comments.

    Raises:
        ValueError: a line is too long to be of a list.
    """
    lines = [line for each in text.splitlines() if (line := each.strip(" \r"))]
    while lines and lines[0].startswith("#") and not _is_image(lines[0].split()[0]):
        del lines[0]
    if (longest := max(map(len, lines), default=0)) > LONGEST_LINE:
        raise ValueError(f"a line of it has {longest:,} letters")
    rows = _parted(lines)
    first = rows[0] if rows else []
    return rows, bool(first) and plain_name(first[0]) in PATH_NAMES


def _parted(lines: Sequence[str]) -> list[list[str]]:
    if any("\t" in line for line in lines):
        return [line.split("\t") for line in lines]
    mark = next((mark for mark in ",;" if all(mark in line for line in lines)), None)
    if mark and not any(map(_FILE_FIRST.fullmatch, lines)):
        return list(csv.reader(lines, delimiter=mark, skipinitialspace=True))
    rows = [_by_blanks(line) for line in lines]
    rest = [row[1].split() for row in rows if len(row) == 2]
    if len({*map(len, rest)}) == 1 and all(_NUMBER.fullmatch(word) for words in rest for word in words):
        return [[*row[:1], *(word for cell in row[1:] for word in cell.split())] for row in rows]
    return rows


def _by_blanks(line: str) -> list[str]:
    if found := _FILE_FIRST.fullmatch(line) or _FILE_LAST.fullmatch(line):
        return [*found.groups()]
    return [line] if _is_image(line) else line.split(maxsplit=1)


def rows_of_json(found: Any) -> tuple[list[Row], bool]:
    """Return the rows that a JSON file holds, and whether its columns have names of their own.

    It is one of: a list of rows, which are objects or lists of cells; an object with a label, a list of labels or a row for
    each file, or a list of files for each label; columns as pandas writes them, lists or objects of one length; images,
    annotations and categories as COCO has them; an object with one of these for each split, or with one of these alone.

    Args:
        found: what was read.

    Raises:
        ValueError: it is none of them.
    """
    if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
        return found, True
    if _are_rows(found):
        return [{f"column {k}": cell for k, cell in enumerate(row, 1)} for row in found], False
    if isinstance(found, dict) and found:
        if found.keys() >= {"images", "annotations", "categories"}:
            return _of_coco(found), True
        if all(isinstance(inner, dict | list) for inner in found.values()):
            if all(role_of(name) not in (None, "none") for name in found):
                return _of_splits(found)
            name, inner = next(iter(found.items()))
            if len(found) == 1 and not _is_image(name) and (isinstance(inner, dict) or _are_rows(inner)):
                return rows_of_json(inner)
        if (columns := _columns(found)) is not None:
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)], True
        if _are_files_by_label(found):
            return _of_files_by_label(found), True
        rows = [isinstance(value, dict) for value in found.values()]
        if all(rows):
            return [{"file": file, **row} for file, row in found.items()], True
        if not any(rows):
            return [{"file": file, "label": label} for file, label in found.items()], True
    raise ValueError('it is no list of labels: give {"1.jpg": "cat", ...}, or [{"file": "1.jpg", "label": "cat"}, ...]')


def _are_files_by_label(found: dict[str, Any]) -> bool:
    """Tell whether an object has a list of files for each label, and not a list of labels for each file.

    Names of images tell, on either side. Without suffixes it is so where no name is in two lists, and there are more of
    them than lists: labels come again and again.
    """
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in found.values()):
        return False
    names = [name for each in found.values() for name in each]
    if any(map(_is_image, found)) or any(map(_is_image, names)):
        return not any(map(_is_image, found))
    return len(found) < len(names) == len(set(names))


def _of_files_by_label(found: dict[str, Any]) -> list[Row]:
    """Return a row for each file: its label, or a list of them where any file has several."""
    labels: dict[str, dict[str, None]] = {}
    for label, files in found.items():
        for file in files:
            labels.setdefault(file, {})[label] = None
    several = any(len(each) > 1 for each in labels.values())
    return [{"file": file, "label": [*each] if several else next(iter(each))} for file, each in labels.items()]


def _of_coco(found: dict[str, Any]) -> list[Row]:
    """Return a row for each image that has annotations: its file, what else is said of it, and its different categories."""
    try:
        names = {each["id"]: str(each["name"]) for each in found["categories"]}
        labels: dict[Any, dict[str, None]] = {each["id"]: {} for each in found["images"]}
        for each in found["annotations"]:
            labels[each["image_id"]][names[each["category_id"]]] = None
        plain = [{k: v for k, v in each.items() if not isinstance(v, list)} for each in found["images"]]
        return [
            {"file": each["file_name"], **each, "label": [*labels[each["id"]]]} for each in plain if labels[each["id"]]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"its annotations are not as COCO has them ({type(error).__name__} {error})") from error


def _of_splits(found: dict[str, Any]) -> tuple[list[Row], bool]:
    parts = {name: rows_of_json(inner) for name, inner in found.items() if inner}
    rows = [{**row, "split": name} for name, (each, _) in parts.items() for row in each]
    return rows, all(named for _, named in parts.values())


def _columns(found: dict[str, Any]) -> dict[str, list[Any]] | None:
    """Return columns as pandas writes them, by their names; None where these are those of files, or of anything else."""
    if found.keys() - {"index"} == {"columns", "data"} and _are_rows(found["data"]):
        return dict(zip(map(str, found["columns"]), map(list, zip(*found["data"], strict=True)), strict=True))
    cells = [list(each.values()) if isinstance(each, dict) else each for each in found.values()]
    lists = all(isinstance(each, list) for each in cells) and len({*map(len, cells)}) == 1
    return dict(zip(found, cells, strict=True)) if lists and {*map(plain_name, found)} & PATH_NAMES else None


def _are_rows(found: Any) -> bool:
    """Tell whether something is a list of rows, each of two cells or more."""
    return isinstance(found, list) and bool(found) and all(isinstance(row, list) and len(row) > 1 for row in found)


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)
