"""recipe.yaml: the options of a run as they took effect, for whoever trains the like of it."""

import shlex
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from botzoo.errors import CheckpointError, ConfigError
from botzoo.options.facts import without_machine
from botzoo.results.record import RunRecord
from botzoo.util.files import write_text
from botzoo.util.yaml_files import read_yaml


def write_recipe(record: RunRecord, path: Path) -> None:
    """Write recipe.yaml: the options as they took effect, without what belongs to one machine.

    Of paths the last part is left: where a folder lay is nobody's business.
    """
    public = dict(record.facts["public"])
    classes = public.pop("classes")
    options = without_machine(record.options) | public
    options["data"] = options["data"] | {"classes": classes}
    lines = [f"# {program(record)} --config recipe.yaml"]
    if options["dataset"] != record.options["dataset"]:
        lines.append("# The data set was a folder of this name: give where it lies with --dataset.")
    write_text(path, "\n".join(lines) + "\n" + yaml.safe_dump(options, sort_keys=False))


def program(record: RunRecord) -> str:
    """Return the words of the run's command before its options, such as ``botzoo train``."""
    return " ".join(takewhile(lambda word: not word.startswith("-"), shlex.split(record.facts["command"])))


def read_recipe(recipe: Path) -> dict[str, Any]:
    """Return what a recipe.yaml holds.

    Raises:
        CheckpointError: it is too large, damaged, or no list of options.
    """
    try:
        return read_yaml(recipe)
    except ConfigError as error:
        raise CheckpointError(f"{recipe} is not a recipe that can be read. {error}") from error
