"""Layer-wise learning rates: lower layers, which hold the more general features, change more slowly."""

from collections.abc import Iterable
from typing import Any

from timm.models import group_parameters
from timm.optim import auto_group_layers
from torch import nn

from botzoo.models.layers import head_names
from botzoo.training.callbacks import Callback
from botzoo.training.state import Run
from botzoo.training.steps.optimizer import LrScale, scale_lr


def layer_decay(model: nn.Module, decay: float, head_scale: float = 1.0) -> LrScale:
    """Return the factor on each parameter's learning rate: ``decay ** (layers above)``, ``head_scale`` for the head.

    Layers are timm's own fine groups (``group_matcher(coarse=False)``): in a ResNet the stem, then each residual block,
    then the classifier, as in timm's ``param_groups_layer_decay``.

    Args:
        model: a timm network.
        decay: in (0, 1]; 1 for no decay.
        head_scale: > 0.
    """
    matcher: Any = getattr(model, "group_matcher", None)
    own = group_parameters(model, matcher(coarse=False), reverse=True) if matcher else auto_group_layers(model)
    layers, head = {name: int(layer) for name, layer in own.items()}, set(head_names(model))
    top = max(layers.values())
    return lambda name: decay ** (top - layers.get(name, top)) * (head_scale if name in head else 1.0)


class LayerDecay(Callback):
    """Trains each layer more slowly than the one above it, and the classifier at a rate of its own.

    Args:
        decay: factor from each layer to the one below it, in (0, 1]; None for the run's --layer-decay, which may be chosen
            for the data.
        head_scale: factor on the learning rate of the classifier, > 0; None for the run's --head-lr-scale.
    """

    def __init__(self, decay: float | None = None, head_scale: float | None = None) -> None:
        self.decay, self.head_scale = decay, head_scale

    def _factors(self, run: Run) -> tuple[float, float]:
        decay, scale = getattr(run.config, "layer_decay", 1.0), getattr(run.config, "head_lr_scale", 1.0)
        return self.decay or decay, self.head_scale or scale

    def on_setup(self, run: Run) -> None:
        """Part the optimizer's groups by layer."""
        decay, head_scale = self._factors(run)
        if decay < 1 or head_scale != 1:
            scale_lr(run.trainer.optimizer, run.model, layer_decay(run.model, decay, head_scale))

    def on_plan(self, run: Run) -> Iterable[tuple[str, str]]:
        """Say by what the learning rate is multiplied."""
        decay, head_scale = self._factors(run)
        scales = [f"{decay:g} from layer to layer"] if decay < 1 else []
        scales += [f"{head_scale:g} for the classifier"] if head_scale != 1 else []
        if scales:
            yield "optimizer", f"learning rate times {' and times '.join(scales)}"
