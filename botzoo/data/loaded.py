"""What training, evaluation and results ask of the images of a split, whether they are read in any order or streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from numpy.typing import NDArray

from botzoo.data.loader import Batch
from botzoo.data.order import Order
from botzoo.data.transforms import Transform


class LoadedSplit(Protocol):
    """The images of a split, found, checked and ready to be trained on.

    Attributes:
        fingerprint: SHA-256 that changes with the images, in hexadecimal.
        hashed: what the fingerprint is of, in words.
        labels: int64, shape (N,), or uint8, shape (N, K), as of ``Split``; None where they come with the images only.
        order_depends_on_processes: whether a run has to be resumed with as many processes as it began with.
        kept_in: where the pixels are, in words.
        evaluated: how many images an evaluation sees, None where unreadable ones are passed over on the way.
    """

    @property
    def fingerprint(self) -> str: ...
    @property
    def hashed(self) -> str: ...
    @property
    def labels(self) -> NDArray[Any] | None: ...
    @property
    def order_depends_on_processes(self) -> bool: ...
    @property
    def kept_in(self) -> str: ...
    @property
    def evaluated(self) -> int | None: ...

    def __len__(self) -> int: ...

    def describe(self, i: int) -> str:
        """Name image i for messages."""

    def names(self) -> list[str]:
        """Return a name for each image in order, unique in the split: its file, from the data set's folder on, or its row."""

    def train_batches(
        self, transform: Transform, order: Order, first: int, last: int, *, workers: int, pin: bool
    ) -> Iterator[list[Batch]]:
        """Yield this process's micro-batches of each optimizer step of [first, last).

        Args:
            transform: makes pixels of each image.
            order: seed, batch size and processes.
            first, last: counted from 0 over all epochs.
            workers: processes that decode; 0 leaves it to this one.
            pin: whether the batches are to lie in memory from which a GPU copies fast.

        Raises:
            DataError: an image can no longer be read.
        """

    def eval_batches(
        self, transform: Transform, batch_size: int, *, rank: int, world_size: int, workers: int, pin: bool
    ) -> Iterator[Batch]:
        """Yield the part of process ``rank`` of ``world_size`` in order, each image exactly once over all of them."""
