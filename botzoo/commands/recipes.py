"""botzoo recipes: the paper's ladder of tricks, or one recipe in full."""

from __future__ import annotations

from botzoo import recipes
from botzoo.errors import ConfigError
from botzoo.recipes import Recipe

NETWORKS = {
    "resnet50a_bot": "ResNet-50",
    "resnet50d_bot": "ResNet-50-D",
    "inception_v3_bot": "Inception-V3",
    "mobilenet_v1_bot": "MobileNet",
}
"""The networks that the paper gives figures of, recipe by recipe."""


def run(argv: list[str]) -> None:
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
    for model, title in NETWORKS.items():
        rows = [f"{title + ', ImageNet':{width + 4}}  paper   gain  adds"]
        rows += [
            f"{_indented(recipe, model):{width + 4}}  {_figures(recipe, model)}  {recipe.about}"
            for recipe in every
            if model in recipe.paper
        ]
        blocks.append("\n".join(rows))
    blocks += [_ours(setup, every, width) for setup in dict.fromkeys(r.measured["setup"] for r in every if r.measured)]
    notes = "paper: top-1 in per cent; gain: over the nearest recipe below it with a figure"
    return "\n\n".join([*blocks, notes])


def _ours(setup: str, every: list[Recipe], width: int) -> str:
    """Return the block of what we measured with one ``setup``."""
    found = {recipe.name: recipe for recipe in every if recipe.measured.get("setup") == setup}
    rows = [f"{'ours':{width + 4}}   mean   gain  each seed: {setup}"]
    for name, recipe in found.items():
        below = next((base for base in reversed(recipes.chain(recipe)[:-1]) if base.name in found), None)
        gain = f"{recipe.measured['top1'] - below.measured['top1']:+.2f}" if below else ""
        each = ", ".join(f"{value:.2f}" for value in recipe.measured["each"])
        rows.append(
            f"{'+ ' if below else ''}{name}".ljust(width + 4) + f"  {recipe.measured['top1']:5.2f}  {gain:>5}  {each}"
        )
    return "\n".join(rows)


def _indented(recipe: Recipe, model: str) -> str:
    return f"{'+ ' if _below(recipe, model) else ''}{recipe.name}"


def _figures(recipe: Recipe, model: str) -> str:
    top1, below = recipe.paper[model][0], _below(recipe, model)
    gain = f"{top1 - below.paper[model][0]:+.2f}" if below else ""
    return f"{top1:5.2f}  {gain:>5}"


def _below(recipe: Recipe, model: str) -> Recipe | None:
    """Return the nearest recipe that this one builds on and that the paper has a figure of, for ``model``."""
    return next((base for base in reversed(recipes.chain(recipe)[:-1]) if model in base.paper), None)
