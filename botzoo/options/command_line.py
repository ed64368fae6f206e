"""A command line made from a configuration class: typed flags, ``--config``, ``--print-config``, strict errors.

A value means the same behind a flag, in a file and in Python: ``freeze: 2`` is the text 2, as ``--freeze 2`` is. Nothing heavy
is imported here, so that help and refusals come at once.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, get_origin

import yaml

from botzoo import __version__
from botzoo.errors import ConfigError
from botzoo.options.command import WORDS, Command, ConfigT, help_text
from botzoo.options.facts import Option, fitted_to, flag, options_of
from botzoo.options.values import SWITCH, in_words, parts_of, read
from botzoo.util.environment import user_path
from botzoo.util.files import read_or_copy
from botzoo.util.nested import flat, nested
from botzoo.util.outgoing import HIDDEN, public, say, secret_left_out, without_secrets
from botzoo.util.text import brief
from botzoo.util.yaml_files import mapping_in, read_yaml

_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)


class Asked(NamedTuple, Generic[ConfigT]):
    """What a command line asks for."""

    config: ConfigT
    resume: Path | None = None  # folder of the run to go on with, whose ``config`` it is; None for a new one
    given: frozenset[str] = frozenset()  # names of the options that the user gave, dotted where they stand in a group
    mode: str | None = None  # what to do instead of the command's work, None for that
    value: str = ""  # what stands behind the flag of the mode
    own: Mapping[str, Any] = MappingProxyType({})  # values of the command's own options that are given, by name


def parse(command: Command[ConfigT], argv: list[str]) -> Asked[ConfigT]:
    """Return what ``argv`` asks for; print help, version or configuration and exit where it asks for those.

    Raises:
        ConfigError: an option is unknown or of the wrong type or value, or stands beside --resume, or a file says what only
            the command line may.
    """
    known = options_of(command.config_class)
    given: dict[str, Any] = {}
    words: dict[str, str] = {}
    own: dict[str, Any] = {}
    try:
        for name, text in _words(command, argv):
            if name == "config":
                given |= _from_file(user_path(text), command)
            elif name in known:
                given[name] = read(known[name], text)
            elif name in command.own:
                own[name] = _own_value(command.own[name], text)
            if name not in known:
                words[name] = text
                _print_and_exit(command, name)
    except ConfigError as error:
        raise ConfigError(f"{error} See {command.prog} --help.") from error
    modes = [name for name in command.modes if name in words]
    for option in (command.own[name] for name in own):
        if option.needs is not None and option.needs.name not in modes:
            this, other = flag(option.name), flag(option.needs.name)
            raise ConfigError(f"{this} counts with {other} only: give both, or neither.")
    if "resume" in words:  # it needs nothing else, and takes nothing else
        return Asked(*_resumed(words["resume"], [*given, *words], command.config_class, str(given.get("dataset", ""))))
    if len(modes) > 1:
        first, second = map(flag, modes[:2])
        raise ConfigError(f"{first} and {second} each do something else than train: give one of the two.")
    config = _configured(command.config_class, command.defaults, given)
    if "print_config" in words:
        say(*yaml.safe_dump(public(asdict(config)), sort_keys=False).splitlines())
        raise SystemExit(0)
    mode = modes[0] if modes else None
    return Asked(config, None, frozenset(given), mode, words.get(mode or "", ""), own)


def from_keywords(
    config_class: type[ConfigT], defaults: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[ConfigT, frozenset[str]]:
    """Return the configuration that keywords ask for, and the names of what they give.

    Args:
        config_class, defaults: as of ``Command``.
        options: what is given: ``{"lr": 0.1, "data": {"hflip": 0}}`` or ``{"lr": "1e-1", "data.hflip": 0}``.

    Raises:
        ConfigError: as of ``parse``.
    """
    given = _read(config_class, options)
    return _configured(config_class, defaults, given), frozenset(given)


def check_options(options: Mapping[str, Any], config_class: type[ConfigT], where: str) -> dict[str, Any]:
    """Return ``options``, the ones of a group as a dictionary, as the types of their fields.

    YAML reads 1e-3 as text, and a user may write "false" in quotes: both become what the field holds.

    Raises:
        ConfigError: a name does not exist or is of one machine or run, or a value is of another type; ``where`` says in
            which file.
    """
    known = options_of(config_class)
    try:
        read = _read(config_class, options)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if own := [name for name in read if known[name].machine]:  # whoever wrote it must not choose what is sent to whom
        raise ConfigError(
            f"{where} cannot hold {own[0]}, which is of one run: take it out and give {flag(own[0])} beside it."
        )
    return nested(read)


def load_config(file: Path, config_class: type[ConfigT], address: str = "") -> ConfigT:
    """Return the configuration in a run's config.yaml.

    The secret of a data set's ``address`` is not kept there: it is taken from the one given, which is not looked at otherwise.

    Raises:
        ConfigError: the file is damaged or holds what is unknown, or the address is needed and is not given.
    """
    try:
        config = read_or_copy(file, lambda text: parse_config(text, file, config_class), edited=True)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else brief(error, 300)
        cure = ": put it back, or remove its first line to have it as it is now."
        cure = "." if isinstance(error, ConfigError) else cure
        raise ConfigError(f"{file} cannot be read as the options of a run. {why}{cure}") from error
    if not secret_left_out(config.dataset):
        return config
    if without_secrets(address) != config.dataset:
        raise ConfigError(
            f"{file.parent} reads {config.dataset}, and what {HIDDEN} stands for is not kept: give the whole address again, "
            "with --dataset beside --resume (in Python as data)."
        )
    return replace(config, dataset=address)


def parse_config(text: str, file: Path, config_class: type[ConfigT]) -> ConfigT:
    """Return the configuration in the text of the config.yaml at ``file``.

    Raises:
        ConfigError: the text is none.
    """
    return made(nested(_read(config_class, mapping_in(text, file, as_text=True))), config_class)


def made(values: Mapping[str, Any], config_class: type[ConfigT]) -> ConfigT:
    """Return the configuration with these ``values``, the ones of its groups as dictionaries.

    Raises:
        ConfigError: a value is out of its range, or two do not go together.
    """
    own = {f.name: f.default_factory for f in fields(config_class)}
    groups = {name: group for name, group in own.items() if callable(group)}
    parts = {key: groups[key](**value) if key in groups else value for key, value in values.items() if key in own}
    return config_class(**parts)


def named_first(argv: list[str], name: str, default: str) -> str:
    """Return what follows the last ``--name``, which has to be known before the other options are read."""
    for word, after in zip_longest(argv, argv[1:], fillvalue=""):
        if word == f"--{name}" and after and not after.startswith("--"):
            default = after
        if word.startswith(f"--{name}="):
            default = word.partition("=")[2]
    return default


def _configured(config_class: type[ConfigT], defaults: Mapping[str, Any], given: Mapping[str, Any]) -> ConfigT:
    """Return the configuration of what is ``given``, and of the ``defaults`` that do not stand against it."""
    known = options_of(config_class)
    used = {name for name, value in given.items() if known[name].in_use(value)}
    kept = {
        name: value
        for name, value in flat(defaults).items()
        if used.isdisjoint(known[name].instead & {when.name for when in known[name].excludes})
    }
    config = made(nested(kept | dict(given)), config_class)
    return config if config.epochs is None else fitted_to(config, config.epochs, given)


def _words(command: Command[Any], argv: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what stands in ``argv``: names, those of switches as options have them, each with the text of its value."""
    known = options_of(command.config_class)
    bare = {name for name, mode in (WORDS | dict(command.modes)).items() if not mode.metavar}
    names = [*known, *WORDS, *command.modes, *command.own]
    words = iter(zip_longest(argv, argv[1:], fillvalue="--"))
    for word, after in words:
        start, equals, text = word.partition("=")
        name = "help" if word == "-h" else start[2:].replace("-", "_")
        switched_off = name.startswith("no_") and name not in known  # --no-bias-decay is an option of its own
        if switched_off and name[3:] in known and known[name[3:]].kind is bool and not equals:
            yield name[3:], "false"
            continue
        if not word.startswith("-"):
            raise ConfigError(f"{word!r} belongs to no flag: write --dataset or another flag before each value.")
        if name not in names:
            _refuse_group(name, known)
            raise ConfigError(f"There is no option {start}.", value=start, accepted=map(flag, names))
        if name in bare and not equals:
            yield name, ""
        elif equals:
            yield name, text
        elif name in known and known[name].kind is bool and after.lower() not in SWITCH and after.startswith("-"):
            yield name, "true"
        elif after.startswith("--"):
            kind = in_words(known[name]) if name in known else "text"
            raise ConfigError(f"{flag(name)} needs a value after it: {kind}.")
        else:
            yield name, _value(known.get(name), words)


def _value(own: Option | None, words: Iterator[tuple[str, str]]) -> str:
    """Return the value that comes next, taken away from ``words``; of an option that takes several numbers, all of them."""
    text, after = next(words)
    if own is None or not any(get_origin(part) is tuple for part in parts_of(own.kind)):
        return text
    numbers = [text]
    while _NUMBER.fullmatch(text) and _NUMBER.fullmatch(after):
        text, after = next(words)
        numbers.append(text)
    return f"[{','.join(numbers)}]" if len(numbers) > 1 else text


def _own_value(own: Option, text: str) -> Any:
    """Return the value of an option of the command's own."""
    value = read(own, text)
    if own.accepts is not None:
        own.accepts.check(own.name, value)
    return value


def _from_file(file: Path, command: Command[Any]) -> dict[str, Any]:
    """Return the options in the file of --config, by their names."""
    written = read_yaml(file, as_text=True)  # as options read flags
    for name in (*WORDS, *command.modes, *command.own):
        if name in written:
            shown = flag(name) if name in command.modes else f"{flag(name)} {written[name]}"
            raise ConfigError(f"{name} cannot stand in a file: give {shown} on the command line.")
    return _read(command.config_class, written)


def _read(config_class: type[ConfigT], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``options`` by dotted names and as the types of their fields."""
    known = options_of(config_class)
    found: dict[str, Any] = {}
    for name, written in flat(options).items():
        if name not in known:
            _refuse_group(name, known)
            if above := next((other for other in known if name.startswith(f"{other}.")), None):
                raise ConfigError(f"{flag(above)} is a group of values: it must be {in_words(known[above])}.")
            raise ConfigError(f"There is no option {name!r}.", value=name, accepted=known)
        found[name] = read(known[name], written)
    return found


def _refuse_group(name: str, known: Mapping[str, Option]) -> None:
    if inside := [other for other in known if other.startswith(f"{name}.")]:
        raise ConfigError(f"{name} is a group of options: give {', '.join(inside)}.")


def _print_and_exit(command: Command[Any], name: str) -> None:
    """Print what ``name`` asks for, where it asks for something to read, and exit."""
    if name in ("help", "help_all"):
        say(*help_text(command, whole=name == "help_all").splitlines())
    elif name == "version":
        say(f"{command.prog} {__version__}")
    else:
        return
    raise SystemExit(0)


def train_on(run: Path, *, python: bool = False) -> str:
    """Return how to train on from a run's result with other options, behind a semicolon; "" where it has no model yet."""
    if not (run / "model" / "model.safetensors").is_file():
        return ""
    address = f"local-dir:{run / 'model'}"
    way = f"model={address!r} in place of resume" if python else f"--model {shlex.quote(address)} in place of --resume"
    return f"; to train on from its result with other options, give {way}"


def _resumed(folder: str, names: list[str], config_class: type[ConfigT], address: str) -> tuple[ConfigT, Path]:
    path = user_path(folder)

    def refused(option: str) -> ConfigError:
        return ConfigError(f"--resume goes on with a run as it was configured: leave {option} out{train_on(path)}.")

    if others := [name for name in names if name not in ("resume", "debug", "dataset")]:
        raise refused(flag(others[0]))
    file = path / "config.yaml"
    if not file.is_file() and not any(path.glob("checkpoints/step-*/config.yaml")):
        cure = "give the folder of a run, or, where one was killed as it began, its command once more"
        raise ConfigError(f"--resume {folder}: there is no run in it (no config.yaml); {cure}.")
    config = load_config(file, config_class, address)
    if "dataset" in names and not secret_left_out(without_secrets(config.dataset)):
        raise refused("--dataset")
    return config, path
