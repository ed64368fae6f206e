"""Cosine learning rate decay (section 5.1, equation 1)."""

import math


def cosine(step: int, total_steps: int) -> float:
    """Return the factor on the learning rate: ``0.5 * (1 + cos(pi * t / T))``, from 1 at t = 0 to 0 at t = T.

    Args:
        step: t, the batches since the warmup ended, 0 <= t <= T.
        total_steps: T, the number of batches without the warmup, >= 1.
    """
    return 0.5 * (1 + math.cos(math.pi * step / total_steps))
