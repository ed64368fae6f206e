"""botzoo train: one recipe, one data set, one network."""

from __future__ import annotations

import shlex
import time

from botzoo import recipes
from botzoo.training.command_line import check_options, make_parser, parse, wants_dry_run, wants_find_lr
from botzoo.training.config import TrainConfig

DEFAULT_RECIPE = "label-smoothing"
"""The paper's best that needs neither a teacher nor 200 epochs."""

DESCRIPTION = "Train a network from scratch by one of the paper's recipes (`botzoo recipes` lists them)."


def run(argv: list[str]) -> None:
    """Train a network from scratch by a recipe."""
    began = time.perf_counter()
    name = _recipe_name(argv)
    recipe = recipes.load(name)
    options = check_options(recipe.resolved(), TrainConfig, f"The recipe {recipe.name}")
    parser = make_parser("botzoo train", DESCRIPTION, TrainConfig, options)
    parser.add_argument("--recipe", type=str, default=name, help="Name of a recipe, or a YAML file of your own.")
    config, resume = parse(parser, TrainConfig, argv, settled={"recipe": name})

    from botzoo.publishing.job import train_and_describe
    from botzoo.publishing.summary import print_to_terminal
    from botzoo.training.engine import leave_group

    print_to_terminal()
    command = shlex.join(["botzoo", "train", *argv])
    dry, finds = wants_dry_run(argv), wants_find_lr(argv)
    train_and_describe(config, command=command, resume=resume, dry_run=dry, find_lr=finds, began=began)
    leave_group()


def _recipe_name(argv: list[str]) -> str:
    """Return what follows the last --recipe: it has to be known before the other options, whose defaults it sets."""
    name = DEFAULT_RECIPE
    for word, after in zip(argv, [*argv[1:], ""], strict=True):
        if word == "--recipe" and after and not after.startswith("--"):
            name = after
        if word.startswith("--recipe="):
            name = word.partition("=")[2]
    return name
