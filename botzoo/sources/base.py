"""A labelled data set with its splits, whatever it was read from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import listing

T = TypeVar("T")
SplitT = TypeVar("SplitT", bound="Labelled")

Encoded = bytes | Path | NDArray[Any]

MultiHot = NDArray[np.uint8]
"""Shape (N, K): whether image n has label k, 0 or 1."""

Labels = NDArray[np.int64] | MultiHot
"""Of N images: their classes, shape (N,), or, where an image may have any number of labels, which of them it has."""

_NAMES = {
    "train": "train training trainset trainingset trainval",
    "validation": "validation valid validate val vali dev devel development eval evaluation evaluate "
    "validationset validset valset devset evalset",
    "test": "test testing testset testingset holdout",
}

SPLIT_NAMES = {name: role for role, names in _NAMES.items() for name in names.split()}
"""Names of splits, as found in folders and on the Hub, and which of the three each one is; ``split_names`` looks for them
inside longer names too."""

Columns = Mapping[str, NDArray[np.object_]]
"""What else a table says of N images, by the names of its columns: cells as they stand, shape (N,), None for an empty one."""

Shared = Callable[[Callable[[], T]], T]
"""Does work on one process, and gives its answer to the others."""

Groups = NDArray[np.object_]
"""The names of the groups of N images, shape (N,), all text."""

OwnNames = dict[str, list[str]]
"""The names of the classes that a split has itself, by its role."""

UNLABELLED = -1

CHARACTERS = ("digits", "ylecun/mnist")
"""Data sets whose images mean something else when mirrored."""


def alone(work: Callable[[], T]) -> T:
    """Do ``work``, as one process does that has no others to share it with."""
    return work()


@dataclass(frozen=True)
class Split:
    """Images of one split, still encoded.

    Worker processes may have to be sent it, so that ``read`` and ``describe`` are methods and partials, never closures.

    Attributes:
        name: in its source.
        labels: int64 (N,), indices into the class names, or uint8 (N, K).
        read: returns image i as encoded bytes, the path of a file, or pixels of shape (H, W) or
            (H, W, C); (H, W, 4) of uint8 is RGBA.
        describe: names image i for error messages.
        rows: int64, shape (N,), places of its images in the split that it was taken from; None where it is a whole one.
        root: how ``describe`` begins for every image: the data set's folder.
        columns: of the table that the labels stand in, all but those of images and labels.
        groups: of images that belong together, see ``botzoo.sources.groups``; None where nobody named any.
        stored_in: files that hold all of its images and nothing besides, as they stand; none where each is a file of its
            own, or where nobody knows.
        problems: what is wrong with the targets of images that cannot be used for that, by their places.
    """

    name: str
    labels: Labels
    read: Callable[[int], Encoded]
    describe: Callable[[int], str]
    rows: NDArray[np.int64] | None = None
    root: str = ""
    columns: Columns = field(default_factory=dict)
    groups: Groups | None = None
    stored_in: tuple[str, ...] = ()
    problems: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64], name: str | None = None) -> Self:
        """Return the split of the images ``rows``, in that order."""
        return replace(
            self,
            name=name or self.name,
            labels=self.labels[rows],
            read=partial(at_row, self.read, rows),
            describe=partial(at_row, self.describe, rows),
            rows=rows,
            columns={column: cells[rows] for column, cells in self.columns.items()},
            groups=None if self.groups is None else self.groups[rows],
            stored_in=(),
            problems={k: self.problems[i] for k, i in enumerate(rows.tolist()) if i in self.problems},
        )

    def joined(self, other: Split) -> Self:
        """Return the split of these images and then those of ``other``, which is of the same kind."""
        both, before = self.columns.keys() & other.columns.keys(), len(self)
        grouped = self.groups is not None and other.groups is not None
        return replace(
            self,
            name=f"{self.name} and {other.name}",
            labels=np.concatenate([self.labels, other.labels]),
            read=partial(of_either, self.read, other.read, before),
            describe=partial(of_either, self.describe, other.describe, before),
            rows=None,
            columns={column: np.concatenate([self.columns[column], other.columns[column]]) for column in both},
            groups=np.concatenate([self.groups, other.groups]) if grouped else None,
            stored_in=(),
            problems={**self.problems, **{before + i: problem for i, problem in other.problems.items()}},
        )

    def called(self, shown: Callable[[str], str]) -> Self:
        """Return the same with files and folders called as ``shown`` calls them; a method, as workers may get it."""
        return replace(self, describe=partial(_instead, self.describe, shown), root=shown(self.root))

    def target(self, i: int) -> Any:
        """Return what a network is to say of image i: its label, or 0 or 1 for each label; other kinds of splits have more."""
        return self.labels[i]

    def target_bytes(self) -> bytes:
        """Return bytes that change with the targets, for a fingerprint."""
        return self.labels.tobytes()

    def class_counts(self, classes: int) -> NDArray[np.int64]:
        """Return how many images each of the classes has, shape (classes,)."""
        return np.bincount(self.labels, minlength=classes) if self.labels.ndim == 1 else self.labels.sum(0, np.int64)


def _instead(describe: Callable[[int], str], shown: Callable[[str], str], i: int) -> str:
    return shown(describe(i))


def at_row(of_image: Callable[[int], T], rows: NDArray[np.int64], i: int) -> T:
    """Return what ``of_image`` has of the image that is number ``i`` of ``rows``."""
    return of_image(int(rows[i]))


def of_either(first: Callable[[int], T], second: Callable[[int], T], before: int, i: int) -> T:
    """Return what ``first`` has of image i, or, where that is not one of the ``before``, ``second`` of one of its own."""
    return first(i) if i < before else second(i - before)


@dataclass(frozen=True)
class Files:
    """Images in files, by their paths."""

    paths: list[str]

    def read(self, i: int) -> Encoded:
        return Path(self.paths[i])

    def describe(self, i: int) -> str:
        return self.paths[i]


class Labelled(Protocol):
    """What is asked of a split of any kind: its name in its source, and numbers of images."""

    @property
    def name(self) -> str: ...
    def __len__(self) -> int: ...

    def class_counts(self, classes: int) -> NDArray[np.int64] | None:
        """Return how many images each of the classes has, shape (classes,); None where that is not known."""


@dataclass(frozen=True)
class ImageData(Generic[SplitT]):
    """A labelled image data set; label k means ``class_names[k]``, one of K >= 2."""

    name: str  # as the user gave it
    class_names: tuple[str, ...]
    train: SplitT
    validation: SplitT | None = None  # a run sets it itself where there is none
    test: SplitT | None = None
    hub_id: str | None = None  # if it came from the Hub
    license: str | None = None  # if it is known
    mirrored: bool = True  # whether a mirrored image means the same
    notes: tuple[str, ...] = ()  # sentences for the reader on what was decided here
    # whether the data itself lists its classes, so that one without images is a class all the same
    declared: bool = False
    set_aside: bool = False  # whether the validation images were taken from the training images
    in_memory: bool = False  # whether it was an object, so that its name does not find it again

    @property
    def splits(self) -> dict[str, SplitT]:
        """The splits that are there, by role: train, validation, test."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {role: split for role, split in found.items() if split is not None}


@dataclass(frozen=True)
class SourceOptions:
    """What the user says of a data set; what is None is found out.

    Attributes:
        image_column, label_column: columns of a table to use where types and names leave a choice.
        splits: names of folders, files or tables by what they are: train, validation, test, or none for what is left out.
        labels: the table that the labels stand in: a path, a DataFrame, or a dict of DataFrames by split.
        group: what tells which images belong together, see ``botzoo.sources.groups.grouped``.
        label_separator: what stands between several labels in a cell of text; ``space``, and ``none`` for nothing.
        crops: whether the images are what is in the boxes of a data set with boxes.
    """

    image_column: str | None = None
    label_column: str | None = None
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    labels: Any = None
    label_separator: str | None = None
    group: str | None = None
    crops: bool = False


NOTHING_SAID = SourceOptions()


class Source(ABC):
    """A kind of data set: one subclass in a file of its own, and its line in ``find.SOURCES``, which are asked in turn.

    Its methods are given what ``recognises`` said yes to: ``name`` as the user gave it, and the same as a ``path``, which need
    not exist; and what else the user says of it.
    """

    @abstractmethod
    def recognises(self, name: str, path: Path) -> bool:
        """Tell whether the data set is of this kind, by a look at its name or at what is there."""

    @abstractmethod
    def open(self, name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
        """Return the data set's splits, its images still encoded; ``checked`` sees to what can be wrong with any data set.

        Raises:
            DataError: it cannot be read; in one line, with what to do.
        """

    def own_names(self, name: str, path: Path, options: SourceOptions) -> OwnNames:
        """Return the names of classes that each split has itself, by role; none where the data declares them for all."""
        return {}


def checked(data: ImageData[Split]) -> ImageData[Split]:
    """Return ``data`` with notes on classes that a split lacks.

    Raises:
        DataError: it cannot be trained on: fewer than two classes, an empty split, labels out of range or none at all.
    """
    names, notes = data.class_names, list(data.notes)
    if len(names) < 2:
        has = f"one class, {in_quotes(names[0])}" if names else "no classes"
        raise DataError(f"{data.name} has {has}: a classifier needs two or more.")
    for role, split in data.splits.items():  # the training split first: what is wrong there is wrong in all
        if not len(split):
            raise DataError(f"The {role} split of {data.name} is empty: it has no images.")
        wrong = np.flatnonzero((split.labels < 0) | (split.labels >= len(names)))
        if len(wrong):
            i = int(wrong[0])
            label = f"label {split.labels[i]}, which is out of range for {len(names)} classes (0 to {len(names) - 1})"
            such = f"{len(wrong)} such labels in the {role} split: mend or remove them"
            raise DataError(f"{split.describe(i)} of {data.name} has {label}; {such}.")
        if not split.class_counts(len(names)).any():  # counted only now: numbers out of range cannot be
            raise DataError(f"No image in the {role} split of {data.name} has a label: nothing can be learned from it.")
        notes += missing_classes(data, role, split, names)
    mirrored = data.mirrored and (data.hub_id or data.name) not in CHARACTERS  # no flips by default where it is not
    return replace(data, notes=tuple(notes), mirrored=mirrored)


def missing_classes(data: ImageData[Any], role: str, split: Labelled, names: tuple[str, ...]) -> list[str]:
    """Return notes on classes of which a split has no images.

    Raises:
        DataError: they cannot be learned, or should have been.
    """
    counts, trained = split.class_counts(len(names)), data.train.class_counts(len(names))
    if counts is None or trained is None:  # a stream that was not counted
        return []
    if untaught := [names[k] for k in np.flatnonzero((counts > 0) & (trained == 0))]:
        has = f"The {role} split of {data.name} has images of {listing(untaught)}"
        raise DataError(f"{has}, of which there are no training images: add some, or remove the class.")
    if role != "train":
        unknown = [names[k] for k in np.flatnonzero((counts == 0) & (trained > 0))]
        return [f"the {role} split has no images of {listing(unknown)}, so nothing is known of them"] if unknown else []
    missing = [names[k] for k in np.flatnonzero(counts == 0)]
    if missing and not data.declared:
        raise DataError(f"{data.name} has no training images of {listing(missing)}: add some, or remove the class.")
    never = f"no training images of {listing(missing)}, which the data declares: classes that are never learned"
    return [never] if missing else []
