"""Which parameters are trained when: freezing whole stages, and unfreezing them one by one from the top."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from timm.models import group_parameters
from torch import nn

from botzoo.errors import ConfigError
from botzoo.models.create import Network
from botzoo.models.layers import head_names
from botzoo.training.callbacks import Callback
from botzoo.training.state import Run


@dataclass(frozen=True)
class Stages:
    """The parameters of a network from its input to its output.

    Attributes:
        body: names of parameters, the stem first, then one tuple for each stage.
        head: names of the classifier's parameters.
    """

    body: tuple[tuple[str, ...], ...]
    head: tuple[str, ...]


def stages(model: nn.Module) -> Stages:
    """Split a timm network into stem, stages and classifier, as its own coarse ``group_matcher`` does.

    Raises ConfigError: the network does not say what its stages are.
    """
    if not hasattr(model, "group_matcher"):
        raise ConfigError(f"{type(model).__name__} does not name its stages: use --freeze none or --freeze backbone.")
    head = tuple(head_names(model))
    layers: dict[int, list[str]] = {}
    matcher: Any = model.group_matcher
    for name, layer in group_parameters(model, matcher(coarse=True), reverse=True).items():
        if name not in head:
            layers.setdefault(int(layer), []).append(name)
    return Stages(tuple(tuple(layers[layer]) for layer in sorted(layers)), head)


def frozen_stages(freeze: str, unfreeze_every: int | None, epoch: int, total: int) -> int:
    """Return how many of the ``total`` body stages, the stem included, are frozen in ``epoch``.

    Args:
        freeze: none, backbone or N, the stem and N stages.
        unfreeze_every: epochs after which one more stage is trained; None for all from the start.
        epoch: counted from 0.
        total: stages of the body, the stem included.
    """
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

    def on_network(self, network: Network) -> None:
        """Raise ConfigError unless the network has as many stages as are to be frozen, and says what they are."""
        if self.unfreeze_every is not None:
            stages(network.model)
        if self.freeze.isdecimal() and int(self.freeze) >= (n := len(stages(network.model).body)):
            has = f"{network.architecture} has a stem and {n - 1} stages"
            raise ConfigError(f"--freeze is {self.freeze} and {has}: give 0 (the stem) to {n - 1}, none or backbone.")

    def on_plan(self, run: Run) -> Iterable[tuple[str, str]]:
        """Say what stays as it is, and for how long."""
        if self.freeze != "none":
            yield "model", f"frozen: {self.freeze}"
        if self.unfreeze_every:
            yield "model", f"one more stage is trained every {self.unfreeze_every} epoch(s)"

    def on_epoch_start(self, run: Run, epoch: int) -> None:
        """Freeze and unfreeze in place."""
        if self.freeze == "none" and self.unfreeze_every is None:
            return
        model = run.model
        if self.freeze == "backbone":
            names = set(head_names(model))
            frozen = {name for name, _ in model.named_parameters() if name not in names}
        else:
            body = stages(model).body
            count = frozen_stages(self.freeze, self.unfreeze_every, epoch, len(body))
            frozen = {name for stage in body[:count] for name in stage}
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in frozen)
