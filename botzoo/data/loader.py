"""Batches of images for training and evaluation, and what is asked of the images that they are made of."""

import multiprocessing
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from botzoo.data.order import Order
from botzoo.data.parallel import SharedRoom, use_room
from botzoo.data.transforms import Row, Transform
from botzoo.models.preprocessing import Decoding
from botzoo.sources.base import Labels
from botzoo.util.guard import ENDING

PREFETCH = 4
"""Batches that each worker has ready before they are asked for."""

Batch = tuple[Tensor, ...]
"""Images uint8 (N, C, H, W); targets, of which the first axis counts the images: labels int64 (N,) or uint8 (N, K), or as the
task has them; and, where the transform gives any, numbers of each image, such as colour parameters float32 (N, 6)."""

Stack = Callable[[Sequence[Any]], NDArray[Any]]
"""Makes one array of the targets of a batch."""


def collate(rows: Sequence[Row], stack: Stack = np.array) -> Batch:
    """Return a batch; its images have the channels last in memory."""
    pixels, targets, numbers = zip(*rows, strict=True)
    batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), torch.from_numpy(stack(targets))
    return (*batch, torch.tensor(numbers)) if any(numbers) else batch


def _set_up_worker(room: SharedRoom, worker: int) -> None:
    use_room(room)  # one for all of them
    warnings.filterwarnings("ignore", module=r"PIL\.")
    torch.set_num_threads(1)  # the processes share the cores among them already


def load(
    dataset: Dataset[Any], batches: Iterable[list[Any]], collate: Callable[[list[Any]], Any], workers: int, pin: bool
) -> Iterator[Any]:
    """Return ``dataset[row]`` for the rows of each of ``batches``, put together, by torch's loader in worker processes."""
    # Forked workers share the images in memory; started otherwise, each would be sent a copy.
    started = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=partial(_set_up_worker, SharedRoom(started)) if workers else None,
        multiprocessing_context=started if workers else None,
        prefetch_factor=PREFETCH if workers else None,
    )
    if not workers or not hasattr(signal, "pthread_sigmask"):
        return iter(loader)
    # A terminal or a scheduler signals the whole group: the training process writes a checkpoint, then ends its workers.
    # They inherit what is blocked here, so that there is no moment at their start in which a signal reaches them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class LoadedSplit(Protocol):
    """The images of a split, found, checked and ready to be trained on, read in any order (``Images``) or streamed."""

    fingerprint: str  # SHA-256 that changes with the images, in hexadecimal
    hashed: str  # what the fingerprint is of, in words
    labels: Labels | None  # None where they come with the images only
    order_depends_on_processes: bool  # whether a run has to be resumed with as many processes as it began with
    kept_in: str  # where the pixels are, in words
    decoding: Decoding  # how its images become pixels
    kinds: (
        Mapping[str, int] | None
    )  # how many images, of all that were read, are transparent and so on; None: not known
    groups: NDArray[np.int64] | None  # of images that belong together, numbers from 0 on, shape (N,)
    evaluated: int | None  # images that an evaluation sees, None where unreadable ones are passed over on the way

    @property
    def shapes(self) -> NDArray[np.int32]:
        """Height and width of images in pixels, (N, 2): of all, or of those that are known."""

    def __len__(self) -> int: ...

    def describe(self, i: int) -> str:
        """Name image i for messages."""

    def names(self) -> list[str]:
        """Return a name for each image in order, unique in the split: its file, from the data set's folder on, or its row."""

    def train_batches(
        self, transform: Transform, order: Order, first: int, last: int, *, workers: int, pin: bool
    ) -> Iterator[list[Batch]]:
        """Yield this process's micro-batches of each optimizer step of [first, last), counted from 0 over all epochs.

        ``workers`` processes decode (0: this one); with ``pin`` batches lie in memory from which a GPU copies fast.

        Raises:
            DataError: an image can no longer be read.
        """

    def eval_batches(
        self, transform: Transform, batch_size: int, *, rank: int, world_size: int, workers: int, pin: bool
    ) -> Iterator[Batch]:
        """Yield the part of process ``rank`` of ``world_size`` in order, each image exactly once over all of them."""
