"""SWATS, an optimizer that begins as Adam and goes on as SGD (Keskar and Socher, 2017, arXiv:1712.07628)."""

from typing import Any

import torch

from botzoo.errors import ConfigError


def make_swats(
    groups: list[dict[str, Any]], lr: float, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """Create SWATS, from the package pytorch-optimizer, so that it obeys a schedule.

    When a group turns to SGD, SWATS finds the group's learning rate itself. The schedule goes on in proportion to it: the
    rate found becomes part of the group's ``lr_scale``, which is saved with the optimizer's state.

    Args:
        groups: with the keys params, weight_decay and lr_scale.
        lr: learning rate, replaced by the schedule's before each step.
        betas: of Adam; the first is the momentum of SGD too.

    Raises:
        ConfigError: pytorch-optimizer is not installed.
    """
    try:
        from pytorch_optimizer import SWATS
    except ImportError as error:
        raise ConfigError(
            "--optimizer swats needs a package that is not installed: pip install 'botzoo[swats]'."
        ) from error
    optimizer: torch.optim.Optimizer = SWATS(
        groups, lr=lr, betas=betas, foreach=True
    )  # its other path takes no channels_last
    given: list[float] = []

    def remember(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        given[:] = [group["lr"] for group in optimizer.param_groups]

    def keep_found(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for group, before in zip(optimizer.param_groups, given, strict=True):
            if group["lr"] != before:
                group["lr_scale"] = group.get("lr_scale", 1.0) * group["lr"] / before

    optimizer.register_step_pre_hook(remember)
    optimizer.register_step_post_hook(keep_found)
    return optimizer
