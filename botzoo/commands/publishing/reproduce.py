"""botzoo reproduce: a published model's training once more."""

import sys

from botzoo.commands import CommandParser
from botzoo.options.facts import check
from botzoo.util.outgoing import say
from botzoo.util.text import interval_words

DESCRIPTION = "Print the command that trains a published model again from its own recipe; with --run, run it."


def run(argv: list[str]) -> None:
    """Reproduce a model."""
    parser = CommandParser("botzoo reproduce", DESCRIPTION)
    add = parser.add_argument
    add("name", metavar="NAME|REPO|FOLDER", help="Name of ours, owner/name on the Hub, a model folder or a run.")
    add("--dataset", help="Where its images are; by default what the recipe names.")
    add("--run", action="store_true", help="Train now.")
    add("--output", help="Folder of the new run; by default a new one in runs.")
    options = parser.parse(argv)
    check(options.output != "", "output", options.output, "a folder")

    from botzoo.hub.reproduce import reproduction, rerun

    found = reproduction(options.name, options.dataset, options.output)
    if found.claim is not None:
        c = found.claim
        interval = f"95 % interval {interval_words((c.low, c.high))}"
        say(f"published  {c.figure} {c.value:.2f} % of {c.images:,} {c.role} images ({interval})")
    say(f"command    {found.command}")
    if options.run and (status := rerun(found)):
        sys.exit(status)
