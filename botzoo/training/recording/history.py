"""What a run writes down as it goes: metrics.jsonl; and the picture of the learning rate that it is to have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botzoo.errors import CheckpointError
from botzoo.training.steps.schedule import Schedule
from botzoo.util.files import no_link, write_text
from botzoo.util.pictures import label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Record = dict[str, Any]


class History:
    """The lines of metrics.jsonl, one JSON object each.

    Every record has ``step``, the optimizer steps taken when it was written, and ``split``: "train" (loss, lr,
    images_per_second), "validation" or "test" (loss; top1, top5 in per cent, or map, f1_micro, f1_macro), "start": the
    same of the validation split before the first step, or "soup": an average of the weights after ``epochs`` on the
    validation split, and whether the last of them was ``kept`` in it.

    The file at ``path`` is created at the first record; None keeps the records in memory only. It is read on all processes and
    written where ``enabled``, on the main one.
    """

    def __init__(self, path: Path | None, enabled: bool = True) -> None:
        self.path, self.enabled = path, enabled
        self.records: list[Record] = []

    def add(self, record: Record) -> None:
        """Append one record to the file, at once."""
        self.records.append(record)
        if self.enabled and self.path is not None:
            with no_link(self.path).open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def take_up(self, copy: Path) -> None:
        """Go on from the records in ``copy``, a checkpoint's, or from none where it has none."""
        text = copy.read_text(encoding="utf-8") if copy.exists() else ""
        try:
            self.records = [json.loads(line) for line in text.splitlines()]
        except ValueError as error:
            raise CheckpointError(f"{copy} is damaged ({error}): remove {copy.parent}, and --resume again.") from error
        if self.enabled and self.path is not None and (text or self.path.exists()):
            write_text(self.path, text)

    def of(self, split: str) -> list[Record]:
        """Return the records of one split."""
        return [record for record in self.records if record["split"] == split]


def lr_figure(schedule: Schedule, steps_per_epoch: int, title: str) -> Figure:
    """Return the learning rate of every step of a run over its epochs, warmup and falls included, as a picture."""
    stride = max(1, schedule.total_steps // 2000)  # as fine as the picture
    # Both sides of a jump, or the line would slope.
    edges = {edge + k for edge in (*schedule.falls, schedule.warmup_steps) for k in (-1, 0)}
    last = schedule.total_steps - 1
    steps = sorted({*range(0, last, stride), last, *(edge for edge in edges if 0 <= edge <= last)})
    figure = new_figure(9, 3.6)
    axes = figure.subplots()
    axes.plot([step / steps_per_epoch for step in steps], [schedule.lr(step) for step in steps], ".-", lw=1, ms=2)
    axes.set(xlabel="epoch", ylabel="learning rate", xlim=(0, None), ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.suptitle(label(title), fontsize=11)
    return figure
