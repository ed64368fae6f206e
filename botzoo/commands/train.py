"""botzoo train: one recipe, one data set, one network."""

from __future__ import annotations

import shlex
import time

from botzoo import recipes
from botzoo.options.command_line import RUN_MODES, check_options, chosen_mode, make_parser, named_first, parse
from botzoo.options.config import TrainConfig

DEFAULT_RECIPE = "label-smoothing"
"""The paper's best that needs neither a teacher nor 200 epochs."""

DESCRIPTION = "Train a network from scratch by one of the paper's recipes (`botzoo recipes` lists them)."


def run(argv: list[str]) -> None:
    """Train a network from scratch by a recipe."""
    began = time.perf_counter()
    name = named_first(argv, "--recipe", DEFAULT_RECIPE)  # it sets the defaults of the other options
    recipe = recipes.load(name)
    options = check_options(recipe.resolved(), TrainConfig, f"The recipe {recipe.name}")
    parser = make_parser("botzoo train", DESCRIPTION, TrainConfig, options, RUN_MODES)
    parser.add_argument("--recipe", type=str, default=name, help="Name of a recipe, or a YAML file of your own.")
    config, resume = parse(parser, TrainConfig, argv, settled={"recipe": name})

    from botzoo.api import run_training
    from botzoo.results.summary import print_to_terminal
    from botzoo.training.distributed import leave_group

    print_to_terminal()
    command = shlex.join(["botzoo", "train", *argv])
    run_training(config, command=command, resume=resume, mode=chosen_mode(argv, RUN_MODES), began=began)
    leave_group()
