"""A frozen backbone passed once: the same steps as through the network, and a whole model at the end."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from botzoo.data.order import Order
from botzoo.errors import ConfigError
from botzoo.models.preprocessing import Size
from botzoo.options.facts import with_values
from botzoo.training.autotune import speed
from botzoo.training.setup import set_up
from botzoo.training.state import Run
from botzoo.training.steps.feed import ImageFeed
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.run import transfer
from botzoo_finetune.transfer.head_only import FeatureFeed, Head, HeadTrainer, in_parts
from running import command, final_weights

WHOLE = ("--views", 0, "--data.crop-min", 1, "--data.hflip", 0)
"""Passes the whole network in every step, and images of this size are resized whole, as their features are."""

Finetuned = Callable[..., Path]


@pytest.fixture(scope="module")
def finetuned(photos: Path, pretrained: str, tmp_path_factory: pytest.TempPathFactory) -> Finetuned:
    """Trains the classifier for two epochs; returns the run's folder."""
    words = ["--dataset", photos, "--model", pretrained, "--freeze", "backbone", "--epochs", 2, "--batch-size", 16]

    def run(*more: object) -> Path:
        folder = tmp_path_factory.mktemp("frozen") / "run"
        assert command(*words, "--mixed-precision", "fp32", "--no-lp-ft", *more, "--output", folder) == 0
        return folder

    return run


@pytest.fixture(scope="module")
def kept(finetuned: Finetuned) -> Path:
    """A run on features that are kept, to be read only."""
    return finetuned()


def changed(one: Path, other: Path) -> list[str]:
    ours, theirs = final_weights(one), final_weights(other)
    return sorted(name for name in ours if not torch.equal(ours[name], theirs[name]))


@pytest.mark.slow
def test_the_steps_are_those_through_the_network(finetuned: Finetuned, kept: Path) -> None:
    ours, through = final_weights(kept), final_weights(finetuned(*WHOLE))
    assert set(ours) == set(through)
    for name in ours:
        torch.testing.assert_close(ours[name], through[name], rtol=0.02, atol=2e-3, msg=name)


def test_the_plan_says_that_features_are_kept(kept: Path) -> None:
    assert "computed once and kept" in (kept / "log.txt").read_text()


def test_every_epoch_is_evaluated_on_all_images(kept: Path) -> None:
    lines = [json.loads(line) for line in (kept / "metrics.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines if line["split"] == "validation"] == [12, 12]


@pytest.mark.slow
def test_the_average_of_the_classifier_is_kept(finetuned: Finetuned, kept: Path) -> None:
    assert changed(finetuned("--ema", 0.9), kept) == ["fc.bias", "fc.weight"]


@pytest.mark.slow
def test_epochs_of_the_classifier_are_averaged(finetuned: Finetuned, kept: Path) -> None:
    soup = finetuned("--soup", 2)
    lines = [json.loads(line) for line in (soup / "metrics.jsonl").read_text().splitlines()]
    (trial,) = [line for line in lines if line["split"] == "soup"]
    assert changed(soup, kept) == (["fc.bias", "fc.weight"] if trial["kept"] else [])


@pytest.mark.parametrize(("batch", "world", "micro"), [(4096, 1, 128), (4096, 2, 128), (300, 1, 150), (8, 2, 4)])
def test_the_whole_network_is_evaluated_on_no_more_images_at_once_than_gave_features(
    batch: int, world: int, micro: int
) -> None:
    assert in_parts(Order(5000, batch, 0, world_size=world), 334).micro_batch == micro


def feed_of(extract: Callable[..., Any], views: int, labels: Any) -> FeatureFeed:
    """Return a feed whose images have nothing but a size."""
    size = SimpleNamespace(shape=Size.of(32))
    images = SimpleNamespace(preprocessing=size, transform=str, crop_min=1.0, hflip=0.5, seed=0, augment=None)
    return FeatureFeed(images, extract, {"train": labels, "validation": labels}, views)  # type: ignore[arg-type]


def test_views_take_turns_and_each_is_computed_once() -> None:
    computed: list[int] = []

    def extract(role: str, view: Any) -> Any:
        computed.append(view.number if view else 0)
        return np.full((8, 2), computed[-1], np.float16)

    order, feed = Order(8, 4, 0), feed_of(extract, 2, np.arange(8))
    seen = [float(features[0, 0]) for ((features, _),) in feed.train_batches(order, 0, 10)]
    assert seen == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0]
    assert computed == [0, 1]


def test_each_step_has_the_features_and_labels_of_the_order() -> None:
    order = Order(8, 4, 0)
    feed = feed_of(lambda role, view: np.arange(8, dtype=np.float16)[:, None], 1, np.arange(8))
    for step, ((features, labels),) in enumerate(feed.train_batches(order, 2, 6), 2):
        rows = [key[1] for key in order.micro_batches(step)[0]]
        assert features[:, 0].tolist() == labels.tolist() == rows


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_share_an_evaluation(rank: int) -> None:
    feed = feed_of(lambda role, view: np.zeros((5, 2), np.float16), 1, np.arange(5))
    ((_, labels),) = feed.eval_batches(Order(4, 2, 0, rank, world_size=2), "validation")
    assert labels.tolist() == [[0, 1, 2], [3, 4]][rank] or labels.tolist() == [[0, 1], [2, 3, 4]][rank]


@pytest.fixture
def ready(photos: Path, pretrained: str) -> Callable[..., Run]:
    """Returns a run with a frozen body that is ready for its first step."""
    base = FinetuneConfig(dataset=str(photos), model=pretrained, freeze="backbone", mixed_precision="fp32", epochs=2)

    def set_up_with(**options: Any) -> Run:
        config = with_values(base, {name.replace("__", "."): value for name, value in options.items()})
        return set_up(config, transfer(config))

    return set_up_with


def test_the_classifier_takes_the_optimizer_and_the_objective_over(ready: Callable[..., Run]) -> None:
    run = ready(class_weights="balanced", drop_rate=0.2)
    whole = run.trainer.whole
    assert isinstance(run.trainer, HeadTrainer)
    assert isinstance(run.trainer.model, Head)
    assert run.trainer.model.drop.p == 0.2
    assert run.trainer.objective is whole.objective
    assert run.trainer.optimizer is whole.optimizer
    assert whole.model is run.model


@pytest.mark.parametrize(
    ("options", "views"),
    [
        ({}, 1),
        ({"views": 3}, 3),
        ({"views": 0}, None),
        ({"mixup": 0.2}, None),
        ({"paper_augment": True}, None),
        ({"augment__randaugment": 9.0}, None),
        ({"augment__randaugment": 9.0, "views": 2}, 2),
        ({"data__sampling": "balanced"}, 1),
    ],
    ids=str,
)
def test_what_changes_images_passes_the_network_unless_views_are_asked_for(
    ready: Callable[..., Run], options: dict[str, Any], views: int | None
) -> None:
    feed = ready(**options).feed
    assert isinstance(feed, ImageFeed if views is None else FeatureFeed)
    assert getattr(feed, "views", None) == views


@pytest.mark.parametrize("options", [{"mixup": 0.2}, {"paper_augment": True}], ids=str)
def test_what_needs_images_in_every_step_refuses_views(ready: Callable[..., Run], options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="needs images in every step"):
        ready(**options, views=1)


def test_the_whole_network_is_back_at_the_end_with_the_classifier_that_was_trained(ready: Callable[..., Run]) -> None:
    run = ready(ema=0.9)
    averaged = run.trainer.evaluated
    assert isinstance(averaged, Head)
    nn.init.ones_(averaged.classifier.weight)
    for callback in transfer(run.config):  # type: ignore[arg-type]
        callback.on_train_end(run)
    assert run.trainer.evaluated is run.model
    assert isinstance(run.feed, ImageFeed)
    assert bool((run.model.get_classifier().weight == 1).all())  # type: ignore[operator]


def test_a_budget_counts_the_closing_evaluation_through_the_whole_network(
    ready: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[nn.Module] = []
    monkeypatch.setattr(speed, "evaluate", lambda accelerator, model, *rest: evaluated.append(model))
    run = ready()
    run.trainer.start_epoch()
    speed.measure(run, (), 1.0)
    assert {type(model) for model in evaluated} == {Head, type(run.model)}


def test_the_head_drops_features_in_training_only() -> None:
    head, features = Head(nn.Linear(64, 2), 0.5), torch.ones(1, 64)
    outputs: list[Tensor] = [head.train()(features), head(features), head.eval()(features), head(features)]
    assert not torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[2], outputs[3])
