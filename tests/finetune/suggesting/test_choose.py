"""Which images are chosen to be labelled next: uncertain ones, and each kind of them once."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import entropy

from botzoo_finetune.suggesting.choose import BETA, binary_uncertainty, candidates, choose, margin_uncertainty


def kinds(each: int, number: int, width: int = 16, seed: int = 0) -> NDArray[np.float32]:
    """Return features of so many kinds of images, ``each`` of every kind, kind by kind."""
    rng = np.random.default_rng(seed)
    return (np.repeat(5 * np.eye(width)[:number], each, axis=0) + rng.normal(0, 0.1, (each * number, width))).astype(
        "f"
    )


def test_the_margin_is_that_of_the_two_likeliest_classes() -> None:
    p = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [1.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(margin_uncertainty(p), [1, 0.5, 0], atol=1e-6)


def test_several_labels_are_uncertain_by_scipys_entropy() -> None:
    p = np.random.default_rng(0).uniform(0.01, 0.99, (6, 4)).astype(np.float32)
    expected = entropy(np.stack([p, 1 - p]), base=2, axis=0).mean(1)
    np.testing.assert_allclose(binary_uncertainty(p), expected, rtol=1e-4)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_a_label_that_is_sure_is_not_uncertain(p: float) -> None:
    assert binary_uncertainty(np.full((1, 3), p, np.float32))[0] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_each_kind_is_chosen_once(seed: int) -> None:
    rows, _ = choose(kinds(10, 6), np.full(60, 0.5, np.float32), 6, seed)
    assert sorted(rows // 10) == [0, 1, 2, 3, 4, 5]


def test_the_score_is_the_uncertainty_of_all_that_an_image_stands_for() -> None:
    uncertainty = np.repeat([0.1, 0.3, 0.2], 10).astype(np.float32)
    rows, scores = choose(kinds(10, 3), uncertainty, 3)
    assert (rows // 10).tolist() == [1, 2, 0]
    np.testing.assert_allclose(scores, [3, 2, 1], rtol=1e-5)


def test_images_all_alike_are_chosen_by_their_uncertainty() -> None:
    uncertainty = np.linspace(1, 0.1, 30).astype(np.float32)
    rows, _ = choose(np.ones((30, 8), np.float32), uncertainty, 5)
    assert len(set(rows.tolist())) == 5


def test_all_are_taken_where_more_are_wanted() -> None:
    rows, scores = choose(kinds(2, 2), np.array([0.1, 0.4, 0.3, 0.2], np.float32), 9)
    assert rows.tolist() == [1, 2, 3, 0]
    assert (np.diff(scores) <= 0).all()


def test_candidates_are_the_most_uncertain() -> None:
    uncertainty = np.random.default_rng(0).uniform(size=100).astype(np.float32)
    assert candidates(uncertainty, 3).tolist() == np.argsort(-uncertainty)[: 3 * BETA].tolist()
