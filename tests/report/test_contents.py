"""What stands on the page, against scikit-learn and against cases with a known answer."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from botzoo.report import figures
from botzoo.report.advice import advice
from botzoo.report.embedding import MAPPED, chosen, doubtful, flattened
from botzoo.report.figures import class_rows
from botzoo.report.material import Originals
from botzoo.report.mistakes import Album, matrix_of, most_confused, pairs_of, worst
from botzoo.results.calibration import expected_calibration_error, reliability
from botzoo.tasks.classification import wilson
from recorded import a_record, answers, evaluation


def lines(losses: list[float], figures: list[float]) -> tuple[dict[str, Any], ...]:
    """Return metrics.jsonl of a run with these validation losses and accuracies after its epochs."""
    found: list[dict[str, Any]] = [{"step": 0, "split": "train", "loss": 0.9, "lr": 0.1}]
    for k, (loss, top1) in enumerate(zip(losses, figures, strict=True), 1):
        found.append({"step": 10 * k, "split": "validation", "epoch": k, "loss": loss, "top1": top1})
    return tuple(found)


@pytest.mark.parametrize("classes", [2, 7, 60])
def test_the_matrix_adds_up_to_scikit_learn_s(classes: int) -> None:
    labels, predicted = np.random.default_rng(classes).integers(0, classes, (2, 500))
    seen = evaluation(labels, predicted)
    kept = most_confused(seen, classes)
    matrix = matrix_of(seen, [str(k) for k in range(classes)], kept)
    counts = np.array([[cell.number for cell in cells] for _, _, cells in matrix.rows])
    expected = confusion_matrix(labels, predicted, labels=range(classes))
    assert np.array_equal(counts[: len(kept), : len(kept)], expected[np.ix_(kept, kept)])
    assert counts.sum() == 500
    assert matrix.others == classes - len(kept)


def test_the_classes_with_the_most_mistakes_have_rows_of_their_own() -> None:
    labels = np.repeat(np.arange(100), 3)
    predicted = np.where(labels < 20, (labels + 1) % 20, labels)
    assert most_confused(evaluation(labels, predicted), 100).tolist() == list(range(20))


def test_the_pairs_are_the_cells_and_mistakes_come_first() -> None:
    record = a_record(seen=answers(wrong=4))
    pairs = pairs_of(Album(record, Originals()), np.arange(6))
    assert sum(pair.number for pair in pairs) == 120
    assert [pair.label == pair.answer for pair in pairs] == [False] * 6 + [True] * 6


def test_the_gallery_has_wrong_answers_only_the_largest_loss_first() -> None:
    seen = answers()
    seen = replace(seen, nll=np.random.default_rng(0).random(120).astype(np.float32))
    rows = worst(a_record(seen=seen))
    assert (seen.labels[rows] != seen.predicted[rows]).all()
    assert seen.nll[rows].tolist() == sorted(seen.nll[rows].tolist(), reverse=True)


def test_the_bins_of_reliability_make_the_calibration_error() -> None:
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(300).astype(np.float32), rng.random(300) < 0.6
    bins = reliability(confidence, correct)
    error = sum(each.images * abs(each.right - each.confidence) for each in bins) / 300
    assert error == pytest.approx(expected_calibration_error(confidence, correct))


def test_recall_and_precision_have_wilson_s_interval() -> None:
    (row, *_), left_out = class_rows(a_record(seen=answers(wrong=4)))
    assert left_out == 0
    assert row.figures.intervals == {"recall": wilson(16, 20), "precision": wilson(16, 20)}
    assert row.trained == 100


@pytest.mark.parametrize(("most", "left_out"), [(6, 0), (4, 2)])
def test_of_many_classes_the_worst_are_listed(most: int, left_out: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "CLASSES", most)
    rows, others = class_rows(a_record())
    assert (len(rows), others) == (most, left_out)


CASES = {
    "told apart: 12 of 12 mistakes": {"seen": evaluation([0] * 20 + [1] * 20, [0] * 14 + [1] * 6 + [1] * 14 + [0] * 6)},
    "with few, such as 'ant' (10 beside 100": {
        "seen": evaluation([0] * 10 + [1] * 50, [1] * 9 + [0] + [1] * 49 + [2]),
        "data": {"class_counts": [10, *[100] * 5]},
    },
    "rose from 0.500 in epoch 2 to 0.900": {"history": lines([0.8, 0.5, 0.9], [60, 70, 69])},
    "still gained 4.00 points": {"history": lines([0.8, 0.5, 0.4], [60, 70, 74])},
}


@pytest.mark.parametrize("words", CASES)
def test_what_would_help_is_said_with_its_evidence(words: str) -> None:
    given = CASES[words]
    assert words in " ".join(each.sentence for each in advice(a_record(**given)))


def test_a_run_without_mistakes_may_still_be_judged_by_more_images() -> None:
    few, many = (
        replace(seen, confidence=np.full(len(seen), 0.99, np.float32))
        for seen in (answers(wrong=0), answers(each=500, wrong=0))
    )
    assert [each.sentence.split(":")[0] for each in advice(a_record(seen=few))] == ["More labelled images to judge by"]
    assert advice(a_record(seen=many)) == []


def test_suspected_labels_are_those_among_images_of_another_class() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 20)
    values = (np.eye(8)[truth] * 5 + rng.normal(0, 0.1, (40, 8))).astype(np.float32)
    labels = truth.copy()
    labels[[3, 25]] = 1 - labels[[3, 25]]
    nll = np.where(labels == truth, 0.1, 4.0).astype(np.float32)
    found = doubtful(values, replace(evaluation(labels, truth), nll=nll), np.arange(40))
    assert np.flatnonzero(found).tolist() == [3, 25]


@pytest.mark.parametrize("images", [3, 29, MAPPED, 5_000])
def test_the_map_has_the_worst_images_and_a_bounded_number(images: int) -> None:
    loss = np.random.default_rng(0).random(images).astype(np.float32)
    rows = chosen(loss)
    assert len(np.unique(rows)) == len(rows) == min(images, MAPPED)
    assert set(np.argsort(-loss)[: min(images, MAPPED) // 4]) <= set(rows.tolist())


@pytest.mark.parametrize("images", [3, 40])
def test_what_is_alike_lies_together_on_the_map(images: int) -> None:
    side = np.arange(images) % 2
    values = (np.eye(16)[side] * 9 + np.random.default_rng(0).normal(0, 0.1, (images, 16))).astype(np.float32)
    places, _ = flattened(values)
    near = np.linalg.norm(places[0] - places[2])
    assert places.shape == (images, 2)
    assert near < np.linalg.norm(places[0] - places[1])
