"""However many classes there are, what is made of answers takes memory in proportion to the answers."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from botzoo.errors import DataError
from botzoo.report.view import FinishedRun
from botzoo.results import calibration
from botzoo.results.card.beside import FILES
from botzoo.results.card.card import card
from botzoo.results.per_class import class_figures, confusions, label_figures
from botzoo.results.summary import summary
from botzoo.tasks import multi_label
from botzoo.tasks.metrics import resampling
from botzoo.tasks.multi_label import MULTI_LABEL, MultiLabelEvaluation
from botzoo_finetune.doctor import labels as noise
from botzoo_finetune.probing import probe as probes
from recorded import a_record, evaluation

pytestmark = pytest.mark.slow  # all of them together

MANY = 20_000


@contextmanager
def at_most(megabytes: float) -> Iterator[None]:
    """Fail where more memory is taken at once than so much."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1e6
    finally:
        tracemalloc.stop()


def several(images: int, classes: int, seed: int = 0) -> MultiLabelEvaluation:
    rng = np.random.default_rng(seed)
    labels = (rng.random((images, classes)) < 0.1).astype(np.uint8)
    logits = rng.normal(0, 1, labels.shape).astype(np.float32)
    return MultiLabelEvaluation(labels, logits, np.ones(images, np.float32))


MADE: dict[str, Callable[[Any, Path], object]] = {
    "card": lambda record, folder: card(record),
    "summary": lambda record, folder: list(summary(record)),
    "per class": lambda record, folder: FinishedRun(record).per_class(),
    "worst": lambda record, folder: FinishedRun(record).worst(),
    **{
        name: lambda record, folder, write=FILES[name]: write(record, folder)
        for name in ("per_class.csv", "confusion.png")
    },
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_a_run_of_many_classes_is_described_in_little_memory(make: Callable[..., object], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    config = {"architecture": "test_resnet", "model_args": {}}
    seen = evaluation(*rng.integers(0, MANY, (2, 3000)))
    record = a_record(tmp_path, tuple(f"class {k}" for k in range(MANY)), seen, config=config)
    with at_most(60):  # a byte for each pair of classes would be 400
        make(record, tmp_path / "file")


def test_a_matrix_that_is_too_large_is_refused_and_its_columns_are_named() -> None:
    run = FinishedRun(a_record(names=("a",) * 1001, seen=evaluation([0], [1])))
    assert run.confusion().sum() == 1
    with pytest.raises(DataError, match=r"of 1,001 classes is too large.* count the columns label and predicted of .*"):
        run.plot_confusion()
    with pytest.raises(DataError, match="of 5,001 classes is too large"):
        FinishedRun(a_record(names=("a",) * 5001, seen=evaluation([0], [1]))).confusion()


@pytest.mark.parametrize("seed", range(5))
def test_figures_of_classes_are_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 40))
    seen = evaluation(*rng.integers(0, classes, (2, int(rng.integers(1, 200)))))
    dense = confusion_matrix(seen.labels, seen.predicted, labels=range(classes))
    assert np.array_equal(confusions(seen, classes).toarray(), dense)
    found = class_figures(seen, [str(k) for k in range(classes)])
    assert [(f.images, f.answers) for f in found] == [
        (dense[k].sum(), dense[:, k].sum()) for k in np.unique(seen.labels)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_figures_of_labels_are_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = several(int(rng.integers(1, 100)), int(rng.integers(2, 40)), seed)
    there = np.flatnonzero(seen.labels.any(0))
    for average in ("micro", "macro"):
        expected = f1_score(seen.labels, seen.given, labels=there, average=average, zero_division=0.0)
        assert seen.f1(average) == 100 * expected  # type: ignore[arg-type]  # of two texts
    figures = label_figures(seen, [str(k) for k in range(seen.labels.shape[1])])
    shares = precision_recall_fscore_support(seen.labels, seen.given, labels=there, zero_division=0.0)
    found = [(f.precision / 100, f.recall / 100, f.f1 / 100, f.images) for f in figures]
    np.testing.assert_allclose(found, np.transpose(shares), rtol=1e-15)


def test_labels_are_evaluated_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = several(300, 800)
    monkeypatch.setattr(multi_label, "RESAMPLES", 2)
    monkeypatch.setattr(resampling, "AT_ONCE", 600)
    before = seen.interval()
    with at_most(3 * seen.logits.nbytes / 1e6):
        again = replace(seen)
        assert (again.interval(), bool(again.figures)) == (before, True)
        label_figures(again, ["a"] * 800)


def test_only_labels_that_are_named_leave_the_tensor() -> None:
    shares = torch.full((64, MANY), 0.1)
    shares[:, [3, 9]] = torch.tensor([0.6, 0.7])
    with at_most(1):
        found = MULTI_LABEL.named(shares)
    assert [[k for k, _ in row] for row in found] == [[9, 3]] * 64


@pytest.mark.parametrize("classes", [2, 7, 300, MANY])
def test_a_probe_is_evaluated_in_parts(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    linear = probes.Linear(*(rng.normal(0, 1, shape).astype(np.float32) for shape in ((classes, 4), (classes,))))
    rows, labels = rng.normal(0, 1, (50, 4)).astype(np.float32), rng.integers(0, classes, 50)
    whole = probes.evaluate(linear, rows, labels)
    monkeypatch.setattr(probes, "LOGITS", 1 << 16)
    with at_most(3):
        parts = probes.evaluate(linear, rows, labels)
    for name, column in whole.answers.items():
        np.testing.assert_allclose(parts.answers[name], column, rtol=1e-5)


@pytest.mark.parametrize("classes", [3, 5000])
def test_a_temperature_is_fitted_in_parts(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    log_p = torch.from_numpy(rng.normal(0, 3, (40, classes))).log_softmax(1).numpy().astype(np.float16)
    labels = np.where(rng.random(40) < 0.5, log_p.argmax(1), rng.integers(0, classes, 40))
    whole = calibration.fit_temperature(log_p, labels)
    monkeypatch.setattr(calibration, "LOGITS", 10_000)
    with at_most(0.5):
        assert calibration.fit_temperature(log_p, labels) == pytest.approx(whole)


def test_a_probe_takes_fewer_images_of_more_classes_and_some_of_each() -> None:
    labels = np.arange(120_000) % 4000
    assert [len(probes.fitted_on(labels, classes, 0)) for classes in (10, 1000, 4000)] == [100_000, 100_000, 25_000]
    assert len(np.unique(labels[probes.fitted_on(labels, 4000, 0)])) == 4000


def test_wrong_labels_are_weighed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "LOOKED_AT", 20_000)
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(100, 0.05), 2000)
    labels = np.where(rng.random(2000) < 0.3, rng.integers(0, 100, 2000), p.argmax(1))
    with at_most(1.2):  # all at once would be 1.6 for each of several arrays
        share, wrong = noise.label_noise(p, labels)
    assert 0.1 < share < 0.4
    assert np.corrcoef(wrong, labels != p.argmax(1))[0, 1] > 0.8
