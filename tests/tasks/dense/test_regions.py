"""Intersection over union and pixel accuracy against scikit-learn and resamples that are made for real."""

from collections.abc import Callable
from warnings import catch_warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, jaccard_score

from botzoo.sources.targets.coding import IGNORED
from botzoo.tasks.metrics.dense.regions import (
    confusion,
    counts_of,
    intersection_over_union,
    mean_accuracy,
    mean_iou,
    pixel_accuracy,
    resampled_iou,
)
from botzoo.tasks.metrics.dense.resampling import each_resample, interval

K = 5


def masks(seed: int, images: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Masks in which class 4 is not there, and what was said of them."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, K - 1, (images, 9, 7)).astype(np.uint8)
    said = np.where(rng.random(true.shape) < 0.6, true, rng.integers(0, K - seed % 2, true.shape))
    true[rng.random(true.shape) < 0.2] = IGNORED
    return true, said


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_scikit_learn(seed: int) -> None:
    true, said = masks(seed)
    pairs = true[true != IGNORED], said[true != IGNORED]
    matrix = confusion(true, said, K)
    assert np.array_equal(matrix, confusion_matrix(*pairs, labels=range(K)))
    counts = counts_of(matrix)
    assert mean_iou(counts) == pytest.approx(jaccard_score(*pairs, average="macro"))
    assert pixel_accuracy(counts) == pytest.approx(accuracy_score(*pairs))


def test_batches_add_up() -> None:
    true, said = masks(0)
    parts = [confusion(true[part], said[part], K) for part in (slice(0, 2), slice(2, 6))]
    assert np.array_equal(sum(parts), confusion(true, said, K))


def test_a_class_that_is_nowhere_has_no_figure() -> None:
    counts = counts_of(confusion(np.array([0, 1], np.uint8), np.array([0, 0]), 3))
    assert intersection_over_union(counts).tolist()[:2] == [0.5, 0]
    assert mean_iou(counts) == 0.25


def test_a_resample_is_what_these_images_have() -> None:
    true, said = masks(2)
    counts = np.stack([counts_of(confusion(*pair, K)) for pair in zip(true, said, strict=True)])
    again = np.repeat(np.arange(len(true)), next(each_resample(len(true))))
    assert resampled_iou(counts)[0] == pytest.approx(mean_iou(counts_of(confusion(true[again], said[again], K))))


@pytest.mark.parametrize("of", [mean_iou, pixel_accuracy, mean_accuracy])
def test_what_shows_nothing_has_no_figure_and_no_warning(of: Callable[..., np.ndarray]) -> None:
    true, said = masks(1)
    some = counts_of(confusion(true, said, K))
    with catch_warnings(action="error"):
        found = of(np.stack([some, np.zeros_like(some)]))
        assert np.isnan(interval(found[1:])).all()
    assert np.isnan(found).tolist() == [False, True]


def test_the_mean_accuracy_is_that_of_scikit_learn() -> None:
    true, said = masks(3)
    pairs = true[true != IGNORED], said[true != IGNORED]
    assert mean_accuracy(counts_of(confusion(true, said, K))) == pytest.approx(balanced_accuracy_score(*pairs))
