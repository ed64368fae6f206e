"""What is trained when, and how fast: freezing of stages, unfreezing from the top, and layer-wise learning rates.

Lower layers, which hold the more general features, change later or more slowly.
"""

from collections.abc import Iterable
from typing import Any

from timm.models import group_parameters
from timm.optim import auto_group_layers
from torch import nn

from botzoo.errors import ConfigError
from botzoo.models.create import Network
from botzoo.models.layers import head_names, keep_statistics
from botzoo.training.callbacks import Callback
from botzoo.training.state import Run
from botzoo.training.steps.optimizer import LrScale, scale_lr
from botzoo.util.text import counted, epochs_words


def stages(model: nn.Module) -> list[list[str]]:
    """Return the names of a timm network's parameters but the classifier's: the stem's first, then stage by stage.

    They are split as the network's own coarse ``group_matcher`` does.

    Raises:
        ConfigError: it has none.
    """
    if not hasattr(model, "group_matcher"):
        raise ConfigError(f"{type(model).__name__} does not name its stages: use --freeze none or --freeze backbone.")
    head = head_names(model)
    layers: dict[int, list[str]] = {}
    matcher: Any = model.group_matcher
    for name, layer in group_parameters(model, matcher(coarse=True), reverse=True).items():
        if name not in head:
            layers.setdefault(int(layer), []).append(name)
    return [layers[layer] for layer in sorted(layers)]


def frozen_stages(freeze: str, unfreeze_every: int | None, epoch: int, total: int) -> int:
    """Return how many of the ``total`` body stages, the stem included, are frozen in ``epoch``, counted from 0.

    ``freeze`` and ``unfreeze_every`` are as of ``Freeze``.
    """
    # What --freeze names stays frozen for good; --unfreeze-every begins with the whole body and goes down to it.
    floor = {"none": 0, "backbone": total}[freeze] if freeze in ("none", "backbone") else int(freeze) + 1
    return max(floor, total - epoch // unfreeze_every) if unfreeze_every else floor


class Freeze(Callback):
    """Sets ``requires_grad`` of every parameter in each epoch.

    Args:
        freeze: none, backbone or N, the stem and the first N stages.
        unfreeze_every: epochs after which one more stage is trained, from the top; None for none.
    """

    def __init__(self, freeze: str, unfreeze_every: int | None = None) -> None:
        self.freeze, self.unfreeze_every = freeze, unfreeze_every
        self.kept: frozenset[str] = frozenset()  # parameters that the network itself leaves as they are

    def on_network(self, network: Network) -> None:
        """Raise ConfigError unless the network has as many stages as are to be frozen, and says what they are."""
        if self.unfreeze_every is not None:
            stages(network.model)
        if self.freeze.isdecimal() and int(self.freeze) >= (n := len(stages(network.model))):
            has = f"{network.architecture} has a stem and {counted(n - 1, 'stage')}"
            raise ConfigError(f"--freeze is {self.freeze} and {has}: give 0 (the stem) to {n - 1}, none or backbone.")

    def on_setup(self, run: Run) -> None:
        """Note what is frozen already, as BatchNorm in the body of a detector is: it stays so."""
        self.kept = frozenset(name for name, parameter in run.model.named_parameters() if not parameter.requires_grad)

    def on_plan(self, run: Run) -> Iterable[tuple[str, str]]:
        """Say what stays as it is, and for how long."""
        if self.freeze != "none":
            yield "model", f"frozen: {self.freeze}"
        if self.unfreeze_every:
            yield "model", f"one more stage is trained every {epochs_words(self.unfreeze_every)}"

    def on_epoch_start(self, run: Run, epoch: int) -> None:
        """Freeze and unfreeze in place."""
        if self.freeze == "none" and self.unfreeze_every is None:
            return
        model = run.model
        if self.freeze == "backbone":  # needs no stages, which some networks do not name
            names = set(head_names(model))
            frozen = {name for name, _ in model.named_parameters() if name not in names}
        else:
            body = stages(model)
            count = frozen_stages(self.freeze, self.unfreeze_every, epoch, len(body))
            frozen = {name for stage in body[:count] for name in stage}
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in frozen and name not in self.kept)


FEW = 16
"""Images from which on down a batch says too little of mean and variance: what is evaluated is not what was trained.
An EfficientNet ends 11 points lower at 16 where the statistics follow the batches (docs/benchmarks.md)."""


class KeepStatistics(Callback):
    """Leaves the statistics of BatchNorm as pretrained where batches have ``FEW`` images or fewer; all else is trained.

    What counts are the images that a layer sees at once: a micro-batch, or with --engine.sync-bn those of all processes.
    """

    def __init__(self) -> None:
        self.images = 0  # that are too few

    def state(self) -> dict[str, Any]:
        """Return how few images they were, so that a run goes on as it began."""
        return {"images": self.images}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the choice."""
        self.images = state["images"]

    def on_train_start(self, run: Run) -> None:
        """Mark the layers, which are evaluated as after the training then; the micro-batch fits the memory by now."""
        own = "model" in run.facts.get("own", ())  # whose statistics may be of nothing yet
        if not run.progress.step and not own:
            seen = run.order.micro_batch * (run.order.world_size if run.config.engine.sync_bn else 1)
            self.images = seen if seen <= FEW else 0
        if self.images and keep_statistics(run.model):
            run.trainer.start_epoch()
        else:
            self.images = 0

    def on_plan(self, run: Run) -> Iterable[tuple[str, str]]:
        """Say so."""
        if self.images:
            few = f"{self.images} images at once are too few to measure them, as are up to {FEW}"
            yield "model", f"BatchNorm keeps the statistics of the weights: {few} (measured)"


def layer_decay(model: nn.Module, decay: float, head_scale: float = 1.0) -> LrScale:
    """Return the factor on each parameter's learning rate: ``decay ** (layers above)``, ``head_scale`` for the head.

    Layers are timm's own fine groups (``group_matcher(coarse=False)``): in a ResNet the stem, then each residual block,
    then the classifier, as in timm's ``param_groups_layer_decay``. ``decay`` is in (0, 1], and ``head_scale`` > 0.
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

    @staticmethod
    def _factors(run: Run) -> tuple[float, float]:
        """Return both; a run from scratch has no such options."""
        return getattr(run.config, "layer_decay", 1.0), getattr(run.config, "head_lr_scale", 1.0)

    def on_setup(self, run: Run) -> None:
        """Part the optimizer's groups by layer."""
        decay, head_scale = self._factors(run)
        if decay < 1 or head_scale != 1:
            scale_lr(run.trainer.optimizer, run.model, layer_decay(run.model, decay, head_scale))

    def on_plan(self, run: Run) -> Iterable[tuple[str, str]]:
        """Say by what the learning rate is multiplied."""
        decay, head_scale = self._factors(run)
        scales = [f"{decay:g} from layer to layer"] if decay < 1 else []
        scales += [f"{head_scale:g} for the new head"] if head_scale != 1 else []
        if scales:
            yield "optimizer", f"learning rate times {' and times '.join(scales)}"
