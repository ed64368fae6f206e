"""Finding a data set with boxes or with masks by what lies in its folder."""

from __future__ import annotations

import os
from dataclasses import replace
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple

from botzoo.errors import DataError
from botzoo.sources.base import NOTHING_SAID, ImageData, SourceOptions, SplitT
from botzoo.sources.files import own_folders
from botzoo.sources.folders import has_images, subfolders
from botzoo.sources.hub import HUB_ID, HUB_NAMES, from_hub
from botzoo.sources.layouts.split_names import by_role
from botzoo.sources.tables import as_splits, load_dataset, shard_files
from botzoo.sources.targets.boxes import BoxSplit
from botzoo.sources.targets.formats.coco import coco_files, open_coco
from botzoo.sources.targets.formats.voc import open_voc, voc_files
from botzoo.sources.targets.formats.yolo import open_yolo, yolo_file
from botzoo.sources.targets.masks import MaskSplit, mask_pairs, open_masks
from botzoo.sources.targets.rows import box_columns, mask_columns, open_box_rows, open_mask_rows
from botzoo.util.text import counted, listing

BOX_KINDS = (
    "COCO's JSON, Pascal VOC's XML files, YOLO's text files with data.yaml, or rows with objects: {bbox, category}"
)
MASK_KINDS = "folders images/ and masks/ with files of the same names, or rows with an image and a mask"


def find_boxes(dataset: str, options: SourceOptions = NOTHING_SAID) -> ImageData[BoxSplit]:
    """Find a data set with boxes, and return its splits as they are.

    Args:
        dataset: a folder, of which the content says what kind it is: see ``BOX_KINDS``; or an id on the Hub.
        options: what the user says of it: ``splits`` and ``image_column``.

    Raises:
        DataError: there are no boxes in it, or something is wrong with it, in one line with what to do.
        NetworkError: it is on the Hub, not cached, and the Hub cannot be reached.
    """
    name, root = os.fspath(dataset), Path(dataset).expanduser()
    if (found := _tables(name, root, options)) is not None:
        if box_columns(found.tables["train"].features) is None:
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
    raise DataError(f"{name} has no boxes: it {_looks_like(root)}. {_give(BOX_KINDS)}")


def find_masks(dataset: str, options: SourceOptions = NOTHING_SAID) -> ImageData[MaskSplit]:
    """Find a data set with masks, and return its splits as they are; arguments and errors as of ``find_boxes``."""
    name, root = os.fspath(dataset), Path(dataset).expanduser()
    if (found := _tables(name, root, options)) is not None:
        if mask_columns(found.tables["train"].features) is None:
            raise _without("masks", name, found, MASK_KINDS)
        return found.of(open_mask_rows(name, found.tables, options, found.folders))
    _check_folder(name, root)
    if (pairs := mask_pairs(root)) is not None:
        return open_masks(name, root, *pairs, options)
    raise DataError(f"{name} has no masks: it {_looks_like(root)}. {_give(MASK_KINDS)}")


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
        raise DataError(f"The folder {name} {what}: give the folder that holds the images and what is said of them.")
    if not has_images(root):
        raise DataError(
            f"The folder {name} has no images: give the one that holds the images and what is said of them."
        )


def _looks_like(root: Path) -> str:
    """Tell what a folder without boxes and masks has, in words that follow "it"."""
    folders = subfolders(root)
    if not folders:
        return "has images and nothing beside them"
    return f"has folders of images, {listing(folders)}, as for one label an image (--task classify)"
