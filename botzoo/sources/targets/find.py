"""Finding a data set with boxes or with masks by what lies in its folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from glob import escape
from pathlib import Path
from typing import Any, Literal, NamedTuple

from botzoo.errors import BotzooError, DataError
from botzoo.sources.base import NOTHING_SAID, ImageData, Source, SourceOptions, SplitT
from botzoo.sources.files import own_folders
from botzoo.sources.folders import has_images, subfolders
from botzoo.sources.hub import HUB_ID, HUB_NAMES, from_hub
from botzoo.sources.layouts.archives import Archives, folder_of
from botzoo.sources.layouts.class_folders import Folders
from botzoo.sources.layouts.split_names import by_role
from botzoo.sources.tables import as_splits, load_dataset, shard_files
from botzoo.sources.targets.boxes import BoxSplit
from botzoo.sources.targets.formats.coco import coco_files, open_coco, unclassed_coco
from botzoo.sources.targets.formats.voc import open_voc, voc_files
from botzoo.sources.targets.formats.yolo import open_yolo, yolo_file, yolo_labels
from botzoo.sources.targets.masks import MaskSplit, are_masks, mask_pairs, open_masks
from botzoo.sources.targets.rows import box_columns, mask_columns, open_box_rows, open_mask_rows, unclassed
from botzoo.util.environment import user_path
from botzoo.util.text import counted, listing

BOX_KINDS = (
    "COCO's JSON, Pascal VOC's XML files, YOLO's text files with data.yaml, or rows with objects: {bbox, category}"
)
MASK_KINDS = "folders images/ and masks/ with files of the same names, or rows with an image and a mask"


def find_boxes(dataset: str, options: SourceOptions = NOTHING_SAID) -> ImageData[BoxSplit]:
    """Find a data set with boxes, and return its splits as they are.

    Args:
        dataset: a folder or an archive, of which the content says what kind it is: see ``BOX_KINDS``; or an id on the Hub.
        options: what the user says of it: ``splits`` and ``image_column``.

    Raises:
        DataError: there are no boxes in it, or something is wrong with it, in one line with what to do.
        NetworkError: it is on the Hub, not cached, and the Hub cannot be reached.
    """
    return _find(_open_boxes, dataset, options)


def find_masks(dataset: str, options: SourceOptions = NOTHING_SAID) -> ImageData[MaskSplit]:
    """Find a data set with masks, and return its splits as they are; arguments and errors as of ``find_boxes``."""
    return _find(_open_masks, dataset, options)


class _Targets(Source):
    """A folder of whatever has boxes, or masks."""

    def __init__(self, read: Callable[[str, Path, SourceOptions], ImageData[Any]]) -> None:
        self.read = read

    def recognises(self, name: str, path: Path) -> bool:
        return True

    def open(self, name: str, path: Path, options: SourceOptions) -> ImageData[Any]:
        return self.read(name, path, options)


def _find(
    read: Callable[[str, Path, SourceOptions], ImageData[SplitT]], dataset: str, options: SourceOptions
) -> ImageData[SplitT]:
    name, root, folders = os.fspath(dataset), user_path(dataset), _Targets(read)
    archives = Archives(lambda name, path, options: folders)
    found: ImageData[Any] = (archives if archives.recognises(name, root) else folders).open(name, root, options)
    return found


def _open_boxes(name: str, root: Path, options: SourceOptions) -> ImageData[BoxSplit]:
    if (found := _tables(name, root, options)) is not None:
        features = found.tables["train"].features
        if (alone := unclassed(features)) is not None:
            has = f"{name} has boxes without classes: {alone[1]!r} in column {alone[0]!r}, and no category beside it"
            raise DataError(f"{has}. Add one, a whole number or text for each box.")
        if box_columns(features) is None:
            raise _without("boxes", name, found, BOX_KINDS)
        return found.of(open_box_rows(name, found.tables, options, found.folders))
    _check_folder(name, root)
    if (named := yolo_file(root)) is not None:
        data = open_yolo(name, root, named, options)
        others = len(voc_files(root))
        more = (f"not used: {counted(others, 'XML file')}, as {named.name} names the classes of text files",)
        return replace(data, notes=data.notes + more * bool(others))
    if files := voc_files(root):
        return open_voc(name, root, files, options)
    if read := coco_files(root):
        return open_coco(name, root, read, options)
    if texts := yolo_labels(root):
        has = f"{name} has boxes without classes: {counted(len(texts), 'text file')} of YOLO's, such as {texts[0]}"
        raise DataError(f"{has}, and nothing that names their classes. Add a data.yaml with names, or a classes.txt.")
    if lists := unclassed_coco(root):
        has = f"{name} has boxes without classes: {lists[0]} lists images and annotations, and no categories"
        raise DataError(f'{has}. Add "categories", such as [{{"id": 1, "name": "cat"}}], and their ids to the boxes.')
    raise DataError(f"{name} has no boxes: it {_looks_like(name, root, options)}. {_give(BOX_KINDS)}")


def _open_masks(name: str, root: Path, options: SourceOptions) -> ImageData[MaskSplit]:
    if (found := _tables(name, root, options)) is not None:
        if mask_columns(found.tables["train"].features) is None:
            raise _without("masks", name, found, MASK_KINDS)
        return found.of(open_mask_rows(name, found.tables, options, found.folders))
    _check_folder(name, root)
    if (pairs := mask_pairs(root)) is not None:
        return open_masks(name, root, *pairs, options)
    raise DataError(f"{name} has no masks: it {_looks_like(name, root, options)}. {_give(MASK_KINDS)}")


def task_for(name: str, path: Path, options: SourceOptions) -> Literal["detect", "segment"] | None:
    """Tell whether a data set has boxes, or masks, by a look at what there is; None where it has neither."""
    with suppress(BotzooError):  # what cannot be read has none
        root = folder_of(path)
        if (found := _tables(name, root, options)) is not None:
            features = found.tables["train"].features
            return "detect" if box_columns(features) else "segment" if mask_columns(features) else None
        if root.is_dir():
            return _task_in(root)
    return None


def _task_in(root: Path) -> Literal["detect", "segment"] | None:
    if yolo_file(root) is not None or voc_files(root) or coco_files(root) or yolo_labels(root):
        return "detect"
    pairs = mask_pairs(root)
    return "segment" if pairs is not None and are_masks(*pairs) else None


def _without(what: str, name: str, found: _Found, kinds: str) -> DataError:
    columns = listing(list(found.tables["train"].features))
    return DataError(f"{name} has the columns {columns}, and none of {what}. {_give(kinds)}")


def _give(kinds: str) -> str:
    return f"Give {kinds}."


class _Found(NamedTuple):
    tables: dict[str, Any]  # by role
    folders: list[Path]  # where files that cells name may lie
    notes: list[str]
    facts: dict[str, Any]  # what else is known of the data set

    def of(self, data: ImageData[SplitT]) -> ImageData[SplitT]:
        """Return what was made of the tables with all that is known."""
        return replace(data, **self.facts, notes=(*data.notes, *self.notes))


def _tables(name: str, root: Path, options: SourceOptions) -> _Found | None:
    """Return the tables of a folder of parquet files or of a data set on the Hub; None where it is neither."""
    if root.is_dir() and not has_images(root) and (files := shard_files(root, ".parquet")):
        roles, notes = by_role(str(root), files, options.splits)
        named = {role: [escape(str((root / file).resolve())) for file in each] for role, each in roles.items()}
        return _Found(dict(load_dataset("parquet", named, str(root)).tables), own_folders(root), notes, {})
    if root.exists() or not (HUB_ID.fullmatch(name) or name in HUB_NAMES):
        return None
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    hub_id, license, loaded = from_hub(name, HUB_NAMES.get(name, name), load_dataset)
    tables, notes = as_splits(name, loaded.tables, options)
    cached = Path(HF_HUB_CACHE, repo_folder_name(repo_id=hub_id, repo_type="dataset"))
    return _Found(tables, [cached, *loaded.folders], notes, {"hub_id": hub_id, "license": license})


def _check_folder(name: str, root: Path) -> None:
    if not root.is_dir():
        what = "is a file" if root.exists() else "is not there"
        raise DataError(
            f"The folder {name} {what}: give the folder that holds the images and what is said of them, or an archive."
        )
    if not has_images(root):
        raise DataError(
            f"The folder {name} has no images: give the one that holds the images and what is said of them."
        )


def _looks_like(name: str, root: Path, options: SourceOptions) -> str:
    """Tell what a folder has that is not what was asked for, in words that follow "it"."""
    if (task := _task_in(root)) is not None:
        return f"has {'boxes' if task == 'detect' else 'masks'}, which --task {task} learns"
    with suppress(DataError):
        classes = Folders().open(name, root, options).class_names
        return f"has class folders, {listing(classes)}, as for one label an image, which --task classify learns"
    folders = subfolders(root)
    return f"has the folders {listing(folders)}" if folders else "has images and nothing beside them"
