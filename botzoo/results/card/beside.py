"""The files beside the weights in a model folder: one function each, of what the run's folder says.

A new file is a new function here, marked with its name. It is written at the end of every run and by ``botzoo card``, and goes
up when the model is published. A function that has nothing to say of a run writes nothing.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from botzoo.errors import CheckpointError, ConfigError
from botzoo.models import unlike
from botzoo.options.facts import without_machine
from botzoo.results.dense.shared import DRAWN, PICTURE
from botzoo.results.per_class import FULL_TABLE
from botzoo.results.pictures import PICTURED, confusion_figure, curve_figure
from botzoo.results.record import RunRecord
from botzoo.results.words import words_of
from botzoo.training.recording.features import PLACE
from botzoo.util.files import write_text, written_whole
from botzoo.util.outgoing import csv_line
from botzoo.util.pictures import drawn
from botzoo.util.yaml_files import read_yaml

Write = Callable[[RunRecord, Path], object]

FILES: dict[str, Write] = {}
"""What writes each file, given the record of the run and the path, by the file's name; in the order of writing."""


def beside_the_model(name: str) -> Callable[[Write], Write]:
    """Mark a function that writes the file ``name`` into the model folder; it leaves that file whole or not there at all."""

    def mark(write: Write) -> Write:
        FILES[name] = write
        return write

    return mark


@beside_the_model("recipe.yaml")
def write_recipe(record: RunRecord, path: Path) -> None:
    """Write recipe.yaml: the options as they took effect, without what belongs to one machine."""
    public = dict(record.facts["public"])  # of paths their last part alone: where a folder lay stays private
    classes = public.pop("classes")
    options = without_machine(record.options) | public
    options["data"] = options["data"] | {"classes": classes}
    lines = [f"# {record.program} --config recipe.yaml"]
    if options["dataset"] != record.options["dataset"]:
        lines.append("# The data set was a folder of this name: give where it lies with --dataset.")
    write_text(path, "\n".join(lines) + "\n" + yaml.safe_dump(options, sort_keys=False))


def read_recipe(recipe: Path) -> dict[str, Any]:
    """Return what a recipe.yaml holds.

    Raises:
        CheckpointError: it is too large, damaged, or no list of options.
    """
    try:
        return read_yaml(recipe)
    except ConfigError as error:
        raise CheckpointError(f"{recipe} is not a recipe that can be read. {error}") from error


@beside_the_model("metrics.jsonl")
def history(record: RunRecord, path: Path) -> None:
    """Copy the history of the run."""
    with written_whole(path) as part:
        shutil.copyfile(record.folder / "metrics.jsonl", part)


@beside_the_model(unlike.FILE)
def features(record: RunRecord, path: Path) -> None:
    """Copy what tells images unlike the training images, where the run has kept it."""
    if (record.folder / PLACE).is_file():
        with written_whole(path) as part:
            shutil.copyfile(record.folder / PLACE, part)


@beside_the_model("per_class.csv")
def every_class(record: RunRecord, path: Path) -> None:
    """Write the figures of every class that has images, shares in per cent, where they are too many for the card."""
    if len(record.class_names) <= FULL_TABLE:
        return
    words = words_of(record)
    figures = words.figures(record)
    rows = [(f.name, *f.counts.values(), f.answers, *(round(s, 2) for s in f.shares.values())) for f in figures]
    lines = map(csv_line, [(words.NOUN, *figures[0].counts, "answers", *figures[0].shares), *rows])
    write_text(path, "".join(f"{line}\n" for line in lines))


@beside_the_model("learning_curve.png")
def learning_curve(record: RunRecord, path: Path) -> None:
    """Draw loss and headline figure over the epochs."""
    drawn(path, partial(curve_figure, record))


@beside_the_model("confusion.png")
def confusion(record: RunRecord, path: Path) -> None:
    """Draw the confusion matrix, where each image has one label and the classes are few enough to be seen."""
    if record.task.one_label and len(record.class_names) <= PICTURED:
        drawn(path, partial(confusion_figure, record))


@beside_the_model(PICTURE)
def answers(record: RunRecord, path: Path) -> None:
    """Copy the picture of some answers, where the run has kept one."""
    if (record.folder / DRAWN).is_file():
        with written_whole(path) as part:
            shutil.copyfile(record.folder / DRAWN, part)
