"""botzoo verify: does a published figure hold?"""

import sys

from botzoo.commands import CommandParser
from botzoo.util.outgoing import say

DESCRIPTION = (
    "Evaluate a published model anew and compare: weights, class names, images, the card's code and the figure, which is "
    "top-1 accuracy or, where images have several labels, mAP. The exit status is 0 where all agrees, 1 where something "
    "differs, 3 where the figure cannot be checked, 2 for wrong input."
)
WORDS = {"agrees": "agrees", "differs": "DIFFERS", "unknown": "cannot be checked"}


def run(argv: list[str]) -> None:
    """Verify a model."""
    parser = CommandParser("botzoo verify", DESCRIPTION)
    add = parser.add_argument
    add("name", metavar="NAME|REPO|FOLDER", help="Name.tag of ours, owner/name on the Hub, a model folder or a run.")
    add("--dataset", help="Where its images are; by default where its run or its card says.")
    add("--labels", metavar="FILE", help="The table of their labels; by default the recipe's, beside the images.")
    options = parser.parse(argv)

    from botzoo.hub.verify import exit_status, verify

    checks = []
    for check in verify(options.name, options.dataset, options.labels):
        checks.append(check)
        say(f"{check.name:10} {WORDS[check.outcome]}: {check.words}")  # at once: the next one may take minutes
    if status := exit_status(checks):
        sys.exit(status)
