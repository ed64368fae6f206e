"""Intersection over union and pixel accuracy against scikit-learn and resamples that are made for real."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from botzoo.sources.targets.coding import IGNORED
from botzoo.tasks.metrics.dense.regions import (
    confusion,
    counts_of,
    intersection_over_union,
    mean_iou,
    pixel_accuracy,
    resampled_iou,
)
from botzoo.tasks.metrics.dense.resampling import resamples

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


def test_nothing_but_ignored_pixels_has_no_figure() -> None:
    assert np.isnan(mean_iou(counts_of(confusion(np.full(4, IGNORED, np.uint8), np.zeros(4, int), 3))))


def test_a_resample_is_what_these_images_have() -> None:
    true, said = masks(2)
    counts = np.stack([counts_of(confusion(*pair, K)) for pair in zip(true, said, strict=True)])
    again = np.repeat(np.arange(len(true)), next(resamples(len(true))))
    assert resampled_iou(counts)[0] == pytest.approx(mean_iou(counts_of(confusion(true[again], said[again], K))))
