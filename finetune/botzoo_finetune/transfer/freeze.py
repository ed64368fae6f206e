"""Which parameters are trained when: freezing whole stages, and unfreezing them one by one from the top."""

from collections.abc import Iterable
from typing import Any

from timm.models import group_parameters
from torch import nn

from botzoo.errors import ConfigError
from botzoo.models.create import Network
from botzoo.models.layers import head_names
from botzoo.training.callbacks import Callback
from botzoo.training.state import Run


def stages(model: nn.Module) -> list[list[str]]:
    """Return the names of a timm network's parameters but the classifier's: the stem's first, then stage by stage.

    They are split as the network's own coarse ``group_matcher`` does. Raises ConfigError: it has none.
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
        if self.freeze.isdecimal() and int(self.freeze) >= (n := len(stages(network.model))):
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
        if self.freeze == "backbone":  # needs no stages, which some networks do not name
            names = set(head_names(model))
            frozen = {name for name, _ in model.named_parameters() if name not in names}
        else:
            body = stages(model)
            count = frozen_stages(self.freeze, self.unfreeze_every, epoch, len(body))
            frozen = {name for stage in body[:count] for name in stage}
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in frozen)
