"""What the terminal shows: the lines of the run as it goes, and its summary at the end."""

import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from botzoo.results.card.usage import needs_botzoo
from botzoo.results.per_class import Figures, worst
from botzoo.results.record import RunRecord
from botzoo.results.words import words_of
from botzoo.util.outgoing import shown
from botzoo.util.text import duration, table, under

ROWS = 20  # at most so many classes are listed


def print_to_terminal() -> None:
    """Show the lines of the logger "botzoo" as they are; under a launcher, one process speaks for all."""
    if os.environ.get("RANK", "0") == "0":
        _show(_Terminal(sys.stdout))


def _show(handler: logging.Handler) -> None:
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("botzoo")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


@contextmanager
def shown_in_python() -> Iterator[None]:
    """Show the lines of a run in a notebook or a Python session, unless whoever calls has set up the logger "botzoo"."""
    logger = logging.getLogger("botzoo")
    if logger.handlers or os.environ.get("RANK", "0") != "0":
        yield
        return
    handler, level = logging.StreamHandler(sys.stdout), logger.level
    _show(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Terminal(logging.StreamHandler[TextIO]):
    """Falls silent when nobody reads on, as after ``| head``, where logging would print a traceback for every line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name that logging calls)
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            self.setStream(Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (it stays open to the end)
            os.dup2(self.stream.fileno(), sys.stdout.fileno())  # or Python would complain at its end
        else:
            super().handleError(record)


def summary(record: RunRecord) -> Iterator[str]:
    """Yield the lines for the end of a run: how good, how long, where the model is, how to use it."""
    words, folder = words_of(record), str(record.model_folder)
    imports, first = "import timm", ""
    if needs_botzoo(record.model_config):
        imports, first = "import botzoo, timm", "import botzoo; "
    yield ""
    yield from words.terminal(record)
    yield from class_table(words.figures(record), words.NOUN, words.NOUNS)
    if record.gain is not None:
        yield f"{'training':10} {record.gain}"
    yield f"{'time':10} {duration(record.facts['seconds'])}; weights of {record.kept}"
    yield f"{'answers':10} {record.folder / 'predictions.csv'}, and the wrong ones in errors.csv, the worst first"
    yield f"{'model':10} {folder} (README.md is its card)"
    if not record.facts["network"]["known"]:
        return  # neither timm nor transformers has its code
    if not record.task.whole_image:
        yield f"{'predict':10} botzoo predict FOLDER --model {shlex.quote(folder)} --output ANSWERS"
        yield f"{'':10} or in Python: botzoo.load({folder!r}).predict('photo.jpg')"
        return
    yield f"{'load':10} {imports}"
    yield f"{'':10} timm.create_model({f'local-dir:{folder}'!r}, pretrained=True)"
    yield f"{'predict':10} {first}from transformers import pipeline  # pip install transformers"
    yield f"{'':10} pipeline('image-classification', model={folder!r})('photo.jpg')"
    yield f"{'':10} or with timm alone: the lines in the card"


def class_table(figures: Sequence[Figures], noun: str = "class", nouns: str = "classes") -> Iterator[str]:
    """Yield the lines of the table of all classes, called ``nouns``, or of the worst ``ROWS`` of them."""
    title, first = nouns, figures[0]
    if len(figures) > ROWS:
        figures, title = worst(figures, ROWS), "worst"
    shares = [{"average_precision": "AP", "f1": "F1"}.get(share, share) for share in first.shares]
    rows = [[shown(f.name), *(f"{n:,}" for n in f.counts.values()), *map(f.cell, f.shares)] for f in figures]
    yield from under(title, table([[noun, *first.counts, *shares], *rows]))
