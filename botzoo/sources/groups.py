"""Images that belong together, such as those of one patient, place or video: they stay in one split and in one fold.

Otherwise a network is evaluated on patients that it was trained on, and its figure says little about new ones.
"""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError, did_you_mean, printable
from botzoo.sources.base import Groups, ImageData, Split
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import counted, listing

SERIES = r"([^/]+?)(?:[ _.-]+[A-Za-z]*[ _.-]*\(?[0-9]+\)?|\.rf\.[0-9A-Za-z]+)?(?:\.[^./]*)?$"
"""The name of a file without the number at its end, or Roboflow's mark of a copy: what the images of one series share.

It finds something in every path, and no series in the numbers of a camera.
"""

LONGEST = 500  # characters of a regular expression


def grouped(data: ImageData[Any], said: str) -> ImageData[Any]:
    """Return ``data`` with the group of each image.

    Args:
        said: one of

            - a column of the data set's table. An image without a value there is a group of its own;
            - a number: how many folders up from the image its group's folder is, 1 for the one that it lies in. Folders of one
              name are one group, in whatever class or split they lie;
            - a regular expression for the path of the image inside the data set, with ``/`` between folders. What its first
              parentheses hold is the group, or all that it finds. It is searched for by RE2, in linear time.

    Raises:
        DataError: there is no such column or folder, the expression is none or finds nothing in the path of an image, or all
            images are one group.
    """
    columns = sorted({column for split in data.splits.values() for column in split.columns})
    if said in columns:
        groups, where = _of_column(data, said), f"the column {in_quotes(said)}"
    elif said.isascii() and said.isdigit():
        groups, where = _of_folder(data, int(said)), f"the folder {said} up from the image"
    elif columns and re.fullmatch(r"[\w -]+", said):
        hint = did_you_mean(said, columns)
        raise DataError(
            f"{data.name} has no column {in_quotes(said)} for --data.group: it has {listing(columns)}.{hint}"
        )
    else:
        groups, where = _of_paths(data, said), f"'{printable(said)}' in the path"
    every, train = set(np.concatenate(list(groups.values()))), set(groups["train"])
    if len(every) < 2:
        one = f"all images of {data.name} are one group, {in_quotes(printable(str(next(iter(every)))))}"
        raise DataError(f"By {where}, {one}: give --data.group what tells images apart that do not belong together.")
    images = sum(map(len, groups.values()))
    notes = [f"{len(every):,} groups of images, by {where}: each stays in one split"]
    if len(every) == images:
        notes = [f"every image is a group of its own by {where}, which is as good as no groups"]
    for role, names in groups.items():
        if role != "train" and (both := sorted(train & set(names))):
            notes.append(
                f"{len(both)} of the {len(set(names))} groups in the {role} split are in training too, such as "
                f"{in_quotes(printable(both[0]))}: its figures flatter"
            )
    splits: dict[str, Any] = {role: replace(split, groups=groups[role]) for role, split in data.splits.items()}
    return replace(data, **splits, notes=(*data.notes, *notes))


def _of_column(data: ImageData[Split], column: str) -> dict[str, Groups]:
    found: dict[str, Groups] = {}
    for role, split in data.splits.items():
        if column not in split.columns:
            raise DataError(
                f"The {role} split of {data.name} has no column {in_quotes(column)} for --data.group: add it."
            )
        cells = split.columns[column]
        alone = [f"image {i} of the {role} split" for i in range(len(cells))]
        names = (name if _is_empty(cell) else _plain(cell) for cell, name in zip(cells, alone, strict=True))
        found[role] = np.array([*names], np.object_)
    return found


def _is_empty(cell: Any) -> bool:
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))


def _plain(cell: Any) -> str:
    """Return the name of a group, 1 for 1.0: such a column of whole numbers becomes where one of them is missing."""
    return re.sub(r"\A([+-]?\d+)\.0+\Z", r"\1", str(cell))


def paths_of(split: Split) -> list[str]:
    """Return the paths of a split's images inside the data set, with ``/`` between folders."""
    return [split.describe(i).removeprefix(split.root).replace("\\", "/") for i in range(len(split))]


def _of_folder(data: ImageData[Split], level: int) -> dict[str, Groups]:
    found: dict[str, Groups] = {}
    for role, split in data.splits.items():
        names = []
        for path in paths_of(split):
            folders = path.split("/")[:-1]
            if not 1 <= level <= len(folders):
                lies = f"{printable(path)} of {data.name} lies in {counted(len(folders), 'folder')}"
                raise DataError(f"--data.group is {level}, and {lies}: give a number from 1 to that.")
            names.append(folders[-level])
        found[role] = np.array(names, np.object_)
    return found


def _of_paths(data: ImageData[Split], expression: str) -> dict[str, Groups]:
    found: dict[str, Groups] = {}
    for role, split in data.splits.items():
        paths = paths_of(split)
        names = searched(expression, paths)
        if lost := [path for path, name in zip(paths, names, strict=True) if name is None]:
            told = f"{len(lost)} of {len(paths)} paths, such as {listing([printable(path) for path in lost], 2)}"
            raise DataError(f"--data.group '{printable(expression)}' finds nothing in {told}: make it fit all images.")
        found[role] = np.array(names, np.object_)
    return found


def searched(expression: str, texts: list[str]) -> list[str | None]:
    """Return what an expression finds in each text, see ``grouped``; None where it finds nothing.

    Raises:
        DataError: it is too long, or none that RE2 knows.
    """
    import pyarrow as pa
    from pyarrow import compute

    if len(expression) > LONGEST:
        raise DataError(f"--data.group has {len(expression):,} characters: {LONGEST} are the most.")
    try:
        table = pa.array([text.encode(errors="replace").decode() for text in texts], pa.string())
        options = compute.ExtractRegexOptions(_with_one_group(expression))
        found: list[dict[str, str] | None] = compute.call_function("extract_regex", [table], options).to_pylist()
    except pa.ArrowInvalid as error:
        why = printable(str(error)).removeprefix("Invalid regular expression: ")
        shown = printable(expression, 60)
        raise DataError(
            f"--data.group '{shown}' is no regular expression ({why}): give one of RE2's, a column, or a number of folders."
        ) from error
    return [next(iter(each.values())) or None if each is not None else None for each in found]


def _with_one_group(expression: str) -> str:
    """Return the expression with one named group, as pyarrow asks for: its first parentheses, or all of it."""
    parts, first, in_set = [], True, False
    for part in re.findall(r"\\.|\(\?P?<\w+>|\(\?|.", expression, re.DOTALL):
        if part == "[" or (part == "]" and in_set):
            in_set = part == "["
        opens = not in_set and part.startswith("(") and part != "(?"
        parts.append(("(?P<group>" if first else "(?:") if opens else part)
        first = first and not opens
    return f"(?P<group>{expression})" if first else "".join(parts)


def numbered(groups: Groups) -> NDArray[np.int64]:
    """Return the groups of N images as numbers from 0 on, in the order of their names, int64 (N,)."""
    # An array of text would have the width of the longest name in each row.
    number = {name: k for k, name in enumerate(sorted(set(groups)))}
    return np.array([number[name] for name in groups], np.int64)
