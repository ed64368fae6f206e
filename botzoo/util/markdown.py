"""Markdown of the cards: names shown as they are, and tables."""

import re
from collections.abc import Iterable, Sequence


def escaped(text: str) -> str:
    """Return ``text`` as Markdown that shows it as it is, on one line."""
    line = " ".join(text.split())
    return re.sub(r"([\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", line) or "(no name)"


def quoted(name: str) -> str:
    """Return a name between quotation marks, as Markdown that shows it as it is."""
    return f'"{escaped(name)}"'


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: 1 image, 1,200 images."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of ``head`` and ``rows``, each as many cells of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
