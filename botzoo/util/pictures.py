"""Pictures: figures that need no screen, and that never cost a run its result."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from botzoo.util.files import written_whole
from botzoo.util.text import brief

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger("botzoo")


def new_figure(width: float, height: float, dpi: int = 120) -> Figure:
    """Return an empty figure of ``width`` x ``height`` inches, made without pyplot: it belongs to no window and no backend."""
    _import_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    figure._repr_png_ = partial(_png, figure)  # type: ignore[attr-defined]  # a notebook shows only pyplot's figures by itself
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


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


def _import_matplotlib() -> None:
    """Import matplotlib whatever MPLBACKEND says.

    A notebook leaves ``module://matplotlib_inline.backend_inline`` there to the commands that it starts. Importing matplotlib
    checks the name and fails where that module is not installed, although figures without pyplot need no backend at all. So
    it is imported without the variable, which is then obeyed as far as it can be: plots of the notebook's own stay inline.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
