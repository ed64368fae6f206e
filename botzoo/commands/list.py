"""botzoo list: the networks, and what a choice among them depends on."""

from botzoo.commands import CommandParser
from botzoo.inference.catalogue import SORT_KEYS, as_table, chosen
from botzoo.util.outgoing import say

DESCRIPTION = "List the networks of the paper and their weights. Nothing is asked of the network."

NOTES = """
top-1 in per cent, one centre crop, as measured by the source that `botzoo info NAME` names; figures compare only where classes
and data are the same. MACs are multiply-accumulates of one image. The licence is that of the weights."""


def run(argv: list[str]) -> None:
    """List the networks."""
    parser = CommandParser("botzoo list", DESCRIPTION)
    parser.add_argument("pattern", nargs="?", default="*", help="Part of a name, or a pattern such as 'resnet50*'.")
    parser.add_argument("--sort", choices=SORT_KEYS, default="name", help="By what (default: %(default)s).")
    parser.add_argument("--cached", action="store_true", help="Only those that work without a network.")
    options = parser.parse(argv)
    say(*as_table(chosen(options.pattern, options.sort, cached=options.cached)).splitlines(), *NOTES.splitlines())
