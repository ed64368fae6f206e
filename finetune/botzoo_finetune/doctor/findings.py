"""The images of a data set in one line, so that checks can speak of them by number, and what checks say of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from botzoo.data.images import Images
from botzoo.pixels.bands import Bands, picture_of
from botzoo.sources.groups import paths_of
from botzoo.sources.targets.checks import Kind

OfLabels = Literal[
    "usable", "names", "counts", "corrupt", "duplicates", "near duplicates", "labels", "blank", "placeholder", "tiny",
    "aspect", "sizes", "groups",
]  # fmt: skip

Check = OfLabels | Kind
"""Those of images and their labels, and those of boxes and masks."""


@dataclass(frozen=True)
class Finding:
    """Something that a check found, about no image, one, or several that belong together.

    Attributes:
        check: which one.
        reason: what is the matter, in words that do not name the images.
        images: places of the images that it is about, in ``Roll``.
        look: whether somebody should look at it; otherwise it is worth knowing and no more.
        suggested: for a label: the class that the image looks like, an index into the class names.
        score: for a label: the probability that it is wrong; for near duplicates: the least correlation.
    """

    check: Check
    reason: str
    images: tuple[int, ...] = ()
    look: bool = True
    suggested: int | None = None
    score: float | None = None


class Entry(NamedTuple):
    """An image as people know it: its file or row, its split, and the names of its classes; "" where that is not known."""

    name: str
    split: str
    label: str


@dataclass(frozen=True)
class Roll:
    """The readable images, split by split in the order of ``splits``, and behind them the unreadable ones, by name."""

    class_names: Sequence[str]
    splits: Mapping[str, Images]
    unreadable: Sequence[str] = ()

    def __len__(self) -> int:
        """Return the number of readable images, N."""
        return int(self._ends[-1])

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(len(images) for images in self.splits.values())])

    @property
    def role_names(self) -> list[str]:
        """The roles, in order."""
        return list(self.splits)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Of the readable images, int64 (N,); of those with boxes or masks, one number for each choice of classes."""
        labels = np.concatenate([images.labels for images in self.splits.values()])
        return labels if labels.ndim == 1 else np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)

    @cached_property
    def roles(self) -> NDArray[np.int8]:
        """Split of each readable image, int8 (N,), an index into ``role_names``."""
        return np.repeat(np.arange(len(self.splits), dtype=np.int8), np.diff(self._ends))

    @cached_property
    def digests(self) -> NDArray[np.uint8]:
        """SHA-256 of each readable image as it was encoded, uint8 (N, 32)."""
        return np.concatenate([images.decoded.index.digests[images.rows] for images in self.splits.values()])

    @cached_property
    def shapes(self) -> NDArray[np.int32]:
        """Height and width of each readable image in pixels, int32 (N, 2)."""
        return np.concatenate([images.shapes for images in self.splits.values()])

    @property
    def paths(self) -> dict[str, list[str]]:
        """Of the readable images inside the data set, with ``/`` between folders, by role."""
        return {role: paths_of(images.split) for role, images in self.splits.items()}

    @property
    def counts(self) -> dict[str, NDArray[np.int64]]:
        """Readable images of each class, shape (K,), by role."""
        classes = len(self.class_names)
        return {role: images.split.class_counts(classes) for role, images in self.splits.items()}

    def image(self, i: int) -> Image.Image:
        """Return the readable image i, decoded, to be looked at: of many channels, the first three."""
        with self.opened(i) as image:
            return image

    @contextmanager
    def opened(self, i: int) -> Iterator[Image.Image]:
        """Give the same with room for its pixels to the end of the block."""
        images, row = self._at(i)
        with images.at_hand(row) as found:
            picture = picture_of(found)
            yield picture.convert("RGB") if isinstance(picture, Bands) else picture

    def entry(self, i: int) -> Entry:
        """Return who image i is, readable or not."""
        if i >= len(self):
            return Entry(self.unreadable[i - len(self)], "", "")
        images, row = self._at(i)
        classes = np.atleast_1d(np.flatnonzero(own) if (own := images.labels[row]).ndim else own)
        label = ", ".join(self.class_names[k] for k in classes.tolist())
        return Entry(images.split.describe(row), self.role_names[int(self.roles[i])], label)

    def _at(self, i: int) -> tuple[Images, int]:
        role = int(self.roles[i])
        return self.splits[self.role_names[role]], i - int(self._ends[role])


@dataclass(frozen=True)
class Sizes:
    """The shorter sides of all images, in pixels, beside the network's input.

    Attributes:
        least, median, most: of the shorter sides.
        input: side of the network's square input.
        smaller: share of the images whose shorter side is less than the input's, in [0, 1].
    """

    least: int
    median: int
    most: int
    input: int
    smaller: float


@dataclass(frozen=True)
class Report:
    """What the examination of a data set found.

    Attributes:
        dataset: its name, as the user gave it.
        roll: its images.
        counts: images of each class, shape (K,), by role.
        findings: check by check.
        remarks: sentences on the data, and on what was not looked at and why.
        sizes: of the images; None where none were read.
        accuracy: of the estimate that labels were compared with, in [0, 1]; None where there is none.
        noise: share of the labels that are wrong by that estimate, in [0, 0.5]; None where they were not looked at.
    """

    dataset: str
    roll: Roll
    counts: Mapping[str, NDArray[np.int64]]
    findings: Sequence[Finding]
    remarks: Sequence[str] = ()
    sizes: Sizes | None = None
    accuracy: float | None = None
    noise: float | None = None

    @property
    def well(self) -> bool:
        """Whether there is nothing that somebody should look at."""
        return not any(finding.look for finding in self.findings)
