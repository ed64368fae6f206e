"""Markdown of the cards: names and code shown as they are, and tables."""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from botzoo.util.outgoing import one_line, shown, squeezed


def escaped(text: str) -> str:
    """Return ``text`` as Markdown that shows it as it is, on one line."""
    return re.sub(r"([\\`*\[\]<>|~$]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", shown(text))


def quoted(name: str) -> str:
    """Return a name between quotation marks, as Markdown that shows it as it is."""
    return f'"{escaped(name)}"'


def link(text: str, address: str) -> str:
    """Return ``text`` as a link to ``address``, in which what may not stand in one is %20 and the like."""
    return f"[{escaped(text)}]({quote(address, safe='/:', errors='replace')})"


def code(text: object) -> str:
    """Return ``text`` as code in a line, whatever backticks it has."""
    line = one_line(squeezed(text))
    ticks, pad = "`" * (_ticks(line) + 1), " " if line[:1] == "`" or line[-1:] == "`" else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def code_block(line: str, language: str) -> str:
    """Return a line of code as a block of its own, whatever backticks it has."""
    fence = "`" * max(3, _ticks(line) + 1)
    return f"{fence}{language}\n{one_line(line)}\n{fence}"


def _ticks(line: str) -> int:
    """Return how many backticks there are at most in a row."""
    return max(map(len, re.findall("`+", line)), default=0)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of ``head`` and ``rows``, each as many cells of Markdown, which a bar in them does not end."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([re.sub(r"(?<!\\)\|", r"\|", cell) for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
