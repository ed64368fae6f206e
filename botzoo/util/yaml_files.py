"""The one reader of YAML: plain values and nothing else, in bounded time and memory, whoever wrote the file.

Aliases are refused, since nine lines of them can stand for a billion values; so is a key that stands twice, of which YAML
keeps the last without a word.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import BaseConstructor
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.parser import Parser

from botzoo.errors import ConfigError, printable
from botzoo.util.text import brief

BYTES = 1 << 20
DEPTH = 20
"""Lists and groups within one another; the front matter of a card has ten."""
VALUES = 50_000
"""Twice the classes of ImageNet-21k."""
LETTERS = 100_000
DIGITS = 100
"""Of one value, and of one number: 1:1:1 is one to the base 60, which takes time as the square of its length."""


class _Bounded(Parser, Composer, BaseConstructor):
    depth = values = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.depth, self.values = self.depth + 1, self.values + 1
        if self.check_event(yaml.AliasEvent):
            raise ValueError("an alias, such as *name, is not read: write out what it stands for")
        if self.depth > DEPTH or self.values > VALUES:
            raise ValueError(f"at most {VALUES:,} values and {DEPTH} lists or groups within one another are read")
        node = super().compose_node(parent, index)
        if isinstance(node, ScalarNode):
            most = DIGITS if node.tag.endswith((":int", ":float")) else LETTERS
            if len(node.value) > most:
                raise ValueError(f"at most {most:,} letters of such a value are read")
        self.depth -= 1
        return node

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, ScalarNode))
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        for name in found:
            if not isinstance(name, str) or not name.isprintable():
                raise ValueError(f"{name!r} is no name")
            if keys[name] > 1:
                raise ValueError(f"{name} stands there twice")
        return found


class _Typed(_Bounded, yaml.SafeLoader):
    pass


class _Text(_Bounded, yaml.BaseLoader):
    pass


def parse_yaml(text: str, *, as_text: bool = False) -> Any:
    """Return what a YAML text holds, with ``as_text`` every value as it is written.

    Raises:
        ValueError: it is no YAML, holds an alias or a key twice, or is larger than the limits above; in one line.
    """
    if len(text) > BYTES:
        raise ValueError(f"at most {BYTES:,} bytes are read")
    try:
        return yaml.load(text, Loader=_Text if as_text else _Typed)
    except Exception as error:  # PyYAML raises KeyError, IndexError and others of a value that is not what its tag says
        raise ValueError(brief(error, 300)) from error


def read_yaml(file: Path, *, as_text: bool = False) -> dict[str, Any]:
    """Return what a file of ``name: value`` lines holds; see ``parse_yaml``.

    Raises:
        ConfigError: it cannot be read, or holds anything else.
    """
    shown = printable(str(file), 300)  # its name may come from another file
    try:
        with file.open("rb") as stream:
            start = stream.read(BYTES + 1)  # a file may have no end
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{shown} cannot be read ({reason}): give the path of a YAML file.") from error
    try:
        return mapping_in(start.decode(), file, as_text=as_text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown} must be YAML, `name: value` on each line ({brief(error, 300)}).") from error


def mapping_in(text: str, file: Path, *, as_text: bool = False) -> dict[str, Any]:
    """Return what the ``text`` of a file of ``name: value`` lines holds.

    Raises:
        ConfigError: as of ``read_yaml``.
    """
    try:
        found = parse_yaml(text, as_text=as_text)
        if not isinstance(found, dict):
            raise ValueError("there are none")
        return found
    except ValueError as error:
        shown = printable(str(file), 300)
        raise ConfigError(f"{shown} must be YAML, `name: value` on each line ({brief(error, 300)}).") from error
