"""What follows from the facts of the options: what has an effect, what is of one machine, what a run has to have for them."""

from dataclasses import asdict
from typing import Any

import pytest

from botzoo.errors import ConfigError
from botzoo.options.command_line import made
from botzoo.options.config import TrainConfig
from botzoo.options.facts import (
    Need,
    differing,
    effective,
    fitted_to,
    in_use,
    refuse,
    stands_in_for,
    values_of,
    with_values,
    without_machine,
)
from botzoo_finetune.config import FinetuneConfig


def config(**options: Any) -> TrainConfig:
    return made(options, TrainConfig)


EFFECTS: list[tuple[dict[str, Any], set[str], set[str]]] = [
    ({}, {"lr", "mixup", "data.train_scale"}, {"zero_gamma", "augment.blur", "data.test_split", "optim.decay", "ema"}),
    ({}, set(), {"dataset", "output", "engine.workers", "scratch", "license", "data.cache_gib", "push_to"}),
    ({"scratch": True}, {"zero_gamma", "xavier_init"}, {"scratch"}),
    ({"label_smoothing": 0.1}, {"label_smoothing_over"}, set()),
    ({"distillation": "resnet50"}, {"distill.temperature", "distill.weight"}, set()),
    ({"augment": {"blur": 0.1}}, {"augment.blur"}, {"augment.noise"}),
    ({"data": {"test_split": False}}, {"data.test_split"}, set()),
    ({"cosine": False, "optim": {"decay": "plateau"}}, {"optim.decay", "optim.decay_patience"}, {"optim.decay_every"}),
    ({"cosine": False, "optim": {"decay": "exponential"}}, {"optim.decay_every"}, {"optim.decay_patience"}),
]


@pytest.mark.parametrize(("options", "there", "not_there"), EFFECTS, ids=range(len(EFFECTS)))
def test_only_what_has_an_effect_is_effective(options: dict[str, Any], there: set[str], not_there: set[str]) -> None:
    found = effective(TrainConfig, values_of(config(**options)))
    assert there <= set(found)
    assert not not_there & set(found)


def test_what_one_machine_has_is_left_out_of_a_recipe() -> None:
    left = without_machine(asdict(FinetuneConfig()) | {"unknown": 1})
    assert {"dataset", "license", "freeze", "unknown"} <= set(left)
    assert not {"output", "tracker", "checkpoint_every", "keep_checkpoints", "push_to", "private"} & set(left)
    assert set(left["engine"]) == {"channels_last", "micro_batch", "sync_bn"}
    assert "cache_gib" not in left["data"]


USES: list[tuple[dict[str, Any], Need, list[str]]] = [
    ({}, Need.ONE_LABEL, []),
    ({"label_smoothing": 0.1, "reject": 0.9}, Need.ONE_LABEL, ["--label-smoothing 0.1", "--reject 0.9"]),
    ({"class_weights": "balanced"}, Need.ONE_LABEL, ["--class-weights balanced"]),
    ({"data": {"sampling": "sqrt"}}, Need.ONE_LABEL, ["--data.sampling sqrt"]),
    ({"mixup": 0.2, "paper_augment": True}, Need.IMAGES_EACH_STEP, ["--paper-augment", "--mixup 0.2"]),
    ({"data": {"train_scale": 0.5}}, Need.IMAGES_EACH_STEP, ["--data.train-scale 0.5"]),
    ({"batch_size": 64}, Need.SINGLE_RUN, []),
    ({"batch_size": "auto", "budget": "9s"}, Need.SINGLE_RUN, ["--budget 9s", "--batch-size auto"]),
]


@pytest.mark.parametrize(("options", "need", "flags"), USES, ids=str)
def test_options_in_use_are_named_as_they_are_typed(options: dict[str, Any], need: Need, flags: list[str]) -> None:
    assert in_use(config(**options), need) == flags


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reject": 0.9}, "--reject 0.9 needs one label for each image, and there are several: leave it out."),
        ({"reject": 0.9, "label_smoothing": 0.1}, "--label-smoothing 0.1 and --reject 0.9 need one label"),
    ],
)
def test_a_refusal_names_what_is_to_be_left_out(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        refuse(config(**options), Need.ONE_LABEL, "and there are several")
    assert str(refused.value).startswith(said)


def test_some_options_stand_in_the_place_of_others() -> None:
    assert stands_in_for("epochs") == {"steps", "budget"}
    assert stands_in_for("freeze") == {"unfreeze_every"}
    assert stands_in_for("seed") == set()


def test_what_differs_from_the_defaults_of_its_class() -> None:
    assert differing(made({"lr": 0.3, "data": {"hflip": 0.0}}, FinetuneConfig)) == {"lr", "data.hflip"}


def test_values_are_changed_by_their_dotted_names() -> None:
    changed = with_values(config(mixup=0.2), {"lr": 0.5, "optim.momentum": 0.5, "optim.clip_grad": 1.0})
    assert differing(changed) == {"mixup", "lr", "optim.momentum", "optim.clip_grad"}


LONG: dict[str, dict[str, Any]] = {
    "warmup": {"warmup": 5.0},
    "optim.milestones": {"cosine": False, "optim": {"decay": "step", "milestones": (2, 5)}},
    "data.train_scale_epochs": {"data": {"train_scale": 0.5, "train_scale_epochs": 5}},
}
"""Options that are too long for a run of 3 epochs."""


@pytest.mark.parametrize("name", LONG)
def test_what_nobody_gave_is_fitted_to_a_short_run(name: str) -> None:
    fitted = fitted_to(config(**LONG[name]), 3, given={"lr"})
    assert (fitted.warmup, fitted.optim.milestones, fitted.data.train_scale_epochs) == (
        0.6 if name == "warmup" else 0.5,
        None,
        None,
    )


@pytest.mark.parametrize("name", LONG)
def test_what_was_given_is_refused_in_a_short_run(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^--.*it must be less than the 3 epochs"):
        fitted_to(config(**LONG[name]), 3, given={name})


@pytest.mark.parametrize("name", LONG)
def test_what_is_shorter_than_the_run_stays(name: str) -> None:
    usual = config(**LONG[name])
    assert fitted_to(usual, 5.5, given=()) == usual
