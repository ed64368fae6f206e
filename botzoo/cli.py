"""The command ``botzoo``: one function a command; what is heavy is imported inside them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable

from botzoo import __version__, recipes
from botzoo.errors import ConfigError, did_you_mean
from botzoo.recipes import Recipe
from botzoo.training.command_line import check_options, given, guarded, make_parser, parse, wants_dry_run
from botzoo.training.config import AblateConfig, TrainConfig

DEFAULT_RECIPE = "label-smoothing"
"""The paper's best that needs neither a teacher nor 200 epochs."""

TRAIN = "Train a network from scratch by one of the paper's recipes (`botzoo recipes` lists them)."

ABLATE = "Train every rung of a ladder with every seed; the options given hold for every run. Killed, it goes on where it was."


def main() -> None:
    """Entry point."""
    argv = sys.argv[1:]
    sys.exit(guarded(" ".join(["botzoo", *argv[:1]]) if argv[:1] and argv[0] in COMMANDS else "botzoo", _main, argv))


def _main(argv: list[str]) -> None:
    name = argv[0] if argv else "--help"
    if name in ("-h", "--help"):
        print(_help())
    elif name == "--version":
        print(f"botzoo {__version__}")
    elif name in COMMANDS:
        COMMANDS[name](argv[1:])
    else:
        raise ConfigError(
            f"There is no command {name!r}.{did_you_mean(name, COMMANDS)} There are {', '.join(COMMANDS)}."
        )


def _help() -> str:
    lines = [f"  {name:10} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: botzoo COMMAND ...   (botzoo COMMAND --help for its options)",
            "",
            *lines,
            "",
            "botzoo-finetune fine-tunes a pretrained network on your own images.",
        ]
    )


def _train(argv: list[str]) -> None:
    """Train a network from scratch by a recipe."""
    recipe = recipes.load(_recipe_name(argv))
    options = check_options(recipe.resolved(), TrainConfig, f"The recipe {recipe.name}")
    parser = make_parser("botzoo train", TRAIN, TrainConfig, options)
    parser.add_argument(
        "--recipe", type=str, default=DEFAULT_RECIPE, help="Name of a recipe, or a YAML file of your own."
    )
    config, resume = parse(parser, TrainConfig, argv)

    from botzoo.publishing.job import train_and_describe
    from botzoo.training.engine import leave_group

    _speak()
    command = shlex.join(["botzoo", "train", *argv])
    train_and_describe(config, command=command, resume=resume, dry_run=wants_dry_run(argv))
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


def _speak() -> None:
    """Show the lines of the run on the terminal; under a launcher, one process speaks for all."""
    from botzoo.publishing.summary import print_to_terminal

    if os.environ.get("RANK", "0") == "0":
        print_to_terminal()


def _recipes(argv: list[str]) -> None:
    """List the recipes as a ladder, or print one: botzoo recipes [NAME]."""
    if argv and argv[0] in ("-h", "--help"):
        print(
            "usage: botzoo recipes [NAME]\n\nWithout a name, all of them; with one, its options, for a file of your own."
        )
        return
    if len(argv) > 1:
        raise ConfigError(f"Give one recipe, not {len(argv)}: botzoo recipes {argv[0]}.")
    print(_one_recipe(recipes.load(argv[0])) if argv else _ladder())


def _one_recipe(recipe: Recipe) -> str:
    import yaml

    names = " < ".join(base.name for base in reversed(recipes.chain(recipe)))
    options = yaml.safe_dump({"options": recipe.resolved()}, sort_keys=False).rstrip()
    return f"# {recipe.name}: {recipe.about}\n# {names}\nabout: {recipe.about}\n{options}"


def _ladder() -> str:
    every = [recipes.load(name) for name in recipes.names()]
    width = max(len(recipe.name) for recipe in every)
    blocks = []
    for model, title in (("resnet50a_bot", "ResNet-50"), ("resnet50d_bot", "ResNet-50-D")):
        rows = [f"{title + ', ImageNet':{width + 4}}  paper   gain   ours  adds"]
        for recipe in every:
            if model in recipe.paper:
                depth = len([r for r in recipes.chain(recipe) if model in r.paper]) - 1
                name = f"{'+ ' if depth else ''}{recipe.name}"
                rows.append(f"{name:{width + 4}}  {_figures(recipe, model)}  {recipe.about}")
        blocks.append("\n".join(rows))
    notes = "paper: top-1 in per cent; gain: over the recipe it is based on; ours: `botzoo ablate`, see the README"
    return "\n\n".join([*blocks, notes])


def _figures(recipe: Recipe, model: str) -> str:
    top1 = recipe.paper[model][0]
    below = recipe.base.paper.get(model) if recipe.base else None
    gain = f"{top1 - below[0]:+.2f}" if below else ""
    ours = f"{recipe.measured['top1']:.2f}" if recipe.measured else "-"
    return f"{top1:5.2f}  {gain:>5}  {ours:>5}"


def _ablate(argv: list[str]) -> None:
    """Train every rung of a ladder with every seed and compare them."""
    parser = make_parser("botzoo ablate", ABLATE, AblateConfig, {})
    config, resume = parse(parser, AblateConfig, argv)
    if resume is not None:
        raise ConfigError("An ablation goes on by itself: give the same command again, without --resume.")
    if wants_dry_run(argv):
        raise ConfigError("--dry-run shows the plan of one run: give it to botzoo train.")
    options = given(parser, AblateConfig, argv)

    from botzoo.publishing.ablation_report import as_table, write_report
    from botzoo.training.ablation import ablate
    from botzoo.training.engine import leave_group

    _speak()
    ablation = ablate(config, options, shlex.join(["botzoo", "ablate", *argv]), write_report)
    leave_group()
    if os.environ.get("RANK", "0") == "0":
        print(
            f"\n{as_table(ablation)}\n\n{ablation.folder / 'ablation.md'}, ablation.png and ablation.json hold all of it."
        )


COMMANDS: dict[str, Callable[[list[str]], None]] = {"train": _train, "recipes": _recipes, "ablate": _ablate}
