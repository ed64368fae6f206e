"""botzoo train: one recipe, one data set, one network."""

import time

from botzoo import recipes
from botzoo.options.command import Command
from botzoo.options.command_line import check_options, named_first, parse
from botzoo.options.config import TrainConfig
from botzoo.options.facts import Option
from botzoo.util.outgoing import as_typed


def command(name: str = recipes.DEFAULT) -> Command[TrainConfig]:
    """Return the command with the defaults of the recipe ``name``.

    Raises:
        ConfigError: it cannot be used.
    """
    recipe = recipes.load(name)
    help = "Name of a recipe, or a YAML file of your own. It sets the defaults of the other options."
    return Command(
        "botzoo train",
        "Train a network from scratch by one of the paper's recipes (`botzoo recipes` lists them).",
        TrainConfig,
        check_options(recipe.resolved(), TrainConfig, f"The recipe {recipe.name}"),
        examples={
            "botzoo train --epochs 2": "handwritten digits, in a minute",
            "botzoo train --dataset photos --model resnet50d_bot": "a folder with a folder for each class",
            "botzoo train --dataset cifar10 --recipe mixup": "a data set of the Hub, a recipe",
            "botzoo train --dataset photos --find-lr": "suggest a learning rate",
            "botzoo train --resume runs/photos-resnet50d_bot": "go on with a run that was ended",
        },
        own={"recipe": Option(name, help, "Recipe", common=True, metavar="NAME", name="recipe", kind=str)},
    )


def run(argv: list[str]) -> None:
    """Train a network from scratch by a recipe."""
    began = time.perf_counter()
    # the recipe's options are the defaults of the others, and so it is looked for before they are read
    asked = parse(command(named_first(argv, "recipe", recipes.DEFAULT)), argv)

    from botzoo.api import run_training
    from botzoo.results.summary import print_to_terminal
    from botzoo.training.distributed import leave_group

    print_to_terminal()
    line = as_typed(["botzoo", "train", *argv])
    run_training(asked.config, given=asked.given, command=line, resume=asked.resume, mode=asked.mode, began=began)
    leave_group()
