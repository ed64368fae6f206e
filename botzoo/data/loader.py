"""Batches of images for training and evaluation."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from botzoo.data.decoded import Pixels

Row = tuple[Pixels, Any, tuple[float, ...]]
"""Pixels, label (or 0 or 1 for each label) and colour parameters, if any, of an image."""

Batch = tuple[Tensor, ...]
"""Images uint8 (N, 3, H, W), labels int64 (N,) or uint8 (N, K), and, with paper_augment, colour parameters float32 (N, 6)."""


def collate(rows: Sequence[Row]) -> Batch:
    """Return a batch; its images have the channels last in memory."""
    pixels, labels, colours = zip(*rows, strict=True)
    batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), torch.from_numpy(np.array(labels))
    return (*batch, torch.tensor(colours)) if any(colours) else batch


def _set_up_worker(worker: int) -> None:
    """Leave Ctrl-C and SIGTERM to the training process, which writes a checkpoint and then ends its workers."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal or a scheduler signals the whole group
        signal.signal(number, signal.SIG_IGN)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    torch.set_num_threads(1)


def make_loader(
    dataset: Dataset[Any],
    batches: Iterable[list[Any]],
    collate: Callable[[list[Any]], Any],
    workers: int,
    pin: bool,
) -> DataLoader[Any]:
    """Return torch's loader: ``dataset[row]`` for the rows of each of ``batches``, put together, in worker processes."""
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
