"""recipe.yaml: the options of a run as they took effect, for whoever trains the like of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from botzoo.errors import CheckpointError
from botzoo.results.front_matter import data_title
from botzoo.training.run import Result, program

RECIPE_BYTES = 1 << 20

OF_ONE_MACHINE = ("output", "tracker", "checkpoint_every", "keep_checkpoints", "push_to", "private")

OF_ONE_MACHINE_BY_GROUP = {"data": ("cache_gib",), "engine": ("device", "workers", "log_every")}


def write_recipe(result: Result) -> Path:
    """Write recipe.yaml into the model folder and return its path."""
    options = recipe_options(result)
    lines = [f"# {program(result.facts['command'])} --config recipe.yaml"]
    if options["dataset"] != result.job.config.dataset:
        lines.append("# The data set was a folder of this name: give where it lies with --dataset.")
    path = result.model_folder / "recipe.yaml"
    path.write_text("\n".join(lines) + "\n" + yaml.safe_dump(options, sort_keys=False), encoding="utf-8")
    return path


def read_recipe(recipe: Path) -> dict[str, Any]:
    """Return what a recipe.yaml holds.

    Raises:
        CheckpointError: it is too large, damaged, or no list of options.
    """
    try:
        if recipe.stat().st_size > RECIPE_BYTES:
            raise ValueError(f"it has {recipe.stat().st_size:,} bytes")
        options = yaml.safe_load(recipe.read_text(encoding="utf-8"))
        if not isinstance(options, dict):
            raise ValueError("it holds no `name: value` lines")
        return options
    except (yaml.YAMLError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise CheckpointError(f"{recipe} is not a recipe that can be read ({reason}).") from error


def recipe_options(result: Result) -> dict[str, Any]:
    """Return the options of the run, those that were left to botzoo as it chose them, without what belongs to one machine.

    Of paths the last part is left: where a folder lay is nobody's business.
    """
    job = result.job
    options = without_machine(asdict(job.config))
    options |= {"batch_size": job.order.batch_size, "img_size": job.preprocessing.size}
    if job.config.steps is None:
        options["epochs"] = job.epochs
    options["data"] |= {
        "hflip": job.hflip,
        "crop_min": job.crop_min,
        "classes": _without_folder(job.config.data.classes),
    }
    if job.data.hub_id is None:
        options["dataset"] = data_title(job.data)
    return options | {name: _without_folder(options[name]) for name in ("model", "pretrained", "distillation")}


def without_machine(options: dict[str, Any]) -> dict[str, Any]:
    """Return options without those that say where and on what one machine trained, and not what."""
    rest = {key: value for key, value in options.items() if key not in OF_ONE_MACHINE}
    for group, names in OF_ONE_MACHINE_BY_GROUP.items():
        if isinstance(rest.get(group), dict):
            rest[group] = {key: value for key, value in rest[group].items() if key not in names}
    return rest


def _without_folder(value: str | None) -> str | None:
    """Return ``value`` with the last part of a path only, where it is one."""
    if value is None or value.startswith("hf-hub:"):
        return value
    kind, colon, path = value.rpartition("local-dir:")
    parts = Path(path).expanduser().resolve().parts
    return f"{kind}{colon}{'/'.join(parts[-2:])}" if colon or "/" in path or Path(path).exists() else value
