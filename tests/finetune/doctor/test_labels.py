"""Labels that are likely wrong."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_classification

from botzoo_finetune.doctor.labels import FOLDS, MARGIN, Estimate, check_labels, estimate, thresholds

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
    assert len(findings) <= len(hits) + 2
    assert all(f.suggested == labels[f.images[0]] for f in findings if f.images[0] in hits)


def test_suspects_are_those_of_the_definition_worst_first() -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.full(4, 0.3), 400).astype(np.float32)
    labels = np.where(rng.random(400) < 0.8, p.argmax(1), rng.integers(0, 4, 400))
    findings = check_labels(Estimate(p, np.ones(400, bool), 0.9, 0.9), labels, NAMES)
    t = [p[labels == k, k].mean() for k in range(4)]
    margins, doubtful = {}, 0
    for i, y in enumerate(labels.tolist()):
        k = max((k for k in range(4) if k != y), key=lambda k: p[i, k])
        if p[i, y] - p[i, k] <= -MARGIN:
            doubtful += 1
            margins |= {i: float(p[i, y] - p[i, k])} if p[i, k] >= t[k] else {}
    assert [f.images[0] for f in findings] == sorted(margins, key=margins.__getitem__)
    assert 10 < len(findings) < doubtful


def test_thresholds_are_mean_probabilities_of_the_labelled() -> None:
    own, given = np.array([0.2, 0.4, 0.9], np.float32), np.array([0, 0, 2])
    assert thresholds(own, given, 3).tolist() == pytest.approx([0.3, np.inf, 0.9])


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


def test_rare_classes_are_not_judged() -> None:
    rows, labels = separable(120)
    labels = np.where(labels == 3, 2, labels)
    labels[: FOLDS - 1] = 3
    found = estimate(rows, labels, seed=0)
    assert found is not None
    assert np.flatnonzero(~found.judged).tolist() == [0, 1, 2, 3]
    assert not found.probabilities[:, 3].any()
    assert found.probabilities[4:].sum(1) == pytest.approx(1, abs=1e-4)


def test_one_class_with_enough_images_cannot_be_judged() -> None:
    assert estimate(np.zeros((20, 3)), np.array([0] * 17 + [1] * 3), seed=0) is None


def test_the_seed_decides_the_folds() -> None:
    rows, labels = separable(100)
    first, again, other = (estimate(rows, labels, seed) for seed in (0, 0, 1))
    assert first is not None
    assert again is not None
    assert other is not None
    assert np.array_equal(first.probabilities, again.probabilities)
    assert not np.array_equal(first.probabilities, other.probabilities)
