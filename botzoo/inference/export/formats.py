"""The forms that a network is exported to, by the ending of the file; a form is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it takes seconds to import, and a wrong ending is refused before
    from botzoo.inference.predict import Model

Export = Callable[["Model", Path], Iterator[str]]
"""Writes a file, whole or not at all, and yields lines for the terminal on what is in it and how it was checked."""

FORMATS = {
    ".onnx": "onnx",
}
"""The file in this folder whose function ``export`` writes such files."""


def exporter(ending: str) -> Export:
    """Return what writes files with that ending, one of ``FORMATS``."""
    found: Export = import_module(f"botzoo.inference.export.{FORMATS[ending]}").export
    return found
