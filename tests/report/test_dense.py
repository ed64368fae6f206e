"""The page of detectors and of networks for segmentation."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from botzoo.errors import DataError
from botzoo.report import compare
from botzoo.report.advice import advice
from botzoo.report.dense import WORST, folded, most_confused
from botzoo.report.material import Material, Originals
from botzoo.report.page import page
from botzoo.report.view import FinishedRun
from botzoo.results.record import RunRecord
from botzoo.results.words import dense_words
from botzoo.tasks.metrics.dense import resampling
from reading import HOSTILE, Reader
from recorded import a_record, found_boxes, told_pixels

SEEN: dict[str, Any] = {"detection": found_boxes, "segmentation": told_pixels}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many there are changes nothing but the time."""
    monkeypatch.setattr(resampling, "RESAMPLES", 40)


def a_dense_record(task: str, names: tuple[str, ...] = ("ant", "bee", "cat", "dog"), **more: Any) -> RunRecord:
    seen = more.pop("seen", None) or SEEN[task]()
    return a_record(
        names=names, seen=seen, task=task, input={"crop_mode": "border"}, data={"class_counts": None}, **more
    )


def greys(count: int) -> Originals:
    """Grey pictures with masks, of which those from ``count`` on are gone."""

    @contextmanager
    def opened(i: int) -> Iterator[Image.Image]:
        if i >= count:
            raise DataError("it is gone")
        yield Image.new("RGB", (30, 20), (90, 90, 90))

    return Originals(opened, target=lambda i: np.full((20, 30), i % 3, np.uint8))


@pytest.mark.parametrize("task", SEEN)
def test_the_page_has_the_worst_answers_the_matrix_and_the_classes(task: str) -> None:
    record = a_dense_record(task)
    found = Reader(page(record, Material(greys(8))))
    wrong = int((dense_words(record).losses(record.evaluation) > 0).sum())
    assert f"All {wrong} answers with faults" in found.text
    assert found.tags["img"] == wrong * (
        1 if task == "segmentation" else 2
    )  # without a network there is no mask to show
    for words in ("Confusion matrix", "ant", f"{record.evaluation.score:.2f} %", "bootstrap resamples"):
        assert words in found.text, words


@pytest.mark.parametrize("task", SEEN)
def test_the_page_has_nothing_that_makes_no_sense_there(task: str) -> None:
    text = Reader(page(a_dense_record(task), Material(greys(8)))).text
    for word in ("Reliability", "Map of the images", "Labels to look at", "Wilson", "LayerCAM", "nan"):
        assert word not in text, word


@pytest.mark.parametrize("task", SEEN)
def test_names_of_strangers_are_text_on_the_page(task: str) -> None:
    record = a_dense_record(task, tuple(HOSTILE[:4]))
    record = replace(record, image_names=[HOSTILE[k % 5] for k in range(8)])
    text = page(record, Material(greys(8)))
    assert "<script>alert" not in text
    assert "onerror" not in Reader(text).text or "<img src=x" not in text
    assert "\u202e" not in text


def test_pictures_that_are_gone_have_frames() -> None:
    record = a_dense_record("detection")
    found = Reader(page(record, Material(greys(3))))
    assert "not shown" in found.text
    assert "can no longer be read" in found.text


@pytest.mark.slow
def test_a_page_of_many_classes_and_images_stays_small() -> None:
    names = tuple(f"class number {k}" for k in range(200))
    seen = told_pixels(100, 200)
    text = page(a_dense_record("segmentation", names, seen=seen), Material(greys(100)))
    assert len(text) < 2_000_000
    assert Reader(text).tags["img"] == WORST


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("classes", [3, 30])
def test_folding_loses_no_count_and_keeps_what_is_no_class_last(classes: int, more: int) -> None:
    counts = np.random.default_rng(0).integers(0, 9, (classes + more, classes + more))
    kept = most_confused(counts[:classes, :classes])
    found = folded(counts, kept, classes)
    assert found.sum() == counts.sum()
    assert len(found) == min(classes, 20) + (classes > 20) + more
    assert not more or found[-1, -1] == counts[-1, -1]


def test_hints_name_the_commonest_confusion() -> None:
    seen = told_pixels()
    matrices = np.zeros_like(seen.matrices)
    matrices[:, 0, 2] = 100
    record = a_dense_record("segmentation", seen=type(seen)(seen.counts, seen.nll, matrices))
    assert any("'ant' and 'cat' can be told apart: 100%" in each.sentence for each in advice(record))


@pytest.mark.parametrize("task", SEEN)
def test_runs_on_other_targets_are_not_compared(task: str) -> None:
    first, second = (a_dense_record(task, seen=SEEN[task](seed=seed)) for seed in (0, 1))
    with pytest.raises(DataError, match="other data sets"):
        compare.compare([first, second])


@pytest.mark.parametrize("task", SEEN)
def test_the_comparison_has_a_page(task: str, tmp_path: Path) -> None:
    records = [a_dense_record(task, name=name, folder=tmp_path) for name in ("one", "two")]
    text = Reader(compare.page(compare.compare(records), Material(Originals()))).text
    assert "no clear difference" in text
    assert "None" not in text.split("Options that differ")[0]


@pytest.mark.parametrize("task", SEEN)
def test_python_has_the_worst_images_and_the_confusions(task: str) -> None:
    run = FinishedRun(a_dense_record(task))
    losses = [mistake.loss for mistake in run.worst(5)]
    assert losses == sorted(losses, reverse=True)
    assert run.confusion().shape == ((4, 4) if task == "segmentation" else (5, 5))
    assert [f.name for f in run.per_class()] == ["ant", "bee", "cat"]
    with pytest.raises(DataError, match="confusion"):
        run.plot_confusion()
    with pytest.raises(DataError, match="Reliability"):
        run.plot_reliability()
