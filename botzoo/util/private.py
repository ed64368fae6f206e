"""What we need of other libraries and they keep to themselves: it is here, and a test fails where it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn


def forget_prepared(accelerator: Accelerator, model: nn.Module | None = None) -> None:
    """Let ``accelerator`` forget the networks that it has wrapped, so that ``model`` can be wrapped anew.

    The hooks of the old wrapper would go on averaging gradients otherwise, and a network that is marked as wrapped would be
    left without autocast.
    """
    accelerator._models.clear()
    if model is not None:
        vars(model).pop("_is_accelerate_prepared", None)


def reset_precision() -> None:
    """Let the next Accelerator of this process choose its precision anew, as a second run in a notebook may."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()


def has_matrix_unit() -> bool:
    """Return whether this CPU multiplies matrices of bf16 in a unit of their own (AMX)."""
    import torch

    found: bool = torch.cpu._is_amx_tile_supported()
    return found
