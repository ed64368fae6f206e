"""What a training command is: its options, their defaults, what it can do instead of training, its examples, and its help."""

import textwrap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Generic, Literal, NamedTuple, TypeVar, get_args, get_origin

from botzoo.options.config import TrainConfig
from botzoo.options.facts import Option, flag, options_of
from botzoo.options.values import parts_of
from botzoo.util.nested import flat

ConfigT = TypeVar("ConfigT", bound=TrainConfig)

# fmt: off
GROUPS = (
    "Recipe", "Ladder", "Data", "Model", "Length", "Optimizer", "Transfer", "Tricks", "Augmentation", "Evaluation", "Output",
    "Engine",
)
"""The headings in their order."""
# fmt: on

WIDTH, COLUMN = 100, 28
"""Of a line of help, and where the text begins that stands beside the flags."""


class Mode(NamedTuple):
    """Something that a command does instead of its work."""

    help: str  # what; the first sentence stands alone in the short help
    metavar: str = ""  # name of the value that its flag takes, empty where it takes none
    common: bool = True  # whether the short help has it


RUN_MODES = {
    "dry_run": Mode("Print the plan, draw the learning rate, and stop."),
    "find_lr": Mode("Try out learning rates over an epoch or less, suggest one, and stop."),
}
"""What every training command can do instead of training; see ``botzoo.api``."""

WORDS = {
    "config": Mode("YAML file of options; flags after it override it.", "FILE"),
    "resume": Mode("Go on with the run in this folder.", "PATH"),
    "print_config": Mode("Print all options as a file for --config, and stop."),
    "help": Mode("Show the options that people use most.", common=False),
    "help_all": Mode("Show all options."),
    "version": Mode("Print the version.", common=False),
    "debug": Mode("Show the traceback of an error.", common=False),
}
"""What every training command understands besides its options; they belong to the command line, not to a file."""


@dataclass(frozen=True)
class Command(Generic[ConfigT]):
    """A command of many options."""

    prog: str  # its name
    about: str  # what it does, in a sentence
    config_class: type[ConfigT]  # of its options
    # values of some of them, such as a recipe's, those of a group as a dictionary; they are not checked here
    defaults: Mapping[str, Any] = field(default_factory=dict)
    modes: Mapping[str, Mode] = field(default_factory=lambda: RUN_MODES)  # by the flags that ask for them
    examples: Mapping[str, str] = field(default_factory=dict)  # command lines with what they do, for the help
    # names of options that are chosen to suit the data where they are not given, for the help
    chosen: Collection[str] = ()
    own: Mapping[str, Option] = field(default_factory=dict)  # no part of the configuration; see ``named_first``


def help_text(command: Command[Any], *, whole: bool) -> str:
    """Return the help of a command: the options that people use, or all with ``whole``; lines of at most ``WIDTH``."""
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
        yield from _modes({name: mode for name, mode in command.modes.items() if whole or mode.common}, whole)
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
