"""Finding a data set by what the user calls it."""

import os
from pathlib import Path
from typing import Any, Literal

from botzoo.errors import DataError, did_you_mean
from botzoo.sources.annotated import Annotated
from botzoo.sources.base import (
    NOTHING_SAID,
    ImageData,
    OwnNames,
    Shared,
    Source,
    SourceOptions,
    Split,
    alone,
    checked,
)
from botzoo.sources.digits import Digits
from botzoo.sources.folders import has_images
from botzoo.sources.groups import grouped
from botzoo.sources.hub import HUB_NAMES, Hub
from botzoo.sources.layouts.archives import Archives
from botzoo.sources.layouts.class_folders import Folders
from botzoo.sources.layouts.unpacking import SUFFIXES
from botzoo.sources.memory import in_memory
from botzoo.sources.tables import Tables, shard_files
from botzoo.sources.targets.crops import crops_of
from botzoo.sources.targets.find import find_boxes, find_masks, task_for
from botzoo.sources.targets.pictures import names_targets
from botzoo.sources.targets.presence import with_presence
from botzoo.util.environment import user_path
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import listing


class _Shards(Source):
    """Folders of tar files, which only ``botzoo.data.streaming`` reads."""

    def recognises(self, name: str, path: Path) -> bool:
        return path.is_dir() and bool(shard_files(path, ".tar")) and not has_images(path)

    def open(self, name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
        raise DataError(f"{name} holds .tar shards: read them with --data.streaming.")


def _source(name: str, path: Path, options: SourceOptions) -> Source | None:
    if options.labels is not None and not ARCHIVES.recognises(name, path):
        return Annotated()
    return next((source for source in SOURCES if name and source.recognises(name, path)), None)


ARCHIVES = Archives(_source)

SOURCES: list[Source] = [Digits(), ARCHIVES, Annotated(), Tables(), _Shards(), Folders(), Hub()]
"""The kinds of data sets, in the order in which they are asked: those that look closer before those that take any folder."""


Kind = Literal["classify", "detect", "segment"]
"""What is to be learned of images: their classes, the boxes on them, or the class of each pixel."""


def find_images(
    dataset: Any,
    options: SourceOptions = NOTHING_SAID,
    kind: Kind = "classify",
    on_each_node: Shared[Any] = alone,
) -> ImageData[Any]:
    """Find a data set and return its splits as they are.

    Args:
        dataset: ``digits``, a key of ``HUB_NAMES``, a Hub id (``owner/name``, or ``owner/name:configuration`` where there
            are several), or the path of a folder (of class folders, of parquet files, or written by
            ``datasets.save_to_disk``), or of a zip or tar file of one; or the data itself, see ``in_memory``.
        options: what the user says of it.
        kind: what is to be learned; of boxes and masks see ``botzoo.sources.targets.find``.
        on_each_node: does work on one process of each machine and gives its answer to the others there: all masks are read.

    Raises:
        DataError: it does not exist, has nothing of that kind, is empty, has fewer than two classes, labels out of range,
            or ambiguous columns.
        NetworkError: it is on the Hub, not cached, and the Hub cannot be reached.
    """
    plain = kind == "classify" and not options.crops
    data: ImageData[Any] = _find(dataset, options) if plain else _with_targets(dataset, options, kind, on_each_node)
    data = data if options.group is None else grouped(data, options.group)
    return checked(crops_of(data)) if options.crops else data  # pictures are grouped, so that none is cut apart


def _with_targets(dataset: Any, options: SourceOptions, kind: Kind, on_each_node: Shared[Any]) -> ImageData[Any]:
    asked = "--data.crops" if options.crops else f"--task {kind}"
    if not isinstance(dataset, str | os.PathLike):
        raise DataError(f"Data in memory has no boxes or masks: give a folder or a Hub id for {asked}.")
    said = {
        "--labels": options.labels,
        "--data.label-column": options.label_column,
        "--data.label-separator": options.label_separator,
    }
    if of_classes := next((flag for flag, value in said.items() if value is not None), None):
        raise DataError(f"{of_classes} is for a table of classes: leave it out for {asked}.")
    name = os.fspath(dataset)
    boxes = options.crops or kind == "detect"
    return find_boxes(name, options) if boxes else with_presence(find_masks(name, options), on_each_node)


def _find(dataset: Any, options: SourceOptions) -> ImageData[Split]:
    if not isinstance(dataset, str | os.PathLike):
        return in_memory(dataset, options)
    name = os.fspath(dataset)
    path = user_path(name)
    if (source := _source(name, path, options)) is not None:
        if options.labels is not None:
            return checked(source.open(name, path, options))
        return _of_classes(source, name, path, options)
    if not name or not (path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1):  # no path
        short = ["digits", *HUB_NAMES]
        missing = f"There is no data set {in_quotes(name)}: no folder here has that name, and it is no short name."
        raise DataError(
            f"{missing}{did_you_mean(name, short)} Give a folder, a Hub id (owner/name) or one of {', '.join(short)}."
        )
    if not path.exists():
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
        raise DataError(f"There is no folder {name}: check the path.{did_you_mean(path.name, beside)}")
    if path.is_dir():
        raise DataError(f"The folder {name} is empty: it needs one folder of images for each class.")
    kinds = ", ".join((*SUFFIXES, ".csv"))
    raise DataError(
        f"{name} is a file: give the folder that holds the images, an archive or a table of labels ({kinds})."
    )


def _of_classes(source: Source, name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
    """Return a data set of labels that stand in no table of the user's.

    Raises:
        DataError: as of ``Source.open`` and ``checked``; or boxes or masks are there in their place.
    """
    try:
        data = checked(source.open(name, path, options))
    except DataError as error:
        if (task := task_for(name, path, options)) is None:
            raise
        raise DataError(_other_task(name, task)) from error
    # Folders called images and masks are classes as any others to whoever looks for classes only.
    if any(map(names_targets, data.class_names)) and (task := task_for(name, path, options)) is not None:
        classes = listing(data.class_names)
        raise DataError(f"{_other_task(name, task)} If {classes} are classes, give their folders other names.")
    return data


def _other_task(name: str, task: Literal["detect", "segment"]) -> str:
    if task == "segment":
        return f"{name} has masks: give --task segment."
    return f"{name} has boxes: give --task detect, or --data.crops to classify what is in them."


def names_by_split(name: str, options: SourceOptions = NOTHING_SAID, kind: Kind = "classify") -> OwnNames:
    """Return the names of the classes that each split has itself, by role, also where they do not agree.

    Nothing is returned of data sets that declare their classes for all splits, such as those on the Hub, nor of boxes and
    masks.

    Raises:
        DataError: the data set cannot be read, or has no training split.
    """
    path = user_path(name)
    source = _source(name, path, options) if kind == "classify" and not options.crops else None
    named = source.own_names(name, path, options) if source else {}
    return {role: named[role] for role in ("train", "validation", "test") if named.get(role)}
