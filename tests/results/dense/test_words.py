"""The card and the terminal's lines of detectors and of networks for segmentation."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image

from botzoo.results.card.card import card
from botzoo.results.card.claim import claim_in_card
from botzoo.results.dense.pictures import chosen
from botzoo.results.record import RunRecord
from botzoo.results.summary import summary
from botzoo.tasks.find import task_named as dense_task
from recorded import a_record, found_boxes, told_pixels

NAMES = ("ant", "bee", "cat", "dog")
INPUT = {"crop_mode": "border", "crop_pct": 1.0, "size": 64}
SEEN: dict[str, Any] = {"detection": found_boxes, "segmentation": told_pixels}


def a_dense_record(task: str, folder: Path = Path("runs/x"), **more: Any) -> RunRecord:
    names = more.pop("names", NAMES)
    counts = {"class_counts": [100, 20, 60, 5]}
    return a_record(folder, names, SEEN[task](), task=task, input=INPUT, data=counts, **more)


@pytest.mark.parametrize("task", SEEN)
def test_the_card_claims_the_headline_figure_with_its_interval(task: str, tmp_path: Path) -> None:
    record = a_dense_record(task)
    (tmp_path / "README.md").write_text(card(record), encoding="utf-8")
    claim = claim_in_card(tmp_path / "README.md")
    assert claim is not None
    assert (claim.metric, claim.value) == (record.task.headline.metric, round(record.evaluation.score, 3))
    assert (claim.low, claim.high) == pytest.approx(record.evaluation.interval(), abs=1e-3)


@pytest.mark.parametrize(
    ("task", "pipeline"), [("detection", "object-detection"), ("segmentation", "image-segmentation")]
)
def test_the_hub_gets_the_name_it_has_for_the_task(task: str, pipeline: str) -> None:
    data = ModelCard(card(a_dense_record(task))).data
    assert [data.get(key) for key in ("library_name", "pipeline_tag")] == ["botzoo", pipeline]
    assert {result.task_type for result in data.eval_results} == {pipeline}


@pytest.mark.parametrize("task", SEEN)
def test_names_of_strangers_are_text_on_the_card(task: str) -> None:
    hostile = ("<script>alert(1)</script>", "| a | b", "![x](http://x/y.png)", "a\n# b \u202e")
    text = card(a_dense_record(task, names=hostile))
    body = text.rpartition("---\n")[2]
    assert not re.search(r"(?<!\\)<script|(?<!\\)!\[x\]\(|\u202e|^# b", body, re.M)


@pytest.mark.parametrize("task", SEEN)
def test_the_card_says_nothing_of_what_these_networks_do_not_have(task: str) -> None:
    text = card(a_dense_record(task))
    for word in ("calibration error", "top-1", "transformers import", "nan", "None"):
        assert word not in text, word


def test_the_mistakes_add_up_on_the_card() -> None:
    record = a_dense_record("detection")
    text = card(record)
    analysed = re.findall(r"^\| (?:missed|wrong class|double|misplaced|nothing there) \| ([\d,]+) \|", text, re.M)
    said = re.search(r"missed (\d+) of (\d+) objects .* (\d+) of its (\d+) boxes were wrong", text)
    assert said is not None
    assert sum(map(int, analysed)) == int(said[1]) + int(said[3])


def test_a_class_that_was_said_of_pixels_and_is_nowhere_is_named() -> None:
    seen = told_pixels()
    counts = seen.counts.copy()
    counts[:, 2, 3] += 5
    record = a_record(names=NAMES, seen=type(seen)(counts, seen.nll), task="segmentation", input=INPUT)
    assert 'No image shows "dog"' in card(record)
    assert 'No image shows "dog"' not in card(a_dense_record("segmentation"))


@pytest.mark.parametrize("task", SEEN)
def test_the_terminal_has_a_line_for_each_class_and_the_headline_figure_first(task: str) -> None:
    record = a_dense_record(task)
    lines = list(summary(record))
    assert f"{record.evaluation.score:.2f} % on 8 validation images" in lines[1]
    assert [name for name in NAMES if any(name in line for line in lines)] == ["ant", "bee", "cat"]
    assert any("botzoo predict FOLDER" in line for line in lines)


def emptied(task: str, *parts: str) -> Any:
    """Return an evaluation of which nothing was found, or also nothing is there."""
    answers = dict(SEEN[task]().answers)
    if task == "detection":
        return dense_task(task).evaluation(answers | {part: np.full_like(answers[part], -1) for part in parts})
    counts = answers["counts"].copy()
    counts[:, [{"found": 2, "true": 1}[part] for part in parts]] = counts[:, 0] = 0
    return dense_task(task).evaluation({"counts": counts, "loss": answers["loss"]})


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize(
    ("task", "parts"),
    [("segmentation", ("found",)), ("detection", ("found",)), ("detection", ("found", "true"))],
)
def test_nothing_found_and_nothing_there_have_cards_too(task: str, parts: tuple[str, ...]) -> None:
    record = a_record(names=NAMES, seen=emptied(task, *parts), task=task, input=INPUT)
    assert ("| ant | " in card(record)) == (parts == ("found",))
    assert "nan" not in "\n".join([card(record), *summary(record)])


def test_pictures_are_of_good_and_bad_answers() -> None:
    losses = np.random.default_rng(0).random(100)
    assert np.argsort(np.argsort(losses))[chosen(losses)].tolist() == [12, 37, 62, 87]
    assert chosen(np.array([0.5])) == [0]


@pytest.mark.slow
def test_a_run_keeps_the_picture_of_its_answers_for_its_card(finished_masks_run: Path) -> None:
    model = finished_masks_run / "model"
    with Image.open(model / "answers.png") as picture:
        assert picture.width > 800
    assert "(answers.png)" in (model / "README.md").read_text(encoding="utf-8")
    assert (model / "answers.png").read_bytes() == (finished_masks_run / "evaluation" / "answers.png").read_bytes()
