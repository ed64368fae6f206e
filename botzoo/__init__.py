"""The ResNets of "Bag of Tricks for Image Classification with CNNs" (He et al., 2018) for timm, and the bag itself.

``import botzoo`` makes the ``*_bot`` models known to timm, before or after ``import timm``. It imports neither timm nor torch
itself, so that command lines answer at once: the models are registered at the moment timm is first imported, and the functions
below are imported when they are first used.
"""

import logging
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING

from botzoo.util.outgoing import tidied

if TYPE_CHECKING:  # what a type checker sees of ``_PUBLIC``
    from botzoo.api import train
    from botzoo.explain.figure import explanation
    from botzoo.inference.load import load
    from botzoo.inference.predict import Model
    from botzoo.inference.prediction import Prediction
    from botzoo.report.view import FinishedRun
    from botzoo.training.callbacks import Callback

__all__ = ["Callback", "FinishedRun", "Model", "Prediction", "explanation", "load", "train"]

__version__ = "0.1.0"

_PUBLIC = {
    "Callback": "botzoo.training.callbacks",
    "FinishedRun": "botzoo.report.view",
    "Model": "botzoo.inference.predict",
    "Prediction": "botzoo.inference.prediction",
    "explanation": "botzoo.explain.figure",
    "load": "botzoo.inference.load",
    "train": "botzoo.api",
}
"""The module that each public name is imported from."""


logging.getLogger("botzoo").addFilter(tidied)  # so that no handler, a user's own neither, gets a line as it came


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'botzoo' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


def _register_models(timm: object) -> None:
    import botzoo.models  # noqa: F401  (importing the modules registers their models)


def _after_timm() -> None:
    """Register the models as soon as timm has been imported, at once where it has been already."""
    import wrapt  # takes longer to import than all else that a command needs to begin, and nobody needs it before timm

    wrapt.register_post_import_hook(_register_models, "timm")


class _BeforeTimm:
    """A finder that finds what the others find, and has wrapt ready when timm is looked for."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "timm" or cls not in sys.meta_path:
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(cls)
        _after_timm()
        return find_spec(name)


if "timm" in sys.modules:
    _after_timm()
else:
    sys.meta_path.insert(0, _BeforeTimm)
