"""Training from Python: the command's own functions, with objects of one's own."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import botzoo
import botzoo_finetune
import running
from botzoo.api import from_python
from botzoo.errors import BotzooError, ConfigError, StoppedError
from botzoo.report.view import FinishedRun
from botzoo.training.callbacks import Callback
from botzoo_finetune.cli import command as finetune_command

QUICK: dict[str, Any] = {
    "scratch": True,
    "img_size": 32,
    "epochs": 2,
    "batch_size": 16,
    "optimizer": "sgd",
    "lr": 0.2,
    "mixed_precision": "fp32",
}

Data = tuple[NDArray[np.uint8], list[str]]


@pytest.fixture(scope="module")
def data() -> Data:
    """60 images of three colours, and their names."""
    rng, labels = np.random.default_rng(0), [k % 3 for k in range(60)]
    colours = 120 * np.eye(3)[labels][:, None, None]
    pixels = np.clip(rng.normal(60, 25, (60, 16, 16, 3)) + colours, 0, 255).astype(np.uint8)
    return pixels, [("red", "green", "blue")[k] for k in labels]


class Recorder(Callback):
    """Notes the steps after which it is called."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_epoch_end(self, run: Any, evaluation: Any) -> None:
        self.steps.append(run.progress.step)


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def run(data: Data, recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    output = tmp_path_factory.mktemp("api") / "run"
    return botzoo_finetune.finetune(
        data, model="test_resnet", output=output, callbacks=[recorder], data__hflip=0, optim={"momentum": 0.8}, **QUICK
    )


@pytest.mark.parametrize("ask", [botzoo.train, botzoo_finetune.finetune, botzoo_finetune.probe, botzoo_finetune.check])
def test_no_data_is_refused_and_not_looked_for_by_a_name(ask: Callable[..., object]) -> None:
    with pytest.raises(ConfigError, match=r"^data is None: give"):
        ask(None)


@pytest.mark.parametrize("ask", [botzoo.train, botzoo_finetune.finetune, botzoo_finetune.probe, botzoo_finetune.check])
def test_dataset_is_no_option_beside_data(ask: Callable[..., object]) -> None:
    with pytest.raises(ConfigError, match=r"^dataset is called data in Python"):
        ask(dataset="photos.zip")


def test_the_classes_are_those_of_the_labels(run: FinishedRun) -> None:
    assert list(run.record.class_names) == ["blue", "green", "red"]


def test_callbacks_of_ones_own_are_called(run: FinishedRun, recorder: Recorder) -> None:
    assert recorder.steps == [3, 6]


def test_options_of_groups_are_keywords(run: FinishedRun) -> None:
    assert run.record.options["data"]["hflip"] == 0
    assert run.record.options["optim"]["momentum"] == 0.8


def test_figures_and_arrays_agree(run: FinishedRun) -> None:
    confusion = run.confusion()
    assert confusion.shape == (3, 3)
    assert run.metrics["top1"] == pytest.approx(100 * np.trace(confusion) / confusion.sum())
    assert run.interval[0] <= run.metrics["top1"] <= run.interval[1]
    assert [row["epoch"] for row in run.history if row["split"] == "validation"] == [1, 2]


def test_the_worst_images_come_by_their_loss(run: FinishedRun) -> None:
    losses = [mistake.loss for mistake in run.worst(5)]
    assert losses == sorted(losses, reverse=True)


def test_the_model_of_a_run_predicts(run: FinishedRun, data: Data) -> None:
    answers = botzoo.load(run).predict(data[0][:4])
    assert [len(answer.labels) for answer in answers] == [3] * 4


def test_the_card_says_that_the_data_were_in_memory(run: FinishedRun) -> None:
    card = (run.model_folder / "README.md").read_text()
    assert "images that were in memory" in card
    assert "cannot be repeated from this folder alone" in card


@pytest.mark.slow
def test_without_the_data_it_does_not_resume(tmp_path: Path, data: Data) -> None:
    class Stop(Callback):
        def on_epoch_end(self, run: Any, evaluation: Any) -> None:
            raise ConfigError("enough")

    output = tmp_path / "cut-short"
    with pytest.raises(ConfigError, match="enough"):
        botzoo_finetune.finetune(data, model="test_resnet", output=output, callbacks=[Stop()], **QUICK)
    with pytest.raises(ConfigError, match=r"began with objects of one's own \(data\)"):
        botzoo_finetune.finetune(resume=output)
    assert botzoo_finetune.finetune(data, resume=output).record.facts["steps"] == 6


@pytest.mark.slow
def test_a_stopped_run_with_own_objects_names_the_call_to_go_on(tmp_path: Path, data: Data) -> None:
    class Interrupt(Callback):
        def on_train_end(self, run: Any) -> None:
            raise KeyboardInterrupt

    output = tmp_path / "stopped"
    with pytest.raises(StoppedError, match=re.escape(f"from Python, with resume={str(output)!r}, the same data and")):
        botzoo.train(data, output=output, callbacks=[Interrupt()], **QUICK)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"epoch": 3}, "There is no option.*epochs"),
        ({"epochs": "many"}, "--epochs is 'many'"),
        ({"lr": -1}, "--lr is -1"),
        ({"data__hflip": 2}, "--data.hflip is 2"),
        ({"mixup": 0.2, "loss": nn.functional.cross_entropy}, "loss of your own .*--mixup"),
    ],
)
def test_wrong_options_are_refused_as_on_the_command_line(data: Data, options: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        botzoo_finetune.finetune(data, model="test_resnet", **{**QUICK, **options})


def test_network_transform_and_loss_of_ones_own(data: Data, tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        seen.append(tuple(labels.shape))
        return nn.functional.cross_entropy(logits, labels)

    def transform(image: Image.Image) -> Image.Image:
        return image.resize((32, 32))

    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    own = {name: value for name, value in QUICK.items() if name != "scratch"}
    run = botzoo.train(data, model=network, transform=transform, loss=loss, output=tmp_path / "own", **own)
    assert set(seen) == {(16,)}
    assert run.record.facts["own"] == ["data", "model", "transform", "loss"]
    assert "load_state_dict" in (run.model_folder / "README.md").read_text()


def test_a_network_with_other_outputs_is_refused(data: Data) -> None:
    with pytest.raises(BotzooError, match=r"5 outputs.*3 classes"):
        botzoo.train(data, model=nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), epochs=1)


def test_a_probe_returns_what_it_found(data: Data) -> None:
    look = botzoo_finetune.probe(data, mixed_precision="fp32")
    assert look.probe.evaluation.top1 > 90


@pytest.mark.parametrize("given", [{}, {"models": ["resnet10d_bot"]}, {"models": [3, "a"]}, {"models": "a,a"}])
def test_a_comparison_needs_names_of_two_networks(given: dict[str, Any]) -> None:
    with pytest.raises(BotzooError, match=r"two or more|names, such as"):
        botzoo_finetune.compare(**given)


@pytest.mark.slow
def test_networks_are_compared(data: Data) -> None:
    rows = botzoo_finetune.compare(data, ["resnet10d_bot", "resnet10d_bot.bot_r64_tin100"], mixed_precision="fp32")
    assert {row.model for row in rows} == {"resnet10d_bot", "resnet10d_bot.bot_r64_tin100"}


def test_a_check_returns_what_it_found(data: Data, tmp_path: Path) -> None:
    pixels, labels = data
    twice = (np.concatenate([pixels, pixels[:1]]), [*labels, labels[0]])
    report = botzoo_finetune.check(twice, output=tmp_path / "check", mixed_precision="fp32")
    assert "duplicates" in {finding.check for finding in report.findings}


@pytest.mark.slow
def test_a_notebooks_backend_that_is_not_installed_costs_nothing(photos: Path, tmp_path: Path) -> None:
    environment = {"MPLBACKEND": "module://no_such_module.backend"}
    assert running.run(with_backend, photos, tmp_path / "run", env=environment) == 0
    assert {"README.md", "learning_curve.png", "confusion.png"} <= {p.name for p in (tmp_path / "run/model").iterdir()}


def with_backend(photos: Path, folder: Path) -> None:
    assert "matplotlib" not in sys.modules  # it reads the variable when it is imported
    assert running.quick_command("--dataset", photos, "--output", folder) == 0


def test_a_picture_that_fails_costs_one_line(run: FinishedRun, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    from botzoo.results.report import describe

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no fonts here")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    describe(run.folder)
    assert [record.levelname for record in caplog.records if "no fonts here" in record.message] == ["WARNING"] * 2


@pytest.mark.parametrize("labels", ["labels.csv", Path("labels.csv"), None, {"train": [1]}])
def test_labels_are_an_option_or_an_object_of_ones_own(labels: Any) -> None:
    seen: dict[str, Any] = {}

    def execute(config: Any, **asked: Any) -> None:
        seen.update(asked, config=config)

    from_python(execute, finetune_command(), "photos", {"labels": labels, "epochs": 1})
    option, own = (None, labels) if isinstance(labels, dict) else (labels and str(labels), None)
    assert (seen["config"].labels, seen["own"].labels) == (option, own)
