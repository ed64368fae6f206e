"""What passes through a network in training and evaluation: images, or something computed from them once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from botzoo.data.loader import Batch, LoadedSplit
from botzoo.data.order import Order
from botzoo.data.transforms import Prepared, ProgressiveResizing, Transform
from botzoo.models.preprocessing import Preprocessing, Size
from botzoo.options.config import AugmentConfig
from botzoo.tasks.task import Task
from botzoo.util.text import epochs_words

FITTED = {"center": "", "squash": ", images squashed to it", "border": ", images padded to its shape"}
"""What is done to images of another shape than the input's, by the crop mode."""


class Feed(Protocol):
    """Gives each process its share of what a network is trained and evaluated on."""

    @property
    def whole(self) -> ImageFeed:
        """The feed of images for the whole network; itself where it is that one."""

    def describe(self) -> str:
        """Say what the network sees, for the plan."""

    def train_batches(self, order: Order, first: int, last: int) -> Iterator[list[Batch]]:
        """Yield this process's micro-batches of each step of [first, last)."""

    def eval_batches(self, order: Order, role: str) -> Iterator[Batch]:
        """Yield this process's share of a split in order."""


@dataclass
class ImageFeed:
    """Augmented images in training, timm's own evaluation transform in evaluation.

    Attributes:
        task: says what becomes of targets where pictures are cropped and flipped.
        images: by role.
        preprocessing: how the network wants its input.
        train_size, later_size: of the training crops of the first and the last epochs.
        small_epochs: how many epochs are of ``train_size`` (progressive resizing), None for all.
        crop_min: smallest area of the random crop, as a share of the image.
        scales: of the picture, where its target moves along, in the place of that.
        hflip: probability of a horizontal flip.
        augment: what else is done to the pixels.
        paper: whether crop and colour are those of the paper.
        workers: processes that decode.
        pin: whether batches go into pinned memory, from which a GPU copies faster.
        own_transform: a user's own, in place of crop, flip and augmentation.
    """

    task: Task
    images: Mapping[str, LoadedSplit]
    preprocessing: Preprocessing
    train_size: Size
    later_size: Size
    small_epochs: int | None
    crop_min: float
    hflip: float
    seed: int
    augment: AugmentConfig
    paper: bool = False
    workers: int = 0
    pin: bool = False
    own_transform: Transform | None = None
    scales: tuple[float, float] | None = None

    @property
    def whole(self) -> ImageFeed:
        """Itself."""
        return self

    @property
    def largest_size(self) -> Size:
        """Of the largest training crops of any epoch."""
        return max(self.train_size, self.later_size)

    def transform(self, size: Size) -> Transform:
        """Return the augmentation of training images, which end in this ``size``."""
        if self.own_transform is not None:
            return self.own_transform
        return self.task.train_transform(self._prepared(size))

    def _prepared(self, size: Size) -> Prepared:
        flip = self.hflip, self.seed, self.augment, self.paper
        return Prepared(size, self.preprocessing, self.crop_min, *flip, scales=self.scales or (1.0, 1.0))

    def train_batches(self, order: Order, first: int, last: int) -> Iterator[list[Batch]]:
        """Yield this process's micro-batches of each step of [first, last)."""
        transform = self.transform(self.train_size)
        if self.small_epochs is not None:  # the transform is told the epoch of each image, and picks the size by it
            transform = ProgressiveResizing(transform, self.small_epochs, self.transform(self.later_size))
        return self.images["train"].train_batches(transform, order, first, last, workers=self.workers, pin=self.pin)

    def eval_batches(self, order: Order, role: str) -> Iterator[Batch]:
        """Yield this process's share of a split in order; each image comes once over all processes."""
        return self.images[role].eval_batches(
            self.task.eval_transform(self.preprocessing),
            2 * order.micro_batch,  # without gradients twice as many fit
            rank=order.rank,
            world_size=order.world_size,
            workers=self.workers,
            pin=self.pin,
        )

    def describe(self) -> str:
        """Say how images are prepared, for the plan."""
        size = self.preprocessing.shape
        shown = f"{size} px{FITTED[self.preprocessing.crop_mode]}"
        if self.own_transform is not None:
            return f"{shown}; training images pass a transform of one's own"
        when = f" in the first {epochs_words(self.small_epochs)}" if self.small_epochs is not None else ""
        smaller = f", trained at {self.train_size.px}{when}" if self.train_size != size else ""
        crop = f"random crops of {self.crop_min:.0%} to 100%" if self.crop_min < 1 else "whole images"
        if self.scales is not None:
            low, high = self.scales
            crop = f"pictures {low:g} to {high:g} times as large, cropped or padded" if low < high else "whole pictures"
        more = [name if value is True else f"{name} {value:g}" for name, value in vars(self.augment).items() if value]
        return ", ".join([f"{shown}{smaller}; {crop}", f"flipped with probability {self.hflip:g}", *more])
