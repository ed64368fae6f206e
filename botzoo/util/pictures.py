"""Pictures: figures that need no screen, and that never cost a run its result."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from botzoo.util.files import written_whole
from botzoo.util.outgoing import one_line
from botzoo.util.text import brief

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger("botzoo")


def new_figure(width: float, height: float, dpi: int = 120) -> Figure:
    """Return an empty figure of ``width`` x ``height`` inches, made without pyplot: it belongs to no window and no backend."""
    # A notebook leaves the name of its backend in MPLBACKEND to the commands that it starts. Importing matplotlib fails where
    # that backend is not installed, so it is imported without, and obeys as far as it can: the notebook's plots stay inline.
    if "matplotlib" not in sys.modules and (backend := os.environ.pop("MPLBACKEND", None)):
        try:
            import matplotlib
        finally:
            os.environ["MPLBACKEND"] = backend
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    figure._repr_png_ = partial(_png, figure)  # type: ignore[attr-defined]  # a notebook shows only pyplot's figures by itself
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def label(text: str, otherwise: str | None = None) -> str:
    """Return ``text`` as matplotlib draws it as it is: ``drawable``, a dollar being a dollar."""
    return drawable(text, otherwise).replace("$", r"\$")


def drawable(text: str, otherwise: str | None = None) -> str:
    """Return ``text`` on one line, as far as the font of pictures has its letters.

    Where there is no text or the font lacks a letter of it, ``otherwise`` is returned, or question marks stand for them.
    """
    known, text = _letters(), one_line(text)
    lacking = {letter for letter in text if ord(letter) not in known}
    if otherwise is not None and (lacking or not text):
        return otherwise
    return "".join("?" if letter in lacking else letter for letter in text)


def font_file() -> str:
    """Return the path of the font of pictures, which comes with matplotlib unless its settings name another."""
    from matplotlib.font_manager import FontProperties, findfont

    return str(findfont(FontProperties()))


@cache
def _letters() -> frozenset[int]:
    from matplotlib.font_manager import get_font

    return frozenset(get_font(font_file()).get_charmap())


def drawn(path: Path, draw: Callable[[], Figure]) -> bool:
    """Save what ``draw`` returns, as the ending of ``path`` says; where that fails, log one line and go on.

    Returns:
        Whether the picture is there.
    """
    try:
        figure = draw()
        with written_whole(path) as part:
            figure.savefig(part, format=path.suffix[1:])
    except Exception as error:  # fonts, disks, matplotlib itself: a result without a picture is still a result
        log.warning("%s was not drawn (%s); all else is written.", path.name, brief(error))
        return False
    return True
