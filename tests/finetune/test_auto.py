"""Options that suit the data: what is chosen, from which facts, and what is left to the user."""

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from botzoo.data.images import read_images
from botzoo.errors import ConfigError
from botzoo.options.choices import Choice, with_choices
from botzoo.options.facts import differing
from botzoo.sources.find import find_images
from botzoo.training.setup import open_draft
from botzoo.training.state import Draft
from botzoo.util.nested import flat
from botzoo_finetune.auto import (
    FEWEST_EPOCHS,
    SHORT,
    STRONG_CROPS,
    USUAL,
    USUAL_SGD,
    Facts,
    choose,
    for_optimizer,
    smaller_input,
    stands_aside,
    usual,
)
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.probing import first_look
from botzoo_finetune.probing.first_look import ChooseForData
from conftest import write_photos
from running import command, finetune, run_distributed, write_teacher

LR, SGD_LR = USUAL[0], USUAL_SGD[0]
FACTS = Facts(images=2000, classes=10, smallest=200, largest=200, side=32, input_side=64)


def value_of(option: str, facts: Facts) -> Any:
    return next(choice.value for choice in choose(facts) if choice.option == option)


@pytest.mark.parametrize(("images", "epochs"), [(400, 10), (2000, 8), (40_000, 3)])
def test_small_sets_are_seen_more_often_within_bounds(images: int, epochs: int) -> None:
    assert value_of("epochs", replace(FACTS, images=images)) == epochs


@pytest.mark.parametrize(("images", "share"), [(50, 0.1), (400, 0.4), (1000, 1), (40_000, 1)])
def test_the_fewer_images_a_class_has_the_lower_the_learning_rate(images: int, share: float) -> None:
    assert value_of("lr", replace(FACTS, images=images)) == pytest.approx(share * LR)


@pytest.mark.parametrize(("optimizer", "lr"), [("SGD", SGD_LR), ("momentum", SGD_LR), ("adam", LR), ("lamb", LR)])
def test_the_learning_rate_is_one_for_the_optimizer(optimizer: str, lr: float) -> None:
    assert value_of("lr", replace(FACTS, optimizer=optimizer)) == lr


@pytest.mark.parametrize("name", ["SGD", "momentum", "nesterov", "bnbsgd8bit", "lars", "nlarc"])
def test_what_is_made_of_sgd_gets_its_learning_rate_and_weight_decay(name: str) -> None:
    assert usual(name) == USUAL_SGD


@pytest.mark.parametrize(("name", "decay"), [("AdamW", 0.05), ("nadamw", 0.05), ("adam", 1e-4), ("lion", 1e-4)])
def test_others_get_the_learning_rate_of_adamw_and_its_decay_where_it_is_apart(name: str, decay: float) -> None:
    assert usual(name) == (LR, decay)


def test_what_is_given_stays_whatever_the_optimizer() -> None:
    config = FinetuneConfig(optimizer="sgd", lr=0.03)
    found = for_optimizer(config, {"lr", "optimizer"})
    assert (found.lr, found.optim.weight_decay) == (0.03, USUAL_SGD[1])


def test_a_learning_rate_for_a_batch_that_is_not_known_is_asked_for() -> None:
    config = FinetuneConfig(batch_size="auto", linear_scaling=False)
    assert for_optimizer(config, {"lr"}) == replace(config, optim=replace(config.optim, weight_decay=USUAL[1]))
    with pytest.raises(ConfigError, match="give --lr too"):
        for_optimizer(config, set())


@pytest.mark.parametrize(("optimizer", "decay"), [("adamw", 0.05), ("sgd", 1e-4)])
def test_the_weight_decay_is_one_for_the_optimizer(optimizer: str, decay: float) -> None:
    assert value_of("optim.weight_decay", replace(FACTS, optimizer=optimizer)) == decay


def test_networks_without_batch_norm_get_smaller_steps_of_adamw_but_not_of_sgd() -> None:
    assert value_of("lr", replace(FACTS, batch_norm=False)) == 0.0005
    assert value_of("lr", replace(FACTS, batch_norm=False, optimizer="sgd")) == SGD_LR


def test_without_linear_scaling_the_learning_rate_is_that_of_the_batch() -> None:
    assert value_of("lr", replace(FACTS, base_batch=64)) == LR / 4


def test_each_reason_is_that_of_its_own_option_where_classes_are_skewed() -> None:
    reasons = {choice.option: choice.reason for choice in choose(replace(FACTS, smallest=20, largest=900))}
    assert "20 to 900 images" in reasons["class_weights"]
    assert reasons["mixup"].startswith("it pays from")


def test_mixup_and_label_smoothing_need_many_images_and_epochs() -> None:
    assert value_of("mixup", replace(FACTS, images=40_000)) == value_of("label_smoothing", FACTS) == 0


def test_where_the_probe_is_nearly_right_half_the_epochs_do() -> None:
    assert value_of("epochs", replace(FACTS, probe=96.0)) == value_of("epochs", FACTS) / 2


@pytest.mark.parametrize(("epochs", "crop"), [(None, 0.7), (99, 0.7), (100, 0.35)])
def test_small_crops_are_for_long_runs(epochs: float | None, crop: float) -> None:
    assert value_of("data.crop_min", replace(FACTS, epochs=epochs)) == crop


@pytest.mark.parametrize(
    ("images", "options", "crop"),
    [
        (100, {}, 0.7),
        (STRONG_CROPS // FEWEST_EPOCHS + 1, {}, 0.35),
        (1000, {"epochs": 500}, 0.35),
        (100, {"budget": "1h"}, None),
        (100, {"steps": 10**6}, None),
    ],
)
def test_images_are_kept_for_the_crops_that_will_be_chosen(
    images: int, options: dict[str, Any], crop: float | None
) -> None:
    data = SimpleNamespace(train=range(images), mirrored=True)
    assert ChooseForData().smallest_crop(FinetuneConfig(**options), data, False) == crop  # type: ignore[arg-type]


def test_characters_keep_the_crops_of_their_kind() -> None:
    assert "data.crop_min" not in {choice.option for choice in choose(replace(FACTS, mirrored=False))}


def test_every_choice_names_an_option_its_reason_and_its_source() -> None:
    known = set(flat(asdict(FinetuneConfig())))
    for choice in choose(replace(FACTS, probe=63.5)):
        assert choice.option in known
        assert choice.reason
        assert choice.source


def test_a_choice_reads_as_a_flag_with_its_reason() -> None:
    shown = str(Choice("optim.weight_decay", 1e-4, "so", "us"))
    assert shown == "--optim.weight-decay 0.0001: so (us)"


def test_options_that_were_chosen_take_the_place_of_defaults() -> None:
    config = with_choices(FinetuneConfig(), [Choice("lr", 0.08, "", ""), Choice("optim.weight_decay", 0.01, "", "")])
    assert (config.lr, config.optim.weight_decay, config.optim.momentum) == (0.08, 0.01, 0.9)


@pytest.mark.parametrize("given", ["epochs", "steps", "budget"])
def test_the_length_that_a_user_gives_stays(given: str) -> None:
    assert stands_aside("epochs", {given})
    assert not stands_aside("lr", {given})


SIZES = {"side": 32, "input_side": 64, "smaller": 48}


def test_a_short_budget_gets_a_smaller_input_where_images_are_smaller_still() -> None:
    choice = smaller_input(**SIZES, in_time=2500)
    assert choice is not None
    assert (choice.option, choice.value) == ("img_size", 48)


@pytest.mark.parametrize("other", [{"side": 49}, {"in_time": SHORT}, {"smaller": 64}])
def test_the_input_stays_where_time_suffices_or_pixels_would_be_lost(other: dict[str, Any]) -> None:
    assert smaller_input(**{**SIZES, "in_time": 2500, **other}) is None


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of weights of a network that takes images of 64 px."""
    return f"local-dir:{write_teacher(tmp_path_factory.mktemp('larger') / 'model', size=64)}"


@pytest.fixture
def hurried(photos: Path, larger: str, monkeypatch: pytest.MonkeyPatch) -> Draft:
    """A run that has time for 60 images."""
    monkeypatch.setattr(first_look, "images_per_second", lambda run, callbacks, seconds: 1.0)
    config = FinetuneConfig(dataset=str(photos), model=larger, mixed_precision="fp32", epochs=None, budget="60s")
    return open_draft(config, frozenset({"budget"}))


def test_a_short_budget_gets_a_smaller_input_and_what_was_chosen_is_not_chosen_again(hurried: Draft) -> None:
    choices = {choice.option: choice for choice in ChooseForData().on_resolve(hurried)}
    assert (choices["img_size"].value, choices["auto"].value) == (48, False)
    assert "60 images of 64 px at most" in choices["img_size"].reason
    assert "epochs" not in choices


@pytest.mark.parametrize("given", ["img_size", "data.train_scale"])
def test_an_input_that_is_given_stays_however_short_the_budget(hurried: Draft, given: str) -> None:
    choices = ChooseForData().on_resolve(replace(hurried, given=frozenset({"budget", given})))
    assert "img_size" not in {choice.option for choice in choices}


def test_a_network_of_one_size_keeps_it(hurried: Draft) -> None:
    preprocessing = replace(hurried.network.preprocessing, fixed_size=True)
    fixed = replace(hurried, network=replace(hurried.network, preprocessing=preprocessing))
    assert next(iter(ChooseForData().on_resolve(fixed))).option != "img_size"


def test_no_time_is_spent_where_images_are_too_large_for_a_smaller_input(
    hurried: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(first_look, "images_per_second")
    train = read_images(find_images(str(write_photos(tmp_path / "large", classes=3, each=8, size=56))).train)[0]
    hurried = replace(hurried, images={**hurried.images, "train": train})
    assert next(iter(ChooseForData().on_resolve(hurried))).option != "img_size"


def finetune_in_a_hurry(options: dict[str, Any]) -> None:
    """Fine-tune for eight steps with a budget that is short whatever the speed."""
    from botzoo.training.autotune import budget
    from botzoo_finetune import auto

    auto.SHORT = 10**9
    budget.fit_steps = lambda *args: 8  # type: ignore[assignment]
    budget.Pace.refit = lambda self, step, seconds: self.steps  # type: ignore[method-assign]
    finetune({**options, "budget": "10s", "mixed_precision": "fp32", "batch_size": 8})


@pytest.mark.slow
def test_two_processes_choose_the_same_smaller_input(photos: Path, larger: str, tmp_path: Path) -> None:
    options = {"dataset": str(photos), "model": larger, "output": str(tmp_path / "run")}
    assert run_distributed(2, finetune_in_a_hurry, options) == [0, 0]
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["img_size"], config["steps"], config["auto"]) == (48, 8, False)


def test_from_python_what_differs_from_the_defaults_is_given() -> None:
    assert differing(FinetuneConfig(lr=0.3, dataset="photos")) == {"lr", "dataset"}


@pytest.mark.slow
def test_the_command_chooses_says_why_and_records_it(photos: Path, pretrained: str, tmp_path: Path) -> None:
    words = ("--dataset", photos, "--model", pretrained, "--mixed-precision", "fp32")
    assert command(*words, "--epochs", 2, "--output", tmp_path / "run") == 0
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    chosen = (tmp_path / "run" / "log.txt").read_text().partition("chosen")[2].partition("input")[0]
    assert (config["auto"], config["epochs"], config["lr"]) == (False, 2, 0.00064)
    assert "--lr 0.00064: with 16 images a class" in chosen
    assert "--epochs" not in chosen


def test_a_range_test_speaks_of_the_learning_rate_that_was_chosen(
    photos: Path, pretrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--dataset", photos, "--model", pretrained, "--mixed-precision", "fp32", "--batch-size", 4)
    command(*words, "--find-lr")
    assert "from --lr 6.4e-09 to --lr 0.0064" in capsys.readouterr().out


def test_without_auto_the_recipe_stays_as_it_is(photos: Path, pretrained: str, tmp_path: Path) -> None:
    words = ("--dataset", photos, "--model", pretrained, "--mixed-precision", "fp32", "--epochs", 1)
    assert command(*words, "--no-auto", "--output", tmp_path / "run") == 0
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["lr"] == 0.004
