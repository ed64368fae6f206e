"""Finding a data set by what the user calls it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from botzoo.data.sources.base import ImageData, Split, checked
from botzoo.data.sources.digits import open_digits
from botzoo.data.sources.folders import image_files, open_folders, split_roots, subfolders
from botzoo.data.sources.hub import HUB_ID, HUB_NAMES, open_hub
from botzoo.data.sources.tables import names_in, open_tables, pick_columns, shard_files, tables_in
from botzoo.data.splits import with_validation
from botzoo.errors import DataError, did_you_mean

CHARACTERS = ("digits", "ylecun/mnist")
"""Data sets whose images mean something else when mirrored."""


def open_images(
    name: str,
    *,
    val_fraction: float = 0.2,
    seed: int = 0,
    image_column: str | None = None,
    label_column: str | None = None,
) -> ImageData[Split]:
    """Find the data set ``name`` and return it with a validation split.

    Args:
        val_fraction, seed: see ``with_validation``.
        name, image_column, label_column: see ``find_images``.

    Raises:
        DataError, NetworkError: see both.
    """
    found = find_images(name, image_column=image_column, label_column=label_column)
    return with_validation(found, val_fraction, seed)


def find_images(name: str, *, image_column: str | None = None, label_column: str | None = None) -> ImageData[Split]:
    """Find the data set ``name`` and return its splits as they are.

    Args:
        name: ``digits``, a key of ``HUB_NAMES``, a Hub id (``owner/name``, or ``owner/name:configuration`` where there
            are several), or the path of a folder (of class folders, of parquet files, or written by
            ``datasets.save_to_disk``).
        image_column, label_column: columns to use where the types leave a choice.

    Raises:
        DataError: it does not exist, is empty, has fewer than two classes, labels out of range, or ambiguous columns.
        NetworkError: it is on the Hub, not cached, and the Hub cannot be reached.
    """
    path = Path(name).expanduser()
    if name == "digits" and not path.is_dir():
        data = open_digits()
    elif name and (path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1):
        data = _from_folder(name, path, image_column, label_column)
    elif name in HUB_NAMES or HUB_ID.fullmatch(name):
        data = open_hub(name, HUB_NAMES.get(name, name), image_column, label_column)
    else:
        raise DataError(
            f"There is no data set {name!r}: no folder of that name here, and no short name."
            f"{did_you_mean(name, ['digits', *HUB_NAMES])} Give a folder, a Hub id (owner/name) or one of digits, "
            f"{', '.join(HUB_NAMES)}."
        )
    return checked(replace(data, mirrored=data.mirrored and (data.hub_id or data.name) not in CHARACTERS))


def _from_folder(name: str, path: Path, image_column: str | None, label_column: str | None) -> ImageData[Split]:
    if not path.exists():
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
        raise DataError(f"There is no folder {name}: check the path.{did_you_mean(path.name, beside)}")
    if not path.is_dir():
        raise DataError(f"{name} is a file: give the folder that holds the images.")
    if not any(path.iterdir()):
        raise DataError(f"The folder {name} is empty: it needs one folder of images for each class.")
    shards = shard_files(path, ".parquet", ".tar")
    if (found := tables_in(name, path, shards)) is not None:
        tables, ignored = found
        data = open_tables(name, tables, image_column, label_column)
        return replace(data, notes=(*data.notes, *ignored))
    if shards and not image_files(path):
        raise DataError(f"{name} holds .tar shards: read them with --data.streaming true.")
    return open_folders(name, path)


def names_by_split(
    name: str, *, image_column: str | None = None, label_column: str | None = None
) -> dict[str, list[str]]:
    """Return the names of the classes that each split of a folder has itself, by role, also where they do not agree.

    Of what is no folder nothing is returned: data sets on the Hub declare their classes for all splits.

    Raises:
        DataError: the folder cannot be read, or has no training split.
    """
    path = Path(name).expanduser()
    if not path.is_dir():
        return {}
    found = tables_in(name, path, shard_files(path, ".parquet"))
    if found is None:
        named = {role: subfolders(root) for role, root in split_roots(name, path)[0].items()}
    else:
        tables = found[0]
        label = pick_columns(name, tables["train"].features, image_column, label_column)[1]
        named = {role: names_in(table, label) for role, table in tables.items() if label in table.features}
    return {role: named[role] for role in ("train", "validation", "test") if named.get(role)}
