"""Words for people: lists, durations, sizes, tables for the terminal, and errors on one line."""

import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from botzoo.errors import printable
from botzoo.util.outgoing import in_quotes, one_line

HEADING = 10
"""Width of the column of headings in what a run says."""


def brief(error: BaseException | str, longest: int = 200) -> str:
    """Return what an error says, on one line without a full stop, or its type where it says nothing."""
    return printable(str(error), longest).rstrip(".") or type(error).__name__


def listing(names: Sequence[str], limit: int = 5) -> str:
    """Return the names in quotes, the first ``limit`` of them."""
    shown = ", ".join(map(in_quotes, names[:limit]))
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def few(names: Sequence[str], limit: int = 5) -> str:
    """Return the first names as people write them, each shortened: daisy, roses and 3 more."""
    shown = ", ".join(printable(name, 40) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def one_fold(folder: Path) -> str:
    """Return a sentence that names the first run in a folder of folds; "" where it is none."""
    first = folder / "fold-1"
    return f" It holds a run for each fold: give one, such as {first}." if first.is_dir() else ""


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """Return a number with its noun: 1 image, 1,200 images, 2 classes where ``nouns`` says so."""
    return f"{number:,} {_form(number, noun, nouns)}"


def _form(number: float, noun: str, nouns: str | None = None) -> str:
    return noun if number == 1 else nouns or f"{noun}s"


def program(command: str) -> str:
    """Return the words of a command line before its options, such as ``botzoo train``."""
    return " ".join(takewhile(lambda word: not word.startswith("-"), shlex.split(command)))


def and_list(items: Sequence[object]) -> str:
    """Return items for people: 7, 9 and 8."""
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}" if first else last


def table(rows: Iterable[Sequence[str]], left: Collection[int] = (0,)) -> Iterator[str]:
    """Yield the lines of a table for the terminal, its columns two spaces apart.

    Args:
        rows: of cells, all of one length; the first may be a head.
        left: the columns that are aligned to the left; the others are aligned to the right.
    """
    cells = [[one_line(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        aligned = [
            cell.ljust(width) if k in left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(aligned).rstrip()


def under(heading: str, lines: Iterable[str], width: int = HEADING) -> Iterator[str]:
    """Yield ``lines`` behind a column of headings of this ``width``, ``heading`` before the first of them."""
    for k, line in enumerate(lines):
        yield f"{'' if k else heading:{width}} {line}".rstrip()


def rounded_bounds(interval: tuple[float, float]) -> list[float]:
    """Return the bounds of an interval in per cent with the three digits that are published."""
    return [round(bound, 3) for bound in interval]


def interval_words(interval: tuple[float, float]) -> str:
    """Return an interval in per cent for people: 60.06 to 62.76.

    It is rounded as it is published before, so that card and terminal show the digits that whoever reads the claim sees.
    """
    return "{:.2f} to {:.2f}".format(*rounded_bounds(interval))


def mib(size: int) -> str:
    """Return a number of bytes in MiB, for people."""
    return f"{size / (1 << 20):,.{0 if size >= 10 << 20 else 1}f}"


def epochs_words(epochs: float) -> str:
    """Return a number of epochs for people: 3 epochs, 2.41 epochs, 0.032 epochs."""
    return f"{epochs_number(epochs)} {_form(epochs, 'epoch')}"


def epochs_number(epochs: float) -> str:
    """Return the number alone."""
    return f"{epochs:,.2f}".rstrip("0").rstrip(".") if epochs >= 1 else f"{epochs:.2g}"


def duration(seconds: float) -> str:
    """Return a duration for people: 42 s, 7 min 05 s, 2 h 03 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def in_megabytes(size: float) -> str:
    """Return a number of bytes as megabytes or gigabytes, of a thousand each."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
