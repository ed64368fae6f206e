"""The help of the training commands, made from the facts of their options."""

import textwrap
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from botzoo.options.command import WORDS, Command, Mode
from botzoo.options.facts import Option, flag, options_of
from botzoo.options.values import parts_of
from botzoo.util.nested import flat

GROUPS = (
    "Recipe",
    "Ladder",
    "Data",
    "Model",
    "Length",
    "Optimizer",
    "Transfer",
    "Tricks",
    "Augmentation",
    "Evaluation",
    "Output",
    "Engine",
)
"""The headings in their order."""

WIDTH = 100
COLUMN = 28
"""Where the text begins that stands beside the flags."""


def help_text(command: Command[Any], *, whole: bool) -> str:
    """Return the help of a command: the options that people use, or all with ``whole``; lines of at most 100 columns."""
    return "\n".join(_help(command, whole))


def _help(command: Command[Any], whole: bool) -> Iterator[str]:
    yield f"usage: {command.prog} [OPTION ...]"
    yield from textwrap.wrap(command.about, WIDTH)
    yield ""
    column = max(map(len, command.examples), default=0) + 3
    for line, what in command.examples.items():
        yield f"  {line:{column}}{what}"
    for heading, options in groups(command).items():
        if shown := [own for own in options if whole or own.common]:
            yield f"\n{heading}:"
        for own in shown:
            yield from _entry(flags(own), own.help, default_words(own, command), whole)
    if command.modes:
        yield "\nInstead of training:"
        yield from _modes(command.modes, whole)
    yield "\nThe command:"
    yield from _modes({name: mode for name, mode in WORDS.items() if whole or mode.common}, whole)


def groups(command: Command[Any]) -> dict[str, list[Option]]:
    """Return the options of a command under their headings, with its own first, in the order of the headings."""
    options = [*command.own.values(), *options_of(command.config_class).values()]
    found = {heading: [own for own in options if own.group == heading] for heading in GROUPS}
    return {heading: inside for heading, inside in found.items() if inside}


def _metavar(own: Option) -> str:
    """Return what stands for the value of an option."""
    if own.metavar:
        return own.metavar
    shown = {int: "N", float: "X", str: "TEXT"}
    words: list[str] = []
    for part in parts_of(own.kind):
        if get_origin(part) is Literal:
            words += get_args(part)
        elif get_origin(part) is tuple:
            letter = shown[get_args(part)[0]]
            words.append(f"[{letter},...]" if ... in get_args(part) else f"[{letter},{letter}]")
        elif part is not NoneType:
            words.append(shown[part])
    return "|".join(words)


def default_words(own: Option, command: Command[Any]) -> str:
    """Return the default of an option in words, empty where there is nothing to say."""
    value = flat(command.defaults).get(own.name, own.default)
    if own.name in command.chosen:
        return "chosen for the data"
    if isinstance(value, bool):
        return "on" if value else "off"
    return own.unset if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def flags(own: Option) -> str:
    """Return how an option is typed: --epochs N, --cosine/--no-cosine."""
    if own.kind is bool:
        return f"{flag(own.name)}/{flag(own.name, False)}"
    return f"{flag(own.name)} {_metavar(own)}"


def _modes(modes: Mapping[str, Mode], whole: bool) -> Iterator[str]:
    for name, mode in modes.items():
        yield from _entry(f"{flag(name)} {mode.metavar}".rstrip(), mode.help, "", whole)


def _entry(typed: str, help: str, default: str, whole: bool) -> Iterator[str]:
    """Yield the lines of one option: as it is ``typed``, and what it does, ``whole`` or as one sentence on one line."""
    text = help.rstrip(".") if whole else help.partition(". ")[0].rstrip(".")
    said = f"{text} (default: {default})" if default else text
    lines = textwrap.wrap(
        said if whole or len(said) <= WIDTH - COLUMN else text, WIDTH - COLUMN, break_on_hyphens=False
    )
    first = f"  {typed}"
    if len(first) < COLUMN:
        yield f"{first:{COLUMN}}{lines.pop(0)}"
    else:
        yield first
    yield from (" " * COLUMN + line for line in lines)
