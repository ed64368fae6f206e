"""The files beside the weights in a model folder: one function each, of what the run's folder says.

A new file is a new function here, marked with its name. It is written at the end of every run and by ``botzoo card``, and goes
up when the model is published. A function that has nothing to say of a run writes nothing.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from botzoo.results.card.recipe import write_recipe
from botzoo.results.per_class import FULL_TABLE, write_per_class
from botzoo.results.pictures import confusion_figure, curve_figure
from botzoo.results.record import RunRecord
from botzoo.results.words import words_of
from botzoo.util.pictures import drawn

Write = Callable[[RunRecord, Path], object]

FILES: dict[str, Write] = {}
"""What writes each file, given the record of the run and the path, by the file's name; in the order of writing."""


def beside_the_model(name: str) -> Callable[[Write], Write]:
    """Mark a function that writes the file ``name`` into the model folder; it leaves that file whole or not there at all."""

    def mark(write: Write) -> Write:
        FILES[name] = write
        return write

    return mark


beside_the_model("recipe.yaml")(write_recipe)


@beside_the_model("metrics.jsonl")
def history(record: RunRecord, path: Path) -> None:
    """Copy the history of the run."""
    shutil.copyfile(record.folder / "metrics.jsonl", path)


@beside_the_model("per_class.csv")
def every_class(record: RunRecord, path: Path) -> None:
    """Write the figures of every class, where they are too many for the card."""
    if len(record.class_names) > FULL_TABLE:
        words = words_of(record)
        write_per_class(path, words.NOUN, words.figures(record))


@beside_the_model("learning_curve.png")
def learning_curve(record: RunRecord, path: Path) -> None:
    """Draw loss and headline figure over the epochs."""
    drawn(path, partial(curve_figure, record))


@beside_the_model("confusion.png")
def confusion(record: RunRecord, path: Path) -> None:
    """Draw the confusion matrix, where each image has one label."""
    if record.task.one_label:
        drawn(path, partial(confusion_figure, record))
