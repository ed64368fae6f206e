"""Labels that are likely wrong."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_classification

from botzoo_finetune.doctor.labels import FOLDS, Estimate, check_labels, estimate

NAMES = [f"class{k}" for k in range(4)]


def separable(images: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rows, labels = make_classification(
        images, 24, n_informative=12, n_classes=4, class_sep=3, flip_y=0, random_state=seed
    )
    return rows.astype(np.float16), labels.astype(np.int64)


def test_flipped_labels_are_found_and_few_others() -> None:
    rows, labels = (array[:400] for array in load_digits(return_X_y=True))
    flipped = np.random.default_rng(0).choice(400, 20, replace=False)
    given = labels.copy()
    given[flipped] = (labels[flipped] + 1) % 10
    found = estimate(rows, given, seed=0)
    assert found is not None
    findings = check_labels(found, given, list("0123456789"))
    hits = {f.images[0] for f in findings} & set(flipped.tolist())
    assert len(hits) >= 14
    assert len(findings) <= 1.5 * len(hits)
    assert all(f.suggested == labels[f.images[0]] for f in findings if f.images[0] in hits)


def test_suspects_are_those_that_may_well_be_wrong_worst_first() -> None:
    p = np.tile(np.array([0.1, 0.6, 0.3], np.float32), (4, 1))
    found = Estimate(p, np.ones(4, bool), 0.9, 0.9, np.array([0.4, 0.2, 0.9, 0.25]), 0.1)
    findings = check_labels(found, np.array([0, 1, 0, 2]), NAMES)
    assert [(f.images, f.suggested, f.score) for f in findings] == [((2,), 1, 0.9), ((0,), 1, 0.4)]


def test_images_that_look_like_another_class_are_not_suspect_where_labels_are_right() -> None:
    rows, labels = (array[:600] for array in load_digits(return_X_y=True))
    blurred = rows + np.random.default_rng(0).normal(0, 6, rows.shape)
    found = estimate(blurred, labels, seed=0)
    assert found is not None
    assert (found.probabilities.argmax(1) != labels).sum() > 50
    assert check_labels(found, labels, list("0123456789")) == []


def test_an_estimate_no_better_than_chance_accuses_nobody() -> None:
    labels = np.random.default_rng(2).integers(0, 4, 200)
    found = estimate(np.random.default_rng(3).normal(size=(200, 10)), labels, seed=0)
    assert found is not None
    assert not found.meaningful
    assert check_labels(found, labels, NAMES) == []


def test_accuracy_that_the_largest_class_explains_is_not_meaningful() -> None:
    labels = np.array([0] * 190 + [1] * 10)
    found = estimate(np.random.default_rng(0).normal(size=(200, 10)), labels, seed=0)
    assert found is not None
    assert found.accuracy > 0.9
    assert not found.meaningful


def test_rare_classes_are_not_estimated() -> None:
    rows, labels = separable(120)
    labels = np.where(labels == 3, 2, labels)
    labels[: FOLDS - 1] = 3
    found = estimate(rows, labels, seed=0)
    assert found is not None
    assert np.flatnonzero(~found.estimated).tolist() == [0, 1, 2, 3]
    assert not found.probabilities[:, 3].any()
    assert found.probabilities[4:].sum(1) == pytest.approx(1, abs=1e-4)


def test_one_class_with_enough_images_cannot_be_estimated() -> None:
    assert estimate(np.zeros((20, 3)), np.array([0] * 17 + [1] * 3), seed=0) is None


def test_images_that_are_all_alike_accuse_nobody() -> None:
    found = estimate(np.ones((40, 8), np.float32), np.arange(40) % 2, seed=0)
    assert found is not None
    assert not found.meaningful


def test_the_seed_decides_the_folds() -> None:
    rows, labels = separable(100)
    first, again, other = (estimate(rows, labels, seed) for seed in (0, 0, 1))
    assert first is not None
    assert again is not None
    assert other is not None
    assert np.array_equal(first.probabilities, again.probabilities)
    assert not np.array_equal(first.probabilities, other.probabilities)
