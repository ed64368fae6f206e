"""The learning rate as a pure function of the step, and the parameter groups of the optimizer."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import timm.optim
import torch
from torch import nn

from botzoo.errors import ConfigError, did_you_mean
from botzoo.training.swats import make_swats
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
        cosine: whether it falls to 0 along a cosine after the warmup.
        falls: the steps, rising, from each of which on it is ``factor`` times what it was. They are known before the run
            except on a plateau, where the run adds them as they come and keeps them in its checkpoints.
        factor: of each fall, in (0, 1].
    """

    peak: float
    total_steps: int
    warmup_steps: int = 0
    cosine: bool = True
    falls: tuple[int, ...] = ()
    factor: float = 1.0

    def lr(self, step: int) -> float:
        """Return the learning rate of step ``step``, counted from 0."""
        after = step - self.warmup_steps
        if after < 0:
            decay = warmup(step, self.warmup_steps)
        else:
            decay = cosine(after, self.total_steps - self.warmup_steps) if self.cosine else 1.0
        return self.peak * decay * self.factor ** bisect_right(self.falls, step)


def fall_epochs(decay: str, epochs: float, milestones: tuple[int, ...] | None = None, every: int = 2) -> list[int]:
    """Return the whole epochs, warmup included, after which the learning rate falls in a run of ``epochs``.

    Args:
        decay: "step" falls at ``milestones``, by default every quarter of the run as in the paper (30, 60 and 90 of 120);
            "exponential" every ``every`` epochs, a staircase; "constant" never; "plateau" at epochs not known beforehand.
        epochs: of the whole run, the last of which may be cut short.
    """
    if decay == "step":
        quarters = sorted({math.ceil(epochs * k / 4) for k in (1, 2, 3)})
        return [epoch for epoch in milestones or quarters if epoch < epochs]
    return list(range(every, math.ceil(epochs), every)) if decay == "exponential" else []


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
    name: str,
    groups: list[ParamGroup],
    lr: float,
    momentum: float,
    betas: tuple[float, float] | None = None,
    *,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """Create any of timm's optimizers, or swats, over ``groups``.

    Args:
        name: in any case.
        groups: as ``param_groups`` makes them.
        lr: replaced by the schedule's before each step.
        momentum: for the optimizers that have one.
        betas: of Adam and its kind; None for the optimizer's own.
        fused: take torch's fused kernel where there is one.

    Raises:
        ConfigError: there is no optimizer of that name, it has no pair of betas, or it cannot work here.
    """
    more: dict[str, Any] = {"betas": betas} if betas is not None else {}
    if name.lower() == "swats":
        return make_swats(groups, lr, **more)
    known = [str(known) for known in timm.optim.list_optimizers()]
    if name.lower() not in known:
        raise ConfigError(
            f"--optimizer is {name!r}, which timm has not.{did_you_mean(name, [*known, 'swats'])} Common ones: sgd, "
            "adamw, lamb, lars, rmsprop; all: python -c 'import timm.optim; print(timm.optim.list_optimizers())'."
        )
    info = timm.optim.get_optimizer_info(name)
    if info.second_order:
        raise ConfigError(f"--optimizer {name} needs second derivatives, which are not taken here: use adamw or lamb.")
    if betas is not None and not (info.has_betas and info.num_betas == 2):
        raise ConfigError(f"--optimizer {name} has no pair of betas: leave --optim.betas out.")
    if name.lower() == "sgd" and momentum == 0:
        name = "momentum"  # timm's name for SGD without Nesterov's momentum, which cannot be 0
    try:
        if fused and name.lower() in ("sgd", "momentum", "adam", "adamw"):
            more["fused"] = True
        return timm.optim.create_optimizer_v2(groups, opt=name, lr=lr, momentum=momentum, **more)
    except (AssertionError, ImportError, ValueError) as error:  # such as bnb* without a GPU and their package
        raise ConfigError(f"--optimizer {name} does not work here ({error}): use sgd, adamw or lamb.") from error


def has_momentum(name: str) -> bool:
    """Return whether ``momentum`` is a setting of an optimizer of timm, or of swats, with this name, in any case."""
    if name.lower() == "swats":
        return False
    return bool(timm.optim.get_optimizer_info(name).has_momentum)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group ``lr`` times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
