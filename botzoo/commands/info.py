"""botzoo info: one network in full."""

from botzoo.commands import CommandParser
from botzoo.util.outgoing import say

DESCRIPTION = "Show a network: where each of the paper's tweaks sits, its layers, cost, weights, recipe and card."


def run(argv: list[str]) -> None:
    """Show a network."""
    parser = CommandParser("botzoo info", DESCRIPTION)
    add = parser.add_argument
    add("name", metavar="NAME", help="Name or name.tag, hf-hub:owner/name, local-dir:PATH or the folder of a run.")
    add("--layers", action="store_true", help="Every layer instead of the blocks that they make up.")
    options = parser.parse(argv)

    from botzoo.inference.sheet import sheet

    say(*sheet(options.name, every_layer=options.layers))
