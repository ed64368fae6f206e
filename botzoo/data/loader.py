"""Batches of images for training and evaluation."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from botzoo.data.decoded import Pixels
from botzoo.data.order import Order, share
from botzoo.data.transforms import Key, Transform

Row = tuple[Pixels, Any, tuple[float, ...]]
"""Pixels, label (or 0 or 1 for each label) and colour parameters, if any, of an image."""

Batch = tuple[Tensor, ...]
"""Images uint8 (N, 3, H, W), labels int64 (N,) or uint8 (N, K), and, with paper_augment, colour parameters float32 (N, 6)."""


class Addressed(Protocol):
    """Images that can be read in any order."""

    @property
    def labels(self) -> NDArray[Any]: ...

    def image(self, i: int) -> Image.Image: ...


class Keyed(Dataset[Row]):
    """Images behind a transform, addressed by (epoch, index)."""

    def __init__(self, images: Addressed, transform: Transform) -> None:
        self.images, self.transform = images, transform

    def __getitem__(self, key: Key) -> Row:
        index = key[1]
        pixels = self.transform(self.images.image(index), key)
        return pixels, self.images.labels[index], self.transform.colour(key)


def collate(rows: Sequence[Row]) -> Batch:
    """Return a batch; its images have the channels last in memory."""
    pixels, labels, colours = zip(*rows, strict=True)
    batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), torch.from_numpy(np.array(labels))
    return (*batch, torch.tensor(colours)) if any(colours) else batch


class TrainBatches(Sampler[list[Key]]):
    """The micro-batches of the steps [first, last), for torch's DataLoader."""

    def __init__(self, order: Order, first: int, last: int) -> None:
        self.order, self.first, self.last = order, first, last

    def __iter__(self) -> Iterator[list[Key]]:
        for step in range(self.first, self.last):
            yield from self.order.micro_batches(step)


class EvalBatches(Sampler[list[Key]]):
    """The images of a process, once, in batches."""

    def __init__(self, images: int, batch_size: int, rank: int, world_size: int) -> None:
        indices = share(images, rank, world_size)
        self.batches: list[list[Key]] = [
            [(0, i) for i in indices[k : k + batch_size]] for k in range(0, len(indices), batch_size)
        ]

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)


def _set_up_worker(worker: int) -> None:
    """Leave Ctrl-C and SIGTERM to the training process, which writes a checkpoint and then ends its workers."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal or a scheduler signals the whole group
        signal.signal(number, signal.SIG_IGN)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    torch.set_num_threads(1)


def make_loader(
    dataset: Dataset[Any],
    batches: Sampler[list[Any]],
    collate: Callable[[list[Any]], Any],
    workers: int,
    pin: bool,
) -> DataLoader[Any]:
    """Return torch's loader: ``dataset[row]`` for the rows of each batch, put together by ``collate``, in worker processes."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_set_up_worker,
        # Forked workers share the images in memory; started otherwise, each would be sent a copy.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        prefetch_factor=4 if workers else None,
    )
