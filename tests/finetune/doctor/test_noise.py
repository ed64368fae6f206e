"""How many labels are wrong, and which."""

import numpy as np
import pytest

from botzoo_finetune.doctor.labels import MOST, label_noise, ways


def drawn(images: int, share: float, classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities, labels drawn from them, and which of these were then replaced by another."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.15), images)
    p = (p + 1e-4) / (p + 1e-4).sum(1, keepdims=True)
    labels = (p.cumsum(1) > rng.random((images, 1))).argmax(1)
    wrong = rng.random(images) < share
    return p, np.where(wrong, (labels + rng.integers(1, classes, images)) % classes, labels), wrong


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
def test_the_share_of_wrong_labels_is_found(share: float) -> None:
    p, labels, _ = drawn(4000, share)
    assert label_noise(p, labels)[0] == pytest.approx(share, abs=0.02)


def test_as_many_are_wrong_as_their_probabilities_say() -> None:
    p, labels, wrong = drawn(4000, 0.1)
    found = label_noise(p, labels)[1]
    surest = found > 0.5
    assert wrong[surest].mean() == pytest.approx(found[surest].mean(), abs=0.05)
    assert found.sum() == pytest.approx(wrong.sum(), rel=0.15)


def test_labels_without_noise_are_not_suspected() -> None:
    suspected = [label_noise(*drawn(500, 0.0, seed=seed)[:2])[0] > 0 for seed in range(20)]
    assert sum(suspected) <= 2


def test_estimates_that_are_too_sure_are_softened() -> None:
    p, labels, _ = drawn(4000, 0.1)
    sharp = p**3 / (p**3).sum(1, keepdims=True)
    assert label_noise(sharp, labels)[0] == pytest.approx(label_noise(p, labels)[0], abs=0.005)


def test_flat_probabilities_tell_nothing() -> None:
    share, wrong = label_noise(np.full((100, 4), 0.25), np.arange(100) % 4)
    assert share == 0
    assert not wrong.any()


def test_the_ways_to_a_label_are_those_of_the_formula() -> None:
    p = np.array([[0.7, 0.2, 0.1]])
    right, mistaken = ways(np.log(p), np.array([1]), temperature=1.0, share=0.3)
    assert right == pytest.approx(0.7 * 0.2)
    assert mistaken == pytest.approx(0.3 / 2 * 0.7 + 0.3 / 2 * 0.1)


def test_no_more_than_half_of_the_labels_are_taken_to_be_wrong() -> None:
    p, labels, _ = drawn(1000, 0.8)
    assert label_noise(p, labels)[0] == pytest.approx(MOST, abs=0.01)
