"""What is wrong with boxes and masks, beside what can be wrong with any pictures."""

from collections.abc import Mapping
from typing import Any

from botzoo.sources.base import ImageData
from botzoo.tasks.task import Task
from botzoo_finetune.doctor.findings import Finding, Roll


def check_targets(task: Task, data: ImageData[Any], roll: Roll) -> list[Finding]:
    """Return what a task finds wrong with a whole data set, of which ``roll`` has the images."""
    place_of = places_by_name(roll)

    def place(role: str, i: int) -> int:
        name = data.splits[role].describe(i)
        return place_of.get((role, name), place_of["", name])

    return [
        Finding(each.kind, each.reason, tuple(place(each.split, i) for i in each.images), each.look)
        for each in task.check_targets(data)
    ]


def places_by_name(roll: Roll) -> Mapping[tuple[str, str], int]:
    """Return the place of each image by its split and name, and by its name alone: a run may have set it aside."""
    entries = [roll.entry(i) for i in range(len(roll) + len(roll.unreadable))]
    alone = {("", entry.name): i for i, entry in enumerate(entries)}
    return alone | {(entry.split, entry.name): i for i, entry in enumerate(entries)}
