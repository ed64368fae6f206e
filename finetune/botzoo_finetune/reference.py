"""docs/cli-reference.md, made from the facts of the options: ``python -m botzoo_finetune.reference`` writes it anew.

It stands here since this package alone knows all of the commands.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from botzoo.commands import ablate, train
from botzoo.options.command import WORDS, Command, Mode, default_words, flags, groups
from botzoo.options.config import TrainConfig
from botzoo.options.facts import SET, Option, When, flag, options_of
from botzoo.options.values import in_words
from botzoo.util.markdown import table
from botzoo.util.outgoing import say
from botzoo_finetune import cli
from botzoo_finetune.weights import command as transfer

FILE = Path("docs") / "cli-reference.md"
OPENING = """# Options of the training commands

Written by `python -m botzoo_finetune.reference`; do not edit it by hand.

Every option can be given in three ways that mean the same: as a flag (`--optim.weight-decay 0.05`), in a YAML file for
`--config` (`optim: {weight_decay: 0.05}`), and as a keyword in Python (`optim={"weight_decay": 0.05}`). A switch is
`--cosine` or `--no-cosine` as a flag, true or false in a file, True or False in Python. `null` in the place of a value
takes back one that a file or a recipe gives. Flags override the files before them, files override the recipe, and what is
left has the defaults below."""


def reference() -> str:
    """Return the reference of all options of the commands that train as Markdown."""
    return "\n\n".join(blocks([train.command(), ablate.COMMAND, cli.command(), transfer.command()])) + "\n"


def blocks(commands: Iterable[Command[Any]]) -> Iterator[str]:
    """Yield headings, paragraphs and tables, one after the other."""
    yield OPENING
    yield "## Flags that every command has"
    yield _modes(WORDS)
    yield "## Options that every command has"
    every = Command("", "", TrainConfig)
    for heading, options in groups(every).items():
        yield f"### {heading}"
        yield _table(options, every)
    shared = options_of(TrainConfig)
    for command in commands:
        yield f"## {command.prog}"
        yield command.about
        column = max(map(len, command.examples)) + 2
        yield "\n".join(["```sh", *(f"{line:{column}}# {what}" for line, what in command.examples.items()), "```"])
        if command.modes:
            yield "What it does instead of training:"
            yield _modes(command.modes)
        options = [own for inside in groups(command).values() for own in inside]
        if own := [own for own in options if own.name not in shared]:
            yield "Its own options:"
            yield _table(own, command)
        both = [own for own in options if own.name in shared]
        if other := [own for own in both if default_words(own, command) != default_words(shared[own.name], every)]:
            yield "Its defaults that are not those above:"
            yield table(("option", "default"), ((f"`{flag(own.name)}`", default_words(own, command)) for own in other))


def _table(options: Iterable[Option], command: Command[Any]) -> str:
    rows = ((_code(flags(own)), takes(own), default_words(own, command) or "-", does(own)) for own in options)
    return table(("option", "takes", "default", "what it does"), rows)


def takes(own: Option) -> str:
    """Return which values an option takes, for a cell of a table."""
    if own.kind is bool:
        return "on or off"
    text = own.accepts.words if own.accepts else in_words(own).removesuffix(" or null")
    return text.replace("|", "\\|").replace("*", "\\*")


def does(own: Option) -> str:
    """Return what an option does, needs and excludes."""
    needs = f" Only with {_condition(own.needs)}." if own.needs else ""
    presuming = [When(name) for name, other in options_of(TrainConfig).items() if own.rules_out in other.presumes]
    others = [*own.excludes, *presuming]
    excludes = f" Not with {', '.join(map(_condition, others))}." if others else ""
    return f"{own.help}{needs}{excludes}"


def _condition(when: When) -> str:
    return f"`{flag(when.name, True if when.value is SET else when.value)}`"


def _modes(modes: Mapping[str, Mode]) -> str:
    rows = ((_code(f"{flag(name)} {mode.metavar}".rstrip()), mode.help) for name, mode in modes.items())
    return table(("flag", "what it does"), rows)


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
    say(f"{FILE} is written anew.")
