"""Optimizers over parameter groups with weight decay and learning-rate factor of their own: timm's, and SWATS."""

from collections.abc import Callable
from typing import Any

import timm.optim
import torch
from torch import nn

from botzoo.errors import ConfigError, did_you_mean
from botzoo.tricks.no_bias_decay import no_bias_decay

ParamGroup = dict[str, Any]

LrScale = Callable[[str], float]
"""Factor on the learning rate of a parameter, by its name."""


def param_groups(model: nn.Module, weight_decay: float, spare_biases: bool) -> list[ParamGroup]:
    """Group all parameters of ``model`` by weight decay; frozen ones too, since they may be trained later.

    ``spare_biases`` applies the trick "no bias decay". The groups have the keys params, weight_decay and lr_scale, and stand
    in a fixed order.
    """
    groups: dict[float, ParamGroup] = {}
    for parameter in model.parameters():
        decay = no_bias_decay(parameter, weight_decay) if spare_biases else weight_decay
        group = groups.setdefault(decay, {"params": [], "weight_decay": decay, "lr_scale": 1.0})
        group["params"].append(parameter)
    return list(groups.values())  # in the order of their first parameters: a checkpoint knows them by place


def scale_lr(optimizer: torch.optim.Optimizer, model: nn.Module, lr_scale: LrScale) -> None:
    """Give the parameters of ``model`` learning rates of their own: part the optimizer's groups by ``lr_scale``, in place.

    The factor, >= 0, multiplies the one that is there. Call it before the first step, while the optimizer has no state.
    """
    group_of = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    groups: dict[tuple[int, float], ParamGroup] = {}
    for name, parameter in model.named_parameters():
        old, scale = group_of[id(parameter)], lr_scale(name)  # biases stay apart from weights, whose decay is another
        key = (id(old), scale)
        if key not in groups:
            groups[key] = {**old, "params": [], "lr_scale": old.get("lr_scale", 1.0) * scale}
        groups[key]["params"].append(parameter)
    optimizer.param_groups[:] = groups.values()


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
        lr, momentum: replaced by the schedule's before each step; for the optimizers that have one.
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


def make_swats(groups: list[ParamGroup], lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Optimizer:
    """Create SWATS, which begins as Adam and goes on as SGD (Keskar and Socher, 2017, arXiv:1712.07628).

    It is that of the package pytorch-optimizer, made to obey a schedule. When a group turns to SGD, SWATS finds the group's
    learning rate itself. The schedule goes on in proportion to it: the rate found becomes part of the group's ``lr_scale``,
    which is saved with the optimizer's state. The first of ``betas`` is the momentum of SGD too.

    Raises:
        ConfigError: pytorch-optimizer is not installed.
    """
    try:
        from pytorch_optimizer import SWATS
    except ImportError as error:
        raise ConfigError(
            "--optimizer swats needs a package that is not installed: pip install 'botzoo[swats]'."
        ) from error
    # foreach: its other path takes no channels_last.
    optimizer: torch.optim.Optimizer = SWATS(groups, lr=lr, betas=betas, foreach=True)
    given: list[float] = []

    # A group has turned to SGD in a step that changed its learning rate, which nothing else does in between.
    def remember(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        given[:] = [group["lr"] for group in optimizer.param_groups]

    def keep_found(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for group, before in zip(optimizer.param_groups, given, strict=True):
            if group["lr"] != before:
                group["lr_scale"] = group.get("lr_scale", 1.0) * group["lr"] / before

    optimizer.register_step_pre_hook(remember)
    optimizer.register_step_post_hook(keep_found)
    return optimizer


def has_momentum(name: str) -> bool:
    """Return whether ``momentum`` is a setting of an optimizer of timm, or of swats, with this name, in any case."""
    return name.lower() != "swats" and bool(timm.optim.get_optimizer_info(name).has_momentum)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group ``lr`` times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
