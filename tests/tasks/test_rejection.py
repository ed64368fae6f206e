"""The least probability of an answer: the promise holds on images that it was not fitted on."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from botzoo.tasks.rejection import LEVEL, fit_threshold, needed, rejection

DRAWS = 100


def drawn(rng: np.random.Generator, n: int, kind: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return how sure answers are and whether they are right: as often as that, seldom more often, or whatever it says."""
    sure = 1 - rng.beta(0.4, 3, n)
    chance = {"calibrated": sure, "overconfident": sure - 0.03, "deaf": np.full(n, 0.948)}[kind]
    return sure, rng.random(n) < chance


@pytest.mark.parametrize("kind", ["calibrated", "overconfident", "deaf"])
@pytest.mark.parametrize("n", [300, 2000])
def test_of_twenty_validation_splits_nineteen_keep_the_promise(n: int, kind: str) -> None:
    sure, right = drawn(np.random.default_rng(99), 400_000, kind)  # as good as the truth
    order, rng = np.argsort(-sure), np.random.default_rng(1)
    shares = right[order].cumsum() / np.arange(1, len(order) + 1)
    found = [fit_threshold(*drawn(rng, n, kind), 0.95) for _ in range(DRAWS)]
    given = [int((sure >= threshold).sum()) for threshold in found if threshold is not None]
    kept = DRAWS - len(given) + sum(shares[count - 1] >= 0.95 for count in given)
    assert kept >= 0.95 * DRAWS
    assert kind != "calibrated" or len(given) > DRAWS / 2  # there is something to promise


def test_a_share_is_answered_where_the_bound_of_clopper_and_pearson_says_so() -> None:
    sure, right = drawn(np.random.default_rng(2), 400, "calibrated")
    threshold = fit_threshold(sure, right, 0.9)
    assert threshold is not None
    answered = sure >= threshold
    bound = binomtest(int(right[answered].sum()), int(answered.sum()), alternative="greater").proportion_ci(1 - LEVEL)
    assert bound.low >= 0.9


@pytest.mark.parametrize("target", [0.5, 0.9, 0.95, 0.99])
def test_so_many_right_answers_are_needed(target: float) -> None:
    right = np.ones(needed(target), bool)
    assert fit_threshold(np.full(len(right), 0.8), right, target) == pytest.approx(0.8)
    assert fit_threshold(np.full(len(right) - 1, 0.8), right[1:], target) is None


def test_images_that_are_as_sure_are_answered_alike() -> None:
    sure = np.repeat([0.9, 0.6], 300)
    right = np.concatenate([np.ones(300, bool), np.arange(300) % 2 == 0])
    found = rejection(0.95, (sure, right), (sure, right))
    assert (found.threshold, found.answered, found.right) == (pytest.approx(0.9), 300, 300)


def test_one_wrong_image_at_the_top_does_not_end_it() -> None:
    sure, right = np.linspace(1, 0.5, 1000), np.arange(1000) > 0
    assert fit_threshold(sure, right, 0.95) == pytest.approx(0.5)
