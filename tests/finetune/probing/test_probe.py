"""The probe against scikit-learn, and what it says of data whose answer is known."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_iris, make_blobs
from sklearn.linear_model import LogisticRegression
from torch import nn

from botzoo_finetune.probing.probe import (
    Linear,
    Outlook,
    all_alike,
    choose_strength,
    evaluate,
    fit,
    gentle,
    outlook,
    probe,
    start_classifier,
    subset,
)


def blobs(images: int, classes: int = 4, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rows, labels = make_blobs(images, 8, centers=classes, cluster_std=4.0, random_state=seed)
    return rows.astype(np.float32), labels.astype(np.int64)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_classifier_gives_scikit_learns_probabilities(classes: int) -> None:
    rows, labels = load_iris(return_X_y=True)
    rows, labels = rows[labels < classes], labels[labels < classes]
    centred = (rows - rows.mean(0)) / np.sqrt(rows.var(0).mean())
    expected = LogisticRegression(C=0.1).fit(centred, labels).predict_proba(centred)
    found = torch.from_numpy(fit(rows, labels, classes, 0.1).logits(rows)).softmax(1)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_figures_of_an_evaluation_are_those_of_its_logits() -> None:
    found = evaluate(Linear(np.eye(3, dtype=np.float32), np.zeros(3, np.float32)), 9 * np.eye(3), np.array([0, 1, 1]))
    assert (found.predicted == [0, 1, 2]).all()
    assert found.top1 == pytest.approx(200 / 3)
    assert found.loss == pytest.approx(
        float(torch.nn.functional.cross_entropy(9 * torch.eye(3), torch.tensor([0, 1, 1])))
    )


def test_noise_asks_for_more_regularisation_than_a_clear_case() -> None:
    rows, labels = blobs(200)
    noise = np.random.default_rng(0).normal(size=(200, 64)).astype(np.float32)
    assert choose_strength(noise, labels)[0] < choose_strength(rows * 100, labels)[0]


def test_a_class_with_a_single_image_is_no_reason_not_to_cross_validate_the_others() -> None:
    rows, labels = blobs(40)
    labels[0] = 4
    assert choose_strength(rows, labels)[1] == choose_strength(rows[1:], labels[1:])[1] == 3


def test_single_images_leave_nothing_to_cross_validate() -> None:
    assert choose_strength(blobs(40)[0], np.arange(40)) == (1e-2, 0)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.r_[np.arange(39) % 3, 3], 4),  # one image in a class
        (np.arange(40) % 4, 60),  # more classes than images
        (np.arange(40), 40),  # a single image in each
        (np.zeros(40, np.int64), 2),  # none in one of two
        (np.r_[0, 2 * np.ones(39, np.int64)], 4),
    ],
    ids=["one image", "more classes", "one each", "one class", "gaps"],
)
@pytest.mark.parametrize("alike", [False, True])
def test_labels_as_odd_as_may_be_have_a_finite_probe(labels: Any, classes: int, alike: bool) -> None:
    rows = np.ones((40, 8), np.float32) if alike else np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    found = probe(rows, labels, rows, labels, classes)
    seen = outlook(found, rows, labels, rows, labels)
    start = gentle(found, rows, labels)
    assert found.linear.weight.shape == start.weight.shape == (classes, 8)
    assert np.isfinite([found.evaluation.loss, seen.knn_top1, *start.bias, *found.linear.bias]).all()


def test_a_class_without_images_is_never_the_answer_and_does_not_move_the_others() -> None:
    rows, labels = blobs(60, classes=3)
    places = np.array([0, 2, 3])
    whole, gaps = fit(rows, labels, 3, 0.1), fit(rows, places[labels], 5, 0.1)
    assert not np.isin(gaps.logits(rows).argmax(1), [1, 4]).any()
    np.testing.assert_array_equal(gaps.logits(rows)[:, places], whole.logits(rows))


@pytest.mark.parametrize(("odd", "alike"), [(None, True), (0, False), (2499, False)])
def test_rows_are_alike_where_none_differs(odd: int | None, alike: bool) -> None:
    rows = np.ones((2500, 4), np.float16)
    if odd is not None:
        rows[odd, 1] = 1.01
    rows[7, 2] += np.float16(1e-3)  # a unit of half precision
    assert all_alike(rows) is alike
    assert not all_alike(rows[:1])


def test_images_that_are_all_alike_are_guessed() -> None:
    rows, labels = np.ones((40, 8), np.float32), np.arange(40) % 4
    assert probe(rows, labels, rows, labels, 4).evaluation.top1 == 25


def test_the_start_of_fine_tuning_has_smaller_weights() -> None:
    rows, labels = blobs(200)
    found = probe(rows, labels, rows, labels, 4)
    assert np.linalg.norm(gentle(found, rows, labels).weight) < np.linalg.norm(found.linear.weight)


def test_a_part_has_every_class_in_proportion() -> None:
    labels = np.repeat([0, 1, 2], [80, 16, 1])
    assert np.bincount(labels[subset(labels, 25, seed=0)]).tolist() == [20, 4, 1]


def test_a_part_never_leaves_a_class_out() -> None:
    labels = np.repeat(np.arange(50), 3)
    assert np.bincount(labels[subset(labels, 10, seed=0)]).tolist() == [1] * 50


def test_more_images_help_as_the_curve_says() -> None:
    curve = ((100, 60.0), (200, 80.0), (400, 90.0))  # the error halves with every doubling
    assert Outlook(1, 0.0, curve, 2000).with_twice_the_images == pytest.approx(95)


@pytest.mark.parametrize("curve", [((4, 50.0), (8, 60.0)), ((4, 50.0), (8, 60.0), (16, 100.0))])
def test_a_curve_that_tells_nothing_promises_nothing(curve: tuple[tuple[int, float], ...]) -> None:
    assert Outlook(1, 0.0, curve, 2000).with_twice_the_images is None


@pytest.mark.parametrize(("images", "most"), [(20, 0.0), (60, 0.1), (400, 1.0), (10_000, 1.0)])
def test_what_more_images_bring_is_told_where_it_is_nearly_right(images: int, most: float) -> None:
    rng, sizes, told = np.random.default_rng(0), 100 * 2 ** np.arange(5), []
    error = 40 * (sizes / 100) ** -0.3  # in per cent
    for _ in range(100):
        curve = tuple(
            (n, 100 - 100 * rng.binomial(images, e / 100) / images) for n, e in zip(sizes[:4], error, strict=False)
        )
        found = Outlook(1, 0.0, curve, images).with_twice_the_images
        told += [found - curve[-1][1]] if found is not None else []
    assert len(told) <= 100 * most
    assert all(abs(gain - (error[3] - error[4])) < 3 for gain in told)


def test_the_nearest_neighbours_know_clear_cases() -> None:
    rows, labels = blobs(80)
    rows = np.eye(8, dtype=np.float32)[labels] + rows / 1000
    found = outlook(probe(rows, labels, rows, labels, 4), rows, labels, rows, labels)
    assert found.knn_top1 == 100
    assert [n for n, _ in found.curve] == [10, 20, 40, 80]


def test_a_layer_with_the_probes_weights_gives_its_logits() -> None:
    rows, labels = blobs(100)
    found, layer = fit(rows, labels, 4, 1.0), nn.Linear(8, 4)
    start_classifier(layer, found)
    torch.testing.assert_close(layer(torch.from_numpy(rows)), torch.from_numpy(found.logits(rows)))
