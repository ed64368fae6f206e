"""An evaluation of a split, the same on one process or many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import Tensor, nn

from botzoo.data.loader import Batch
from botzoo.tasks.classification import SINGLE_LABEL
from botzoo.tasks.task import Task

KEPT = 1 << 28
"""At most so many bytes of log-probabilities are kept by each process: enough for 130,000 images of 1,000 classes."""


@torch.inference_mode()
def evaluate(
    accelerator: Accelerator,
    model: nn.Module,
    batches: Iterable[Batch],
    normalise: Callable[[Tensor], Tensor],
    total: int | None,
    keep_log_p: bool = False,
    task: Task = SINGLE_LABEL,
) -> Any:
    """Evaluate ``model`` on this process's ``batches`` and gather the results of all processes.

    Args:
        batches: this process's part of the split, in order, as ``eval_batches`` yields it.
        normalise: makes the network's input of uint8 images on the device.
        total: images in the whole split; the gathered count must be equal to it, unless it is None.
        keep_log_p: also return the log-probabilities of all classes, unless they would take more than ``KEPT`` on a process.
        task: judges the answers.

    Returns:
        The task's evaluation of the whole split in its own order, the same on every process: an ``Evaluation`` where each
        image has one class.
    """
    model.eval()
    if accelerator.num_processes > 1:  # BatchNorm's statistics are those of rank 0, as in the saved weights
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)
    rows: list[NDArray[np.float64]] = []
    kept = _Kept(keep_log_p)
    for images, labels in batches:
        labels = labels.to(accelerator.device)
        with accelerator.autocast():
            logits = model(normalise(images.to(accelerator.device, non_blocking=True)))
        rows.append(task.columns(logits.float(), labels).cpu().double().numpy())
        kept.add(logits)
    table = np.concatenate([row for process in gather_object([rows]) for row in process])
    assert total in (None, len(table)), "each image is evaluated exactly once"
    return task.evaluation(table, kept.gathered())


class _Kept:
    """Log-probabilities in half precision, precise where they count: near 0. Given up where they become too many."""

    def __init__(self, wanted: bool) -> None:
        self.parts: list[NDArray[np.float16]] | None = [] if wanted else None

    def add(self, logits: Tensor) -> None:
        if self.parts is not None:
            log_p = logits.float().log_softmax(1)
            self.parts.append(log_p.clamp_min(-60_000).cpu().numpy().astype(np.float16))
            if sum(part.nbytes for part in self.parts) > KEPT:
                self.parts = None

    def gathered(self) -> NDArray[np.float16] | None:
        """Return those of all processes, in their order, or None where any of them kept none."""
        found = gather_object([self.parts])
        if any(parts is None for parts in found):
            return None
        return np.concatenate([part for parts in found for part in parts])
