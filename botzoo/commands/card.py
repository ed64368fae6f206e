"""botzoo card: the card of a finished run once more, from its folder."""

from pathlib import Path

from botzoo.commands import CommandParser
from botzoo.util.environment import user_path
from botzoo.util.outgoing import say

DESCRIPTION = (
    "Write the card of a finished run anew, with the recipe and the pictures beside it and the tables of answers, from what "
    "the run left in its folder. Nothing is trained or evaluated."
)


def run(argv: list[str]) -> None:
    """Write a card."""
    parser = CommandParser("botzoo card", DESCRIPTION)
    parser.add_argument("run", metavar="RUN", type=Path, help="Folder of a finished run.")
    options = parser.parse(argv)

    from botzoo.results.report import describe

    say(describe(user_path(options.run)).model_folder / "README.md")
