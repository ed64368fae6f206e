"""Mixup (section 5.4, equations 8 and 9; Zhang et al., 2017): train on weighted pairs of examples only."""

import numpy as np
from torch import Tensor


def mixup_lambda(alpha: float, seed: int, step: int) -> float:
    """Return lambda ~ Beta(alpha, alpha) of one step, a pure function of its arguments.

    Args:
        alpha: > 0; 0.2 in the paper.
        seed: the run's seed, >= 0.
        step: optimizer steps taken so far, >= 0.
    """
    return float(np.random.default_rng((seed, step)).beta(alpha, alpha))


def mixup(images: Tensor, targets: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """Mix each example with the one opposite it in the batch: ``lam * a + (1 - lam) * b``.

    Args:
        images: floating point, shape (N, C, H, W), in random order.
        targets: probabilities, shape (N, K).
        lam: in [0, 1].

    Returns:
        Mixed images and targets, of the same shapes and dtypes.
    """
    return images.lerp(images.flip(0), 1 - lam), targets.lerp(targets.flip(0), 1 - lam)
