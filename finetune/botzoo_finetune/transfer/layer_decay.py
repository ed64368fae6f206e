"""Layer-wise learning rates: lower layers, which hold the more general features, change more slowly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from timm.models import group_parameters
from timm.optim import auto_group_layers
from torch import nn

from botzoo.models.layers import head_names
from botzoo.training.callbacks import Callback
from botzoo.training.optimizer import LrScale, scale_lr
from botzoo.training.state import Run


def layer_decay(model: nn.Module, decay: float, head_scale: float = 1.0) -> LrScale:
    """Return the factor on each parameter's learning rate: ``decay ** (layers above)``, ``head_scale`` for the head.

    Layers are timm's own fine groups (``group_matcher(coarse=False)``): in a ResNet the stem, then each residual block,
    then the classifier, as in timm's ``param_groups_layer_decay``.

    Args:
        model: a timm network.
        decay: in (0, 1]; 1 for no decay.
        head_scale: > 0.
    """
    if hasattr(model, "group_matcher"):
        matcher: Any = model.group_matcher
        layers = {n: int(i) for n, i in group_parameters(model, matcher(coarse=False), reverse=True).items()}
    else:
        layers = auto_group_layers(model)
    top = max(layers.values())
    head = set(head_names(model))

    def scale(name: str) -> float:
        return decay ** (top - layers.get(name, top)) * (head_scale if name in head else 1.0)

    return scale


class LayerDecay(Callback):
    """Trains each layer more slowly than the one above it, and the classifier at a rate of its own.

    Args:
        decay: factor from each layer to the one below it, in (0, 1].
        head_scale: factor on the learning rate of the classifier, > 0.
    """

    def __init__(self, decay: float, head_scale: float = 1.0) -> None:
        self.decay, self.head_scale = decay, head_scale

    def on_setup(self, run: Run) -> None:
        """Part the optimizer's groups by layer."""
        if self.decay < 1 or self.head_scale != 1:
            scale_lr(run.trainer.optimizer, run.model, layer_decay(run.model, self.decay, self.head_scale))

    def on_plan(self, run: Run) -> Iterable[tuple[str, str]]:
        """Say by what the learning rate is multiplied."""
        scales = [f"{self.decay:g} from layer to layer"] if self.decay < 1 else []
        scales += [f"{self.head_scale:g} for the classifier"] if self.head_scale != 1 else []
        if scales:
            yield "optimizer", f"learning rate times {' and times '.join(scales)}"
