"""What is written behind a flag, in a file or in Python, as the type of its option: 0.001 may be written "1e-3"."""

import os
import re
from datetime import date
from numbers import Integral, Real
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from botzoo.errors import ConfigError, did_you_mean
from botzoo.options.facts import Option, flag
from botzoo.util.yaml_files import parse_yaml

IN_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}
SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def read(own: Option, written: Any) -> Any:
    """Return what is ``written`` as the type of an option.

    Raises:
        ConfigError: it is nothing of that type, or an address with spaces in it.
    """
    parts = parts_of(own.kind)
    for part in sorted(parts, key=lambda part: part is not NoneType):  # null before text, which takes all
        try:
            value = _as(part, written)
            break
        except (ValueError, TypeError, KeyError):
            continue
    else:
        choices = [choice for part in parts if get_origin(part) is Literal for choice in get_args(part)]
        hint = did_you_mean(str(written), choices)
        raise ConfigError(f"{flag(own.name)} is {written!r}: it must be {in_words(own)}.{hint}")
    # where such an address ends, and with it a password, could not be told from the words around it
    if isinstance(value, str) and "://" in value and re.search(r"[\s\x00-\x1f\x7f]", value):
        raise ConfigError(
            f"{flag(own.name)} has a space or a control character in its address: write it as %20 and the like."
        )
    return value


def parts_of(kind: Any) -> tuple[Any, ...]:
    """Return the types that a union is of, or the type itself."""
    return (kind,) if get_origin(kind) in (Literal, tuple) else get_args(kind) or (kind,)


def in_words(own: Option) -> str:
    """Return what an option takes, by its type: a whole number, auto or null."""
    words = [word for part in parts_of(own.kind) for word in _words(part)]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _words(part: Any) -> list[str]:
    if get_origin(part) is Literal:
        return list(get_args(part))
    if get_origin(part) is tuple:
        each = [inner for inner in get_args(part) if inner is not ...]
        what = f"{IN_WORDS[each[0]].removeprefix('a ')}s"
        return [f"a list of {what} in brackets" if len(each) == 1 else f"{len(each)} {what} with a comma between them"]
    return [IN_WORDS[part]]


def _as(part: Any, written: Any) -> Any:
    """Return ``written`` as the type ``part``.

    Raises:
        KeyError: it is no switch.
        TypeError: it is of another type.
        ValueError: it is no such number, or a list of another length.
    """
    if part is NoneType and written in (None, "null"):
        return None
    if get_origin(part) is Literal and written in get_args(part):
        return written
    if part is bool:  # what is no switch raises KeyError
        return SWITCH[str(written).lower()]
    if isinstance(written, bool):  # else it would count as a number
        raise TypeError
    if part is int and isinstance(written, str | Integral):
        return int(written)
    if part is float and isinstance(written, str | Real):
        return float(written)
    if part is str and isinstance(written, str | os.PathLike | Real | date):  # a folder may be called 2024-01-01
        return os.fspath(written) if isinstance(written, os.PathLike) else str(written)
    if get_origin(part) is tuple:
        return _as_tuple(get_args(part), written)
    raise TypeError


def _as_tuple(parts: tuple[Any, ...], written: Any) -> tuple[Any, ...]:
    if isinstance(written, str) and (pair := re.fullmatch(r"(\d+)x(\d+)", written, re.ASCII)):  # 128x512 is a size
        written = list(pair.groups())
    if isinstance(written, str) and str in parts and not written.lstrip().startswith("["):
        written = [part.strip() for part in written.split(",")]  # names hold what means something else in YAML
    elif isinstance(written, str) and "," in written and not written.lstrip().startswith("["):
        written = f"[{written}]"
    several = parse_yaml(written, as_text=True) if isinstance(written, str) else written
    if not isinstance(several, list | tuple) or (... not in parts and len(several) != len(parts)):
        raise ValueError
    return tuple(_as(parts[0], one) for one in several)
