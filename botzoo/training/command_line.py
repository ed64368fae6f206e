"""A command line made from a configuration class: typed flags, ``--config``, ``--print-config``, strict errors.

Nothing heavy is imported here, so that help and refusals come at once.
"""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

from botzoo.errors import BotzooError, ConfigError, did_you_mean
from botzoo.training.config import TrainConfig

ConfigT = TypeVar("ConfigT", bound=TrainConfig)


class Parser(ArgumentParser):
    """jsonargparse with dashes in its flags; underscores are understood too."""

    def format_help(self) -> str:
        """Return the help text, flags spelt with dashes."""
        text: str = super().format_help()
        return re.sub(r"--[a-z][\w.]*", lambda found: found[0].replace("_", "-"), text)


def make_parser(prog: str, description: str, config_class: type[ConfigT], recipe: Path) -> Parser:
    """Return a parser of all fields of ``config_class`` whose defaults are those of the file ``recipe``."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = Parser(
        prog=prog, description=description, default_config_files=[str(recipe)], exit_on_error=False, default_env=False
    )
    parser.add_argument("--config", action="config", help="YAML file of options; flags after it override it.")
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    parser.add_argument("--resume", type=str | None, default=None, help="Go on with the run in this folder.")
    parser.add_class_arguments(config_class)
    return parser


def parse(parser: Parser, config_class: type[ConfigT], argv: list[str]) -> tuple[ConfigT, Path | None]:
    """Return the configuration that ``argv`` asks for, and the run to resume if there is one.

    Raises:
        ConfigError: an option is unknown or of the wrong type or value, or stands beside --resume.
    """
    flags = _spelled_out(argv, config_class)
    try:
        namespace = parser.parse_args(flags)
    except ArgumentError as error:
        raise ConfigError(_one_line(parser, str(error))) from error
    if namespace.resume is not None:
        return _resumed(namespace.resume, flags, config_class)
    own = {field.name for field in fields(config_class)}
    return _made({key: value for key, value in namespace.as_dict().items() if key in own}, config_class), None


def _spelled_out(argv: list[str], config_class: type[TrainConfig]) -> list[str]:
    """Return ``argv`` with underscores in its flags, and ``true`` behind a switch that stands alone."""
    switches = {f"--{name}" for name, kind in get_type_hints(config_class).items() if kind is bool}
    words: list[str] = []
    for word, after in zip_longest(argv, argv[1:]):
        flag, equals, value = word.partition("=")
        if word.startswith("--"):
            word = flag.replace("-", "_").replace("__", "--", 1) + equals + value
        alone = word in switches and after not in ("true", "false")
        words += [word, "true"] if alone else [word]
    return words


def _made(values: dict[str, Any], config_class: type[ConfigT]) -> ConfigT:
    """Return the configuration with these ``values``, the ones of its groups as dictionaries."""
    groups = {f.name: f.default_factory for f in fields(config_class) if callable(f.default_factory)}
    return config_class(**{key: groups[key](**value) if key in groups else value for key, value in values.items()})


def _one_line(parser: Parser, message: str) -> str:
    known = [option for action in parser._actions for option in action.option_strings]
    text = " ".join(message.split())
    if found := re.search(r"[Uu]nrecognized arguments: (--[\w.]+)", text):
        flag = found[1]
        hint = did_you_mean(flag, known)
        return f"There is no option {flag.replace('_', '-')}.{hint.replace('_', '-')} See {parser.prog} --help."
    return f"{text.rstrip('.')}. See {parser.prog} --help."


def _resumed(folder: str, flags: list[str], config_class: type[ConfigT]) -> tuple[ConfigT, Path]:
    others = [flag for flag in flags if flag.startswith("--") and not re.match(r"--(resume|debug)\b", flag)]
    if others:
        raise ConfigError(f"--resume goes on with a run as it was configured: leave {others[0].replace('_', '-')} out.")
    path = Path(folder).expanduser()
    file = path / "config.yaml"
    if not file.is_file():
        raise ConfigError(f"--resume {folder}: there is no run in it (no config.yaml); give the folder of a run.")
    return load_config(file, config_class), path


def load_config(file: Path, config_class: type[ConfigT]) -> ConfigT:
    """Return the configuration in a run's config.yaml.

    Raises:
        ConfigError: the file is damaged or holds unknown keys.
    """
    try:
        values: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        return _made(values, config_class)
    except (yaml.YAMLError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as the options of a run ({str(error).splitlines()[0]}).") from error


def guarded(prog: str, main: Any, argv: list[str]) -> int:
    """Call ``main(argv)`` and turn errors into one line on standard error and an exit status: 2, or 130 after Ctrl-C."""
    from botzoo.errors import StoppedError

    try:
        main(argv)
        return 0
    except StoppedError as stopped:
        print(f"\n{prog}: {stopped}", file=sys.stderr)
        return 130
    except BotzooError as error:
        if "--debug" in argv:
            raise
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if "--debug" in argv:
            raise
        where = f" ({error.filename})" if error.filename else ""
        print(
            f"{prog}: {error.strerror or error}{where}: make room or mend the permissions; --debug shows where.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(f"\n{prog}: interrupted before the first step; nothing is lost.", file=sys.stderr)
        return 130
