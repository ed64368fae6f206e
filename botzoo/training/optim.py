"""The learning rate as a pure function of the step, and the parameter groups of the optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import timm.optim
import torch
from torch import nn

from botzoo.errors import ConfigError, did_you_mean
from botzoo.tricks.cosine import cosine
from botzoo.tricks.no_bias_decay import no_bias_decay
from botzoo.tricks.warmup import warmup

ParamGroup = dict[str, Any]
LrScale = Callable[[str], float]
"""Factor on the learning rate of a parameter, by its name."""


@dataclass(frozen=True)
class Schedule:
    """Learning rate of every step: peak x warmup x decay. Nothing to prepare, save or restore.

    Attributes:
        peak: learning rate after the warmup.
        total_steps: optimizer steps of the whole run.
        warmup_steps: steps of the warmup, less than total_steps.
        decay: whether it falls to 0 along a cosine after the warmup.
    """

    peak: float
    total_steps: int
    warmup_steps: int = 0
    decay: bool = True

    def lr(self, step: int) -> float:
        """Return the learning rate of step ``step``, counted from 0."""
        after = step - self.warmup_steps
        if after < 0:
            return self.peak * warmup(step, self.warmup_steps)
        return self.peak * cosine(after, self.total_steps - self.warmup_steps) if self.decay else self.peak


def param_groups(
    model: nn.Module, weight_decay: float, spare_biases: bool, lr_scale: LrScale = lambda name: 1.0
) -> list[ParamGroup]:
    """Group all parameters of ``model`` by weight decay and learning-rate factor.

    Args:
        model: any network; frozen parameters are grouped too, since they may be unfrozen later.
        weight_decay: of the parameters that are decayed.
        spare_biases: apply the trick "no bias decay".
        lr_scale: factor on the learning rate by parameter name; 1 for all by default.

    Returns:
        Groups with the keys params, weight_decay and lr_scale, in a fixed order.
    """
    groups: dict[tuple[float, float], ParamGroup] = {}
    for name, parameter in model.named_parameters():
        decay = no_bias_decay(parameter, weight_decay) if spare_biases else weight_decay
        scale = lr_scale(name)
        group = groups.setdefault((decay, scale), {"params": [], "weight_decay": decay, "lr_scale": scale})
        group["params"].append(parameter)
    return list(groups.values())


def make_optimizer(
    name: str, groups: list[ParamGroup], lr: float, momentum: float, *, fused: bool = False
) -> torch.optim.Optimizer:
    """Create any of timm's optimizers over ``groups``; ``fused`` takes torch's fused kernel where there is one.

    Raises:
        ConfigError: timm has no optimizer of that name, or it cannot work here.
    """
    known = [str(known) for known in timm.optim.list_optimizers()]
    if name.lower() not in known:
        raise ConfigError(
            f"--optimizer is {name!r}, which timm has not.{did_you_mean(name, known)} Common ones: sgd, adamw, lamb, "
            "lars, rmsprop; all: python -c 'import timm.optim; print(timm.optim.list_optimizers())'."
        )
    if timm.optim.get_optimizer_info(name).second_order:
        raise ConfigError(f"--optimizer {name} needs second derivatives, which are not taken here: use adamw or lamb.")
    if name.lower() == "sgd" and momentum == 0:
        name = "momentum"  # timm's name for SGD without Nesterov's momentum, which cannot be 0
    try:
        kernel: dict[str, Any] = (
            {"fused": True} if fused and name.lower() in ("sgd", "momentum", "adam", "adamw") else {}
        )
        return timm.optim.create_optimizer_v2(groups, opt=name, lr=lr, momentum=momentum, **kernel)
    except (AssertionError, ImportError, ValueError) as error:  # such as bnb* without a GPU and their package
        raise ConfigError(f"--optimizer {name} does not work here ({error}): use sgd, adamw or lamb.") from error


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group ``lr`` times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
