"""What the terminal shows."""

import logging
import sys


def print_to_terminal() -> None:
    """Show the lines of the logger "botzoo" as they are."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("botzoo")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
