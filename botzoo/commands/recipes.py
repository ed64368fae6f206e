"""botzoo recipes: the paper's ladder of tricks, or one recipe in full."""

from __future__ import annotations

from botzoo import recipes
from botzoo.errors import ConfigError
from botzoo.recipes import Recipe


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
