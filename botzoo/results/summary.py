"""What the terminal shows: the lines of the run as it goes, and its summary at the end."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from botzoo.results.calibration import Calibration
    from botzoo.results.per_class import ClassFigures
    from botzoo.training.run import Result


ROWS = 20
"""At most so many classes are listed."""


def print_to_terminal() -> None:
    """Show the lines of the logger "botzoo" as they are; under a launcher, one process speaks for all."""
    if os.environ.get("RANK", "0") != "0":
        return
    handler = _Terminal(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("botzoo")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


class _Terminal(logging.StreamHandler[TextIO]):
    """Falls silent when nobody reads on, as after ``| head``, where logging would print a traceback for every line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name that logging calls)
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            self.setStream(Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (it stays open to the end)
            os.dup2(self.stream.fileno(), sys.stdout.fileno())  # or Python would complain at its end
        else:
            super().handleError(record)


def summary(result: Result, found: Calibration | None = None) -> list[str]:
    """Return the lines for the end of a run: how good, how long, where the model is, how to use it.

    Args:
        result: of the run.
        found: its calibration, where that is known already.
    """
    from botzoo.results.card import calibration
    from botzoo.results.per_class import class_figures

    if result.job.data.multi_label:
        return ["", *_several(result), *_where(result)]
    figures = class_figures(result.evaluation, result.job.data.class_names)
    return ["", *_accuracy(result), *_sureness(found or calibration(result)), *class_table(figures), *_where(result)]


def _accuracy(result: Result) -> Iterator[str]:
    from botzoo.results.card import accuracies
    from botzoo.results.sections import chosen_remark

    for name, correct, n, low, high in accuracies(result):
        head = "result" if name == "top-1" else ""
        share, interval = f"{100 * correct / n:.2f} %", f"95 % interval {low:.2f} to {high:.2f}"
        yield f"{head:10} {name} {share} on {n:,} {result.split} images ({interval})"
    if result.evaluation.skewed:
        balanced = f"{result.evaluation.balanced_accuracy:.2f} %"
        yield f"{'':10} balanced accuracy {balanced}, the mean recall of the classes"
    yield f"{'':10} {chosen_remark(result)}"


def _several(result: Result) -> Iterator[str]:
    """Yield the figures of images that may have any number of labels, and the table of the labels."""
    from botzoo.results.per_class import label_figures
    from botzoo.results.sections import chosen_remark

    judged = result.evaluation
    low, high = judged.interval()
    interval = f"95 % interval {low:.2f} to {high:.2f}"
    yield f"{'result':10} mAP {judged.score:.2f} % on {len(judged):,} {result.split} images ({interval})"
    yield f"{'':10} F1 of labels over 50 %: micro {judged.f1('micro'):.2f} %, macro {judged.f1('macro'):.2f} %"
    yield f"{'':10} {chosen_remark(result)}"
    yield from class_table(label_figures(judged, result.job.data.class_names), "label", "labels")


def _sureness(found: Calibration) -> Iterator[str]:
    line = f"{'ECE':10} {100 * found.before:.2f} %, the expected calibration error"
    if found.after is None:
        yield f"{line}; no temperature was fitted"
    else:
        outcome = "kept in config.json" if found.kept is not None else "not kept"
        yield f"{line}; {100 * found.after:.2f} % at temperature {found.temperature:.3g}, {outcome}"


def class_table(figures: Sequence[ClassFigures], noun: str = "class", nouns: str = "classes") -> Iterator[str]:
    """Yield the lines of the table of all classes, called ``nouns``, or of the worst ``ROWS`` of them."""
    title = nouns
    if len(figures) > ROWS:
        figures = sorted(figures, key=lambda f: f.main)[:ROWS]
        title = "worst"
    names = [_fitted(f.name) for f in figures]
    width = max(map(len, [*names, noun]))
    yield f"{title:10} {noun:{width}}  images{''.join(map(_head, figures[0].shares))}"
    for name, f in zip(names, figures, strict=True):
        yield f"{'':10} {name:{width}}  {f.images:6}{''.join(_cell(f, share) for share in f.shares)}"


def _head(share: str) -> str:
    short = {"average_precision": "AP", "f1": "F1"}.get(share, share)
    return f"  {short:>{_width(share)}}"


def _cell(figures: ClassFigures, share: str) -> str:
    none = share == "precision" and not figures.answers
    return f"  {'no answer' if none else f'{figures.shares[share]:.1f} %':>{_width(share)}}"


def _width(share: str) -> int:
    return 9 if share == "precision" else 7


def _where(result: Result) -> Iterator[str]:
    from botzoo.results.usage import needs_botzoo
    from botzoo.util.text import and_list as joined
    from botzoo.util.text import duration

    folder = str(result.model_folder)
    imports = "import botzoo, timm" if needs_botzoo(result.model_folder) else "import timm"
    first = "import botzoo; " if needs_botzoo(result.model_folder) else ""
    soup = result.soup
    epochs = (
        f"epochs {joined(soup.epochs)}, averaged" if soup is not None and soup.taken else f"epoch {result.best_epoch}"
    )
    yield f"{'time':10} {duration(result.facts['seconds'])}; weights of {epochs}"
    yield f"{'model':10} {folder} (README.md is its card)"
    yield f"{'load':10} {imports}"
    yield f"{'':10} timm.create_model({f'local-dir:{folder}'!r}, pretrained=True)"
    yield f"{'predict':10} {first}from transformers import pipeline  # pip install transformers"
    yield f"{'':10} pipeline('image-classification', model={folder!r})('photo.jpg')"
    yield f"{'':10} or with timm alone: the lines in the card"


def _fitted(name: str, longest: int = 40) -> str:
    name = " ".join(name.split())
    return name if len(name) <= longest else name[: longest - 1] + "…"
