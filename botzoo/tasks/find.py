"""Which task a data set sets."""

from __future__ import annotations

from typing import Any

from botzoo.data.sources.base import ImageData
from botzoo.tasks.classification import SINGLE_LABEL
from botzoo.tasks.multi_label import MULTI_LABEL
from botzoo.tasks.task import Task


def task_of(data: ImageData[Any]) -> Task:
    """Return the task of a data set: classification, or several labels for an image."""
    return MULTI_LABEL if data.multi_label else SINGLE_LABEL
