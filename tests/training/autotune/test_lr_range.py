"""--find-lr: what it suggests on losses that are known, and the test itself, which keeps nothing but a picture."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from botzoo.commands.train import run as train_command
from botzoo.errors import ConfigError
from botzoo.options.command_line import made
from botzoo.options.config import TrainConfig
from botzoo.training.autotune.lr_range import HIGHEST, LOWEST, Sweep, exploded, factor, smoothed, suggest
from botzoo.training.rehearsal import find_lr
from botzoo.training.steps.trainer import Trainer
from running import run_distributed

STEPS = 100


def descend(curvature: float, lr: float) -> list[float]:
    """Minimise ``curvature * x ** 2 / 2 + 0.1`` by gradient descent under the sweep; it diverges above 2 / curvature."""
    sweep, x, losses = Sweep(lr, STEPS), 1.0, []
    for step in range(STEPS):
        losses.append(curvature * x**2 / 2 + 0.1)
        if exploded(losses, STEPS):
            break
        x -= sweep.lr(step) * curvature * x
    return losses


def test_the_sweep_grows_by_the_same_factor_from_lowest_to_highest() -> None:
    rates = [Sweep(0.2, STEPS).lr(step) for step in range(STEPS)]
    assert rates == pytest.approx(np.geomspace(LOWEST * 0.2, HIGHEST * 0.2, STEPS))


@pytest.mark.parametrize("curvature", [0.3, 1.0, 4.0])
def test_on_a_quadratic_both_suggestions_converge_and_are_not_far_too_small(curvature: float) -> None:
    found = suggest(descend(curvature, 1.0), STEPS)
    assert found is not None
    limit = 2 / curvature  # of the learning rates at which gradient descent converges
    assert limit / 100 < found.careful < limit
    assert limit / 100 < found.steepest < limit


def test_the_test_ends_soon_after_the_loss_explodes() -> None:
    losses = descend(4.0, 1.0)
    assert 2 / 4 < factor(len(losses), STEPS) < HIGHEST
    assert not any(exploded(losses[:k], STEPS) for k in range(1, len(losses)))


def test_the_steepest_point_is_the_middle_of_a_slope_and_careful_a_tenth_of_its_foot() -> None:
    losses = np.concatenate([np.full(40, 2.0), np.linspace(2.0, 1.0, 21), np.linspace(1.05, 3.0, 39)])
    found = suggest(losses.tolist(), STEPS)
    assert found is not None
    assert factor(42, STEPS) < found.steepest < factor(58, STEPS)
    assert found.careful == pytest.approx(factor(60, STEPS) / 10, rel=0.5)


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_fall_and_a_fall_is_seen_through_noise(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.1, STEPS)
    assert suggest((2.3 + noise).tolist(), STEPS) is None
    fall = np.concatenate([np.zeros(50), np.linspace(0, 0.6, 20), np.full(30, 0.6)])
    assert suggest((2.3 - fall + noise).tolist(), STEPS) is not None


@pytest.mark.parametrize("losses", [[], [2.0], [2.0, 2.1, 2.5], [2.0, 2.0]])
def test_losses_that_only_rise_suggest_nothing(losses: list[float]) -> None:
    assert suggest(losses, STEPS) is None


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 9.0])
def test_a_loss_that_is_not_finite_or_too_large_ends_the_test(loss: float) -> None:
    assert exploded([2.0] * 20 + [loss] * (1 if loss != 9.0 else 12), STEPS)


def test_smoothing_leaves_a_constant_alone() -> None:
    assert smoothed([2.0] * 30, STEPS) == pytest.approx([2.0] * 30)


# The test on images


def try_out(photos: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[str]:
    """Test rates in ``folder`` and return the lines of the log."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("botzoo")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "level", logging.INFO)
    usual = {"model": "test_resnet", "scratch": True, "img_size": 32, "batch_size": 2, "mixed_precision": "fp32"}
    find_lr(made({**usual, "dataset": str(photos), **options}, TrainConfig))
    return lines


@pytest.mark.slow
def test_it_leaves_one_picture_and_one_suggestion(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    take = Trainer.step

    def step(self: Trainer, k: int, batches: Any) -> Any:
        rates.append(self.schedule.lr(k))
        return take(self, k, batches) * 0 + 3.0 - k / 10  # a loss that falls

    monkeypatch.setattr(Trainer, "step", step)
    (tmp_path / "lr_finder.png").write_text("precious")
    lines = try_out(photos, tmp_path, monkeypatch, lr=0.5)
    assert rates == pytest.approx(np.geomspace(0.5 * 2 / 256 * 1e-5, 0.5 * 2 / 256 * 10, 24))  # scaled, over one epoch
    assert "24 steps from --lr 5e-06 to --lr 5 at" in lines[0]
    assert lines[-2].startswith("suggested  --lr ")
    assert lines[-2].endswith(" is --lr 0.5")
    assert lines[-1].endswith("lr_finder-2.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lr_finder-2.png", "lr_finder.png"]
    with Image.open(tmp_path / "lr_finder-2.png") as picture:
        assert min(picture.size) > 300


def try_out_together(photos: str, folder: str) -> None:
    """Test rates with losses that are 1 higher in the second process, and write down what the picture is drawn from."""
    from botzoo.training.autotune import lr_range

    def step(self: Trainer, k: int, batches: Any) -> Any:
        return torch.tensor(3.0 - k / 10 + int(os.environ["RANK"]))

    def draw(losses: list[float], *more: Any) -> None:
        Path(folder, f"rank{os.environ['RANK']}.json").write_text(json.dumps(losses))

    Trainer.step = step  # type: ignore[method-assign]
    lr_range.range_figure = draw  # type: ignore[assignment]
    usual = {"model": "test_resnet", "scratch": True, "img_size": 32, "batch_size": 4, "mixed_precision": "fp32"}
    find_lr(made({**usual, "dataset": photos}, TrainConfig))


@pytest.mark.slow
def test_two_processes_test_together_and_one_draws_their_mean(photos: Path, tmp_path: Path) -> None:
    assert run_distributed(2, try_out_together, str(photos), str(tmp_path)) == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["rank0.json"]
    losses = json.loads((tmp_path / "rank0.json").read_text())
    assert losses == pytest.approx([3.5 - k / 10 for k in range(12)])


def test_a_loss_that_never_falls_is_one_clear_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError) as caught:
        try_out(photos, tmp_path, monkeypatch, lr=1e-9)
    assert "between --lr 1e-14 and --lr 1e-08 (lr_finder" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_epoch_of_few_steps_is_refused(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"10 steps and there are 6.*--batch-size"):
        try_out(photos, tmp_path, monkeypatch, batch_size=8)


def test_two_modes_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="--dry-run and --find-lr each"):
        train_command(["--dry-run", "--find-lr"])
