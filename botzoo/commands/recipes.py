"""botzoo recipes: the paper's ladder of tricks, or one recipe in full."""

from botzoo import recipes
from botzoo.errors import ConfigError
from botzoo.util.outgoing import say
from botzoo.util.text import table

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
        about = "Without a name, all of them; with one, its options, for a file of your own."
        say("usage: botzoo recipes [NAME]", "", about)
        return
    if len(argv) > 1:
        raise ConfigError(f"Give one recipe, not {len(argv)}: botzoo recipes {argv[0]}.")
    if argv:
        import yaml

        recipe = recipes.load(argv[0])
        names = " < ".join(base.name for base in reversed(recipes.chain(recipe)))
        options = yaml.safe_dump({"options": recipe.resolved()}, sort_keys=False).rstrip()
        say(f"# {recipe.name}: {recipe.about}", f"# {names}", f"about: {recipe.about}", *options.splitlines())
        return
    # a block for each network of the paper and one for each setup that we measured in, rung below rung
    every = [recipes.load(name) for name in recipes.names()]
    abouts = {recipe.name: recipe.about for recipe in every}
    blocks = []
    for model, title in NETWORKS.items():
        figures = {recipe.name: float(recipe.paper[model][0]) for recipe in every if model in recipe.paper}
        blocks.append(_block((f"{title}, ImageNet", "paper", "gain", "adds"), figures, abouts))
    for setup in dict.fromkeys(recipe.measured["setup"] for recipe in every if recipe.measured):
        found = {recipe.name: recipe.measured for recipe in every if recipe.measured.get("setup") == setup}
        seeds = {name: ", ".join(f"{top1:.2f}" for top1 in measured["each"]) for name, measured in found.items()}
        figures = {name: measured["top1"] for name, measured in found.items()}
        blocks.append(_block(("ours", "mean", "gain", f"each seed: {setup}"), figures, seeds))
    blocks.append("paper: top-1 in per cent; gain: over the nearest recipe below it with a figure")
    say(*"\n\n".join(blocks).splitlines())


def _block(head: tuple[str, ...], figures: dict[str, float], notes: dict[str, str]) -> str:
    rows = [head]
    for name, top1 in figures.items():
        below = next((b.name for b in reversed(recipes.chain(recipes.load(name))[:-1]) if b.name in figures), None)
        gain = f"{top1 - figures[below]:+.2f}" if below else ""
        rows.append((f"{'+ ' if below else ''}{name}", f"{top1:.2f}", gain, notes[name]))
    return "\n".join(table(rows, left=(0, 3)))
