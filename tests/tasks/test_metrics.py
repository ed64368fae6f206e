"""Metrics against scikit-learn, and their intervals against scipy's bootstrap."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as theirs

from botzoo.tasks.classification import CLASSIFICATION, Evaluation, wilson
from botzoo.tasks.metrics.metric import criterion, measured, value_of
from botzoo.tasks.metrics.of_classes import CLASS_METRICS
from botzoo.tasks.metrics.of_labels import LABEL_METRICS
from botzoo.tasks.metrics.resampling import resamples
from botzoo.tasks.multi_label import MultiLabelEvaluation

OURS = {metric.name: metric for metric in CLASS_METRICS}
OF_LABELS = {metric.name: metric for metric in LABEL_METRICS}


def a_split(n: int, classes: int, seed: int = 0, groups: Any = None) -> Evaluation:
    """Return answers that are often right and as often sure, some images ranking alike; every class has an image."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    logits = rng.normal(0, 1, (n, classes)).round(1) + 1.5 * np.eye(classes)[labels]
    log_p = (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float16)
    nll = -log_p[np.arange(n), labels].astype(np.float32)
    sure = np.exp(log_p.max(1).astype(np.float32))
    return Evaluation(labels, log_p.argmax(1), np.ones(n, bool), nll, sure, log_p, groups)


def one_against_rest(of: Any, seen: Evaluation) -> float:
    assert seen.log_p is not None
    return float(np.mean([of(seen.labels == k, seen.log_p[:, k]) for k in np.unique(seen.labels)]))


ORACLES: dict[str, Any] = {
    "balanced-accuracy": lambda s: theirs.balanced_accuracy_score(s.labels, s.predicted),
    "macro-f1": lambda s: theirs.f1_score(s.labels, s.predicted, average="macro"),
    "roc-auc": lambda s: one_against_rest(theirs.roc_auc_score, s),
    "average-precision": lambda s: one_against_rest(theirs.average_precision_score, s),
    "kappa": lambda s: theirs.cohen_kappa_score(s.labels, s.predicted),
    "quadratic-kappa": lambda s: theirs.cohen_kappa_score(
        s.labels, s.predicted, weights="quadratic", labels=range(s.log_p.shape[1])
    ),
    "log-loss": lambda s: np.mean(s.nll) / 100,
}


@pytest.mark.parametrize(("n", "classes"), [(40, 2), (60, 3), (300, 11)])
@pytest.mark.parametrize("name", OURS)
def test_each_metric_is_scikit_learns(name: str, n: int, classes: int) -> None:
    seen = a_split(n, classes, seed=n)
    assert value_of(OURS[name], seen) == pytest.approx(100 * ORACLES[name](seen), rel=1e-6)


def test_what_several_ask_for_is_measured_once() -> None:
    asked = iter([np.ones(1)])
    metric, seen = OURS["roc-auc"]._replace(of=lambda weighted: next(asked)), a_split(20, 2)
    assert [value_of(metric, seen) for _ in range(2)] == [1, 1]


@pytest.mark.parametrize("name", ["macro-f1", "kappa", "roc-auc", "average-precision"])
def test_an_answer_may_be_a_class_without_images(name: str) -> None:
    seen = a_split(60, 4)
    seen = _rows(seen, np.flatnonzero(seen.labels != 2))
    assert 2 in seen.predicted
    assert value_of(OURS[name], seen) == pytest.approx(100 * ORACLES[name](seen), rel=1e-6)


def test_binary_auc_and_log_loss_are_scikit_learns() -> None:
    seen = a_split(80, 2)
    assert seen.log_p is not None
    shares = np.exp(seen.log_p.astype(np.float64))
    assert value_of(OURS["roc-auc"], seen) == pytest.approx(
        100 * theirs.roc_auc_score(seen.labels, shares[:, 1]), abs=0.1
    )
    shares /= shares.sum(1, keepdims=True)
    assert value_of(OURS["log-loss"], seen) == pytest.approx(theirs.log_loss(seen.labels, shares), abs=1e-3)


@pytest.mark.parametrize("name", OURS)
def test_a_resample_is_as_good_as_its_images(name: str) -> None:
    """Images that are drawn twice count twice, those that are not drawn count for nothing."""
    seen = a_split(50, 4)
    times = np.concatenate([*resamples(50, 8)])
    found = OURS[name].of(seen.weighted(times))
    for row, value in zip(times, found, strict=True):
        assert value_of(OURS[name], _rows(seen, np.repeat(np.arange(50), row))) == pytest.approx(value), name


def _rows(seen: Evaluation, rows: Any) -> Evaluation:
    kept = (seen.labels, seen.predicted, seen.in_top5, seen.nll, seen.confidence, seen.log_p)
    return Evaluation(*(column[rows] for column in kept if column is not None))


LABELS = np.random.default_rng(3).integers(0, 2, (60, 5)).astype(np.uint8)
LOGITS = (np.random.default_rng(4).normal(0, 1, (60, 5)) + LABELS).astype(np.float32).round(1)
SEVERAL = MultiLabelEvaluation(LABELS, LOGITS, np.random.default_rng(5).random(60).astype(np.float32))


@pytest.mark.parametrize("weights", [None, next(resamples(60, 1))])
def test_metrics_of_several_labels_are_scikit_learns(weights: Any) -> None:
    given, how = LOGITS > 0, {"sample_weight": None if weights is None else weights[0]}
    expected = {
        "macro-f1": theirs.f1_score(LABELS, given, average="macro", **how),
        "micro-f1": theirs.f1_score(LABELS, given, average="micro", **how),
        "roc-auc": theirs.roc_auc_score(LABELS, LOGITS, average="macro", **how),
        "log-loss": np.average(SEVERAL.nll, weights=how["sample_weight"]) / 100,
    }
    assert {name: OF_LABELS[name].of(SEVERAL.weighted(weights))[0] / 100 for name in OF_LABELS} == pytest.approx(
        expected
    )


@pytest.mark.parametrize("name", ["balanced-accuracy", "log-loss", "roc-auc"])
def test_the_interval_is_that_of_scipys_bootstrap(name: str) -> None:
    seen = a_split(120, 3)
    (found,) = measured([OURS[name]], seen, 3)
    expected = stats.bootstrap(
        (np.arange(120),),
        lambda rows: value_of(OURS[name], _rows(seen, rows)),
        vectorized=False,
        method="percentile",
        n_resamples=400,
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = expected.high - expected.low
    np.testing.assert_allclose((found.low, found.high), (expected.low, expected.high), atol=0.15 * width)


def test_where_images_come_in_groups_the_interval_is_that_of_the_groups() -> None:
    """Nine copies of each image are no more evidence than one."""
    seen, copies = a_split(60, 3), np.repeat(np.arange(60), 9)
    grouped = measured(CLASS_METRICS[:2], replace(_rows(seen, copies), groups=copies), 3)
    alone = measured(CLASS_METRICS[:2], seen, 3)
    assert [m[1:] for m in grouped] == [pytest.approx(m[1:]) for m in alone]


def test_the_headline_too_is_of_groups_where_there_are_any() -> None:
    seen, copies = a_split(60, 3), np.repeat(np.arange(60), 9)
    nine = _rows(seen, copies)
    grouped = replace(nine, groups=copies)
    (low, high), (narrow, _), (own, _) = grouped.interval(), nine.interval(), seen.interval()
    assert low < grouped.top1 < high
    assert abs(low - own) < 3 < narrow - low


def test_groups_that_are_all_right_count_as_one_image_each() -> None:
    right = np.zeros(40, int)
    seen = Evaluation(right, right, right == 0, right.astype(np.float32), right + 1, None, np.arange(40) // 8)
    assert seen.interval() == wilson(5, 5)


def test_what_is_not_defined_is_left_out() -> None:
    seen = _rows(a_split(60, 3), np.zeros(9, int))
    assert {m.metric.name for m in measured(CLASS_METRICS, seen, 3)} & {"roc-auc", "kappa"} == set()


def test_few_resamples_give_the_interval_of_a_normal_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, auc = a_split(300, 3), [OURS["roc-auc"]]
    (many,) = measured(auc, seen, 3)
    monkeypatch.setattr("botzoo.tasks.metrics.metric.WORK", 1)
    (few,) = measured(auc, seen, 3)
    assert (many.resamples, few.resamples) == (1000, 25)
    assert few.high - few.low == pytest.approx(many.high - many.low, rel=0.4)


def test_of_log_loss_the_lowest_is_the_best() -> None:
    seen = a_split(30, 3)
    by = criterion(CLASSIFICATION, "log-loss")
    assert by.points(by.of(seen)) == pytest.approx(-seen.loss)
