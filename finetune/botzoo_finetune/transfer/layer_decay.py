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
    then the classifier, as in timm's ``param_groups_layer_decay``. ``decay`` is in (0, 1], 1 for none; ``head_scale`` > 0.
    """
    matcher: Any = getattr(model, "group_matcher", None)
    own = group_parameters(model, matcher(coarse=False), reverse=True) if matcher else auto_group_layers(model)
    layers, head = {name: int(layer) for name, layer in own.items()}, set(head_names(model))
    top = max(layers.values())
    return lambda name: decay ** (top - layers.get(name, top)) * (head_scale if name in head else 1.0)


class LayerDecay(Callback):
    """Trains each layer more slowly than the one above it, and the classifier at a rate of its own.

    By --layer-decay and --head-lr-scale of the run, the former of which may be chosen for the data.
    """

    def on_setup(self, run: Run) -> None:
        """Part the optimizer's groups by layer."""
        config: Any = run.config  # a FinetuneConfig
        if config.layer_decay < 1 or config.head_lr_scale != 1:
            scale = layer_decay(run.model, config.layer_decay, config.head_lr_scale)
            scale_lr(run.trainer.optimizer, run.model, scale)

    def on_plan(self, run: Run) -> Iterable[tuple[str, str]]:
        """Say by what the learning rate is multiplied."""
        config: Any = run.config
        scales = [f"{config.layer_decay:g} from layer to layer"] if config.layer_decay < 1 else []
        scales += [f"{config.head_lr_scale:g} for the classifier"] if config.head_lr_scale != 1 else []
        if scales:
            yield "optimizer", f"learning rate times {' and times '.join(scales)}"
