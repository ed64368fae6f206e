"""Where images come from: the built-in digits, the Hub, and folders of three kinds, all as one ``ImageData``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError, NetworkError, did_you_mean

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
    "imagenette": "frgfm/imagenette",
}
"""Short names of well-known data sets and their ids on the Hub."""

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

LABEL_NAMES = ("label", "labels", "fine_label", "cls", "class", "target")


@dataclass(frozen=True)
class Split:
    """Images of one split, still encoded.

    Attributes:
        name: the split's name in its source.
        labels: int64, shape (N,), indices into the class names.
        read: returns image i as encoded bytes, the path of a file, or uint8 pixels of shape (H, W) or (H, W, 3).
        describe: names image i for error messages.
    """

    name: str
    labels: NDArray[np.int64]
    read: Callable[[int], Encoded]
    describe: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64], name: str | None = None) -> Split:
        """Return the split of the images ``rows``, in that order."""
        read, describe = self.read, self.describe
        return Split(
            name or self.name, self.labels[rows], lambda i: read(int(rows[i])), lambda i: describe(int(rows[i]))
        )


@dataclass(frozen=True)
class ImageData:
    """A labelled image data set.

    Attributes:
        name: as the user gave it.
        class_names: K names, K >= 2; label k means ``class_names[k]``.
        train, validation, test: its splits; ``open_images`` always sets ``validation``.
        hub_id: its id on the Hub, if it came from there.
        license: its licence, if it is known.
        mirrored: whether a mirrored image means the same.
        notes: sentences for the reader on what was decided here.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split | None = None
    test: Split | None = None
    hub_id: str | None = None
    license: str | None = None
    mirrored: bool = True
    notes: tuple[str, ...] = field(default=())

    @property
    def splits(self) -> dict[str, Split]:
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
) -> ImageData:
    """Find the data set ``name`` and return it with a validation split.

    Args:
        name: ``digits``, a key of ``HUB_NAMES``, a Hub id, or the path of a folder (of class folders, of parquet files, or
            written by ``datasets.save_to_disk``).
        val_fraction: share of the training images to set aside where there is no validation split.
        seed: decides which images are set aside.
        image_column, label_column: columns to use where the types leave a choice.

    Raises:
        DataError: it does not exist, is empty, has fewer than two classes, labels out of range, or ambiguous columns.
        NetworkError: it is on the Hub, not cached, and the Hub cannot be reached.
    """
    path = Path(name).expanduser()
    if name == "digits" and not path.is_dir():
        data = _digits()
    elif path.exists() or name.startswith((".", "/", "~")):
        data = _from_folder(name, path, image_column, label_column)
    elif name in HUB_NAMES or re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        data = _from_hub(name, HUB_NAMES.get(name, name), image_column, label_column)
    else:
        raise DataError(
            f"There is no data set {name!r}: no folder of that name here, and no short name."
            f"{did_you_mean(name, ['digits', *HUB_NAMES])} Give a folder, a Hub id (owner/name) or one of digits, "
            f"{', '.join(HUB_NAMES)}."
        )
    data = replace(data, mirrored=data.mirrored and (data.hub_id or data.name) not in CHARACTERS)
    return _with_validation(_checked(data), val_fraction, seed)


def _digits() -> ImageData:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    train = Split("all", bunch.target.astype(np.int64), lambda i: pixels[i], lambda i: f"digit {i}")
    return ImageData("digits", tuple("0123456789"), train, license="cc-by-4.0", mirrored=False)


def _from_folder(name: str, path: Path, image_column: str | None, label_column: str | None) -> ImageData:
    if not path.exists():
        raise DataError(f"There is no folder {name}: check the path.")
    if not path.is_dir():
        raise DataError(f"{name} is a file: give the folder that holds the images.")
    if not any(path.iterdir()):
        raise DataError(f"The folder {name} is empty: it needs one folder of images for each class.")
    if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        import datasets

        return _from_tables(name, _as_splits(datasets.load_from_disk(str(path))), image_column, label_column)
    if any(path.rglob("*.parquet")):
        return _from_tables(name, _as_splits(_load_dataset(str(path))), image_column, label_column)
    return _class_folders(name, path)


def _class_folders(name: str, path: Path) -> ImageData:
    from torchvision.datasets.folder import find_classes

    folders = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    roots = {SPLIT_NAMES[folder.lower()]: path / folder for folder in folders if folder.lower() in SPLIT_NAMES}
    is_split = "train" in roots and len(roots) == len(folders) and all(_subfolders(root) for root in roots.values())
    if not is_split:
        roots = {"train": path}
    if not _subfolders(roots["train"]):
        raise DataError(
            f"{name} has no class folders: put the images of each class into a folder of its own, "
            f"such as {path.name}/cat/1.jpg and {path.name}/dog/2.jpg."
        )
    classes, class_to_index = find_classes(str(roots["train"]))
    splits: dict[str, Split] = {}
    for role, root in roots.items():
        if unknown := sorted(set(_subfolders(root)) - set(classes)):
            raise DataError(
                f"{root} has the class {unknown[0]!r}, which {roots['train']} has not:"
                f"{did_you_mean(unknown[0], classes)} every class needs training images."
            )
        splits[role] = _folder_split(root, class_to_index)
    return ImageData(name, tuple(classes), splits["train"], splits.get("validation"), splits.get("test"))


def _subfolders(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _folder_split(root: Path, class_to_index: dict[str, int]) -> Split:
    files: list[Path] = []
    labels: list[int] = []
    for class_name, index in class_to_index.items():
        folder = root / class_name
        found = (
            sorted(f for f in folder.rglob("*") if f.is_file() and not f.name.startswith("."))
            if folder.is_dir()
            else []
        )
        files += found
        labels += [index] * len(found)
    return Split(root.name, np.array(labels, np.int64), lambda i: files[i], lambda i: str(files[i]))


def _from_hub(name: str, hub_id: str, image_column: str | None, label_column: str | None) -> ImageData:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    license = None
    try:
        info = HfApi().dataset_info(hub_id, timeout=10)
        license = info.card_data.get("license") if info.card_data else None
    except GatedRepoError as error:
        raise NetworkError(
            f"The data set {hub_id} is gated: accept its terms on its page on the Hub, then log in with `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise DataError(
            f"There is no data set {hub_id!r} on the Hub, or it is private, and no folder of that name here."
            f"{did_you_mean(name, HUB_NAMES)} For a private one log in with `hf auth login`."
        ) from error
    except HfHubHTTPError as error:
        raise NetworkError(
            f"The Hub refused to answer for the data set {hub_id}: {str(error).splitlines()[0]}"
        ) from error
    except Exception as error:  # every HTTP client has connection errors of its own: what is cached still works
        _go_offline()
        offline_cause: Exception | None = error
    else:
        offline_cause = None
    try:
        tables = _as_splits(_load_dataset(hub_id))
    except (ConnectionError, FileNotFoundError, DataError) as error:
        if offline_cause is None:
            raise
        raise NetworkError(
            f"The data set {hub_id} is not cached and the Hub cannot be reached: connect and try again, or use what "
            "works without a network: --dataset digits, or a folder of images."
        ) from error
    column = label_column or LABEL_COLUMNS.get(hub_id)
    data = _from_tables(name, tables, image_column, column)
    return replace(data, hub_id=hub_id, license=license if isinstance(license, str) else None)


def _go_offline() -> None:
    """Let the libraries look into their caches only, at once, instead of retrying for half a minute."""
    import datasets
    import huggingface_hub.constants

    datasets.config.HF_HUB_OFFLINE = True
    huggingface_hub.constants.HF_HUB_OFFLINE = True


def _load_dataset(source: str) -> Any:
    import datasets

    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(source)
    except (datasets.exceptions.DatasetGenerationError, ValueError) as error:
        cause = error.__cause__ or error
        raise DataError(f"The data set {source} cannot be read: {str(cause).splitlines()[0]}") from error


def _as_splits(loaded: Any) -> dict[str, Any]:
    """Return the tables of a DatasetDict or Dataset by role; raise where there is no training split."""
    tables = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    roles: dict[str, Any] = {}
    for split_name, table in tables.items():
        role = SPLIT_NAMES.get(str(split_name).lower())
        if role is not None:
            roles.setdefault(role, table)
    if "train" not in roles:
        raise DataError(f"There is no training split, only {', '.join(map(str, tables))}: name one of them 'train'.")
    return roles


def _from_tables(name: str, tables: dict[str, Any], image_column: str | None, label_column: str | None) -> ImageData:
    import datasets

    features = tables["train"].features
    image = _pick_column(name, "image", image_column, features, [c for c in features if _is_image(features[c])])
    by_type = [c for c in features if isinstance(features[c], datasets.ClassLabel)]
    by_name = [c for c in LABEL_NAMES if c in features and isinstance(features[c], datasets.Value)]
    label = _pick_column(name, "label", label_column, features, by_type or by_name[:1])
    raw = {role: table.with_format(None)[label][:] for role, table in tables.items()}
    if isinstance(features[label], datasets.ClassLabel):
        class_names = tuple(features[label].names)
        encoded = {role: np.array([-1 if v is None else v for v in values], np.int64) for role, values in raw.items()}
    else:
        distinct = sorted({value for value in raw["train"] if value is not None})
        index = {value: i for i, value in enumerate(distinct)}
        class_names = tuple(str(value) for value in distinct)
        encoded = {role: np.array([index.get(v, -1) for v in values], np.int64) for role, values in raw.items()}
    notes: list[str] = []
    if "test" in encoded and len(encoded["test"]) and (encoded["test"] < 0).all():
        del encoded["test"]
        notes.append("the test split has no labels, so it is not used")
    splits = {role: _table_split(role, tables[role], image, labels) for role, labels in encoded.items()}
    return ImageData(
        name, class_names, splits["train"], splits.get("validation"), splits.get("test"), notes=tuple(notes)
    )


def _is_image(feature: Any) -> bool:
    import datasets

    return isinstance(feature, datasets.Image)


def _pick_column(name: str, kind: str, asked: str | None, columns: Sequence[str], found: list[str]) -> str:
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


def _table_split(role: str, table: Any, column: str, labels: NDArray[np.int64]) -> Split:
    import datasets

    encoded = table.with_format(None).select_columns([column]).cast_column(column, datasets.Image(decode=False))

    def read(i: int) -> Encoded:
        cell = encoded[i][column]
        if cell is None:
            return b""
        return cell["bytes"] if cell["bytes"] is not None else Path(cell["path"])

    return Split(role, labels, read, lambda i: f"row {i} of the {role} split")


def _checked(data: ImageData) -> ImageData:
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
        wrong = np.flatnonzero((split.labels < 0) | (split.labels >= len(names)))
        if len(wrong):
            i = int(wrong[0])
            raise DataError(
                f"{split.describe(i)} of {data.name} has label {split.labels[i]}, which is out of range for {len(names)} "
                f"classes (0 to {len(names) - 1}); {len(wrong)} such labels in the {role} split: mend or remove them."
            )
        missing = [names[k] for k in np.flatnonzero(np.bincount(split.labels, minlength=len(names)) == 0)]
        if missing and role == "train":
            raise DataError(
                f"{data.name} has no training images of {_listing(missing)}: add some, or remove the class."
            )
        if missing:
            notes.append(f"the {role} split has no images of {_listing(missing)}, so nothing is known of them")
    return replace(data, notes=tuple(notes))


def _listing(names: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(repr(name) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def _with_validation(data: ImageData, fraction: float, seed: int) -> ImageData:
    """Set a stratified ``fraction`` of the training images aside where there is no validation split."""
    if data.validation is not None:
        return data
    from sklearn.model_selection import train_test_split

    labels = data.train.labels
    counts = np.bincount(labels, minlength=len(data.class_names))
    held = round(fraction * len(labels))
    if counts.min() < 2 or held < len(counts) or len(labels) - held < len(counts):
        rarest = data.class_names[int(counts.argmin())]
        raise DataError(
            f"{data.name} is too small to set {fraction:.0%} aside for validation: class {rarest!r} has {counts.min()} "
            f"image(s) and there are {len(labels)} in {len(counts)} classes. Add images, or change --data.val-fraction."
        )
    kept, aside = train_test_split(np.arange(len(labels)), test_size=held, stratify=labels, random_state=seed)
    kept.sort(), aside.sort()
    note = f"no validation split: {held} of {len(labels)} training images ({fraction:.0%} of each class) are set aside"
    return replace(
        data,
        train=data.train.take(kept),
        validation=data.train.take(aside, f"{fraction:.0%} of {data.train.name}"),
        notes=(*data.notes, note),
    )


def as_file(encoded: bytes | Path) -> Any:
    """Return what Pillow opens: the path itself, or the bytes as a file."""
    return BytesIO(encoded) if isinstance(encoded, bytes) else encoded
