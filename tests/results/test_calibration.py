"""Calibration against a plain loop and against scikit-learn."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import timm
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from botzoo.results.calibration import (
    Calibration,
    calibrate,
    expected_calibration_error,
    fit_temperature,
    write_temperature,
)
from running import write_teacher


def draw(n: int, classes: int, sharpness: float, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return log-probabilities that are ``sharpness`` times as sure as the labels drawn from them allow."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes))
    share = np.exp(log_softmax(logits, 1))
    labels = (share.cumsum(1) > rng.random((n, 1))).argmax(1)
    return log_softmax(sharpness * logits, 1), labels


def plain_ece(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int) -> float:
    total = 0.0
    for m in range(bins):
        inside = [i for i, c in enumerate(confidence) if m / bins < c <= (m + 1) / bins]
        if inside:
            accuracy = sum(correct[i] for i in inside) / len(inside)
            mean = sum(confidence[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_ece_is_that_of_a_plain_loop(bins: int) -> None:
    rng = np.random.default_rng(1)
    confidence, correct = rng.uniform(0.01, 1, 500), rng.random(500) < 0.6
    assert expected_calibration_error(confidence, correct, bins) == pytest.approx(plain_ece(confidence, correct, bins))


def test_certainty_is_in_the_last_bin() -> None:
    assert expected_calibration_error(np.ones(4, np.float32), np.array([True, True, True, False])) == 0.25


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 2.5])
def test_the_temperature_is_that_of_logistic_regression(sharpness: float) -> None:
    log_p, labels = draw(2000, 2, sharpness)
    margin = (log_p[:, 1] - log_p[:, 0])[:, None]
    fitted = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8).fit(margin, labels)
    assert fit_temperature(log_p, labels) == pytest.approx(1 / fitted.coef_[0, 0], rel=1e-3)


def test_the_temperature_is_the_best_of_a_grid() -> None:
    log_p, labels = draw(3000, 7, 2.0)
    grid = np.linspace(1, 3, 401)
    losses = [-log_softmax(log_p / t, 1)[np.arange(3000), labels].mean() for t in grid]
    assert fit_temperature(log_p, labels) == pytest.approx(grid[np.argmin(losses)], abs=0.006)


def test_half_precision_suffices() -> None:
    log_p, labels = draw(3000, 7, 3.0)
    assert fit_temperature(log_p.astype(np.float16), labels) == pytest.approx(fit_temperature(log_p, labels), rel=1e-3)


def test_a_temperature_fitted_elsewhere_mends_overconfidence() -> None:
    (log_p, labels), held_out = draw(5000, 5, 3.0), draw(5000, 5, 3.0, seed=1)
    found = calibrate(np.exp(log_p.max(1)), log_p.argmax(1) == labels, log_p, labels, held_out)
    assert found.temperature == pytest.approx(3, rel=0.1)
    assert found.before > 0.15 > 0.03 > (found.after or 1)
    assert not found.cross_fitted


def test_no_image_is_judged_by_a_temperature_that_it_helped_to_fit() -> None:
    """With labels drawn at random no temperature is good; one fitted on the same images would look a little better."""
    log_p, labels = draw(40, 3, 1.0)
    found = calibrate(np.exp(log_p.max(1)), log_p.argmax(1) == labels, log_p, labels)
    fold = np.random.default_rng(0).permutation(40) % 5
    expected = np.empty(40)
    for k in range(5):
        z = log_p[fold == k] / fit_temperature(log_p[fold != k], labels[fold != k])
        expected[fold == k] = np.exp(log_softmax(z, 1).max(1))
    assert found.cross_fitted
    assert found.after == pytest.approx(expected_calibration_error(expected, log_p.argmax(1) == labels))


@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize("elsewhere", [True, False])
def test_where_all_answers_are_right_no_temperature_is_best(elsewhere: bool, wrong: int) -> None:
    log_p, _ = draw(50, 3, 1.0)
    labels = log_p.argmax(1)
    held_out = (log_p, labels.copy()) if elsewhere else None
    labels[:wrong] = log_p[:wrong].argmin(1)  # the other folds are still all right
    found = calibrate(np.exp(log_p.max(1)), log_p.argmax(1) == labels, log_p, labels, held_out)
    assert (found.after, found.temperature, found.endless) == (None, None, True)


def test_what_was_not_kept_gives_no_temperature() -> None:
    found = calibrate(np.full(20, 0.5), np.arange(20) < 10, None, np.zeros(20, int))
    assert (found.before, found.after, found.temperature) == (0, None, None)


def test_the_gain_is_in_nats() -> None:
    log_p, labels = draw(400, 5, 3.0)
    found = calibrate(
        np.exp(log_p.max(1)), log_p.argmax(1) == labels, log_p, labels, held_out=draw(400, 5, 3.0, seed=1)
    )
    assert found.temperature is not None
    nll = [-log_softmax(log_p / t, 1)[np.arange(400), labels].mean() for t in (1, found.temperature)]
    assert found.nll_gain == pytest.approx(nll[0] - nll[1])
    assert found.kept == float(f"{found.temperature:.3g}")


@pytest.mark.parametrize(
    ("after", "gain", "images", "kept"),
    [
        (0.04, 0.01, 200, 1.23),
        (0.04, 0.01, 190, None),
        (0.05, 0.1, 900, None),
        (0.04, 0, 900, None),
        (None, None, 900, None),
    ],
)
def test_a_temperature_is_kept_where_it_helps(
    after: float | None, gain: float | None, images: int, kept: float | None
) -> None:
    assert Calibration(0.05, after, 1.2345, nll_gain=gain, images=images).kept == kept


@pytest.mark.parametrize("images", [12, 40, 150, 1000])
def test_what_needs_no_temperature_rarely_gets_one(images: int) -> None:
    kept = 0
    for seed in range(20):
        log_p, labels = draw(images, 4, 1.0, seed)
        kept += calibrate(np.exp(log_p.max(1)), log_p.argmax(1) == labels, log_p, labels).kept is not None
    assert kept <= 2


@pytest.mark.parametrize(("images", "said"), [(20, True), (20_000, False)])
def test_the_error_of_few_images_is_told_from_chance(images: int, said: bool) -> None:
    log_p, labels = draw(images, 5, 2.0)
    found = calibrate(np.exp(log_p.max(1)), log_p.argmax(1) == labels, None, labels)
    assert ("by chance" in found.doubt) == said


def test_timm_and_transformers_pass_over_a_temperature(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    before = json.loads((write_teacher(tmp_path) / "config.json").read_text())
    write_temperature(tmp_path, 0.885)
    assert json.loads((tmp_path / "config.json").read_text()) == before | {"calibration": {"temperature": 0.885}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
        config = transformers.AutoConfig.from_pretrained(tmp_path)
        config.save_pretrained(tmp_path / "again")
    assert model.pretrained_cfg["label_names"] == before["label_names"]
    assert json.loads((tmp_path / "again" / "config.json").read_text())["calibration"] == {"temperature": 0.885}
