"""botzoo cache: what is cached on this machine, and away with it."""

import sys

from botzoo.commands import CommandParser
from botzoo.errors import ConfigError
from botzoo.util.outgoing import say

DESCRIPTION = "Show the weights and decoded images kept on this machine, or remove some: botzoo cache clear."


def run(argv: list[str]) -> None:
    """Show or clear what is cached."""
    parser = CommandParser("botzoo cache", DESCRIPTION)
    add = parser.add_argument
    add("action", nargs="?", choices=("show", "clear"), default="show", help="What to do (default: show).")
    add("--images", action="store_true", help="clear: the decoded images, their features and probes.")
    add("--weights", metavar="NAME", help="clear: these weights; a name, a repository or a pattern like '*'.")
    add("--yes", action="store_true", help="clear: do not ask.")
    options = parser.parse(argv)

    from botzoo.inference.cached import cached_images, cached_weights, matching, remove, report

    if options.action == "show":
        if options.images or options.weights or options.yes:
            raise ConfigError("--images, --weights and --yes say what to clear: botzoo cache clear.")
        say(*report(cached_weights(), cached_images()))
        return
    if not options.images and options.weights is None:
        raise ConfigError("Say what to clear: --images, --weights NAME, or both; botzoo cache shows what there is.")
    weights = matching(cached_weights(), options.weights) if options.weights is not None else []
    images = cached_images() if options.images else []
    if not weights and not images:
        say("There is nothing to clear.")
        return
    say(*report(weights, images))
    if not options.yes:
        if not sys.stdin.isatty():
            raise ConfigError("Nobody is there to ask whether to remove this: give --yes.")
        if input("Remove all of this? [y/N] ").strip().lower() not in ("y", "yes"):
            say("Nothing was removed.")
            return
    remove([*weights, *images])
    say("Removed.")
