"""Unequal classes: weights as scikit-learn has them, epochs in which classes come alike, and both in whole runs."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from botzoo.data.order import ClassSampler, Order, class_sampler
from botzoo.data.transforms import rng_of
from botzoo.errors import ConfigError
from botzoo.models.create import Network
from botzoo.options.command_line import made
from botzoo.options.config import DataConfig, TrainConfig
from botzoo.results.report import Report
from botzoo.tasks.classification import BETA, class_weights
from botzoo.tasks.objective import Objective
from botzoo.training.callbacks import Callback
from botzoo.training.run import train
from botzoo.tricks.label_smoothing import label_smoothing
from botzoo.tricks.mixup import mixup_lambda, partners
from conftest import write_photos
from running import TINY, final_weights, finetune, finetune_and_signal, run, run_distributed

LABELS = np.repeat([0, 1, 2, 4], [60, 20, 5, 15])
"""Class 3 is declared and has no images."""
COUNTS = np.bincount(LABELS)


# Weights


def test_balanced_weights_are_scikit_learns() -> None:
    expected = compute_class_weight("balanced", classes=np.unique(LABELS), y=LABELS)
    np.testing.assert_allclose(np.array(class_weights(COUNTS, "balanced"))[COUNTS > 0], expected)


def test_effective_weights_are_in_proportion_to_the_papers() -> None:
    found = np.array(class_weights(COUNTS, "effective"))[COUNTS > 0]
    effective = np.array(
        [sum(BETA**i for i in range(n)) for n in COUNTS if n]
    )  # what (1 - beta^n) / (1 - beta) sums up
    np.testing.assert_allclose(found * effective, found[0] * effective[0])


@pytest.mark.parametrize("weighting", ["balanced", "effective"])
def test_the_mean_weight_of_an_image_is_one(weighting: Any) -> None:
    assert np.array(class_weights(COUNTS, weighting))[LABELS].mean() == pytest.approx(1)


def test_weights_are_torchs_over_the_images() -> None:
    weights, labels = (0.5, 2.0, 4.0), torch.tensor([0, 1, 2, 1])
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    objective = Objective(3, class_weights=weights)
    found = objective.loss(logits, objective.prepare(torch.zeros(4, 3, 2, 2), labels, 0)[1])
    torch.testing.assert_close(found, F.cross_entropy(logits, labels, torch.tensor(weights), reduction="sum") / 4)


def test_each_image_of_a_mixed_and_smoothed_pair_has_its_own_weight() -> None:
    weights, labels = torch.tensor([0.5, 2.0, 4.0]), torch.tensor([0, 1, 2, 1])
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    objective = Objective(3, 0.1, mixup_alpha=0.2, seed=7, class_weights=tuple(weights.tolist()))
    found = objective.loss(logits, objective.prepare(torch.zeros(4, 3, 2, 2), labels, 5)[1])
    lam = mixup_lambda(0.2, seed=7, step=5)
    mine, theirs = (
        (weights[of] * F.cross_entropy(logits, label_smoothing(of, 3, 0.1), reduction="none")).mean()
        for of in (labels, partners(labels))
    )
    torch.testing.assert_close(found, lam * mine + (1 - lam) * theirs)


def test_the_weighted_loss_is_the_mean_of_that_of_its_micro_batches() -> None:
    labels, logits = torch.tensor([0, 0, 0, 1]), torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    objective = Objective(3, class_weights=(0.5, 2.0, 4.0))

    def loss(rows: slice) -> torch.Tensor:
        return objective.loss(logits[rows], objective.prepare(torch.zeros(4, 3, 2, 2)[rows], labels[rows], 0)[1])

    torch.testing.assert_close(loss(slice(0, 4)), (loss(slice(0, 2)) + loss(slice(2, 4))) / 2)


# Sampling


def drawn(sampler: ClassSampler, epoch: int = 0) -> list[int]:
    return [image for image, _ in sampler.epoch(3, epoch)]


def test_balanced_classes_come_as_often() -> None:
    counts = Counter(LABELS[drawn(ClassSampler(LABELS, 0))])
    assert counts == {0: 25, 1: 25, 2: 25, 4: 25}


def test_square_root_sampling_is_in_between() -> None:
    counts = np.bincount(LABELS[drawn(ClassSampler(LABELS, 0.5))])
    np.testing.assert_allclose(counts, 100 * np.sqrt(COUNTS) / np.sqrt(COUNTS).sum(), atol=1)


def test_with_power_one_every_image_comes_once() -> None:
    assert sorted(drawn(ClassSampler(LABELS, 1))) == list(range(100))


def test_no_image_comes_twice_before_all_of_its_class_came() -> None:
    sampler = ClassSampler(LABELS, 0)
    times = np.bincount(drawn(sampler), minlength=100)
    for k in np.unique(LABELS):
        assert np.ptp(times[np.flatnonzero(k == LABELS)]) <= 1
    assert times.max() == sampler.most_often == 5


def test_what_is_left_over_goes_to_other_classes_in_other_epochs() -> None:
    labels = np.repeat([0, 1, 2], [7, 2, 1])
    quotas = {tuple(np.bincount(labels[drawn(ClassSampler(labels, 0), epoch)])) for epoch in range(20)}
    assert quotas == {(4, 3, 3), (3, 4, 3), (3, 3, 4)}


def test_a_balanced_order_is_a_function_of_seed_and_step() -> None:
    orders = [Order(100, 10, 3, sampler=class_sampler(LABELS, "balanced")) for _ in range(2)]
    steps = [orders[0].global_batch(step) for step in range(30)]
    assert [orders[1].global_batch(step) for step in (25, 3, 14)] == [steps[25], steps[3], steps[14]]
    assert sorted(steps[0] + steps[1]) != sorted(steps[10] + steps[11])


@pytest.mark.parametrize(("world", "accumulate"), [(2, 1), (2, 5), (5, 2)])
def test_processes_share_a_balanced_batch(world: int, accumulate: int) -> None:
    sampler = class_sampler(LABELS, "balanced")
    ranks = [Order(100, 10, 3, rank, world, accumulate, sampler).micro_batches(13) for rank in range(world)]
    whole = Order(100, 10, 3, sampler=sampler).global_batch(13)
    assert sorted(key for rank in ranks for batch in rank for key in batch) == sorted(whole)


def test_an_image_that_comes_again_is_augmented_in_another_way() -> None:
    draws = [rng_of(0, key, stream).random() for key in ((0, 7, 0), (0, 7, 1), (0, 7, 2)) for stream in (0, 1)]
    assert len(set(draws)) == 6
    assert rng_of(0, (0, 7), 0).random() == draws[0]


# What is refused


def test_both_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match="both make up for rare classes"):
        TrainConfig(class_weights="balanced", data=DataConfig(sampling="sqrt"))


def test_balanced_sampling_of_a_stream_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--data\.sampling balanced needs all images at once"):
        TrainConfig(data=DataConfig(sampling="balanced", streaming=True))


# Balanced accuracy


# Whole runs


OPTIONS = {**TINY, "ema": None, "epochs": 2, "mixed_precision": "fp32"}


@pytest.fixture(scope="module")
def skewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30, 12 and 5 images."""
    folder = write_photos(tmp_path_factory.mktemp("skewed") / "photos", classes=3, each=30)
    for k, kept in enumerate((30, 12, 5)):
        for i in range(kept, 30):
            (folder / f"class{k}" / f"{i}.png").unlink()
    return folder


def trained(skewed: Path, folder: Path, **options: Any) -> tuple[list[str], str]:
    """Train in this process; return the lines that were logged, and the card."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger, level = logging.getLogger("botzoo"), logging.getLogger("botzoo").level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        config = made({**OPTIONS, "dataset": str(skewed), "output": str(folder), **options}, TrainConfig)
        train(config, (Report(),), command="botzoo train --scratch")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        AcceleratorState._reset_state()
    return lines, (folder / "model" / "README.md").read_text()


@pytest.mark.slow
def test_weights_and_balanced_accuracy_are_told(skewed: Path, tmp_path: Path) -> None:
    lines, card = trained(skewed, tmp_path / "run", class_weights="balanced", label_smoothing=0.1)
    sizes = "4 ('class2') to 24 ('class0') training images of a class; class weights balanced, 0.528 to 3.17"
    assert any(sizes in line for line in lines)
    assert any("balanced accuracy" in line for line in lines)
    assert "in balanced accuracy and macro F1 each counts alike" in card
    assert "| `class_weights` | `balanced` |" in card


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(skewed: Path, tmp_path: Path) -> None:
    common = {**OPTIONS, "data": {"sampling": "balanced"}, "dataset": str(skewed)}
    whole, cut = ({**common, "output": str(tmp_path / name)} for name in ("a", "b"))
    assert run(finetune, whole) == 0
    assert run(finetune_and_signal, cut, 15, 7) == 0
    assert run(finetune, cut, str(tmp_path / "b")) == 0
    first, second = final_weights(tmp_path / "a"), final_weights(tmp_path / "b")
    assert all(torch.equal(first[name], second[name]) for name in first)


def labels_and_images(options: dict[str, Any], folder: str) -> None:
    """Train with frozen BatchNorm and write down the labels of each step of this process."""
    import os

    from botzoo.training.steps.trainer import Trainer

    take, rows = Trainer.step, []

    def step(self: Trainer, k: int, batches: Any) -> torch.Tensor:
        rows.append([label for batch in batches for label in batch[1].tolist()])
        return take(self, k, batches)

    Trainer.step = step  # type: ignore[method-assign]
    train(made(options, TrainConfig), (FrozenBatchNorm(),))
    Path(folder, f"{os.environ['WORLD_SIZE']}-{os.environ['RANK']}.json").write_text(json.dumps(rows))


class FrozenBatchNorm(Callback):
    """Leaves BatchNorm as it is: else each process would have statistics of its own images."""

    def on_network(self, network: Network) -> None:
        for module in network.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.requires_grad_(False)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(skewed: Path, tmp_path: Path) -> None:
    common = {**OPTIONS, "mixup": 0.0, "cutmix": 0.0, "zero_gamma": False, "epochs": 1, "dataset": str(skewed)}
    common |= {"class_weights": "balanced"}
    for world in (1, 2):
        run_options = {**common, "output": str(tmp_path / str(world)), "engine": {"micro_batch": 4 // world}}
        assert run_distributed(world, labels_and_images, run_options, str(tmp_path)) == [0] * world
    (one,), two = ([json.loads((tmp_path / f"{w}-{r}.json").read_text()) for r in range(w)] for w in (1, 2))
    assert [sorted(step) for step in one] == [sorted(a + b) for a, b in zip(*two, strict=True)]
    first, second = final_weights(tmp_path / "1"), final_weights(tmp_path / "2")
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-4, atol=1e-5)
