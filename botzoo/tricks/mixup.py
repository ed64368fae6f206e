"""Mixup (section 5.4, equations 8 and 9; Zhang et al., 2017): train on weighted pairs of examples only."""

import numpy as np
import torch
from torch import Tensor

from botzoo.errors import ConfigError


def mixup_lambda(alpha: float, seed: int, step: int) -> float:
    """Return lambda ~ Beta(alpha, alpha) of one step, a pure function of its arguments.

    Args:
        alpha: > 0; 0.2 in the paper.
        seed: the run's seed, >= 0.
        step: optimizer steps taken so far, >= 0.
    """
    return float(np.random.default_rng((seed, step)).beta(alpha, alpha))


def mixup(images: Tensor, targets: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """Mix each example with its partner in the batch: ``lam * a + (1 - lam) * b``.

    Args:
        images: floating point, shape (N, C, H, W), N >= 2, in random order.
        targets: probabilities, shape (N, K).
        lam: in [0, 1].

    Returns:
        Mixed images and targets, of the same shapes and dtypes.

    Raises:
        ConfigError: there is one example only.
    """
    return images.lerp(partners(images), 1 - lam), targets.lerp(partners(targets), 1 - lam)


def partners(examples: Tensor) -> Tensor:
    """Return, for each of N >= 2 examples along the first axis, the one half a batch further on: never itself.

    Raises:
        ConfigError: there is one example only.
    """
    if len(examples) < 2:
        raise ConfigError(
            "--mixup and --cutmix mix the images of a micro-batch, and here it has 1: give a larger --engine.micro-batch or "
            "--batch-size, or leave them out."
        )
    half = len(examples) // 2
    return torch.cat((examples[half:], examples[:half]))
