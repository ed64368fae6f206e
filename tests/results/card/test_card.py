"""The model card and the summary, of records made of plain values and of a run that took place."""

import csv
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import EvalResult, ModelCard
from PIL import Image

from botzoo.errors import ConfigError
from botzoo.models.licence import combined_license
from botzoo.report.view import FinishedRun
from botzoo.results.calibration import Calibration, fit_temperature
from botzoo.results.card.card import card as card_text
from botzoo.results.card.sections import without_folders
from botzoo.results.classification import sureness
from botzoo.results.per_class import class_figures
from botzoo.results.record import RunRecord
from botzoo.results.report import describe
from botzoo.results.summary import class_table, summary
from botzoo.tasks.classification import Evaluation, wilson
from botzoo.util.markdown import escaped
from botzoo.util.outgoing import shown
from recorded import GLUON, NAMES, a_record, answers, evaluation, write_run


def card_of(record: RunRecord) -> ModelCard:
    return ModelCard(card_text(record))


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return card_of(a_record())


# The front matter


def test_the_front_matter_is_the_hubs(card: ModelCard) -> None:
    data = card.data
    told = [data.get(key) for key in ("library_name", "pipeline_tag", "model_name")]
    assert told == ["timm", "image-classification", "pets-run"]
    assert data.metrics == ["accuracy", "f1"]
    assert (data.license, data.base_model, data.datasets) == (None, None, None)


def test_results_have_value_interval_and_images(card: ModelCard) -> None:
    top1, top5, f1 = card.data.eval_results
    assert isinstance(top1, EvalResult)
    assert (top1.metric_type, top1.metric_value, top1.metric_name) == ("accuracy", 80.0, "top-1 accuracy at 32 px")
    assert (top1.dataset_name, top1.dataset_split) == ("pets", "20% of train")
    assert (top1.metric_args["images"], top1.metric_args["interval_95"]) == (120, [71.963, 86.176])
    assert (top1.metric_args["split"], top1.metric_args["images_sha256"]) == ("validation", "bb22")
    assert (top5.metric_value, top5.metric_name) == (100.0, "top-5 accuracy at 32 px")
    assert (f1.metric_type, f1.metric_value, f1.metric_name) == ("f1", 80.0, "macro F1 at 32 px")


def test_a_command_keeps_no_folder_of_the_machine() -> None:
    typed = "botzoo train --dataset '/home/me/my photos' --output=~/runs/x --model local-dir:/data/m --recipe a/b.yaml"
    kept = "botzoo train --dataset 'my photos' --output=x --model local-dir:m --recipe a/b.yaml"
    assert without_folders(typed) == kept


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("test,/home/me/new", "test,new"),
        ("'[\"/home/me/a b\", ~/c]'", "'[\"a b\", c]'"),
        ("/home/me/a,/home/me/b", "b"),
    ],
)
def test_nor_in_a_list(typed: str, kept: str) -> None:
    assert without_folders(f"botzoo train --predict {typed}") == f"botzoo train --predict {kept}"


def test_a_run_without_a_teacher_does_not_mention_one(card: ModelCard) -> None:
    assert "distill" not in card.text
    assert "teacher" not in card.text


def test_five_classes_have_no_top_five() -> None:
    card = card_of(a_record(names=NAMES[:5]))
    assert [result.metric_name for result in card.data.eval_results] == ["top-1 accuracy at 32 px", "macro F1 at 32 px"]
    assert "top-5" not in card.text


def test_weights_and_data_of_the_hub_are_linked() -> None:
    data = {"name": "beans", "title": "beans", "hub_id": "AI-Lab-Makerere/beans", "license": "mit"}
    card = card_of(a_record(network=GLUON, data=data))
    assert (card.data.base_model, card.data.base_model_relation) == ("timm/resnet50d.gluon_in1k", "finetune")
    assert (card.data.license, card.data.datasets) == ("apache-2.0", ["AI-Lab-Makerere/beans"])
    assert card.data.eval_results[0].dataset_type == "AI-Lab-Makerere/beans"
    for said in ("GluonCV", "ImageNet", "`apache-2.0`", "datasets/AI-Lab-Makerere/beans", "`mit`"):
        assert said in card.text


# The licence


def test_an_unknown_licence_is_said_to_be_open(card: ModelCard) -> None:
    assert "since it started from random weights. Choose" in card.text
    assert "images in a folder named pets is not known" in card.text


def licensed(weights: dict[str, Any], data: str | None = None, chosen: str | None = None) -> ModelCard:
    return card_of(a_record(network=weights, data={"license": data}, options={"license": chosen}))


def test_weights_of_unknown_licence_do_not_get_one() -> None:
    card = licensed({"source": "w.safetensors", "loaded": 1, "new": 2, "license": "unknown"})
    assert card.data.license is None
    assert "not set, since that of `w.safetensors` is not known" in card.text


def test_a_licence_that_the_hub_does_not_list_goes_by_its_name() -> None:
    card = licensed(GLUON | {"license": "fair-noncommercial-research-license"})
    assert (card.data.license, card.data.license_name) == ("other", "fair-noncommercial-research-license")
    assert "which forbids commercial use" in card.text


def test_a_licence_chosen_for_the_run_is_said_to_be_chosen() -> None:
    card = licensed({}, chosen="mit")
    assert card.data.license == "mit"
    assert "`mit`: chosen by who trained it" in card.text


def test_data_that_forbids_commerce_leaves_the_licence_open() -> None:
    card = licensed(GLUON, "cc-by-nc-4.0")
    assert card.data.license is None
    assert "not set, since that of the data forbids" in card.text


def test_a_licence_is_not_chosen_against_that_of_the_weights() -> None:
    with pytest.raises(ConfigError, match="leave --license out"):
        combined_license("apache-2.0", None, "mit")
    assert combined_license("apache-2.0", "cc-by-4.0", "apache-2.0") == "apache-2.0"
    assert combined_license("unknown", "mit", None) is None


# The code


def block(card: ModelCard, contains: str) -> str:
    return next(code for code in re.findall(r"```python\n(.*?)```", card.text, re.S) if contains in code)


@pytest.fixture
def real_card(finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    """The card of a run that took place; the working folder is its model's, with a photo in it."""
    for file in (finished_run / "model").iterdir():
        (tmp_path / file.name).symlink_to(file)
    Image.new("L", (50, 40), 99).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return ModelCard.load(finished_run / "model" / "README.md")


@pytest.mark.slow
def test_the_code_for_timm_runs_as_printed(real_card: ModelCard, capsys: pytest.CaptureFixture[str]) -> None:
    exec(block(real_card, "create_model"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"class[012]: \d+\.\d%", line) for line in lines)


@pytest.mark.slow
def test_the_code_for_transformers_runs_as_printed(real_card: ModelCard, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    exec(block(real_card, "pipeline"), {})
    assert "'label': 'class0'" in capsys.readouterr().out


def test_the_codes_shares_are_those_at_the_temperature(real_card: ModelCard, finished_run: Path) -> None:
    record = replace(RunRecord.load(finished_run), model_config={**CONFIG, "calibration": {"temperature": 0.5}})
    told: dict[str, Any] = {}
    exec(block(card_of(record), "create_model"), told)
    logits = told["model"](told["transform"](told["image"]).unsqueeze(0))
    torch.testing.assert_close(told["shares"], (logits / 0.5).softmax(1)[0].topk(3).values)


CONFIG = {"architecture": "test_resnet", "model_args": {}}


def test_a_network_that_timm_lacks_needs_botzoo_and_says_so() -> None:
    card = card_of(a_record(config={"architecture": "resnet50a_bot"}))
    assert "timm has no `resnet50a_bot`: `pip install botzoo`" in card.text
    for code in ("create_model", "pipeline"):
        assert block(card, code).startswith("import botzoo")


def test_a_network_that_timm_has_under_another_name_is_named() -> None:
    config = {"architecture": "resnet18d", "model_args": {"layers": [1, 1, 1, 1]}}
    card = card_of(a_record(config=config, network={"architecture": "resnet10d_bot"}))
    assert "`resnet18d` with `layers=[1, 1, 1, 1]`" in card.text
    assert "import botzoo" not in card.text


# What it says


@pytest.mark.parametrize(
    "said",
    [
        "```sh\nbotzoo-finetune --dataset pets --model test_resnet\n```",
        "| train | 600 | `aa11` |",
        "| validation | 120 | `bb22` |",
        "No validation split: 120 of 720 training images",
        "drawn at random, class by class, with seed 0",
        "| top-1 | 80.00 % | 71.96 to 86.18 % | 96 of 120 |",
        "These images also chose the epoch",
        "30 of 30 planned steps (3 epochs)",
        "| `batch_size` | `60` |",
        "| `data.crop_min` | `0.35` |",
        "2 min 05 s on 1 x Abacus and was",
        "commonest class would reach 16.7 %",
        'of 20 images of "ant" it recognised 16.',
        "the accuracy is known to about ± 7.1 points",
        "arXiv:1812.01187",
        "24 of 120 validation images wrongly.",
        "`botzoo-finetune --config recipe.yaml`",
        "`botzoo-finetune --model local-dir:. --dataset FOLDER`",
    ],
)
def test_the_card_says(card: ModelCard, said: str) -> None:
    assert said in card.text


def test_augmentations_are_settings_where_they_are_on() -> None:
    options = {"paper_augment": True, "augment": {"rotate90": True, "blur": 0.25}}
    text = card_of(a_record(options=options)).text
    for row in ("| `paper_augment` | `true` |", "| `augment.rotate90` | `true` |", "| `augment.blur` | `0.25` |"):
        assert row in text
    assert "augment.noise" not in text


@pytest.mark.parametrize(("optimizer", "listed"), [("sgd", True), ("adamw", False)])
def test_momentum_is_a_setting_where_there_is_one(optimizer: str, listed: bool) -> None:
    assert ("`optim.momentum`" in card_text(a_record(options={"optimizer": optimizer}))) == listed


VALIDATED = ({"step": 20, "split": "validation", "epoch": 2, "top1": 81.25, "loss": 0.5},)


def test_a_test_split_is_said_to_be_untouched() -> None:
    text = card_of(a_record(split="test", data={"set_aside": False}, history=VALIDATED)).text
    assert "The validation images, which did, gave 81.25 %." in text
    assert "on 120 test images" in text
    assert "The validation split is the data set's own." in text


def test_early_stopping_and_lost_images_are_reported() -> None:
    text = card_of(a_record(network=GLUON, data={"left_out": 1}, steps=20)).text
    assert "20 of 30 planned steps (3 epochs); it stopped early" in text
    assert "Left out as unreadable: 1 image." in text
    assert "from `resnet50d.gluon_in1k`: 1 tensor from there" in text


def test_imbalance_is_named() -> None:
    text = card_of(a_record(data={"class_counts": [90, 10, 10, 10, 10, 10]})).text
    assert 'unbalanced: 90 of "ant", 10 of "bee".' in text


def test_folders_of_this_machine_stay_private() -> None:
    text = card_text(a_record(network={"source": "/home/me/secret/old/model.safetensors", "loaded": 1, "new": 2}))
    assert "home" not in text
    assert "secret" not in text
    assert "`old/model.safetensors`" in text


def test_a_teacher_is_told_with_its_licence() -> None:
    teacher = {"name": "resnet18d_bot", "sha256": "ee55", "parameters": 4321, "license": "mit", "size": 32}
    text = card_of(a_record(teacher=teacher)).text
    assert "T = 20, weight 1): `resnet18d_bot` (4,321 parameters, licence `mit`)" in text
    assert "| `distillation` | `resnet18d_bot` |" in text


# Calibration


def sure_of(judged: Evaluation, seed: int) -> Evaluation:
    """Return the evaluation with made-up log-probabilities that agree with its answers."""
    log_p = np.random.default_rng(seed).normal(0, 1, (len(judged), len(NAMES)))
    log_p[np.arange(len(judged)), judged.predicted] += 6
    log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
    confidence = np.exp(log_p.max(1)).astype(np.float32)
    return replace(judged, log_p=log_p.astype(np.float16), confidence=confidence)


def test_calibration_is_cross_fitted_where_there_is_no_test_split() -> None:
    text = card_of(a_record(seen=sure_of(answers(), 0), config={"calibration": {"temperature": 0.885}})).text
    assert re.search(r"\| as it is \| [\d.]+ % \|\n\| logits divided by the temperature [\d.]+ \| [\d.]+ % \|", text)
    assert "the temperature that fits the other four best" in text


def test_the_temperature_is_fitted_on_the_validation_split_where_there_is_a_test_split() -> None:
    held_out = sure_of(answers(wrong=8), 1)
    kept = {"calibration": {"temperature": 0.885}}
    record = a_record(seen=sure_of(answers(), 0), held_out=held_out, split="test", config=kept)
    assert held_out.log_p is not None
    assert record.calibration is not None
    assert record.calibration.temperature == fit_temperature(held_out.log_p, held_out.labels)
    assert "one that fits the validation images best" in card_text(record)


def test_without_kept_answers_there_is_no_temperature(card: ModelCard) -> None:
    assert "| as it is | 5.00 % |" in card.text  # 75 % sure of what is right in 80 %
    assert "No temperature was fitted" in card.text


def test_a_temperature_that_is_kept_is_in_the_code() -> None:
    card = card_of(a_record(seen=sure_of(answers(), 0), config={"calibration": {"temperature": 0.885}}))
    assert "temperature = 0.885  # fitted" in block(card, "create_model")
    assert "and `botzoo predict` divide the logits by it" in card.text


def test_a_temperature_that_is_not_kept_is_said_to_be_none() -> None:
    text = card_of(a_record(seen=sure_of(answers(), 0))).text
    assert "No temperature is kept: on 120 images" in text
    assert "temperature = " not in text


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Calibration(0.05), "5.00 %, the expected calibration error\nno temperature was fitted"),
        (Calibration(0.05, 0.02, 1.234, nll_gain=0.1, images=90), "; 2.00 % at temperature 1.23, kept in config.json"),
        (Calibration(0.05, 0.06, 1.234, nll_gain=0.1, images=90), "no temperature is kept: on 90 images"),
        (Calibration(0.05, by_chance=0.04), "; so few images give 4.0 % by chance"),
    ],
)
def test_the_summary_says_how_sure_it_is(found: Calibration, said: str) -> None:
    lines = list(sureness(found))
    assert said in "\n".join(lines)
    assert all(len(line) <= 89 for line in lines)


# None of these


def rejecting(target: float, **changed: Any) -> RunRecord:
    """Return the record of a run that was to reject, of which 480 of 600 answers are right and sure."""
    seen = answers(each=100, wrong=20)
    seen = replace(seen, confidence=np.where(seen.predicted == seen.labels, 0.9, 0.5).astype(np.float32))
    return a_record(seen=seen, options={"reject": target}, **changed)


def test_the_card_tells_the_promise_and_the_share_that_is_answered() -> None:
    record = rejecting(0.95, config={"rejection": {"threshold": 0.9, "target": 0.95}})
    text = card_text(record)
    assert "a probability below 0.9 the answer is none of these" in text
    assert "On 600 validation images it answers 80.00 % (76.61 to 83.01 %); of these answers 100.00 % are right" in text
    assert "fitted on these very images" in text
    assert "if shares.max() < 0.9:  # fitted after training" in text
    assert "It answers every image" not in text
    assert "80.00 % of 600 validation images are answered, 100.00 % of them rightly" in "\n".join(summary(record))


def test_on_a_test_split_the_threshold_is_that_of_the_validation_images() -> None:
    record = replace(rejecting(0.95, split="test"), held_out=rejecting(0.95).evaluation)
    assert record.rejection is not None
    assert (record.rejection.fitted_on, record.rejection.answered) == (600, 480)
    assert "fitted on these very images" not in card_text(record)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (0.999, "600 validation images are too few, at least 4,380 right answers"),
        (0.98, "no share is surely right as often"),
    ],
)
def test_a_promise_that_cannot_be_kept_is_not_made(target: float, said: str) -> None:
    record = rejecting(target)
    record = replace(record, evaluation=replace(record.evaluation, confidence=np.full(600, 0.9, np.float32)))
    assert record.rejection is not None
    assert record.rejection.threshold is None
    assert said in card_text(record)
    assert said in "\n".join(summary(record))
    assert "It answers every image with one of its classes" in card_text(record)


# A soup

SOUP = {
    "ingredients": [{"epoch": 2, "top1": 60, "loss": 1}, {"epoch": 3, "top1": 59, "loss": 1}],
    "trials": [{"epochs": [2, 3], "top1": 61, "loss": 0.9, "kept": True}],
}


def test_a_soup_is_told_in_card_and_summary() -> None:
    record = a_record(soup=SOUP)
    text = card_text(record)
    assert "to epoch 2 were added, one by one, 3. In the end" in text
    assert "60.00 -> 61.00 %, loss 1.0000 -> 0.9000; BatchNorm's statistics" in text
    assert "The best epoch on the validation split was 2" in text
    assert "weights kept are those after" not in text
    assert "These images also chose the epochs that were averaged" in text
    assert "; weights of epochs 2 and 3, averaged" in "\n".join(summary(record))


def test_a_soup_that_was_no_better_is_told_too() -> None:
    record = a_record(soup=SOUP | {"trials": [{"epochs": [2, 3], "top1": 59, "loss": 2, "kept": False}]})
    text = card_text(record)
    assert "the weights of epoch 2 are kept alone." in text
    assert "The weights kept are those after epoch 2" in text
    assert "; weights of epoch 2\n" in "\n".join(summary(record))


# The tables

ODD = ("a|b", "_x_ *y*", "$5 or $6", "猫", "", "line\nbreak", "<i>")


def cells(card: ModelCard) -> list[list[str]]:
    """Return the cells of every table row."""
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in card.text.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("names", [NAMES, ODD, tuple(f"class {k}" for k in range(40))], ids=["plain", "odd", "many"])
def test_no_cell_is_empty_and_nothing_is_undefined(names: tuple[str, ...]) -> None:
    seen = evaluation(np.arange(90) % (len(names) - 1), np.zeros(90, int))  # one class has no images, most no answers
    card = card_of(a_record(names=names, seen=seen))
    assert all(cell.strip() for row in cells(card) for cell in row)
    assert not re.search(r"\b(None|nan|inf|null)\b|[Mm]ore information needed", card.content)
    assert all(card.data.to_dict().values())


@pytest.mark.parametrize("seed", range(8))
def test_a_name_is_the_same_text_in_terminal_and_card_and_in_python_where_it_can_be(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pieces = ["a", "_", "  ", "\n", "\x1b", "|", "*", "猫", "", "n" * 60, "http://me:key@host/x"]
    names = ("first", *("".join(rng.choice(pieces, 4)) for _ in range(5)))
    run = FinishedRun(a_record(names=names, seen=evaluation(np.arange(60) % 6, np.zeros(60, int))))
    rows = [row for row in cells(card_of(run.record)) if len(row) == 5][2:8]
    listed = list(class_table(run.per_class()))[1:]
    for figures, row, line in zip(run.per_class(), rows, listed, strict=True):
        assert line[11:].startswith(f"{shown(figures.name)}  ")
        assert row[0].strip() == escaped(shown(figures.name))
    assert all(shown(name) == name for name in ("a_b c", "n" * 60, "猫 (1)"))


def test_odd_names_keep_their_row() -> None:
    rows = [row for row in cells(card_of(a_record(names=ODD))) if len(row) == 5]
    shown = [row[0].strip() for row in rows[2:]]
    assert shown == ["a\\|b", "\\_x\\_ \\*y\\*", "\\$5 or \\$6", "猫", "(no name)", "line break", "\\<i\\>"]


MANY = tuple(f"class {k}" for k in range(40))


def many_classes() -> Evaluation:
    """Ten images each of 40 classes, all right but for those of class 7."""
    labels = np.repeat(np.arange(40), 10)
    return evaluation(labels, np.where(labels == 7, 8, labels))


def test_many_classes_are_listed_from_the_worst_and_all_in_a_file(tmp_path: Path) -> None:
    record = describe(write_run(a_record(tmp_path / "run", MANY, many_classes())))
    rows = [row for row in cells(card_of(record)) if len(row) == 5][2:]
    assert [rows[0][0].strip(), rows[1][0].strip(), len(rows)] == ["class 7", "class 8", 15]
    with (record.model_folder / "per_class.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [len(table), table[8]["precision"], table[8]["recall"]] == [40, "50.0", "100.0"]


def test_figures_of_a_class() -> None:
    ant, bee = class_figures(evaluation([0, 0, 0, 0, 1], [0, 0, 0, 1, 1]), ("ant", "bee", "cat"))
    assert (ant.images, ant.answers, ant.precision, ant.recall) == (4, 3, 100.0, 75.0)
    assert (bee.images, bee.answers, bee.precision, bee.recall) == (1, 2, 50.0, 100.0)
    assert bee.f1 == pytest.approx(100 * 2 / 3)


def test_the_commonest_confusion_comes_first() -> None:
    text = card_of(a_record(seen=evaluation([0, 1, 1, 1, 2, 3, 4, 5], [1, 2, 2, 1, 2, 3, 4, 5]))).text
    assert "of the class |\n| --- | --- | --- | --- |\n| bee | cat | 2 | 66.7 % |\n| ant" in text


def test_nothing_wrong_is_said_in_words() -> None:
    text = card_of(a_record(seen=answers(wrong=0))).text
    assert "No image was classified wrongly." in text
    assert "Weakest class" not in text


@pytest.mark.parametrize(("correct", "images", "expected"), [(0, 10, (0, 27.753)), (5, 10, (23.659, 76.341))])
def test_wilsons_interval(correct: int, images: int, expected: tuple[float, float]) -> None:
    assert wilson(correct, images) == pytest.approx(expected, abs=1e-3)


# The summary


def test_the_summary_fits_and_says_how_good_and_how_sure() -> None:
    lines = list(summary(a_record()))
    assert all(len(line) <= 100 for line in lines)
    text = "\n".join(lines)
    assert "top-1 80.00 % on 120 validation images (95 % interval 71.96 to 86.18)" in text
    assert "top-5 100.00 %" in text
    assert "These images also chose the epoch" in text
    assert "2 min 05 s" in text
    assert "metrics    balanced accuracy 80.00 %, macro F1 80.00 %, Cohen's kappa 76.00 %" in text
    assert "without ROC-AUC, average precision: too many probabilities to keep them" in text


def test_the_summary_lists_the_worst_of_many_classes() -> None:
    lines = list(summary(a_record(names=MANY, seen=many_classes())))
    listed = [line for line in lines if re.match(r"(worst)? +class \d", line)]
    assert len(listed) == 20
    assert re.match(r" +class 7 +10 +no answer +0.0 % +0.0 %$", listed[0])


def test_the_line_that_loads_the_model_runs(finished_run: Path) -> None:
    line = next(line.strip() for line in summary(RunRecord.load(finished_run)) if "timm.create_model" in line)
    assert len(eval(line, {"timm": timm}).pretrained_cfg["label_names"]) == 3
    assert os.fspath(finished_run / "model") in line


def test_a_card_says_after_which_step_its_options_were_edited() -> None:
    assert "changed by hand after step 3 and 9:" in card_of(a_record(edited=[3, 9])).text
    assert "changed by hand" not in card_of(a_record()).text
