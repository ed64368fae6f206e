"""Every option is checked when it is made: one line with the flag, the value and what is accepted."""

import shutil
import subprocess
from dataclasses import FrozenInstanceError, fields, is_dataclass
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from botzoo.errors import ConfigError
from botzoo.options.accepted import TAG
from botzoo.options.command_line import made
from botzoo.options.config import (
    AblateConfig,
    AugmentConfig,
    DataConfig,
    EngineConfig,
    OptimConfig,
    TrainConfig,
)
from botzoo.options.facts import SET, Option, flag, options_of, values_of
from botzoo.util.nested import nested
from botzoo_finetune.config import FinetuneConfig

CONFIGS: tuple[type[TrainConfig], ...] = (TrainConfig, AblateConfig, FinetuneConfig)
CANDIDATES = ("", "a b", "\n", -1, 0, 2**40, -1.5, 1e9, (3, 2), (0.9, 2.0), ("a", ""))
"""Values of which each range leaves some out."""
USED: dict[str, Any] = {
    "detect.stride": 8,
    "data.train_scale": 0.5,
    "data.fold": "1/3",
    "data.sampling": "sqrt",
    "data.epoch_images": 9,
    "data.classes": "3",
    "data.train_scale_epochs": 1,
    "optim.decay": "step",
    "optim.milestones": (2,),
    "push_to": "me/pets",
    "pretrained": "in1k",
    "budget": "10m",
    "class_weights": "balanced",
    "distillation": "resnet50",
    "batch_size": "auto",
    "freeze": "backbone",
    "predict": ("test",),
}
"""Values that put options to use; others get 1 or True."""
BESIDE = {"optim.milestones": {"cosine": False}}
"""What has to stand beside an option's own need."""


def kinds_of(own: Option) -> str:
    return str(own.kind)


def used(own: Option) -> Any:
    return USED.get(own.name, True if own.kind is bool else 1)


def refusal(config_class: type[TrainConfig], values: dict[str, Any]) -> str:
    usual = {"epochs": 3} if config_class is AblateConfig else {}
    with pytest.raises(ConfigError) as caught:
        made(nested(usual | values), config_class)
    assert "\n" not in str(caught.value)
    return str(caught.value)


EVERY = [(c, own) for c in CONFIGS for own in options_of(c).values() if c is TrainConfig or own.name in vars(c)]


@pytest.mark.parametrize(("config", "own"), EVERY, ids=lambda x: x.name if isinstance(x, Option) else x.__name__)
def test_every_number_has_a_range_that_its_default_is_in(config: type[TrainConfig], own: Option) -> None:
    assert own.accepts or not {"int", "float"} & set(kinds_of(own).replace("|", " ").replace("'", " ").split())
    assert own.default is None or own.accepts is None or own.accepts.holds(own.default)


RANGES = [(c, own) for c, own in EVERY if own.accepts]


def fits(own: Option, value: Any) -> bool:
    """Tell whether a value is of the kind that the option's range is a test for."""
    if "tuple" in kinds_of(own):
        return isinstance(value, tuple)
    return isinstance(value, str) == ("str" in kinds_of(own)) and not isinstance(value, tuple)


@pytest.mark.parametrize(("config", "own"), RANGES, ids=lambda x: x.name if isinstance(x, Option) else x.__name__)
def test_a_value_out_of_its_range_is_refused_by_flag_value_and_range(config: type[TrainConfig], own: Option) -> None:
    assert own.accepts
    wrong = next(value for value in CANDIDATES if fits(own, value) and not own.accepts.holds(value))
    shown = list(wrong) if isinstance(wrong, tuple) else wrong
    assert refusal(config, {own.name: wrong}) == f"{flag(own.name)} is {shown!r}: it must be {own.accepts.words}."


FLOATS = [(c, own) for c, own in RANGES if own.kind in (float, float | None)]


@pytest.mark.parametrize("value", [nan, inf])
@pytest.mark.parametrize(("config", "own"), FLOATS, ids=lambda x: x.name if isinstance(x, Option) else x.__name__)
def test_no_number_is_infinite_or_not_a_number(config: type[TrainConfig], own: Option, value: float) -> None:
    assert refusal(config, {own.name: value}).startswith(f"{flag(own.name)} is {value}: it must be ")


NEEDS = [(c, own, own.needs) for c, own in EVERY if own.needs]


@pytest.mark.parametrize(("config", "own", "need"), NEEDS, ids=[own.name for _, own, _ in NEEDS])
def test_what_an_option_needs_is_named_where_it_is_missing(config: type[TrainConfig], own: Option, need: Any) -> None:
    said = refusal(config, {own.name: used(own)})
    assert said.startswith(flag(own.name, used(own)))
    assert need.name.replace("_", "-") in said
    other = used(options_of(config)[need.name]) if need.value is SET else need.value
    made(nested({own.name: used(own), need.name: other, **BESIDE.get(own.name, {})}), config)


EXCLUDES = [(c, own, when) for c, own in EVERY for when in own.excludes]


@pytest.mark.parametrize(("config", "own", "when"), EXCLUDES, ids=[f"{o.name}, {w.name}" for _, o, w in EXCLUDES])
def test_two_that_exclude_each_other_are_both_named(config: type[TrainConfig], own: Option, when: Any) -> None:
    value = used(options_of(config)[when.name]) if when.value is SET else when.value
    said = refusal(config, {own.name: used(own), when.name: value})
    assert said.startswith(f"{flag(own.name, used(own))} and {flag(when.name, value)} ")
    assert ": give one of the two" in said


@pytest.mark.parametrize("name", ["data.fold", "data.sampling"])
def test_a_stream_cannot_do_with_what_needs_all_images(name: str) -> None:
    said = refusal(TrainConfig, {name: USED[name], "data.streaming": True})
    assert said.startswith(f"{flag(name, USED[name])} needs all images at once, which --data.streaming does not have")


def test_every_option_is_declared_with_help_and_a_known_group() -> None:
    from botzoo.options.command import GROUPS

    assert not [own.name for _, own in EVERY if own.group not in GROUPS or not own.help.endswith((".", "..."))]


WRONG: list[tuple[type[TrainConfig], dict[str, Any], str]] = [
    (TrainConfig, {"patience": 3, "cosine": False, "optim": {"decay": "plateau"}}, "--patience 3 stops before"),
    (AblateConfig, {}, "--epochs is None: it must be given"),
    (AblateConfig, {"epochs": 3, "seed": 1}, "--seed is 1: it must be left out"),
    (AblateConfig, {"epochs": 3, "patience": 1}, "--patience is 1: it must be left out"),
    (AblateConfig, {"epochs": 3, "batch_size": "auto"}, "--batch-size auto needs a run of its own"),
    (
        AblateConfig,
        {"epochs": 3, "push_to": "me/x", "data": {"fold": "1/2"}},
        "--push-to me/x and --data.fold 1/2 need",
    ),
    (FinetuneConfig, {"freeze": "²"}, "--freeze is '²': it must be none, backbone or a number"),
]


@pytest.mark.parametrize(("config", "values", "message"), WRONG, ids=lambda x: str(x) if isinstance(x, dict) else "")
def test_what_only_some_configurations_refuse(config: type[TrainConfig], values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(values, config)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "values",
    [{"epochs": 1, "warmup": 0.0}, {"ema": 0.999}, {"label_smoothing": 0.0}, {"seed": 2**32 - 1}, {"batch_size": 2}],
    ids=str,
)
def test_the_ends_of_the_ranges_are_accepted(values: dict[str, Any]) -> None:
    config = TrainConfig(**values)
    assert {name: getattr(config, name) for name in values} == values


@pytest.mark.parametrize("freeze", ["none", "backbone", "0", "4"])
def test_what_can_be_frozen(freeze: str) -> None:
    assert FinetuneConfig(freeze=freeze).freeze == freeze


@pytest.mark.parametrize(
    "config", [DataConfig(), AugmentConfig(), OptimConfig(), EngineConfig(), TrainConfig(), FinetuneConfig()]
)
def test_a_configuration_is_frozen(config: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(config, fields(config)[0].name, 1)


def test_the_values_of_a_configuration_are_those_of_its_options() -> None:
    assert values_of(FinetuneConfig()) == {name: own.default for name, own in options_of(FinetuneConfig).items()}


def test_every_trick_in_the_configuration_is_a_file_of_that_name() -> None:
    import botzoo.tricks

    files = {path.stem for path in Path(botzoo.tricks.__path__[0]).glob("[a-z]*.py")}
    tricks = {f.name for f in fields(TrainConfig) if not is_dataclass(f.type)} & files
    assert tricks == files


TAGS = ["v1", "v1.0", "a/b", "größe", "@", "v+1", "v 1", "v..1", "v1.", ".v1", "a/.b", "a//b", "/a", "a/", "v1.lock"]
TAGS += [f"v{letter}1" for letter in "~^:?*[]\\\t\x7f{}"] + ["a@{b", ""]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is what it is compared with")
@pytest.mark.parametrize("name", TAGS)
def test_a_tag_is_what_git_takes_for_one(name: str) -> None:
    gits = subprocess.run(["git", "check-ref-format", f"refs/tags/{name}"], check=False).returncode == 0
    assert TAG.holds(name) == gits
