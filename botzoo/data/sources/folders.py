"""Folders with one folder of images for each class."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from botzoo.data.sources.base import SPLIT_NAMES, Files, ImageData, OwnNames, Source, SourceOptions, Split
from botzoo.errors import DataError, did_you_mean
from botzoo.util.text import listing

JUNK = ("thumbs.db", "desktop.ini", "__macosx", "__pycache__", "@eadir")
"""What operating systems leave in folders; passed over like names that begin with a dot."""

_KINDS = "jpg jpeg jpe jfif png apng webp gif bmp dib tif tiff ppm pgm pbm pnm jp2 j2k jpf jpx avif ico tga heic heif jxl npy"

IMAGE_SUFFIXES = tuple(f".{kind}" for kind in _KINDS.split())
"""Names of image files; those of a kind that cannot be read are among them, so that they are reported and not passed over."""

_LAYOUT = "put the images of each class into a folder of its own, such as"


class Folders(Source):
    """One folder of images for each class, in one for each split or not.

    It takes any folder that is not empty, and comes after the others, so that what is wrong with it is said.
    """

    def recognises(self, name: str, path: Path) -> bool:
        return path.is_dir() and any(path.iterdir())

    def open(self, name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
        roots, notes = split_roots(name, path)
        classes = subfolders(roots["train"])
        if not classes:
            raise DataError(f"{name} has no class folders: {_LAYOUT} {path.name}/cat/1.jpg and {path.name}/dog/2.jpg.")
        if len(classes) == 1 and len(inner := subfolders(roots["train"] / classes[0])) > 1:
            has = f"{name} has one class, {classes[0]!r}, which holds the folders {listing(inner)}"
            raise DataError(f"{has}: if those are the classes, give {path / classes[0]}.")
        splits: dict[str, Split] = {}
        for role, root in roots.items():
            if unknown := sorted(set(subfolders(root)) - set(classes)):
                has = f"{root} has the class {unknown[0]!r}, which {roots['train']} has not"
                raise DataError(f"{has}:{did_you_mean(unknown[0], classes)} every class needs training images.")
            folders = [(k, root / name) for k, name in enumerate(classes)]  # not every split need have every class
            found = [(k, file) for k, folder in folders if folder.is_dir() for file in files_in(folder)]
            # A file without a suffix may be an image: reading it will show.
            images = [(k, file) for k, file in found if file.lower().endswith(IMAGE_SUFFIXES) or not Path(file).suffix]
            files, labels = Files([file for _, file in images]), np.array([k for k, _ in images], np.int64)
            splits[role] = Split(root.name, labels, files.read, files.describe, root=os.path.join(path, ""))  # noqa: PTH118
            if others := sorted({file for _, file in found} - set(files.paths)):
                count = f"{len(others)} file(s) in {root}"
                notes.append(f"not used: {count} that are no images by their names, such as {others[0]}")
            if stray := image_files(root, deep=False):
                notes.append(f"not used: {len(stray)} image(s) in {root} itself, outside the class folders")
        parts = splits["train"], splits.get("validation"), splits.get("test")
        return ImageData(name, tuple(classes), *parts, notes=tuple(notes))

    def own_names(self, name: str, path: Path, options: SourceOptions) -> OwnNames:
        return {role: subfolders(root) for role, root in split_roots(name, path)[0].items()}


def split_roots(name: str, path: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the folder of class folders of each split, and notes on what is not used.

    A folder called train is a split if another split shares a class with it, or if nothing but its subfolders holds
    images; otherwise it is a class, locomotives for one.
    """
    folders = subfolders(path)
    named = [folder for folder in folders if folder.lower() in SPLIT_NAMES]
    others = [folder for folder in folders if folder not in named]
    roots: dict[str, Path] = {}  # by role
    for folder in named:
        role = SPLIT_NAMES[folder.lower()]
        if role in roots:
            raise DataError(f"{name} has two {role} splits, {roots[role].name!r} and {folder!r}: remove one.")
        roots[role] = path / folder
    classes = {role: set(subfolders(root)) for role, root in roots.items()}
    trained = classes.get("train", set())
    shared = any(trained & found for role, found in classes.items() if role != "train")
    strays = trained and (image_files(roots["train"], deep=False) or any(image_files(path / other) for other in others))
    if not shared and (not trained or strays):
        if len(named) < 2 or others:  # it is a class that happens to bear the name of a split
            return {"train": path}, []
        needed = f"{name} has the folders {listing(named)}, and needs {path / 'train'} with class folders in it"
        raise DataError(f"{needed}: {_LAYOUT} {path.name}/train/cat/1.jpg.")
    notes = [f"not used: {listing(others)}, not named as a split"] if others else []
    if "test" in roots and not classes["test"]:
        notes.append(f"the {roots.pop('test').name} folder has no class folders, so it is not used")
    if "validation" in roots and not classes["validation"]:
        raise DataError(f"{roots['validation']} has no class folders: give it those of {roots['train']}, or remove it.")
    return roots, notes


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def subfolders(path: Path) -> list[str]:
    """Return the names of the folders in ``path``, sorted, without links to itself and to those that it is in."""
    above = _above(path)
    folders = (entry for entry in path.iterdir() if entry.is_dir() and not _ignored(entry.name))
    return sorted(entry.name for entry in folders if _identity(entry) not in above)


def _identity(folder: str | Path) -> tuple[int, int]:
    facts = os.stat(folder)  # noqa: PTH116 (of a great many)
    return facts.st_dev, facts.st_ino


def _above(folder: Path) -> set[tuple[int, int]]:
    """Return what tells a folder and those that it is in, links resolved, from others."""
    folder = folder.resolve()
    return {_identity(each) for each in (folder, *folder.parents)}


def files_in(root: Path, deep: bool = True) -> Iterable[str]:
    """Yield the files in ``root``, sorted folder by folder; links are followed, and dangling ones are yielded too.

    A folder is looked into once: a link that leads back to one, or to one that ``root`` is in, is passed over.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"The folder {error.filename} cannot be read: {error.strerror}.") from error

    seen = _above(root)

    def is_new(folder: str) -> bool:
        return (identity := _identity(folder)) not in seen and not seen.add(identity)  # type: ignore[func-returns-value]

    for folder, inner, files in os.walk(root, onerror=refuse, followlinks=True):
        names = sorted(name for name in inner if not _ignored(name)) if deep else []
        inner[:] = [name for name in names if is_new(os.path.join(folder, name))]  # noqa: PTH118
        yield from (os.path.join(folder, name) for name in sorted(files) if not _ignored(name))  # noqa: PTH118


def image_files(root: Path, deep: bool = True) -> list[str]:
    """Return the paths of the images in ``root``, by their suffix, sorted folder by folder; links are followed."""
    return [file for file in files_in(root, deep) if file.lower().endswith(IMAGE_SUFFIXES)]
