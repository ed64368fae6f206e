"""Where images come from: the built-in digits, the Hub, and folders of three kinds, all as one ``ImageData``."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from glob import escape
from io import BytesIO
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError, NetworkError, did_you_mean
from botzoo.training.label_lists import MultiHot, check_element, element, read_lists

Encoded = bytes | Path | NDArray[np.uint8]

HUB_NAMES = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "food101": "ethz/food101",
    "beans": "AI-Lab-Makerere/beans",
    "imagenet-1k": "ILSVRC/imagenet-1k",
    "tiny-imagenet": "zh-plus/tiny-imagenet",
    "oxford-iiit-pet": "timm/oxford-iiit-pet",
    "imagenette": "johnowhitaker/imagenette2-320",
}
"""Short names of well-known data sets and their ids on the Hub."""

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")

LABEL_COLUMNS = {"uoft-cs/cifar100": "fine_label", "timm/oxford-iiit-pet": "label"}
"""The label meant where a data set on the Hub has several."""

CHARACTERS = ("digits", "ylecun/mnist")
"""Data sets whose images mean something else when mirrored."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of splits, as found in folders and on the Hub, and which of the three each one is."""

JUNK = ("thumbs.db", "desktop.ini", "__macosx", "__pycache__", "@eadir")
"""What operating systems leave in folders; passed over like names that begin with a dot."""

LABEL_NAMES = ("label", "labels", "fine_label", "cls", "class", "target")

_SUFFIXES = (
    "jpg jpeg jpe jfif png apng webp gif bmp dib tif tiff ppm pgm pbm pnm jp2 j2k jpf jpx avif ico tga heic heif jxl"
)
IMAGE_SUFFIXES = tuple(f".{suffix}" for suffix in _SUFFIXES.split(" "))
"""Names of image files; those of a kind that cannot be read are among them, so that they are reported and not passed over."""

UNLABELLED = -1


@dataclass(frozen=True)
class Split:
    """Images of one split, still encoded.

    Attributes:
        name: the split's name in its source.
        labels: int64, shape (N,), indices into the class names; where an image may have any number of labels, uint8 of shape
            (N, K), 1 for those it has.
        read: returns image i as encoded bytes, the path of a file, or uint8 pixels of shape (H, W) or (H, W, 3).
        describe: names image i for error messages.
        rows: int64, shape (N,), places of its images in the split that it was taken from; None where it is a whole one.
    """

    name: str
    labels: NDArray[np.int64] | MultiHot
    read: Callable[[int], Encoded]
    describe: Callable[[int], str]
    rows: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64], name: str | None = None) -> Split:
        """Return the split of the images ``rows``, in that order."""
        taken = _Taken(self, rows)
        return Split(name or self.name, self.labels[rows], taken.read, taken.describe, rows)

    def class_counts(self, classes: int) -> NDArray[np.int64] | None:
        """Return how many images each of the classes has, shape (classes,); None where that is not known."""
        return np.bincount(self.labels, minlength=classes) if self.labels.ndim == 1 else self.labels.sum(0, np.int64)


# What reads a split is a class and not a closure: worker processes may have to be sent it.


@dataclass(frozen=True)
class _Taken:
    split: Split
    rows: NDArray[np.int64]

    def read(self, i: int) -> Encoded:
        return self.split.read(int(self.rows[i]))

    def describe(self, i: int) -> str:
        return self.split.describe(int(self.rows[i]))


@dataclass(frozen=True)
class _Joined:
    first: Split
    second: Split

    def _at(self, i: int) -> tuple[Split, int]:
        before = len(self.first)
        return (self.first, i) if i < before else (self.second, i - before)

    def read(self, i: int) -> Encoded:
        split, k = self._at(i)
        return split.read(k)

    def describe(self, i: int) -> str:
        split, k = self._at(i)
        return split.describe(k)


@dataclass(frozen=True)
class _Digits:
    pixels: NDArray[np.uint8]

    def read(self, i: int) -> Encoded:
        pixels: NDArray[np.uint8] = self.pixels[i]
        return pixels

    def describe(self, i: int) -> str:
        return f"digit {i}"


@dataclass(frozen=True)
class _Files:
    paths: list[str]

    def read(self, i: int) -> Encoded:
        return Path(self.paths[i])

    def describe(self, i: int) -> str:
        return self.paths[i]


@dataclass(frozen=True)
class _Rows:
    table: Any
    column: str
    role: str

    def read(self, i: int) -> Encoded:
        # Ten times as fast as the data set's own row access; Arrow tables may be read from several threads.
        cell = self.table.data.column(self.column)[i].as_py() or {}
        content, path = cell.get("bytes"), cell.get("path")
        return content if content is not None else Path(path) if path else b""

    def describe(self, i: int) -> str:
        return f"row {i} of the {self.role} split"


T = TypeVar("T")


class Labelled(Protocol):
    """What is asked of a split of any kind."""

    @property
    def name(self) -> str:
        """The split's name in its source."""

    def __len__(self) -> int: ...

    def class_counts(self, classes: int) -> NDArray[np.int64] | None:
        """Return how many images each of the classes has, shape (classes,); None where that is not known."""


SplitT = TypeVar("SplitT", bound=Labelled)


@dataclass(frozen=True)
class ImageData(Generic[SplitT]):
    """A labelled image data set.

    Attributes:
        name: as the user gave it.
        class_names: K names, K >= 2; label k means ``class_names[k]``.
        train, validation, test: its splits; ``open_images`` always sets ``validation``.
        declared: whether the data itself lists its classes, so that one without images is a class all the same.
        hub_id: its id on the Hub, if it came from there.
        license: its licence, if it is known.
        mirrored: whether a mirrored image means the same.
        notes: sentences for the reader on what was decided here.
    """

    name: str
    class_names: tuple[str, ...]
    train: SplitT
    validation: SplitT | None = None
    test: SplitT | None = None
    hub_id: str | None = None
    license: str | None = None
    mirrored: bool = True
    notes: tuple[str, ...] = field(default=())
    declared: bool = False

    @property
    def multi_label(self) -> bool:
        """Whether an image may have any number of labels, none too."""
        return isinstance(self.train, Split) and self.train.labels.ndim == 2

    @property
    def splits(self) -> dict[str, SplitT]:
        """The splits that are there, by role: train, validation, test."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {role: split for role, split in found.items() if split is not None}


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
        data = _digits()
    elif name and (path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1):
        data = _from_folder(name, path, image_column, label_column)
    elif name in HUB_NAMES or HUB_ID.fullmatch(name):
        data = _from_hub(name, HUB_NAMES.get(name, name), image_column, label_column)
    else:
        raise DataError(
            f"There is no data set {name!r}: no folder of that name here, and no short name."
            f"{did_you_mean(name, ['digits', *HUB_NAMES])} Give a folder, a Hub id (owner/name) or one of digits, "
            f"{', '.join(HUB_NAMES)}."
        )
    return _checked(replace(data, mirrored=data.mirrored and (data.hub_id or data.name) not in CHARACTERS))


def _digits() -> ImageData[Split]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    digits = _Digits(pixels)
    train = Split("all", bunch.target.astype(np.int64), digits.read, digits.describe)
    return ImageData("digits", tuple("0123456789"), train, license="cc-by-4.0", mirrored=False)


def _from_folder(name: str, path: Path, image_column: str | None, label_column: str | None) -> ImageData[Split]:
    if not path.exists():
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
        raise DataError(f"There is no folder {name}: check the path.{did_you_mean(path.name, beside)}")
    if not path.is_dir():
        raise DataError(f"{name} is a file: give the folder that holds the images.")
    if not any(path.iterdir()):
        raise DataError(f"The folder {name} is empty: it needs one folder of images for each class.")
    shards = shard_files(path, ".parquet", ".tar")
    if (found := _tables_in(name, path, shards)) is not None:
        tables, ignored = found
        data = _from_tables(name, tables, image_column, label_column)
        return replace(data, notes=(*data.notes, *ignored))
    if shards and not image_files(path):
        raise DataError(f"{name} holds .tar shards: read them with --data.streaming true.")
    return _class_folders(name, path)


def _tables_in(name: str, path: Path, shards: list[str]) -> tuple[dict[str, Any], list[str]] | None:
    """Return the tables in a folder by role and notes on files that are not used, or None where there are no tables."""
    if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        return _as_splits(name, _load_saved(path)), []
    parquet = [file for file in shards if file.lower().endswith(".parquet")]
    return _load_parquet(path, parquet) if parquet else None


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
    found = _tables_in(name, path, shard_files(path, ".parquet"))
    if found is None:
        named = {role: _subfolders(root) for role, root in _split_roots(name, path)[0].items()}
    else:
        tables = found[0]
        label = pick_columns(name, tables["train"].features, image_column, label_column)[1]
        named = {role: _names_in(table, label) for role, table in tables.items() if label in table.features}
    return {role: named[role] for role in ("train", "validation", "test") if named.get(role)}


def _names_in(table: Any, column: str) -> list[str]:
    declared = _declared_names(table.features[column])
    if declared is not None:
        return list(declared)
    cells = table.with_format(None)[column][:]
    if element(table.features[column]) is not None:
        cells = [value for cell in cells for value in cell or ()]
    return sorted({str(value) for value in cells if value is not None})


def _class_folders(name: str, path: Path) -> ImageData[Split]:
    roots, notes = _split_roots(name, path)
    classes = _subfolders(roots["train"])
    if not classes:
        raise DataError(
            f"{name} has no class folders: put the images of each class into a folder of its own, "
            f"such as {path.name}/cat/1.jpg and {path.name}/dog/2.jpg."
        )
    if len(classes) == 1 and len(inner := _subfolders(roots["train"] / classes[0])) > 1:
        raise DataError(
            f"{name} has one class, {classes[0]!r}, which holds the folders {listing(inner)}: if those are the "
            f"classes, give {path / classes[0]}."
        )
    splits: dict[str, Split] = {}
    for role, root in roots.items():
        if unknown := sorted(set(_subfolders(root)) - set(classes)):
            raise DataError(
                f"{root} has the class {unknown[0]!r}, which {roots['train']} has not:"
                f"{did_you_mean(unknown[0], classes)} every class needs training images."
            )
        splits[role], others = _folder_split(root, classes)
        if others:
            notes.append(
                f"not used: {len(others)} file(s) in {root} that are no images by their names, such as {others[0]}"
            )
        if stray := image_files(root, deep=False):
            notes.append(f"not used: {len(stray)} image(s) in {root} itself, outside the class folders")
    return ImageData(
        name, tuple(classes), splits["train"], splits.get("validation"), splits.get("test"), notes=tuple(notes)
    )


def _split_roots(name: str, path: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the folder of class folders of each split, and notes on what is not used.

    A folder called train is a split if another split shares a class with it, or if nothing but its subfolders holds
    images; otherwise it is a class, locomotives for one.
    """
    folders = _subfolders(path)
    named = [folder for folder in folders if folder.lower() in SPLIT_NAMES]
    others = [folder for folder in folders if folder not in named]
    roots: dict[str, Path] = {}
    for folder in named:
        role = SPLIT_NAMES[folder.lower()]
        if role in roots:
            raise DataError(f"{name} has two {role} splits, {roots[role].name!r} and {folder!r}: remove one.")
        roots[role] = path / folder
    classes = {role: set(_subfolders(root)) for role, root in roots.items()}
    trained = classes.get("train", set())
    shared = any(trained & found for role, found in classes.items() if role != "train")
    is_split = shared or (
        bool(trained)
        and not image_files(roots["train"], deep=False)
        and not any(image_files(path / other) for other in others)
    )
    if not is_split and len(named) > 1 and not others:
        raise DataError(
            f"{name} has the folders {listing(named)}, and {roots.get('train', 'no train folder')} "
            "with class folders in it is needed: put the images of each class into a folder of its own, "
            f"such as {path.name}/train/cat/1.jpg."
        )
    if not is_split:
        return {"train": path}, []
    notes = [f"not used: {listing(others)}, not named as a split"] if others else []
    if "test" in roots and not classes["test"]:
        notes.append(f"the {roots.pop('test').name} folder has no class folders, so it is not used")
    if "validation" in roots and not classes["validation"]:
        raise DataError(f"{roots['validation']} has no class folders: give it those of {roots['train']}, or remove it.")
    return roots, notes


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def _subfolders(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not _ignored(entry.name))


def _files(root: Path, deep: bool = True) -> Iterable[str]:
    """Yield the files in ``root``, sorted folder by folder; links are followed, and dangling ones are yielded too."""

    def refuse(error: OSError) -> None:
        raise DataError(f"The folder {error.filename} cannot be read: {error.strerror}.") from error

    for folder, inner, files in os.walk(root, onerror=refuse, followlinks=True):
        inner[:] = sorted(name for name in inner if not _ignored(name)) if deep else []
        yield from (os.path.join(folder, name) for name in sorted(files) if not _ignored(name))  # noqa: PTH118


def image_files(root: Path, deep: bool = True) -> list[str]:
    """Return the paths of the images in ``root``, by their suffix, sorted folder by folder; links are followed."""
    return [file for file in _files(root, deep) if file.lower().endswith(IMAGE_SUFFIXES)]


def _folder_split(root: Path, classes: Sequence[str]) -> tuple[Split, list[str]]:
    """Return the images in the folders of the classes, and the other files there, from text to tables."""
    paths: list[str] = []
    others: list[str] = []
    counts: list[int] = []
    for class_name in classes:
        found = list(_files(root / class_name)) if (root / class_name).is_dir() else []
        images = [file for file in found if _may_be_image(file)]
        paths += images
        others += [file for file in found if not _may_be_image(file)]
        counts.append(len(images))
    files = _Files(paths)
    labels = np.repeat(np.arange(len(classes)), counts).astype(np.int64)
    return Split(root.name, labels, files.read, files.describe), others


def _may_be_image(file: str) -> bool:
    return file.lower().endswith(IMAGE_SUFFIXES) or not Path(file).suffix


def shard_files(path: Path, *suffixes: str) -> list[str]:
    """Return the files in ``path`` whose names end so, by their paths inside it."""
    return [str(Path(file).relative_to(path)) for file in _files(path) if file.lower().endswith(suffixes)]


def by_role(name: str, files: Iterable[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Sort files by the split that their names tell; return them by role, and those that are not used.

    Where no name tells the training files, they are those whose names tell nothing.
    """
    roles: dict[str, list[str]] = {}
    unnamed: list[str] = []
    for file in files:
        words = re.split(r"[^a-z]+", file.lower())
        role = next((SPLIT_NAMES[word] for word in reversed(words) if word in SPLIT_NAMES), None)
        (roles.setdefault(role, []) if role else unnamed).append(file)
    if "train" not in roles:
        roles["train"], unnamed = unnamed, []
    if not roles["train"]:
        raise DataError(
            f"{name} has no training split, only {listing(list(files))}: name a file train{Path(next(iter(files))).suffix}."
        )
    return roles, unnamed


def has_configurations(folder: Path) -> bool:
    """Tell whether the card in a folder says which files belong to which split."""
    card = folder / "README.md"
    text = card.read_text("utf-8", "replace") if card.exists() else ""
    return re.match(r"---\n(.*\n)*?(configs|dataset_info):", text) is not None


def _load_parquet(path: Path, files: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the tables of a folder of parquet files by role, and notes on files that are not used.

    The files are named to the library one by one: left to itself, it goes by what most files in the folder are.
    """
    for file in files:
        _check_parquet(path / file)
    if has_configurations(path):
        return _as_splits(str(path), _load_dataset(str(path))), []
    roles, unnamed = by_role(str(path), files)
    escaped = {role: [escape(str((path / file).resolve())) for file in found] for role, found in roles.items()}
    notes = [f"not used: {listing(unnamed)}, not named as a split"] if unnamed else []
    return dict(_load_dataset("parquet", escaped, str(path))), notes


def _check_parquet(path: Path) -> None:
    """Raise unless the file begins and ends as a parquet file does; the library's own error does not name the file."""
    try:
        with path.open("rb") as file:
            begins = file.read(4)
            file.seek(-4, os.SEEK_END)
            whole = begins == file.read(4) == b"PAR1"
    except OSError:
        whole = False
    if not whole:
        raise DataError(f"{path} is damaged or not a parquet file: get it again, or remove it.")


def _load_saved(path: Path) -> Any:
    from datasets.load import load_from_disk
    from datasets.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        return load_from_disk(str(path))
    except Exception as error:  # whatever a damaged folder leads to
        raise DataError(f"The saved data set {path} cannot be read: {_first_line(error)}") from error


def _from_hub(name: str, hub_id: str, image_column: str | None, label_column: str | None) -> ImageData[Split]:

    hub_id, license, loaded = from_hub(name, hub_id, partial(_load_dataset, bars=sys.stderr.isatty()))
    data = _from_tables(name, _as_splits(name, loaded), image_column, label_column or LABEL_COLUMNS.get(hub_id))
    return replace(data, hub_id=hub_id, license=license)


def from_hub(name: str, hub_id: str, load: Callable[..., T]) -> tuple[str, str | None, T]:
    """Return the id and licence of a data set on the Hub and what ``load`` makes of it, from the cache where need be.

    Raises:
        DataError: it does not exist or cannot be read.
        NetworkError: it is not cached, and the Hub cannot be reached or refuses it.
    """
    import datasets

    hub_id, _, configuration = hub_id.partition(":")
    license, hindrance = _ask_hub(name, hub_id)
    try:
        with _cache_only(hindrance is not None):  # what is cached still works
            return hub_id, license, load(hub_id, configuration=configuration or None)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise NetworkError(
            f"The data set {hub_id} is gated or private: accept its terms on its page on the Hub, then log in with "
            "`hf auth login`."
        ) from error
    except (OSError, DataError) as error:
        if hindrance is not None:
            raise NetworkError(hindrance) from error
        if isinstance(error, DataError):
            raise
        raise NetworkError(
            f"The data set {hub_id} cannot be downloaded: {_first_line(error)} Try again later."
        ) from error


def _ask_hub(name: str, hub_id: str) -> tuple[str | None, str | None]:
    """Return the licence of a data set and None, or None and, for when it is not cached, why the Hub does not help."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    try:
        info = HfApi().dataset_info(hub_id, timeout=10)
    except GatedRepoError:
        return None, (
            f"The data set {hub_id} is gated: accept its terms on its page on the Hub, then log in with "
            "`hf auth login`."
        )
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise DataError(
            f"There is no data set {hub_id!r} on the Hub, or it is private, and no folder of that name here."
            f"{did_you_mean(name, HUB_NAMES)} For a private one log in with `hf auth login`."
        ) from error
    except HfHubHTTPError as error:
        return None, (
            f"The data set {hub_id} is not cached and the Hub refused to answer ({_first_line(error)}): try again "
            "later, or log in anew with `hf auth login`."
        )
    except Exception:  # every HTTP client has connection errors of its own
        return None, (
            f"The data set {hub_id} is not cached, there is no folder of that name here, and the Hub cannot be "
            "reached: connect and try again, or use what works without a network: --dataset digits, or a folder of "
            "images."
        )
    license = info.card_data.get("license") if info.card_data else None
    return ", ".join(license) if isinstance(license, list) else license, None


@contextmanager
def _cache_only(offline: bool) -> Iterator[None]:
    """Let the libraries look into their caches only, at once, instead of retrying for half a minute, if ``offline``."""
    import datasets
    import huggingface_hub.constants as hub

    before = datasets.config.HF_HUB_OFFLINE, hub.HF_HUB_OFFLINE
    if offline:
        datasets.config.HF_HUB_OFFLINE = hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, hub.HF_HUB_OFFLINE = before


def _load_dataset(
    source: str,
    data_files: dict[str, list[str]] | None = None,
    shown: str | None = None,
    *,
    configuration: str | None = None,
    bars: bool = False,
) -> Any:
    """Return ``datasets.load_dataset``'s answer, without progress bars unless ``bars``."""
    from datasets.load import load_dataset
    from datasets.utils.tqdm import disable_progress_bars

    if not bars:
        disable_progress_bars()
    with library_errors(shown or source):
        return load_dataset(source, configuration, data_files=data_files)


@contextmanager
def library_errors(shown: str) -> Iterator[None]:
    """Raise what the library raises as ``DataError``, unless network or access are to blame."""
    from datasets.exceptions import DatasetNotFoundError

    try:
        yield
    except (ConnectionError, DatasetNotFoundError):
        raise
    except Exception as error:  # the library passes on whatever a file, its cache or the disk leads to
        cause = error.__cause__ or error
        hint = " Give one as owner/name:CONFIGURATION." if "Config name is missing" in str(error) else ""
        raise DataError(f"The data set {shown} cannot be read: {one_line(cause)}{hint}") from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def one_line(error: BaseException, limit: int = 300) -> str:
    """Return what an error says, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else f"{text[:limit]}..."


def _as_splits(name: str, loaded: Any) -> dict[str, Any]:
    """Return the tables of a DatasetDict or Dataset by role; raise where there is no training split."""
    tables = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    roles: dict[str, Any] = {}
    for split_name, table in tables.items():
        role = SPLIT_NAMES.get(str(split_name).lower(), "train" if len(tables) == 1 else None)
        if role is not None:
            roles.setdefault(role, table)
    if "train" not in roles:
        raise DataError(f"{name} has no training split, only {listing(list(map(str, tables)))}: name one 'train'.")
    return roles


def _from_tables(
    name: str, tables: dict[str, Any], image_column: str | None, label_column: str | None
) -> ImageData[Split]:
    features = tables["train"].features
    image, label = pick_columns(name, features, image_column, label_column)
    notes: list[str] = []
    if "test" in tables and label not in tables["test"].features:
        tables = {role: table for role, table in tables.items() if role != "test"}
        notes.append(f"the test split has no column {label!r}, so it is not used")
    for role, table in tables.items():
        check_features(name, role, table.features, features, image, label)
    class_names, labels = _read_labels(name, tables, label)
    if "test" in labels and len(labels["test"]) and (labels["test"] == UNLABELLED).all():
        del labels["test"]
    if "test" in tables and "test" not in labels:
        notes.append("the test split has no labels, so it is not used")
    splits = {role: _table_split(name, role, tables[role], image, rows) for role, rows in labels.items()}
    return ImageData(
        name,
        class_names,
        splits["train"],
        splits.get("validation"),
        splits.get("test"),
        notes=tuple(notes),
        declared=_declared_names(features[label]) is not None,
    )


def pick_columns(name: str, features: Any, image_column: str | None, label_column: str | None) -> tuple[str, str]:
    """Return the columns of images and labels: those asked for, or the only ones that their types allow.

    Raises:
        DataError: there is no such column, or there are several.
    """
    import datasets

    images = [c for c in features if isinstance(features[c], datasets.Image)]
    images = images or [c for c in features if _may_hold_images(features[c])]
    image = pick_column(name, "image", image_column, features, images)
    by_type = [c for c in features if isinstance(features[c], datasets.ClassLabel)]
    by_element = [c for c in features if isinstance(element(features[c]), datasets.ClassLabel)]
    by_name = [c for c in LABEL_NAMES if c in features and isinstance(features[c], datasets.Value)]
    by_name += [c for c in LABEL_NAMES if c in features and element(features[c]) is not None]
    return image, pick_column(name, "label", label_column, features, by_type or by_element or by_name[:1])


def _may_hold_images(feature: Any) -> bool:
    """Tell whether a column of no declared type holds what an Image column is stored as, or plain bytes."""
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}
    return getattr(feature, "dtype", None) in ("binary", "large_binary")


def check_features(name: str, role: str, found: Any, features: Any, image: str, label: str) -> None:
    """Raise unless a split's columns are those of the training split and can hold images and labels."""
    for column in (image, label):
        if column not in found:
            raise DataError(f"The {role} split of {name} has no column {column!r}: it has {', '.join(found)}.")
    if _declared_names(found[label]) != _declared_names(features[label]):
        raise DataError(f"The {role} split of {name} has other classes than the training split, or another order.")
    inner, trained = element(found[label]), element(features[label])
    if (inner is None) != (trained is None):
        raise DataError(
            f"The {role} split of {name} has lists of labels and the training split not, or the other way round."
        )
    if inner is not None:
        check_element(name, label, inner)
    elif getattr(found[label], "dtype", "").rstrip("0123456789") not in (
        "int",
        "uint",
        "string",
        "large_string",
        "bool",
    ):
        raise DataError(
            f"Column {label!r} of {name} has type {found[label]}: labels must be whole numbers or text. "
            "Name another one with --data.label-column."
        )


def _declared_names(feature: Any) -> list[str] | None:
    """Return the names that a column of labels, or of lists of labels, declares for its classes."""
    inner = element(feature)
    names: list[str] | None = getattr(feature if inner is None else inner, "names", None)
    return names


def _read_labels(
    name: str, tables: dict[str, Any], column: str
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64] | MultiHot]]:
    """Return the class names and the labels of each split but a test split without any; ``UNLABELLED`` where there is none."""
    feature = tables["train"].features[column]
    raw = {role: table.with_format(None)[column][:] for role, table in tables.items()}
    names = _declared_names(feature)
    if element(feature) is not None:
        if raw.get("test") and all(value is None for value in raw["test"]):
            del raw["test"]
        found, lists = read_lists(name, raw, names)
        return found, {**lists}
    if names is not None:
        return tuple(names), {
            role: np.array([UNLABELLED if v is None else v for v in values], np.int64) for role, values in raw.items()
        }
    distinct = sorted({value for value in raw["train"] if value is not None})
    index = {value: i for i, value in enumerate(distinct)}
    labels = {role: [index.get(value, UNLABELLED) for value in values] for role, values in raw.items()}
    return tuple(map(str, distinct)), {role: np.array(values, np.int64) for role, values in labels.items()}


def pick_column(name: str, kind: str, asked: str | None, columns: Sequence[str], found: list[str]) -> str:
    """Return the column asked for, or the only one found; raise ``DataError`` where there is none or a choice."""
    if asked is not None:
        if asked not in columns:
            raise DataError(
                f"{name} has no column {asked!r}: it has {', '.join(columns)}.{did_you_mean(asked, columns)} "
                f"Give one of them with --data.{kind}-column."
            )
        return asked
    if len(found) == 1:
        return found[0]
    which = f"several {kind} columns, {', '.join(found)}" if found else f"no {kind} column among {', '.join(columns)}"
    raise DataError(f"{name} has {which}: name the one to use with --data.{kind}-column.")


def _table_split(name: str, role: str, table: Any, column: str, labels: NDArray[np.int64] | MultiHot) -> Split:
    import datasets

    feature = table.features[column]
    if not isinstance(feature, datasets.Image) and not _may_hold_images(feature) and feature.dtype != "string":
        raise DataError(
            f"Column {column!r} of {name} has type {feature}, which holds no images: name another one with "
            "--data.image-column."
        )
    encoded = table.with_format(None).select_columns([column]).flatten_indices()
    rows = _Rows(encoded.cast_column(column, datasets.Image(decode=False)), column, role)
    return Split(role, labels, rows.read, rows.describe)


def _checked(data: ImageData[Split]) -> ImageData[Split]:
    """Return ``data`` with notes on classes that a split lacks; raise where it cannot be trained on."""
    names, notes = data.class_names, list(data.notes)
    if len(names) < 2:
        raise (
            DataError(f"{data.name} has one class, {names[0]!r}: a classifier needs two or more.")
            if names
            else DataError(f"{data.name} has no classes: it needs two or more.")
        )
    for role, split in data.splits.items():
        if not len(split):
            raise DataError(f"The {role} split of {data.name} is empty: it has no images.")
        if data.multi_label and not split.labels.any():
            raise DataError(
                f"No image in the {role} split of {data.name} has a label: nothing can be learned or judged."
            )
        wrong = np.flatnonzero((split.labels < 0) | (split.labels >= len(names)))
        if len(wrong):
            i = int(wrong[0])
            raise DataError(
                f"{split.describe(i)} of {data.name} has label {split.labels[i]}, which is out of range for "
                f"{len(names)} classes (0 to {len(names) - 1}); {len(wrong)} such labels in the {role} "
                "split: mend or remove them."
            )
        notes += missing_classes(data, role, split, names)
    return replace(data, notes=tuple(notes))


def missing_classes(data: ImageData[Any], role: str, split: Labelled, names: tuple[str, ...]) -> list[str]:
    """Return notes on classes of which a split has no images; raise where they cannot be learned or should have been."""
    counts, trained = split.class_counts(len(names)), data.train.class_counts(len(names))
    if counts is None or trained is None:
        return []
    missing = [names[k] for k in np.flatnonzero(counts == 0)]
    if untaught := [names[k] for k in np.flatnonzero((counts > 0) & (trained == 0))]:
        raise DataError(
            f"The {role} split of {data.name} has images of {listing(untaught)}, of which there are no training images: "
            "add some, or remove the class."
        )
    if missing and role == "train" and not data.declared:
        raise DataError(f"{data.name} has no training images of {listing(missing)}: add some, or remove the class.")
    if missing and role == "train":
        return [f"no training images of {listing(missing)}, which the data declares: classes that are never learned"]
    unknown = [names[k] for k in np.flatnonzero((counts == 0) & (trained > 0))]
    return [f"the {role} split has no images of {listing(unknown)}, so nothing is known of them"] if unknown else []


def listing(names: Sequence[str], limit: int = 5) -> str:
    """Return the names in quotes, the first ``limit`` of them."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def without_test(data: ImageData[SplitT]) -> ImageData[SplitT]:
    """Return ``data`` without its test split, which is not even read then."""
    if data.test is None:
        return data
    return replace(data, test=None, notes=(*data.notes, "the test split is left unread"))


def joined(data: ImageData[Split]) -> ImageData[Split]:
    """Return ``data`` with training and validation images as one training split; the test split is left out."""
    data = without_test(data)
    if data.validation is None:
        return data
    first, second = data.train, data.validation
    both = _Joined(first, second)
    labels = np.concatenate([first.labels, second.labels])
    train = Split(f"{first.name} and {second.name}", labels, both.read, both.describe)
    return replace(data, train=train, validation=None)


def in_fold(data: ImageData[Split], fold: int, folds: int, seed: int) -> ImageData[Split]:
    """Return ``data`` with one of ``folds`` stratified parts of its training images as test split, and without those.

    Args:
        data: the data set, without validation and test split.
        fold: which part, from 1 on.
        folds: how many parts; of each class they differ by one image at most, and together they are all images.
        seed: decides which images.

    Raises:
        DataError: a class has fewer images than there are folds, or too few to set any aside for validation.
    """
    from sklearn.model_selection import StratifiedKFold

    labels = data.train.labels
    _check_folds(data, folds)
    cut = StratifiedKFold(folds, shuffle=True, random_state=seed).split(np.zeros(len(labels)), labels)
    train, test = list(cut)[fold - 1]
    note = (
        f"fold {fold} of {folds}: its {len(test):,} of {len(labels):,} images are the test split; the folds were cut class "
        f"by class with seed {seed}"
    )
    return replace(
        data,
        train=data.train.take(train, f"all of {data.train.name} but fold {fold} of {folds}"),
        test=data.train.take(test, f"fold {fold} of {folds} of {data.train.name}"),
        notes=(*data.notes, note),
    )


def _check_folds(data: ImageData[Split], folds: int) -> None:
    counts = np.bincount(data.train.labels, minlength=len(data.class_names))
    fewest = int(counts[counts > 0].min())
    name = data.class_names[np.flatnonzero(counts == fewest)[0]]
    if folds > fewest:
        largest = f"give {fewest} or fewer, or add images" if fewest > 2 else "add images, or remove the class"
        raise DataError(f"{folds} folds are too many: class {name!r} of {data.name} has {fewest} image(s): {largest}.")
    if fewest - -(-fewest // folds) < 2:  # of what is left, one is trained on and one chooses the epoch
        advice = "give 3 folds, or add images" if fewest > 2 else "add images, or remove the class"
        raise DataError(
            f"{folds} folds leave one training image of class {name!r} of {data.name}, which has {fewest}, and two are "
            f"needed: {advice}."
        )


def with_validation(data: ImageData[Split], fraction: float, seed: int) -> ImageData[Split]:
    """Set ``fraction`` of each class's training images aside, at least one and not all, if there is no validation split.

    scikit-learn's stratified split keeps the shares on average only: it may leave a rare class without any image.

    Args:
        data: the data set.
        fraction: share of the training images to set aside.
        seed: decides which images.

    Raises:
        DataError: a class has a single image.
    """
    if data.validation is not None:
        return data
    if data.multi_label:
        return _set_aside_at_random(data, fraction, seed)
    labels, rng = data.train.labels, np.random.default_rng(seed)
    aside = np.zeros(len(labels), bool)
    for k, name in enumerate(data.class_names):
        rows = np.flatnonzero(labels == k)
        if not len(rows):
            continue  # declared only
        if len(rows) < 2:
            raise DataError(
                f"{data.name} is too small to set {fraction:.0%} aside for validation: class {name!r} has one image. "
                "Add images, or a validation split."
            )
        aside[rng.permutation(rows)[: min(max(round(fraction * len(rows)), 1), len(rows) - 1)]] = True
    share = f"{aside.sum()} of {len(labels)} training images ({fraction:.0%} of each class)"
    return replace(
        data,
        train=data.train.take(np.flatnonzero(~aside)),
        validation=data.train.take(np.flatnonzero(aside), f"{fraction:.0%} of {data.train.name}"),
        notes=(*data.notes, f"no validation split: {share} are set aside"),
    )


def _set_aside_at_random(data: ImageData[Split], fraction: float, seed: int) -> ImageData[Split]:
    """Set ``fraction`` of the images aside whatever their labels, but never the last training image of a label."""
    labels, aside = data.train.labels, np.zeros(len(data.train), bool)
    left, wanted = labels.sum(0, np.int64), max(1, round(fraction * len(labels)))
    for row in np.random.default_rng(seed).permutation(len(labels)).tolist():
        if wanted and (left[labels[row] > 0] > 1).all():
            aside[row] = True
            left -= labels[row]
            wanted -= 1
    if not labels[aside].any() or not labels[~aside].any():
        raise DataError(
            f"{data.name} is too small to set {fraction:.0%} aside for validation: add images, or a validation split."
        )
    unseen = [data.class_names[k] for k in np.flatnonzero((labels[aside].sum(0) == 0) & (labels.sum(0) > 0))]
    share = f"{aside.sum()} of {len(labels)} training images ({fraction:.0%}, whatever their labels)"
    notes = [f"no validation split: {share} are set aside"]
    notes += [f"none of those has {listing(unseen)}, so nothing is known of them"] if unseen else []
    return replace(
        data,
        train=data.train.take(np.flatnonzero(~aside)),
        validation=data.train.take(np.flatnonzero(aside), f"{fraction:.0%} of {data.train.name}"),
        notes=(*data.notes, *notes),
    )


def as_file(encoded: bytes | Path) -> Any:
    """Return what Pillow opens: the path itself, or the bytes as a file."""
    return BytesIO(encoded) if isinstance(encoded, bytes) else encoded
