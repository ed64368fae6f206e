"""Mixup (section 5.4, equations 8 and 9; Zhang et al., 2017): train on weighted pairs of examples only."""

import numpy as np
import torch
from torch import Tensor

from botzoo.errors import ConfigError


def mixup_lambda(alpha: float, seed: int, step: int) -> float:
    """Return lambda ~ Beta(alpha, alpha) of one step.

    ``alpha`` > 0 is 0.2 in the paper; ``seed`` >= 0 is the run's; ``step`` >= 0 counts the optimizer steps so far.
    """
    # of seed and step alone, so that a resumed run goes on with the same ones and all processes agree
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
        ConfigError: as of ``partners``.
    """
    return images.lerp(partners(images), 1 - lam), targets.lerp(partners(targets), 1 - lam)


def partners(examples: Tensor) -> Tensor:
    """Return, for each of N >= 2 examples along the first axis, the one half a batch further on: never itself.

    Raises:
        ConfigError: there is one example only.
    """
    if len(examples) < 2:
        cure = "give a larger --engine.micro-batch or --batch-size, or leave them out"
        raise ConfigError(f"--mixup and --cutmix mix the images of a micro-batch, and here it has 1: {cure}.")
    half = len(examples) // 2
    return torch.cat((examples[half:], examples[:half]))
