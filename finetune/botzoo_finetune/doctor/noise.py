"""How many labels are wrong, and how likely each one is, under uniform label noise (Angluin and Laird 1988, "Learning From
Noisy Examples", extended to K classes).

The class of an image is k with probability p_k; with probability e its label is another one of the K - 1, each as likely. So
the label y is seen with probability

    q_y = (1 - e) p_y + e / (K - 1) (1 - p_y)

and is wrong, once seen, with probability e / (K - 1) (1 - p_y) / q_y (Bayes' rule). A temperature sharpens or softens the
estimate of p; it and e are those that make the labels likeliest.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STARTS = (0.02, 0.2)
"""Shares of wrong labels that the search begins with."""
MOST = 0.5
"""Share of wrong labels beyond which nothing is learned from them."""
LOOKED_AT = 10_000_000
"""Probabilities at most that e and the temperature are chosen by: of so many images, evenly spread."""
SIGNIFICANT = 1.64
"""Twice the gain in log likelihood that one of ten data sets without noise exceeds: the 80 % quantile of chi squared with one
degree of freedom, as e = 0 is at the edge of what e may be (Self and Liang 1987, case 5). A stricter one misses the one wrong
label among a few dozen that any eye sees."""


@dataclass(frozen=True)
class Noise:
    """What the labels say of themselves.

    Attributes:
        share: of the labels that are wrong, e, in [0, 0.5]; 0 where labels are not significantly likelier with noise.
        wrong: (N,), the probability that each label is wrong, in [0, 1].
    """

    share: float
    wrong: NDArray[np.float64]


def label_noise(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Noise:
    """Return how many of the labels are wrong, and how likely each one is.

    Args:
        probabilities: (N, K) of the classes, K >= 2, estimated without the image's own label; rows sum to 1.
        labels: int64 (N,), in [0, K).
    """
    from scipy.optimize import minimize

    most = min(len(labels), max(1, LOOKED_AT // probabilities.shape[1]))
    rows = np.linspace(0, len(labels) - 1, most, dtype=np.int64)
    logits, given = _logarithms(probabilities[rows]), labels[rows]

    def surprise(parameters: NDArray[np.float64]) -> float:
        temperature, share = _natural(parameters)
        right, mistaken = ways(logits, given, temperature, share)
        return -float(np.log(np.maximum(right + mistaken, 1e-300)).sum())

    clean = minimize(lambda found: surprise(np.array([found[0], -np.inf])), [0.0], method="Nelder-Mead")
    starts = [[0.0, float(np.log(share / (MOST - share)))] for share in STARTS]
    fitted = [minimize(surprise, start, method="Nelder-Mead") for start in starts]
    best = min(fitted, key=lambda found: float(found.fun))
    if 2 * float(clean.fun - best.fun) < SIGNIFICANT:
        return Noise(0.0, np.zeros(len(labels)))
    temperature, share = _natural(best.x)
    right, mistaken = ways(_logarithms(probabilities), labels, temperature, share)
    return Noise(share, mistaken / (right + mistaken))


def _natural(parameters: NDArray[np.float64]) -> tuple[float, float]:
    """Return temperature, above 0, and share of wrong labels, in [0, MOST), of what may be any number."""
    from scipy.special import expit

    return float(np.exp(np.clip(parameters[0], -3, 3))), float(MOST * expit(parameters[1]))


def _logarithms(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    logarithms: NDArray[np.float64] = np.log(np.maximum(probabilities, 1e-12, dtype=np.float64))
    return logarithms


def ways(
    logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float, share: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probabilities (N,) that each image gets its label rightly, and that it gets it by mistake."""
    from scipy.special import softmax

    own = softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels]
    return (1 - share) * own, share / (logits.shape[1] - 1) * (1 - own)
