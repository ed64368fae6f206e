"""The model card and the summary of a run that never took place: every figure is known beforehand."""

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

from botzoo.data.order import Order
from botzoo.data.sources.base import ImageData, Split
from botzoo.errors import ConfigError
from botzoo.models.create import Start
from botzoo.models.folder import write_model_folder
from botzoo.models.licence import combined_license
from botzoo.models.preprocessing import Preprocessing
from botzoo.models.pretrained import KeyReport
from botzoo.options.config import AugmentConfig, TrainConfig
from botzoo.results.calibration import Calibration, fit_temperature, write_temperature
from botzoo.results.card import calibration, write_card
from botzoo.results.per_class import class_figures
from botzoo.results.sections import without_folders
from botzoo.results.summary import summary
from botzoo.tasks.classification import Evaluation, wilson
from botzoo.training.history import History
from botzoo.training.run import Job, Result
from botzoo.training.schedule import Schedule
from botzoo.training.setup import Transfer
from botzoo.training.soup import Ingredient, Score, Soup, Trial
from botzoo.tricks.mixed_precision import Precision

NAMES = ("ant", "bee", "cat", "dog", "eel", "fox")
FACTS = {
    "command": "botzoo-finetune --dataset pets --model test_resnet",
    "fingerprints": {"train": "aa11", "validation": "bb22"},
    "images": {"train": 600, "validation": 120},
    "hardware": "1 x Abacus",
    "versions": {"botzoo": "0.1.0", "torch": "2.15.0"},
    "python": "3.11.7",
    "seconds": 125.0,
    "finished": "2026-01-31",
}
SCRATCH = Start("random weights")
LOADED = KeyReport(("conv1.weight",), (), (), ("fc.weight", "fc.bias"))
GLUON = Start("resnet50d.gluon_in1k", LOADED, "timm/resnet50d.gluon_in1k", "apache-2.0")


def a_split(name: str, labels: Any) -> Split:
    return Split(name, np.asarray(labels), lambda i: b"", str)


def evaluation(labels: Any, predicted: Any) -> Evaluation:
    hits = np.ones(len(labels), bool)
    figures = (np.full(len(labels), value, np.float32) for value in (0.25, 0.75))
    return Evaluation(np.asarray(labels), np.asarray(predicted), hits, *figures)


def answers(classes: int, each: int = 20, wrong: int = 4) -> Evaluation:
    """``each`` images a class; of class k, ``wrong`` are taken for the next class."""
    labels = np.repeat(np.arange(classes), each)
    predicted = np.where(np.arange(classes * each) % each < wrong, (labels + 1) % classes, labels)
    return evaluation(labels, predicted)


def a_result(folder: Path, names: tuple[str, ...] = NAMES, judged: Evaluation | None = None, **job: Any) -> Result:
    torch.manual_seed(0)
    model = timm.create_model(job.get("architecture", "test_resnet"), num_classes=len(names))
    preprocessing = Preprocessing(32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 0.9, "bicubic")
    write_model_folder(folder / "model", model, preprocessing, names, tag="mine", license=None)
    judged = judged or answers(len(names))
    train = a_split("train", np.arange(600) % len(names))
    note = "no validation split: 120 of 720 training images (20% of each class) are set aside"
    defaults: dict[str, Any] = {
        "config": TrainConfig(dataset="pets", scratch=True),
        "transfer": Transfer(),
        "accelerator": None,
        "precision": Precision("fp32", "as asked"),
        "data": ImageData("pets", names, train, a_split("20% of train", judged.labels), notes=(note,)),
        "images": {},
        "left_out": [],
        "model": model,
        "architecture": "test_resnet",
        "preprocessing": preprocessing,
        "start": SCRATCH,
        "train_size": 32,
        "later_size": 32,
        "crop_min": 0.35,
        "hflip": 0.5,
        "order": Order(600, 60, 0),
        "epochs": 3,
        "schedule": Schedule(0.1, 30, 5),
        "trainer": None,
        "folder": folder,
        "facts": FACTS,
        "history": History(folder / "metrics.jsonl"),
    }
    return Result(Job(**{**defaults, **job}), "validation", judged, 2, 30, FACTS)


def card_of(result: Result) -> ModelCard:
    return ModelCard.load(write_card(result))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return a_result(tmp_path_factory.mktemp("runs") / "pets-run")


@pytest.fixture(scope="module")
def card(result: Result) -> ModelCard:
    return card_of(result)


# The front matter


def test_the_front_matter_is_the_hubs(card: ModelCard) -> None:
    data = card.data
    told = [data.get(key) for key in ("library_name", "pipeline_tag", "model_name")]
    assert told == ["timm", "image-classification", "pets-run"]
    assert data.metrics == ["accuracy"]
    assert (data.license, data.base_model, data.datasets) == (None, None, None)


def test_results_have_value_interval_and_images(card: ModelCard) -> None:
    top1, top5 = card.data.eval_results
    assert isinstance(top1, EvalResult)
    assert (top1.metric_type, top1.metric_value, top1.metric_name) == ("accuracy", 80.0, "top-1 accuracy at 32 px")
    assert (top1.dataset_name, top1.dataset_split) == ("pets", "20% of train")
    assert (top1.metric_args["images"], top1.metric_args["interval_95"]) == (120, [71.963, 86.176])
    assert (top1.metric_args["split"], top1.metric_args["images_sha256"]) == ("validation", "bb22")
    assert (top5.metric_value, top5.metric_name) == (100.0, "top-5 accuracy at 32 px")


def test_a_command_keeps_no_folder_of_the_machine() -> None:
    typed = "botzoo train --dataset '/home/me/my photos' --output=~/runs/x --model local-dir:/data/m --recipe a/b.yaml"
    kept = "botzoo train --dataset 'my photos' --output=x --model local-dir:m --recipe a/b.yaml"
    assert without_folders(typed) == kept


def test_a_run_without_a_teacher_does_not_mention_one(card: ModelCard) -> None:
    assert "distill" not in card.text
    assert "teacher" not in card.text


def test_five_classes_have_no_top_five(tmp_path: Path) -> None:
    card = card_of(a_result(tmp_path, NAMES[:5]))
    assert [result.metric_name for result in card.data.eval_results] == ["top-1 accuracy at 32 px"]
    assert "top-5" not in card.text


def test_weights_and_data_of_the_hub_are_linked(tmp_path: Path) -> None:
    result = a_result(tmp_path, start=GLUON, config=TrainConfig())
    data = replace(result.job.data, name="beans", hub_id="AI-Lab-Makerere/beans", license="mit")
    card = card_of(replace(result, job=replace(result.job, data=data)))
    assert (card.data.base_model, card.data.base_model_relation) == ("timm/resnet50d.gluon_in1k", "finetune")
    assert (card.data.license, card.data.datasets) == ("apache-2.0", ["AI-Lab-Makerere/beans"])
    assert card.data.eval_results[0].dataset_type == "AI-Lab-Makerere/beans"
    for said in (
        "GluonCV",
        "ImageNet",
        "`apache-2.0`",
        "https://huggingface.co/datasets/AI-Lab-Makerere/beans",
        "`mit`",
    ):
        assert said in card.text


# The licence


def test_an_unknown_licence_is_said_to_be_open(card: ModelCard) -> None:
    assert "not set, since it started from random weights. Choose one before publishing" in card.text
    assert "the data set is separate; that of the images in a folder named pets is not known" in card.text


def test_weights_of_unknown_licence_do_not_get_one(tmp_path: Path) -> None:
    card = card_of(a_result(tmp_path, start=Start("w.safetensors", LOADED, license="unknown")))
    assert card.data.license is None
    assert "not set, since that of `w.safetensors` is not known" in card.text


def test_a_licence_that_the_hub_does_not_list_goes_by_its_name(tmp_path: Path) -> None:
    card = card_of(a_result(tmp_path, start=replace(GLUON, license="fair-noncommercial-research-license")))
    assert (card.data.license, card.data.license_name) == ("other", "fair-noncommercial-research-license")
    assert "which forbids commercial use" in card.text


def licensed(tmp_path: Path, start: Start, data: str | None, chosen: str | None) -> ModelCard:
    result = a_result(tmp_path, start=start, config=TrainConfig(license=chosen))
    return card_of(replace(result, job=replace(result.job, data=replace(result.job.data, license=data))))


def test_a_licence_chosen_for_the_run_is_said_to_be_chosen(tmp_path: Path) -> None:
    card = licensed(tmp_path, SCRATCH, None, "mit")
    assert card.data.license == "mit"
    assert "`mit`: chosen by who trained it, since it started from random weights." in card.text


def test_data_that_forbids_commerce_leaves_the_licence_open(tmp_path: Path) -> None:
    card = licensed(tmp_path, GLUON, "cc-by-nc-4.0", None)
    assert card.data.license is None
    assert "not set, since that of the data forbids commercial use, which `apache-2.0`" in card.text


def test_a_licence_is_not_chosen_against_that_of_the_weights() -> None:
    with pytest.raises(ConfigError, match="leave --license out"):
        combined_license("apache-2.0", None, "mit")
    assert combined_license("apache-2.0", "cc-by-4.0", "apache-2.0") == "apache-2.0"
    assert combined_license("unknown", "mit", None) is None


# The code


def block(card: ModelCard, contains: str) -> str:
    return next(code for code in re.findall(r"```python\n(.*?)```", card.text, re.S) if contains in code)


@pytest.fixture
def beside_a_photo(result: Result, card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (50, 40), 99).save(result.model_folder / "photo.jpg")
    monkeypatch.chdir(result.model_folder)


@pytest.mark.usefixtures("beside_a_photo")
def test_the_code_for_timm_runs_as_printed(card: ModelCard, capsys: pytest.CaptureFixture[str]) -> None:
    exec(block(card, "create_model"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(rf"({'|'.join(NAMES)}): \d+\.\d%", line) for line in lines)


@pytest.mark.usefixtures("beside_a_photo")
def test_the_code_for_transformers_runs_as_printed(card: ModelCard, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    exec(block(card, "pipeline"), {})
    assert "'label': 'ant'" in capsys.readouterr().out


def test_a_network_that_timm_lacks_needs_botzoo_and_says_so(tmp_path: Path) -> None:
    card = card_of(a_result(tmp_path, architecture="resnet50a_bot"))
    assert "timm has no `resnet50a_bot`: `pip install botzoo`" in card.text
    for code in ("create_model", "pipeline"):
        assert block(card, code).startswith("import botzoo")


def test_a_network_that_timm_has_under_another_name_is_named(tmp_path: Path) -> None:
    card = card_of(a_result(tmp_path, architecture="resnet10d_bot"))
    assert "To timm the network is `resnet18d` with `layers=[1, 1, 1, 1]`; loading it needs no botzoo." in card.text
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
        "These images also chose the epoch, so expect a little less on new ones.",
        "30 of 30 planned steps (3 epochs). The weights kept are those after epoch 2",
        "| `batch_size` | `60` |",
        "| `data.crop_min` | `0.35` |",
        "2 min 05 s on 1 x Abacus and was finished on 2026-01-31, with Python 3.11.7, botzoo 0.1.0, torch 2.15.0",
        "commonest class would reach 16.7 %",
        'Weakest class: of 20 images of "ant" it recognised 16.',
        "120 images settle the accuracy to about ± 7.1 points",
        "arXiv:1812.01187",
        "(confusion.png)",
        "nor for decisions in which one wrong answer does harm: it classified 24 of 120 validation images wrongly.",
        "options in recipe.yaml too, for `botzoo-finetune --config recipe.yaml`",
        "`botzoo-finetune --model local-dir:. --dataset FOLDER`",
    ],
)
def test_the_card_says(card: ModelCard, said: str) -> None:
    assert said in card.text


def test_augmentations_are_settings_where_they_are_on(tmp_path: Path) -> None:
    config = TrainConfig(scratch=True, paper_augment=True, augment=AugmentConfig(rotate90=True, blur=0.25))
    text = card_of(a_result(tmp_path, config=config)).text
    for row in ("| `paper_augment` | `true` |", "| `augment.rotate90` | `true` |", "| `augment.blur` | `0.25` |"):
        assert row in text
    assert "augment.noise" not in text


@pytest.mark.parametrize(("optimizer", "listed"), [("sgd", True), ("adamw", False)])
def test_momentum_is_a_setting_where_there_is_one(tmp_path: Path, optimizer: str, listed: bool) -> None:
    card = card_of(a_result(tmp_path, config=TrainConfig(dataset="pets", scratch=True, optimizer=optimizer)))
    assert ("`optim.momentum`" in card.content) == listed


def test_a_test_split_is_said_to_be_untouched(tmp_path: Path) -> None:
    result = a_result(tmp_path)
    result.job.history.add({"step": 30, "split": "validation", "epoch": 2, "top1": 81.25})
    data = replace(result.job.data, test=a_split("test", result.evaluation.labels), notes=())
    facts = result.facts | {"fingerprints": result.facts["fingerprints"] | {"test": "cc33"}}
    facts |= {"images": result.facts["images"] | {"test": 120}}
    text = card_of(replace(result, split="test", job=replace(result.job, data=data), facts=facts)).text
    assert "they did not choose the epoch. The validation images, which did, gave 81.25 %." in text
    assert "on 120 test images" in text
    assert "The validation split is the data set's own." in text


def test_early_stopping_and_lost_images_are_reported(tmp_path: Path) -> None:
    result = a_result(tmp_path, left_out=["row 1: empty"], start=GLUON)
    text = card_of(replace(result, steps=20)).text
    assert "20 of 30 planned steps (3 epochs); it stopped early" in text
    assert "Left out as unreadable: 1 image." in text
    assert "from `resnet50d.gluon_in1k`: 1 tensor from there" in text


def test_imbalance_is_named(tmp_path: Path) -> None:
    result = a_result(tmp_path)
    data = replace(result.job.data, train=a_split("train", [0] * 90 + [1, 2, 3, 4, 5] * 10))
    text = card_of(replace(result, job=replace(result.job, data=data))).text
    assert 'The training images are unbalanced: 90 of "ant", 10 of "bee".' in text


def test_folders_of_this_machine_stay_private(tmp_path: Path) -> None:
    result = a_result(tmp_path / "run", start=Start("/home/me/secret/old/model.safetensors", LOADED))
    data = replace(result.job.data, name=str(tmp_path / "pets"))
    text = write_card(replace(result, job=replace(result.job, data=data))).read_text()
    assert str(tmp_path) not in text
    assert "secret" not in text
    assert "`old/model.safetensors`" in text


# Calibration


def sure_of(judged: Evaluation, seed: int) -> Evaluation:
    """Return the evaluation with made-up log-probabilities that agree with its answers."""
    log_p = np.random.default_rng(seed).normal(0, 1, (len(judged), len(NAMES)))
    log_p[np.arange(len(judged)), judged.predicted] += 6
    log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
    confidence = np.exp(log_p.max(1)).astype(np.float32)
    return replace(judged, log_p=log_p.astype(np.float16), confidence=confidence)


def test_calibration_is_cross_fitted_where_there_is_no_test_split(tmp_path: Path) -> None:
    text = card_of(a_result(tmp_path, judged=sure_of(answers(6), 0))).text
    assert re.search(
        r"\| as it is \| \d+\.\d\d % \|\n\| logits divided by the temperature [\d.]+ \| \d+\.\d\d % \|", text
    )
    assert "Each fifth of these images was judged with the temperature that fits the other four best" in text


def test_the_temperature_is_fitted_on_the_validation_split_where_there_is_a_test_split(tmp_path: Path) -> None:
    result = replace(a_result(tmp_path, judged=sure_of(answers(6), 0)), held_out=sure_of(answers(6, wrong=8), 1))
    found = calibration(result)
    assert result.held_out is not None
    assert result.held_out.log_p is not None
    assert found.temperature == fit_temperature(result.held_out.log_p, result.held_out.labels)
    assert "fits the validation images best, none of which is judged here" in card_of(result).text


def test_without_kept_answers_there_is_no_temperature(card: ModelCard) -> None:
    assert "| as it is | 5.00 % |" in card.text  # 75 % sure of what is right in 80 %
    assert "No temperature was fitted" in card.text


def test_a_temperature_that_is_kept_is_in_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = a_result(tmp_path, judged=sure_of(answers(6), 0))
    write_temperature(result.model_folder, 0.885)
    card = card_of(result)
    assert "temperature = 0.885  # fitted" in block(card, "create_model")
    assert "the code above and `botzoo predict` divide the logits by it" in card.text
    Image.new("L", (50, 40), 99).save(result.model_folder / "photo.jpg")
    monkeypatch.chdir(result.model_folder)
    told: dict[str, Any] = {}
    exec(block(card, "create_model"), told)
    logits = told["model"](told["transform"](told["image"]).unsqueeze(0))
    torch.testing.assert_close(told["shares"], (logits / 0.885).softmax(1)[0].topk(3).values)


def test_a_temperature_that_is_not_kept_is_said_to_be_none(tmp_path: Path) -> None:
    text = card_of(a_result(tmp_path, judged=sure_of(answers(6), 0))).text
    assert "It is not kept, as it makes" in text
    assert "temperature = " not in text


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Calibration(0.05), "ECE        5.00 %, the expected calibration error; no temperature was fitted"),
        (Calibration(0.05, 0.02, 1.234, nll_gain=0.1), "; 2.00 % at temperature 1.23, kept in config.json"),
        (Calibration(0.05, 0.06, 1.234, nll_gain=0.1), "; 6.00 % at temperature 1.23, not kept"),
    ],
)
def test_the_summary_says_how_sure_it_is(result: Result, found: Calibration, said: str) -> None:
    (line,) = [line for line in summary(result, found) if line.startswith("ECE ")]
    assert line.endswith(said)
    assert len(line) <= 100


# A soup

SOUP = Soup((Ingredient(2, 60, 1), Ingredient(3, 59, 1)), (Trial((2, 3), Score(61, 0.9), True),))


def test_a_soup_is_told_in_card_and_summary(tmp_path: Path) -> None:
    result = replace(a_result(tmp_path), soup=SOUP)
    text, lines = card_of(result).text, "\n".join(summary(result))
    assert "to epoch 2 were added, one by one, 3. In the end the average of epochs 2 and 3 is kept: validation" in text
    assert "top-1 60.00 -> 61.00 %, loss 1.0000 -> 0.9000; BatchNorm's statistics" in text
    assert "The best epoch on the validation split was 2" in text
    assert "weights kept are those after" not in text
    assert "These images also chose the epochs that were averaged" in text
    assert "; weights of epochs 2 and 3, averaged" in lines


def test_a_soup_that_was_no_better_is_told_too(tmp_path: Path) -> None:
    tried = replace(SOUP, trials=(Trial((2, 3), Score(59, 2), False),))
    result = replace(a_result(tmp_path), soup=tried)
    text = card_of(result).text
    assert "no average is better: the weights of epoch 2 are kept alone." in text
    assert "The weights kept are those after epoch 2, the best on the validation split" in text
    assert "; weights of epoch 2\n" in "\n".join(summary(result))


# The tables

ODD = ("a|b", "_x_ *y*", "$5 or $6", "猫", "", "line\nbreak", "<i>")


def cells(card: ModelCard) -> list[list[str]]:
    """Return the cells of every table row."""
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in card.text.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("names", [NAMES, ODD, tuple(f"class {k}" for k in range(40))], ids=["plain", "odd", "many"])
def test_no_cell_is_empty_and_nothing_is_undefined(tmp_path: Path, names: tuple[str, ...]) -> None:
    judged = evaluation(np.arange(90) % (len(names) - 1), np.zeros(90, int))  # one class has no images, most no answers
    card = card_of(a_result(tmp_path, names, judged))
    assert all(cell.strip() for row in cells(card) for cell in row)
    assert not re.search(r"\b(None|nan|inf|null)\b|[Mm]ore information needed", card.content)
    assert all(card.data.to_dict().values())


def test_odd_names_keep_their_row(tmp_path: Path) -> None:
    rows = [row for row in cells(card_of(a_result(tmp_path, ODD))) if len(row) == 5]
    shown = [row[0].strip() for row in rows[2:]]
    assert shown == ["a\\|b", "\\_x\\_ \\*y\\*", "\\$5 or \\$6", "猫", "(no name)", "line break", "\\<i\\>"]


def test_many_classes_are_listed_from_the_worst_and_all_in_a_file(tmp_path: Path) -> None:
    names = tuple(f"class {k}" for k in range(40))
    labels = np.repeat(np.arange(40), 10)
    predicted = np.where(labels == 7, 8, labels)
    result = a_result(tmp_path, names, evaluation(labels, predicted))
    rows = [row for row in cells(card_of(result)) if len(row) == 5][2:]
    assert [rows[0][0].strip(), rows[1][0].strip(), len(rows)] == ["class 7", "class 8", 15]
    with (result.model_folder / "per_class.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [len(table), table[8]["precision"], table[8]["recall"]] == [40, "50.0", "100.0"]


def test_figures_of_a_class() -> None:
    ant, bee = class_figures(evaluation([0, 0, 0, 0, 1], [0, 0, 0, 1, 1]), ("ant", "bee", "cat"))
    assert (ant.images, ant.answers, ant.precision, ant.recall) == (4, 3, 100.0, 75.0)
    assert (bee.images, bee.answers, bee.precision, bee.recall) == (1, 2, 50.0, 100.0)
    assert bee.f1 == pytest.approx(100 * 2 / 3)


def test_the_commonest_confusion_comes_first(tmp_path: Path) -> None:
    judged = evaluation([0, 1, 1, 1, 2, 3, 4, 5], [1, 2, 2, 1, 2, 3, 4, 5])
    text = card_of(a_result(tmp_path, judged=judged)).text
    assert (
        "| class | answer | images | of the class |\n| --- | --- | --- | --- |\n| bee | cat | 2 | 66.7 % |\n| ant"
        in text
    )


def test_nothing_wrong_is_said_in_words(tmp_path: Path) -> None:
    text = card_of(a_result(tmp_path, judged=answers(6, wrong=0))).text
    assert "No image was classified wrongly." in text
    assert "Weakest class" not in text


@pytest.mark.parametrize(("correct", "images", "expected"), [(0, 10, (0, 27.753)), (5, 10, (23.659, 76.341))])
def test_wilsons_interval(correct: int, images: int, expected: tuple[float, float]) -> None:
    assert wilson(correct, images) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_confusion_matrix_has_room_for_its_labels(tmp_path: Path, classes: int) -> None:
    result = a_result(tmp_path, tuple(f"class {k}" for k in range(classes)), answers(classes, each=5, wrong=1))
    write_card(result)
    with Image.open(result.model_folder / "confusion.png") as picture:
        assert min(picture.size) > (400 if classes < 100 else 100 * 14)  # 14 pixels a row


# The summary


def test_the_summary_fits_and_says_how_good_and_how_sure(result: Result) -> None:
    lines = summary(result)
    assert all(len(line) <= 100 for line in lines if str(result.model_folder) not in line)
    text = "\n".join(lines)
    assert "top-1 80.00 % on 120 validation images (95 % interval 71.96 to 86.18)" in text
    assert "top-5 100.00 %" in text
    assert "These images also chose the epoch" in text
    assert "2 min 05 s" in text


def test_the_summary_lists_the_worst_of_many_classes(tmp_path: Path) -> None:
    names = tuple(f"class {k}" for k in range(40))
    labels = np.repeat(np.arange(40), 10)
    lines = summary(a_result(tmp_path, names, evaluation(labels, np.where(labels == 7, 8, labels))))
    listed = [line.split("  ")[0].strip() for line in lines if re.match(r" +class \d", line)]
    assert len(listed) == 20
    assert re.match(r" +class 7 +10 +no answer +0.0 % +0.0 %$", next(line for line in lines if "class 7" in line))


def test_the_line_that_loads_the_model_runs(result: Result) -> None:
    line = next(line.strip() for line in summary(result) if "timm.create_model" in line)
    model = eval(line, {"timm": timm})
    assert torch.equal(model.state_dict()["fc.weight"], result.job.model.state_dict()["fc.weight"])
    assert os.fspath(result.model_folder) in line
