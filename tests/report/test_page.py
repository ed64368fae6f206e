"""The page: what it says is what the run's folder says, it is bounded, and it survives whatever it is given."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import log_softmax

from botzoo.errors import ConfigError, DataError
from botzoo.inference.load import load
from botzoo.report.callback import WritePage
from botzoo.report.material import Material, Originals, of_folder
from botzoo.report.page import page, write_report
from botzoo.results.record import RunRecord
from conftest import write_photos
from reading import HOSTILE, Reader
from recorded import a_record, answers, evaluation
from running import train_briefly, write_teacher


def noise(side: int = 64) -> Originals:
    """Images that no compression makes smaller."""

    @contextmanager
    def opened(i: int) -> Iterator[Image.Image]:
        yield Image.fromarray(np.random.default_rng(i).integers(0, 256, (side, side, 3), np.uint8))

    return Originals(opened)


def bare(record: RunRecord, originals: Originals | None = None) -> str:
    """Return the page of a record without network."""
    return page(record, Material(originals or Originals()))


def test_the_verdict_has_figure_and_interval(page_file: Path) -> None:
    text = Reader(page_file.read_text()).text
    assert (
        "It answers 8 of 12 validation images correctly: top-1 66.67 %, with a 95 % interval from 39.06 to 86.19 %."
        in text
    )


def test_the_other_metrics_have_their_intervals(record: RunRecord, page_file: Path) -> None:
    text = Reader(page_file.read_text()).text
    assert "Other metrics on 12 validation images" in text
    assert all(f"{m.metric.title}{m.metric.text(m.value)}{m.interval}{m.metric.says}" in text for m in record.metrics)
    assert "percentiles of 1,000 bootstrap resamples of the images" in text


def test_every_mistake_is_shown_with_what_spoke_for_it(page_file: Path) -> None:
    tags = Reader(page_file.read_text()).tags
    overlays = page_file.read_text().count('alt="What spoke for')
    assert overlays == 4
    assert tags["script"] == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_strangers_are_shown_and_never_run(name: str) -> None:
    names = ("ant", "bee", "cat", "dog", "eel", "fox")
    plain, hostile = (
        a_record(names=names),
        a_record(names=(name, *names[1:]), command=f"botzoo train --dataset '{name}'"),
    )
    hostile.image_names[:] = [f"{name}/{i}.png" for i in range(len(hostile.image_names))]
    before, after = Reader(bare(plain)), Reader(bare(hostile))
    assert after.tags == before.tags
    assert "\x1b" not in after.text


SIZES = [(1_000, 10), (1_000, 1_000), (20_000, 2), pytest.param(100_000, 1_000, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("images", "classes"), SIZES)
def test_the_page_is_bounded(images: int, classes: int) -> None:
    rng = np.random.default_rng(0)
    seen = evaluation(*rng.integers(0, classes, (2, images)))
    names = tuple(f"class of the name {k}" for k in range(classes))
    found = bare(a_record(names=names, seen=seen, data={"class_counts": [1] * classes}), noise())
    assert 100_000 < len(found) < 2_000_000


def test_what_cannot_be_pictured_is_said() -> None:
    @contextmanager
    def opened(i: int) -> Iterator[Image.Image]:
        if i % 2:
            raise OSError("gone")
        yield Image.new("RGB", (8, 8))

    found = bare(a_record(), Originals(opened))
    assert "can no longer be read: a frame stands in their place." in found
    assert "not shown" in found


@pytest.mark.parametrize(
    "seen",
    [
        evaluation([0] * 5, [0] * 5),
        evaluation([0], [1]),
        evaluation([0, 1], [1, 0]),
        replace(answers(), nll=np.full(120, np.nan, np.float32)),
        replace(answers(), log_p=np.full((120, 6), np.log(1 / 6), np.float16)),
    ],
    ids=["one class", "one image", "all wrong", "NaN", "no temperature"],
)
def test_odd_answers_have_a_page(seen: Any) -> None:
    assert "<h1>" in bare(a_record(seen=seen), noise())


def test_a_damaged_network_has_a_page_without_map(tmp_path: Path) -> None:
    model = load(write_teacher(tmp_path, classes=6))
    for tensor in model.module.parameters():
        torch.nn.init.constant_(tensor, torch.nan)
    found = page(a_record(), Material(noise(), model=model))
    assert "Worst mistakes" in found
    assert 'id="map"' not in found


def test_a_temperature_that_is_fitted_for_the_page_alone_is_not_said_to_be_kept() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (300, 6))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)  # with the probabilities that the logits say
    log_p = log_softmax(3 * logits, 1)
    sure = np.exp(log_p.max(1)).astype(np.float32)
    seen = replace(evaluation(labels, logits.argmax(1)), confidence=sure, log_p=log_p.astype(np.float16))
    found = a_record(seen=seen)
    assert found.calibration is not None
    kept = a_record(seen=seen, config={"calibration": {"temperature": found.calibration.kept}})
    assert ["kept in config.json" in bare(record) for record in (found, kept)] == [False, True]
    assert ["divide the logits by" in bare(record) for record in (found, kept)] == [False, True]


def test_several_labels_have_no_matrix_and_no_filter(finished_multi_label_run: Path) -> None:
    record = RunRecord.load(finished_multi_label_run)
    found = page(record, of_folder(record))
    assert "It gives 3 labels to 12 validation images: mAP" in found
    assert 'id="confusion"' not in found
    assert 'id="filter"' not in found
    assert found.count("What spoke for") == min(24, found.count('data-pair=""')) > 0


def test_a_file_that_is_no_report_is_left_alone(record: RunRecord, tmp_path: Path) -> None:
    mine = tmp_path / "mine.html"
    mine.write_text("my own")
    with pytest.raises(ConfigError, match="no report: give another name, or --overwrite"):
        write_report(record, mine, Material(Originals()))
    assert mine.read_text() == "my own"
    write_report(record, mine, Material(Originals()), overwrite=True)
    write_report(record, mine, Material(Originals()))  # it is a report by now


def test_images_that_have_moved_are_found_where_they_are_now(record: RunRecord, photos: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.symlink_to(photos)
    away = replace(record, options=record.options | {"dataset": str(tmp_path / "gone")})
    assert "Say where they are with --data" in " ".join(of_folder(away).absent)
    assert of_folder(away, str(moved)).evaluated.picture(3) is not None


def test_a_data_set_without_the_images_is_refused(record: RunRecord, tmp_path: Path) -> None:
    record = replace(record, image_names=[f"no/{name}" for name in record.image_names])
    other = write_photos(tmp_path / "other", classes=3, each=2)
    with pytest.raises(DataError, match=r"has none of the 12 images that were evaluated, such as 'no/"):
        of_folder(record, str(other))


def test_a_page_that_fails_does_not_fail_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        is_main, folder = True, tmp_path

    WritePage().on_finish(Broken())
    assert "report.html was not written" in caplog.text


@pytest.mark.slow
def test_a_run_ends_with_the_page_that_the_command_writes(photos: Path, tmp_path: Path) -> None:
    folder = train_briefly(photos, tmp_path / "run", epochs=1, report=True)
    written, record = (folder / "report.html").read_text(), RunRecord.load(folder)
    again = page(record, of_folder(record))
    assert Reader(written).text.split() == Reader(again).text.split()
    assert Reader(written).tags == Reader(again).tags


def test_a_history_with_nan_is_drawn_without_it() -> None:
    lines = [{"step": k, "split": "train", "loss": float("nan") if k == 2 else 1.0, "lr": 0.1} for k in range(1, 4)]
    found = bare(a_record(history=tuple(lines)))
    assert "nan" not in found.lower()
