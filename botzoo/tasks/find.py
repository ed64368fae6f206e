"""Which task it is: asked here, of the data set, a run's folder or a model's config.json, and nowhere else."""

from typing import Any

from numpy.typing import NDArray

from botzoo.errors import CheckpointError
from botzoo.sources.base import ImageData, Split
from botzoo.sources.targets.boxes import BoxSplit
from botzoo.sources.targets.masks import MaskSplit
from botzoo.tasks.classification import CLASSIFICATION
from botzoo.tasks.detection import DETECTION
from botzoo.tasks.multi_label import MULTI_LABEL
from botzoo.tasks.segmentation import SEGMENTATION
from botzoo.tasks.task import Task

TASKS: tuple[Task, ...] = (CLASSIFICATION, MULTI_LABEL, DETECTION, SEGMENTATION)
"""All of them; a new one gets its line here and its words in ``botzoo.results.words``."""


def task_by_type(problem_type: object) -> Task:
    """Return the task of that ``problem_type``, as config.json has it; without a known one, classification."""
    return next((task for task in TASKS if task.problem_type == problem_type), CLASSIFICATION)


def task_of(data: ImageData[Any]) -> Task:
    """Return the task that a data set poses: that of its boxes or masks, else by the shape of its labels, (N,) or (N, K).

    A stream has one label an image.
    """
    if isinstance(data.train, BoxSplit):
        return DETECTION
    if isinstance(data.train, MaskSplit):
        return SEGMENTATION
    return task_for(data.train.labels) if isinstance(data.train, Split) else CLASSIFICATION


def task_for(labels: NDArray[Any]) -> Task:
    """Return the task of labels of that shape, (N,) or (N, K)."""
    return MULTI_LABEL if labels.ndim == 2 else CLASSIFICATION


def task_named(name: str) -> Task:
    """Return the task of that name, as run.json has it.

    Raises:
        CheckpointError: there is none.
    """
    known = {task.name: task for task in TASKS}
    if name not in known:
        raise CheckpointError(f"There is no task {name!r}, only {', '.join(known)}. A newer botzoo may know it.")
    return known[name]
