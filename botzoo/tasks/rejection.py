"""Answers that are better not given: the least probability of an answer, so that those given are right as often as promised.

Of the validation images a share is answered, the most confident ones. Of the shares 5 %, 10 %, ... 100 % the largest is taken
whose answers are right more often than promised by a one-sided binomial bound (C. Clopper, E. Pearson, *The use of confidence
or fiducial limits illustrated in the case of the binomial*, Biometrika 26, 1934). Y. Geifman and R. El-Yaniv, *Selective
Classification for Deep Neural Networks*, NeurIPS 2017, bound the risk of the answers given in this way.

The plain share of right answers in place of the bound would break the promise on new images in every other run, as it is
chosen where chance has made it high. Because several shares are tried, the level of the bound is a quarter of ``DOUBT``: that
the promise is then broken by less than ``DOUBT`` of all validation splits is shown by simulation, even where how sure the
network is says nothing and its accuracy is a little below what is promised.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DOUBT = 0.05  # share of the validation splits of which the promise may be broken
LEVEL = DOUBT / 4  # of the bound for each share that is tried
SHARES = 20

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Rejection:
    """A least probability of an answer, and what it does to the evaluated images.

    Attributes:
        target: share of the answers given that are to be right, in (0, 1).
        threshold: answers of this probability or more are given; None where too few images are surely right as often.
        fitted_on: how many images it was fitted on.
        images: how many are evaluated.
        answered: to how many of them an answer is given.
        right: how many of those answers are right.
    """

    target: float
    threshold: float | None
    fitted_on: int
    images: int = 0
    answered: int = 0
    right: int = 0


def needed(target: float) -> int:
    """Return how many answers have to be right, and none wrong, to promise ``target``."""
    return math.ceil(math.log(LEVEL) / math.log(target))


def fit_threshold(confidence: Floats, right: NDArray[np.bool_], target: float) -> float | None:
    """Return the least probability of an answer so that those given are right with probability ``target``.

    Args:
        confidence: probabilities of the answers, in (0, 1], shape (N,).
        right: whether they are right, shape (N,).
        target: in (0, 1).

    Returns:
        The threshold, None where the answers are too few or too often wrong.
    """
    from scipy.special import bdtr  # the binomial distribution function

    order = np.argsort(-confidence, kind="stable")
    last = np.unique(np.ceil(np.arange(1, SHARES + 1) * len(order) / SHARES).astype(int)) - 1
    # images as sure as the last of a share are answered too
    given = np.searchsorted(-confidence[order], -confidence[order][last], side="right")
    wrong = (~right[order]).cumsum()[given - 1]
    sound = np.flatnonzero(bdtr(wrong, given, 1 - target) <= LEVEL)
    if not len(sound):
        return None
    least = float(confidence[order][last[sound[-1]]])
    return math.floor(least * 1e6) / 1e6  # never above the image itself


def rejection(
    target: float, fitted_on: tuple[Floats, NDArray[np.bool_]], seen: tuple[Floats, NDArray[np.bool_]]
) -> Rejection:
    """Return the threshold of the first images and what it does to the second: confidences, and whether they are right."""
    threshold = fit_threshold(*fitted_on, target)
    if threshold is None:
        return Rejection(target, None, len(fitted_on[0]), len(seen[0]))
    answered = seen[0] >= threshold
    return Rejection(
        target, threshold, len(fitted_on[0]), len(answered), int(answered.sum()), int((answered & seen[1]).sum())
    )
