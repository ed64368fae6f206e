"""Fine-tuning of timm models on one's own images.

The functions below are imported when they are first used, so that command lines answer at once. Imports botzoo, which knows
nothing of this package.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what a type checker sees of them
    from botzoo_finetune.api import check, compare, finetune, probe, suggest

__all__ = ["check", "compare", "finetune", "probe", "suggest"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'botzoo_finetune' has no attribute {name!r}")
    return getattr(import_module("botzoo_finetune.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
