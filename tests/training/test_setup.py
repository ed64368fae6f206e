"""What a run settles by itself before its first step: its length, its crops, and what gives way to a short run."""

from pathlib import Path
from typing import Any

import pytest

from botzoo.data.order import Order
from botzoo.errors import ConfigError
from botzoo.options.choices import Choice
from botzoo.options.command_line import made
from botzoo.options.config import TrainConfig
from botzoo.training.callbacks import Callback
from botzoo.training.setup import resolved, set_up
from botzoo.training.state import Run, usual_crop

EIGHT = Order(50 * 8, 8, 0)
"""50 steps an epoch, of which a run gets three by default."""


@pytest.mark.parametrize(
    ("paper", "mirrored", "epochs", "crop"),
    [
        *((True, True, 120, 0.08), (True, False, 3, 0.08)),
        *((False, False, 3, 0.8), (False, False, 30, 0.8)),
        *((False, True, 9, 0.7), (False, True, 10, 0.35)),
    ],
)
def test_crops_suit_the_data_and_the_length_of_the_run(paper: bool, mirrored: bool, epochs: int, crop: float) -> None:
    assert usual_crop(TrainConfig(paper_augment=paper), mirrored, epochs) == crop


@pytest.mark.parametrize(("images", "epochs"), [(8, 30), (50 * 8, 3), (20 * 8, 5), (2 * 8, 30)])
def test_the_default_length_is_a_hundred_steps_in_three_to_thirty_epochs(images: int, epochs: int) -> None:
    assert resolved(TrainConfig(), (), Order(images, 8, 0), True)[0].epochs == epochs


@pytest.mark.parametrize("options", [{"steps": 10}, {"epochs": 1}, {}])
def test_a_warmup_that_nobody_gave_shrinks_and_says_so(options: dict[str, Any]) -> None:
    config, choices = resolved(made({"warmup": 4.0, **options}, TrainConfig), options.keys(), EIGHT, True)
    length = config.epochs if config.steps is None else config.steps / 50
    assert 0 < config.warmup < length
    (choice,) = choices
    assert (choice.option, choice.value) == ("warmup", config.warmup)
    assert "4 epochs is not shorter than the run" in choice.reason


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"warmup": 3.0}, "--warmup is 3.0: .* the 3 epochs"),
        ({"warmup": 1.0, "steps": 10}, "0.2 epochs of its 10 steps"),
        ({"warmup": 2.0, "epochs": 2}, "less than --epochs 2"),
        ({"cosine": False, "optim.decay": "step", "optim.milestones": (2, 3)}, "--optim.milestones is"),
        ({"data.train_scale": 0.5, "data.train_scale_epochs": 3}, "--data.train-scale-epochs is 3"),
    ],
)
def test_what_was_given_and_is_not_shorter_than_the_run_is_refused(options: dict[str, Any], said: str) -> None:
    from botzoo.util.nested import nested

    with pytest.raises(ConfigError, match=said):
        resolved(made(nested(options), TrainConfig), options.keys(), EIGHT, True)


def test_a_budget_leaves_length_and_crops_open() -> None:
    config, _ = resolved(TrainConfig(budget="10m"), ("budget",), EIGHT, True)
    assert (config.epochs, config.steps, config.data.crop_min) == (None, None, None)


# A run that is set up and not begun

TINY = {"model": "test_resnet", "scratch": True, "img_size": 32, "batch_size": 8, "mixed_precision": "fp32"}


def built(photos: Path, *callbacks: Callback, **options: Any) -> Run:
    return set_up(made({**TINY, "dataset": str(photos), **options}, TrainConfig), callbacks)


@pytest.fixture
def run(photos: Path) -> Run:
    return built(photos, budget="10m", warmup=0.5)


def test_a_run_without_a_folder_says_so(run: Run) -> None:
    with pytest.raises(RuntimeError, match="no folder yet"):
        _ = run.folder


def test_a_length_that_is_set_is_that_of_schedule_and_configuration(run: Run) -> None:
    run.set_length(15, warmup=1.0)
    assert (run.schedule.total_steps, run.schedule.warmup_steps, run.epochs) == (15, 6, 2.5)
    assert run.schedule.lr(15) == pytest.approx(0)
    config = run.config
    assert (config.steps, config.budget, config.epochs, config.warmup) == (15, None, None, 1.0)


def test_crops_follow_from_the_first_length_and_not_from_later_ones(run: Run) -> None:
    run.set_length(60)
    assert run.feed.whole.crop_min == run.config.data.crop_min == 0.35
    run.set_length(12)
    assert run.feed.whole.crop_min == run.config.data.crop_min == 0.35
    assert run.schedule.warmup_steps == 3


def test_crops_that_were_given_stay(photos: Path) -> None:
    run = built(photos, budget="10m", data={"crop_min": 0.5})
    run.set_length(600)
    assert run.feed.whole.crop_min == 0.5


def test_options_are_numbers_once_it_is_set_up(photos: Path) -> None:
    run = set_up(made({"dataset": str(photos), "model": "test_resnet", "scratch": True}, TrainConfig))
    config = run.config
    assert (config.batch_size, config.epochs, config.img_size) == (8, 17, run.preprocessing.size)
    assert (config.data.crop_min, config.data.hflip) == (0.35, 0.5)
    assert config.mixed_precision == run.precision.name != "auto"
    assert [run.epoch_of(step) for step in (0, 5, 6)] == [0, 0, 1]


class Smaller(Callback):
    """Chooses another size of the input."""

    def on_resolve(self, draft: Any) -> list[Choice]:
        return [Choice("img_size", 24, "so", "a test")]


def test_a_size_that_is_chosen_makes_the_network_anew(photos: Path) -> None:
    run = built(photos, Smaller(), epochs=1)
    assert run.preprocessing.size == run.config.img_size == run.feed.whole.train_size.side == 24
    assert [str(choice) for choice in run.choices] == ["--img-size 24: so (a test)"]


def test_where_pictures_are_scaled_there_is_no_smallest_crop() -> None:
    assert resolved(TrainConfig(), (), EIGHT, True, crops=False)[0].data.crop_min is None
