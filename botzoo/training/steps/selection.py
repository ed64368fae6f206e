"""Whether the metric of --select-by can choose the epoch: refused before the first step where it cannot."""

from typing import Any

import numpy as np

from botzoo.errors import ConfigError, DataError
from botzoo.options.facts import flag
from botzoo.sources.base import ImageData, Labels, Split
from botzoo.tasks.task import Task
from botzoo.training.steps.evaluation import KEPT

BYTES = 2
"""Of a log-probability that is kept."""


def check_selection(name: str | None, task: Task, images: int, labels: Labels | None, classes: int) -> None:
    """Refuse a metric that the task does not have, or that is not defined on the validation split.

    Args:
        name: of the metric, None for the headline figure.
        images: in the validation split.
        labels: of these, None where they come with the images only.

    Raises:
        ConfigError: the task has no such metric, or the probabilities of all classes are too many to be kept.
        DataError: all of the images are of one class.
    """
    if name is None:
        return
    known = {metric.name: metric for metric in task.metrics}
    if name not in known:
        others = f"give one of {', '.join(known)}, or leave" if known else "leave"
        raise ConfigError(
            f"{flag('select_by', name)} is no metric for {task.labels}: {others} it out for {task.headline.figure}.",
            value=name,
            accepted=tuple(known),
        )
    if task.optional and known[name].ranks and (size := images * classes * BYTES) > KEPT:
        raise ConfigError(
            f"{flag('select_by', name)} needs the probabilities of all classes, which take {size >> 20:,} MiB for "
            f"{images:,} validation images: {KEPT >> 20} MiB are the most. Give a metric that does without: "
            f"{', '.join(other for other, metric in known.items() if not metric.ranks)}."
        )
    if labels is None:
        return
    if task.one_label and len(np.unique(labels)) < 2 and (known[name].ranks or "kappa" in name):
        raise undefined(name, task)
    if not task.one_label and known[name].ranks and not ((labels.any(0)) & (labels == 0).any(0)).any():
        raise undefined(name, task)


def check_evaluated(data: ImageData[Any], task: Task) -> None:
    """Raise DataError where the headline figure is not defined on a split: no image has any of the labels."""
    for role, split in data.splits.items():
        if role != "train" and isinstance(split, Split) and split.labels.ndim == 2 and not split.labels.any():
            raise undefined(None, task, role)


def undefined(name: str | None, task: Task, role: str = "validation") -> DataError:
    """Return the error of a metric, or of the headline figure, that is not defined on a split."""
    if name is None:
        shows = (
            f"{task.headline.figure} is not defined on the {role} split, on whose images there is nothing to be found"
        )
        cure = {"test": "with --no-data.test-split"}.get(role, "so that some training images are set aside")
        return DataError(f"{shows}: give another split, or leave it out {cure}.")
    others = ", ".join(metric.name for metric in task.metrics if not metric.ranks and metric.name != name)
    return DataError(
        f"{flag('select_by', name)} is not defined on the validation split, which shows one class only: give another "
        f"split, or choose by one of {others}."
    )
