"""A command line made from a configuration class: typed flags, ``--config``, ``--print-config``, strict errors.

A value means the same behind a flag and in a file: ``freeze: 2`` is the text 2, as ``--freeze 2`` is. Nothing heavy is
imported here, so that help and refusals come at once.
"""

from __future__ import annotations

import re
from argparse import SUPPRESS
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from itertools import zip_longest
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser, get_loader, set_loader, set_parsing_settings

from botzoo import __version__
from botzoo.errors import ConfigError, did_you_mean
from botzoo.options.config import TrainConfig
from botzoo.util.private import actions_of

ConfigT = TypeVar("ConfigT", bound=TrainConfig)


IN_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}


class Mode(NamedTuple):
    """Something that a command does instead of its work.

    Attributes:
        help: what.
        metavar: name of the value that its flag takes, None where it takes none.
    """

    help: str
    metavar: str | None = None


RUN_MODES = {
    "dry_run": Mode("Print the plan, draw the learning rate, and stop."),
    "find_lr": Mode("Try out learning rates over an epoch or less, suggest one, and stop."),
}
"""What every training command can do instead of training; see ``botzoo.api``."""


class Parser(ArgumentParser):
    """jsonargparse with dashes in its flags; underscores are understood too.

    Attributes:
        modes: what the command can do instead, by flag.
    """

    modes: Mapping[str, Mode] = {}

    def format_help(self, *args: Any, **kwargs: Any) -> str:
        """Return the help text, flags spelt with dashes."""
        text: str = super().format_help(*args, **kwargs)
        return re.sub(r"--[a-z][\w.]*", lambda found: found[0].replace("_", "-"), text)


def make_parser(
    prog: str,
    description: str,
    config_class: type[ConfigT],
    defaults: dict[str, Any],
    modes: Mapping[str, Mode] | None = None,
) -> Parser:
    """Return a parser of all fields of ``config_class`` with the ``defaults`` of a recipe, which are not checked here.

    Args:
        prog: name of the command.
        description: what it does.
        config_class: the dataclass of its options.
        defaults: values of some of its fields.
        modes: what it can do instead, by the flags that ask for it.
    """
    parser = _parser(prog, description)
    parser.add_argument("--config", action="config", help="YAML file of options; flags after it override it.")
    parser.add_argument("--debug", action="store_true", default=SUPPRESS, help="Show the traceback of an error.")
    parser.modes = modes or {}
    for name, mode in parser.modes.items():
        kind: dict[str, Any] = {"type": str, "metavar": mode.metavar} if mode.metavar else {"action": "store_true"}
        parser.add_argument(f"--{name}", default=SUPPRESS, help=mode.help, **kind)
    parser.add_argument("--resume", type=str, default=SUPPRESS, help="Go on with the run in this folder.")
    parser.add_class_arguments(config_class)
    groups = {name.split(".")[0] for name in _kinds(config_class) if "." in name}
    for action in actions_of(parser):
        if action.dest in groups:  # jsonargparse would read a file for each group
            action.help = SUPPRESS
    parser.set_defaults(defaults)
    return parser


def check_options(options: dict[str, Any], config_class: type[ConfigT], where: str) -> dict[str, Any]:
    """Return ``options``, the ones of a group as a dictionary, as the types of their fields.

    YAML reads 1e-3 as text, and a user may write "false" in quotes: both become what the field holds.

    Args:
        options: such as a recipe's.
        config_class: whose fields they should be.
        where: names the file in the message.

    Raises:
        ConfigError: a name does not exist or a value is of another type.
    """
    parser = _parser("botzoo")
    parser.add_class_arguments(config_class)
    text = yaml.safe_dump(options)
    try:
        return _parsed(lambda: parser.parse_string(text, defaults=False), _kinds(config_class), "")
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _parser(prog: str, description: str = "") -> Parser:
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    set_loader("as_flags", _load, (yaml.YAMLError,))
    return Parser(
        prog=prog,
        version=f"%(prog)s {__version__}",
        description=description,
        exit_on_error=False,
        default_env=False,
        allow_abbrev=False,
        parser_mode="as_flags",
    )


def _load(text: str) -> Any:
    """Read YAML; the values of a file stay text, which their fields then read as they read flags."""
    plain = yaml.load(text, Loader=yaml.BaseLoader)
    return plain if isinstance(plain, dict) else get_loader("yaml")(text)


def parse(
    parser: Parser, config_class: type[ConfigT], argv: list[str], *, settled: Mapping[str, str] | None = None
) -> tuple[ConfigT, Path | None]:
    """Return the configuration that ``argv`` asks for, and the run to resume if there is one.

    Args:
        parser: made by ``make_parser``.
        config_class: that it was made for.
        argv: the words of the command line.
        settled: further options, by name, with the values that the command line gives them; no file may say otherwise.

    Raises:
        ConfigError: an option is unknown or of the wrong type or value, or stands beside --resume, or a file says what only
            the command line may.
    """
    kinds = _kinds(config_class)
    flags = _spelled_out(argv, kinds)
    values = _parsed(lambda: parser.parse_args(_giving_way(flags)), kinds, f" See {parser.prog} --help.", parser.modes)
    if "resume" in values:
        return _resumed(values["resume"], flags, config_class)
    for name, value in (settled or {}).items():
        if values[name] != value:
            raise ConfigError(f"{name} cannot stand in a file: give --{name} {values[name]} on the command line.")
    mode = chosen_mode(argv, parser.modes)
    for name in parser.modes:
        if name in values and name != mode:
            raise ConfigError(f"{name} cannot stand in a file: give {_flag(name)} on the command line.")
    return made(values, config_class), None


def given(parser: Parser, config_class: type[ConfigT], argv: list[str]) -> dict[str, Any]:
    """Return the options that ``argv`` and its --config name, without defaults, the ones of a group as a dictionary.

    Raises:
        ConfigError: as ``parse``.
    """
    kinds = _kinds(config_class)
    flags = _spelled_out(argv, kinds)
    values = _parsed(lambda: parser.parse_args(flags, defaults=False), kinds, f" See {parser.prog} --help.")
    own = {f.name for f in fields(config_class)}
    return {name: value for name, value in values.items() if name in own}


def made(values: dict[str, Any], config_class: type[ConfigT]) -> ConfigT:
    """Return the configuration with these ``values``, the ones of its groups as dictionaries.

    Raises:
        ConfigError: a value is out of its range.
    """
    own = {f.name: f.default_factory for f in fields(config_class)}
    groups = {name: group for name, group in own.items() if callable(group)}
    parts = {key: groups[key](**value) if key in groups else value for key, value in values.items() if key in own}
    return config_class(**parts)


def named_first(argv: list[str], flag: str, default: str) -> str:
    """Return what follows the last ``flag``, which has to be known before the other options are read."""
    name = default
    for word, after in zip_longest(argv, argv[1:], fillvalue=""):
        if word == flag and after and not after.startswith("--"):
            name = after
        if word.startswith(f"{flag}="):
            name = word.partition("=")[2]
    return name


def chosen_mode(argv: list[str], modes: Iterable[str]) -> str | None:
    """Return which of ``modes`` ``argv`` asks for, None where it is none.

    Raises:
        ConfigError: it asks for two.
    """
    words = {word.partition("=")[0].replace("_", "-") for word in argv}
    chosen = [name for name in modes if _flag(name) in words]
    if len(chosen) > 1:
        first, second = map(_flag, chosen[:2])
        raise ConfigError(f"{first} and {second} each do something else than train: give one of the two.")
    return chosen[0] if chosen else None


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _kinds(config_class: Any) -> dict[str, Any]:
    """Return the type of every option by its name, dotted where it stands in a group."""
    kinds: dict[str, Any] = {}
    for name, kind in get_type_hints(config_class).items():
        kinds |= {f"{name}.{key}": k for key, k in _kinds(kind).items()} if is_dataclass(kind) else {name: kind}
    return kinds


def _spelled_out(argv: list[str], kinds: dict[str, Any]) -> list[str]:
    """Return ``argv`` with underscores in its flags, and ``true`` behind a switch that stands alone."""
    switches = {f"--{name}" for name, kind in kinds.items() if kind is bool}
    words: list[str] = []
    for word, after in zip_longest(argv, argv[1:], fillvalue="--"):
        flag, equals, value = word.partition("=")
        if word.startswith("--"):
            word = flag.replace("-", "_").replace("__", "--", 1) + equals + value
        words += [word, "true"] if word in switches and after.startswith("-") else [word]
    return words


def _giving_way(flags: list[str]) -> list[str]:
    """Return ``flags`` with the recipe's epochs taken back where --steps or --budget says how long to train instead."""
    names = {flag.partition("=")[0] for flag in flags}
    return ["--epochs=null", *flags] if names & {"--steps", "--budget"} and "--epochs" not in names else flags


def _parsed(read: Callable[[], Any], kinds: dict[str, Any], advice: str, modes: Iterable[str] = ()) -> dict[str, Any]:
    """Return the values that ``read`` finds; what jsonargparse has against them becomes one line in our words."""
    try:
        values: dict[str, Any] = read().as_dict()
    except (ArgumentError, UnicodeDecodeError) as error:
        raise ConfigError(_one_line(" ".join(str(error).split()), [*kinds, *modes], kinds) + advice) from error
    return values


def _one_line(text: str, names: list[str], kinds: dict[str, Any]) -> str:
    """Say what ``text``, a message of jsonargparse, says; one that is not known here is passed on."""
    if found := re.search(r"unrecognized arguments: (-[\w.-]+)", text, re.IGNORECASE):
        known = [f"--{name}" for name in (*names, "config", "debug", "resume", "help", "print_config")]
        return _dashed(f"There is no option {found[1]}.{did_you_mean(found[1], known)}")
    if found := re.search(r"unrecognized arguments: (.+)", text, re.IGNORECASE):
        return f"{found[1]!r} belongs to no flag: write --dataset, --model or another flag before each value."
    if found := re.search(r"(?:Group '(\w+)' does not accept o|O)ption '([^']*)'", text):
        name = f"{found[1]}.{found[2]}" if found[1] else found[2]
        return f"There is no option {name!r} for a file.{did_you_mean(name, kinds)}"
    if found := re.search(r"argument (--[\w.]+): expected one argument", text):
        return _dashed(f"{found[1]} needs a value after it: {_accepted(kinds.get(found[1][2:], str))}.")
    if (found := re.match(r'Parser key "([\w.]+)":(?:.*value: (.*))?', text)) and found[1] in kinds:
        kind, value = kinds[found[1]], found[2] or ""
        hint = did_you_mean(value, get_args(kind)) if get_origin(kind) is Literal else ""
        return _dashed(f"--{found[1]}") + f" is {value!r}: it must be {_accepted(kind)}.{hint}"
    if found and (inside := [name for name in kinds if name.startswith(found[1] + ".")]):
        return f"{found[1]} is a group of options: give {', '.join(inside)}."
    if re.search("Problems parsing config|can't decode|Unexpected config", text):
        return f"The file of --config must be YAML, `name: value` on each line ({text.rstrip('.')})."
    return re.sub(r'^Parser key "(\w+)": ', r"--\1: ", text).rstrip(".") + "."


def _accepted(kind: Any) -> str:
    if get_origin(kind) is tuple:
        each = [part for part in get_args(kind) if part is not ...]
        return f"{'a list of' if len(each) == 1 else len(each)} {IN_WORDS[each[0]].removeprefix('a ')}s in brackets"
    parts = get_args(kind) or (kind,)
    words = [str(part) if get_origin(kind) is Literal else IN_WORDS.get(part) or _accepted(part) for part in parts]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _dashed(text: str) -> str:
    return re.sub(r"--?[\w.]+|'--[\w.]+'", lambda found: found[0].replace("_", "-"), text)


def _resumed(folder: str, flags: list[str], config_class: type[ConfigT]) -> tuple[ConfigT, Path]:
    others = [flag for flag in flags if flag.startswith("--") and not re.match(r"--(resume|debug)\b", flag)]
    if others:
        raise ConfigError(f"--resume goes on with a run as it was configured: leave {_dashed(others[0])} out.")
    path = Path(folder).expanduser()
    file = path / "config.yaml"
    if not file.is_file():
        raise ConfigError(f"--resume {folder}: there is no run in it (no config.yaml); give the folder of a run.")
    return load_config(file, config_class), path


def load_config(file: Path, config_class: type[ConfigT]) -> ConfigT:
    """Return the configuration in a run's config.yaml.

    Raises:
        ConfigError: the file is damaged or holds unknown keys or values.
    """
    parser = _parser("botzoo")
    parser.add_class_arguments(config_class)
    try:
        text = file.read_text(encoding="utf-8")
        return made(_parsed(lambda: parser.parse_string(text), _kinds(config_class), ""), config_class)
    except (ConfigError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as the options of a run. {error}") from error
