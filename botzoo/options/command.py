"""What a training command is: its options, their defaults, what it can do instead of training, and its examples."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from botzoo.options.config import TrainConfig
from botzoo.options.facts import Option

ConfigT = TypeVar("ConfigT", bound=TrainConfig)


class Mode(NamedTuple):
    """Something that a command does instead of its work.

    Attributes:
        help: what; the first sentence stands alone in the short help.
        metavar: name of the value that its flag takes, empty where it takes none.
        common: whether the short help has it.
    """

    help: str
    metavar: str = ""
    common: bool = True


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
    """A command of many options.

    Attributes:
        prog: its name.
        about: what it does, in a sentence.
        config_class: of its options.
        defaults: values of some of them, such as a recipe's, those of a group as a dictionary; they are not checked here.
        modes: what it can do instead, by the flags that ask for it.
        examples: command lines with what they do, for the help.
        chosen: names of options that are chosen to suit the data where they are not given, for the help.
        own: further options that are no part of the configuration, for the help; see ``named_first``.
    """

    prog: str
    about: str
    config_class: type[ConfigT]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    modes: Mapping[str, Mode] = field(default_factory=lambda: RUN_MODES)
    examples: Mapping[str, str] = field(default_factory=dict)
    chosen: Collection[str] = ()
    own: Mapping[str, Option] = field(default_factory=dict)
