"""Images with any number of labels: figures as scikit-learn has them, torch's loss, and whole runs."""

import json
import warnings
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import timm
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from sklearn.metrics import average_precision_score
from timm.loss import BinaryCrossEntropy
from torch import nn

from botzoo.errors import ConfigError
from botzoo.experiments.repeats import repeated
from botzoo.inference.load import load
from botzoo.inference.output import as_json, as_table
from botzoo.inference.predict import Predictor
from botzoo.options.command_line import made
from botzoo.options.config import TrainConfig
from botzoo.sources.base import ImageData, Split
from botzoo.tasks.multi_label import MULTI_LABEL, MultiLabelEvaluation, Ranked
from botzoo.tasks.objective import MultiLabelObjective
from botzoo.training.callbacks import Callback
from botzoo.training.run import train
from botzoo.training.steps.evaluation import evaluate
from botzoo.tricks.mixup import mixup_lambda, partners
from running import TINY, run_distributed, train_briefly

RNG = np.random.default_rng(0)
LABELS = (RNG.random((60, 4)) < (0.5, 0.3, 0.1, 0.0)).astype(np.uint8)
LOGITS = np.round(RNG.normal(0, 1, (60, 4)) + 1.5 * LABELS, 1).astype(np.float32)
"""Rounded, so that some are equal; the last label occurs nowhere."""


DATA = ImageData("photos", ("a", "b", "c", "d"), Split("all", LABELS, lambda i: b"", str))


def evaluation() -> MultiLabelEvaluation:
    return MultiLabelEvaluation(LABELS, LOGITS, np.ones(60, np.float32))


# Figures


def test_average_precision_is_scikit_learns() -> None:
    found = evaluation().average_precisions
    expected = [100 * average_precision_score(LABELS[:, k], LOGITS[:, k]) for k in range(3)]
    np.testing.assert_allclose(found[:3], expected)
    assert np.isnan(found[3])
    assert evaluation().score == pytest.approx(np.mean(expected))


def test_resampled_average_precision_is_scikit_learns_with_weights() -> None:
    times = RNG.integers(0, 3, (5, 60))
    ranked = Ranked(LABELS[:, 1], LOGITS[:, 1])
    found = ranked.precision(ranked.sums(times))
    expected = [average_precision_score(LABELS[:, 1], LOGITS[:, 1], sample_weight=row) for row in times]
    np.testing.assert_allclose(found, expected)


def test_the_interval_is_that_of_resampled_images() -> None:
    low, high = evaluation().interval()
    rng, scores = np.random.default_rng(5), []
    for _ in range(1000):
        rows = rng.integers(0, 60, 60)
        ranked = [Ranked(LABELS[rows, k], LOGITS[rows, k]) for k in range(3)]
        every = [each.precision(each.sums())[0] for each in ranked]
        scores.append(100 * np.nanmean(every))
    np.testing.assert_allclose((low, high), np.percentile(scores, (2.5, 97.5)), atol=1.5)
    assert evaluation().interval() == (low, high)


class Echo(nn.Module):
    """Answers with the first pixel of an image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, 0, 0]


def test_evaluation_keeps_labels_and_logits_in_order() -> None:
    AcceleratorState._reset_state()
    images = torch.randint(0, 256, (7, 3, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = (torch.arange(21).view(7, 3) % 2).to(torch.uint8)
    parts = [(images[:4], labels[:4]), (images[4:], labels[4:])]
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    found = evaluate(accelerator, Echo(), parts, lambda x: x.float() / 255 - 0.5, 7, MULTI_LABEL)
    logits = images[:, :, 0, 0].float() / 255 - 0.5
    assert found.labels.tolist() == labels.tolist()
    np.testing.assert_allclose(found.logits, logits, atol=1e-6)
    expected = nn.BCEWithLogitsLoss(reduction="none")(logits, labels.float()).sum(1)
    np.testing.assert_allclose(found.nll, expected, rtol=1e-5)


# The loss


def test_the_loss_is_timms_summed_over_the_labels() -> None:
    logits, labels = torch.from_numpy(LOGITS), torch.from_numpy(LABELS)
    objective = MultiLabelObjective(4)
    _, targets = objective.prepare(torch.zeros(60, 3, 2, 2), labels, 0)
    expected = BinaryCrossEntropy(smoothing=0.0, sum_classes=True)(logits, labels.float())
    torch.testing.assert_close(objective.loss(logits.bfloat16().float(), targets), expected, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(objective.loss(logits, targets), expected)


def test_mixup_mixes_the_labels() -> None:
    labels = torch.from_numpy(LABELS)
    _, targets = MultiLabelObjective(4, mixup_alpha=0.2, seed=7).prepare(torch.zeros(60, 3, 2, 2), labels, 5)
    lam = mixup_lambda(0.2, seed=7, step=5)
    torch.testing.assert_close(targets, lam * labels.float() + (1 - lam) * partners(labels.float()))


# Whole runs


PLAIN = {"ema": None, "epochs": 2, "lr": 0.2}


@pytest.fixture
def finished(finished_multi_label_run: Path) -> Path:
    return finished_multi_label_run


def test_it_learns_and_its_figures_are_in_the_log(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["split"] == "validation"][-1]
    assert set(last) >= {"loss", "map", "f1_micro", "f1_macro", "epoch", "images"}
    assert last["map"] > 90
    log = (finished / "log.txt").read_text()
    assert "images in 3 classes, any number of labels" in log
    assert "validation mAP " in log
    assert "metrics    macro F1 " in log


@pytest.mark.slow
def test_a_run_that_does_not_gain_says_so_of_its_map(pictures: Path, tmp_path: Path) -> None:
    plateau = {"cosine": False, "optim": {"decay": "plateau", "decay_patience": 1}, "warmup": 0.0}
    folder = train_briefly(
        pictures, tmp_path / "run", **PLAIN | plateau | {"epochs": 3, "patience": 2, "min_delta": 100.0}
    )
    told = (folder / "log.txt").read_text() + (folder / "model" / "README.md").read_text()
    assert "after every 1 epoch without a better validation mAP" in told
    assert "validation mAP no better for 1 epochs: the learning rate falls" in told
    assert "stopped early: validation mAP no better for 2 epochs" in told
    assert not {"top-1", "accuracy"} & set(told.split())


def test_the_card_tells_of_labels(finished: Path) -> None:
    card = (finished / "model" / "README.md").read_text()
    for words in ("multi-label image classifier", "mean_average_precision", "500 bootstrap resamples", "sigmoid()"):
        assert words in card
    assert "top-1" not in card
    assert "class by class" not in card
    assert (finished / "model" / "learning_curve.png").exists()


def test_timm_and_transformers_load_it(finished: Path, pictures: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = json.loads((finished / "model" / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    image = datasets.load_from_disk(str(pictures))[7]["image"]
    model = timm.create_model(f"local-dir:{finished / 'model'}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with torch.inference_mode():
        shares = model(transform(image).unsqueeze(0)).sigmoid()[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ask = transformers.pipeline("image-classification", model=str(finished / "model"))
        said = {answer["label"]: answer["score"] for answer in ask(image)}
    np.testing.assert_allclose([said[name] for name in ("red", "green", "blue")], shares, atol=1e-3)


def test_the_code_of_the_card_runs(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    code = (finished / "model" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    Image.new("RGB", (16, 16), (230, 230, 20)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace("local-dir:.", f"local-dir:{finished / 'model'}"), "card", "exec"), {})
    assert {line.split(":")[0] for line in capsys.readouterr().out.splitlines()} == {"red", "green"}


def test_predictions_are_all_labels_over_one_half(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [str(tmp_path / f"{i}.png") for i in range(2)]
    for image in images:
        Image.new("RGB", (16, 16), (230, 230, 20)).save(image)
    classifier = load(str(finished))
    predictor = Predictor(classifier, torch.device("cpu"), requested="fp32")
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = classifier.module(classifier.preprocessing.normalise(pixels)).sigmoid()
    torch.testing.assert_close(predictor.probabilities(pixels), expected, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(predictor, "probabilities", lambda images: torch.tensor([[0.6, 0.2, 0.9], [0.1, 0.3, 0.2]]))
    some, none = predictor(images)
    assert (some.indices, none.indices) == ((2, 0), ())
    assert list(as_table([none]))[1:] == ["  no label over 50 %"]
    assert json.loads(next(as_json([none])))["predictions"] == []
    assert [prediction.indices for prediction in predictor(images, top_k=1)] == [(2,), (1,)]


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"label_smoothing": 0.1}, "--label-smoothing 0.1 need"),
        ({"distillation": "resnet10d_bot"}, "--distillation resnet10d_bot need"),
        ({"class_weights": "balanced"}, "--class-weights balanced need"),
        ({"data": {"sampling": "sqrt"}}, "--data.sampling sqrt need"),
    ],
)
def test_what_needs_one_label_is_refused(options: dict[str, Any], flag: str) -> None:
    with pytest.raises(ConfigError, match=flag):
        MULTI_LABEL.check(made(options, TrainConfig), DATA)


def test_a_run_asks_before_its_folder_is_made(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--reject 0\.9 need"):
        train_briefly(pictures, tmp_path / "run", **PLAIN, reject=0.9)
    assert not (tmp_path / "run").exists()


def test_runs_on_them_are_not_compared_by_accuracy(pictures: Path) -> None:
    config = made({**TINY, "dataset": str(pictures)}, TrainConfig)
    folds = repeated("folds", "fold", config, "", lambda _: [], (), first={})
    with pytest.raises(ConfigError, match=r"--folds goes by top-1, and images of .* any number of labels"), folds:
        pass


class NoteAnswers(Callback):
    """Writes down what each process takes for the evaluation."""

    def on_epoch_end(self, run: Any, evaluation: Any) -> None:
        path = run.folder.parent / f"rank{run.accelerator.process_index}.json"
        path.write_text(json.dumps({name: array.tolist() for name, array in evaluation.answers.items()}))


def evaluated(options: dict[str, Any]) -> None:
    """Train for a step in one of several processes."""
    train(made(options, TrainConfig), [NoteAnswers()])


@pytest.mark.slow
def test_two_processes_evaluate_every_image_once(pictures: Path, tmp_path: Path) -> None:
    places = {"dataset": str(pictures), "output": str(tmp_path / "run"), "mixed_precision": "fp32"}
    options = {**TINY, **PLAIN, **places, "epochs": None, "steps": 1, "warmup": 0.0}
    assert run_distributed(2, evaluated, options) == [0, 0]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert len(first["labels"]) == 12
