"""An evaluation of a split, the same on one process or many."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from botzoo.data.loader import Batch
from botzoo.tasks.classification import CLASSIFICATION
from botzoo.tasks.task import Answers, Task

KEPT = 1 << 28
"""Most bytes of optional answers that all processes keep together: log-probabilities of 130,000 images of 1,000 classes."""


def evaluate(
    accelerator: Accelerator,
    model: nn.Module,
    batches: Iterable[Batch],
    normalise: Callable[[Tensor], Tensor],
    total: int | None,
    task: Task = CLASSIFICATION,
    *,
    everything: bool = False,
) -> Any:
    """Evaluate ``model`` on this process's ``batches``: return the task's ``Evaluation`` of the whole split.

    Arguments as of ``gathered_answers``.
    """
    return task.evaluation(gathered_answers(accelerator, model, batches, normalise, total, task, everything=everything))


@torch.inference_mode()
def gathered_answers(
    accelerator: Accelerator,
    model: nn.Module,
    batches: Iterable[Batch],
    normalise: Callable[[Tensor], Tensor],
    total: int | None,
    task: Task = CLASSIFICATION,
    *,
    everything: bool = False,
) -> Answers:
    """Return what ``model`` says of this process's ``batches``, and of those of all others.

    Args:
        batches: this process's part of the split, in order, as ``eval_batches`` yields it.
        normalise: makes the network's input of uint8 images on the device.
        total: images in the whole split; the gathered count must be equal to it, unless it is None.
        everything: keep the task's optional answers too, unless they would take more than ``KEPT``.

    Returns the answers for the whole split in its own order, the same on every process.
    """
    model.eval()
    if accelerator.num_processes > 1:  # BatchNorm's statistics are those of rank 0, as in the saved weights
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)
    parts: list[Answers] = []
    room = KEPT // accelerator.num_processes  # in the end each has those of all
    for images, *known in batches:  # targets, and sizes where the task has any
        with accelerator.autocast():
            said = task.say(model, normalise(images.to(accelerator.device, non_blocking=True)))
        on_device = (tensor.to(accelerator.device) for tensor in known)
        parts.append(task.answers(said, *on_device, everything=everything))
        room -= sum(parts[-1][name].nbytes for name in task.optional if name in parts[-1])
        if everything and room < 0:
            everything = False
            parts = [{name: part[name] for name in part if name not in task.optional} for part in parts]
    every: list[Answers] = [part for process in gather_object([parts]) for part in process]
    kept = [name for name in every[0] if all(name in part for part in every)]  # some process may have had no room
    # Each process has evaluated a stretch of the split, in the order of the processes.
    answers = {name: np.concatenate([part[name] for part in every]) for name in kept}
    assert total in (None, len(answers[kept[0]])), "each image is evaluated exactly once"
    return answers
