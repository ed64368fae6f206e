"""The commands of ``botzoo``, one file each with a function ``run``; nothing heavy is imported before it is called.

The small ones read their words by the parser here, the training commands by ``botzoo.options.command_line``.
"""

import argparse
import re
from pathlib import Path
from typing import Any, NoReturn

from botzoo.errors import ConfigError


def check_output(output: Path, *, overwrite: bool, flag: str = "--output") -> None:
    """Raise ConfigError where the file of ``flag`` cannot be written, or is there already and not to be replaced.

    What is no regular file is never replaced: neither a device, nor whatever a link leads to.
    """
    replaceable = overwrite and output.is_file() and not output.is_symlink()
    if (output.exists() or output.is_symlink()) and not replaceable:
        raise ConfigError(f"{output} is there already: give another name by {flag}, or --overwrite for a file.")
    if not output.parent.is_dir():
        raise ConfigError(f"{flag} {output}: there is no folder {output.parent}; make it first.")


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise ConfigError where --output is no folder to write into: it is a file, or has something in it already."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--output {folder} is a file: give the name of a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ConfigError(f"--output {folder} is not empty: give another folder, or --overwrite to write into it.")


class CommandParser(argparse.ArgumentParser):
    """argparse in the manners of the training commands: errors are ConfigError with close matches, _ is as good as -."""

    def __init__(self, prog: str, description: str, **kwargs: Any) -> None:
        self.known: list[str] = []  # before argparse adds --help
        super().__init__(prog=prog, description=description, allow_abbrev=False, **kwargs)
        self.add_argument("--debug", action="store_true", help="Show the traceback of an error.")

    def add_argument(self, *names: Any, **kwargs: Any) -> argparse.Action:
        """Add an argument and remember its names, for hints."""
        self.known += names
        return super().add_argument(*names, **kwargs)

    def parse(self, argv: list[str], *, intermixed: bool = False) -> argparse.Namespace:
        """Return the options in ``argv``, with ``intermixed`` also where values stand behind them.

        Raises:
            ConfigError: argparse refuses them.
        """
        words = [re.sub(r"^--[^=]+", lambda flag: flag[0].replace("_", "-"), word) for word in argv]
        return self.parse_intermixed_args(words) if intermixed else self.parse_args(words)

    def error(self, message: str) -> NoReturn:  # argparse says what is wrong in words alone, and so these are read
        """Raise ConfigError with argparse's ``message`` in our words."""
        accepted: list[str] = []
        if found := re.match(r"unrecognized arguments: (\S+)", message):
            option, accepted = found[1].startswith("-"), self.known
            message = f"There is no option {found[1]}." if option else f"{found[1]} is too much."
        elif found := re.match(r"argument (\S+): invalid (\w+) value: (.*)", message):
            kind = "a number" if found[2] == "float" else "a whole number"
            message = f"{found[1]} is {found[3]}: it must be {kind}."
        elif found := re.match(r"argument \S+: invalid choice: (\S+) \(choose from (.*)\)", message):
            flag, accepted = message.split()[1].rstrip(":"), found[2].replace("'", "").split(", ")
            message = f"{flag} is {found[1]}: it must be one of {', '.join(accepted)}."
        elif found := re.match(r"argument (\S+): expected one argument", message):
            message = f"{found[1]} needs a value after it."
        else:
            message = message[:1].upper() + message[1:].rstrip(".") + "."
        value = found[1].strip("'") if found else None
        raise ConfigError(message, value=value, accepted=accepted, cure=f"See {self.prog} --help.")
