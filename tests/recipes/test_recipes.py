"""The recipes: the paper's rows, each a step from the one before, and files of a user's own."""

import json
from pathlib import Path
from typing import Any

import pytest

from botzoo import recipes
from botzoo.errors import ConfigError
from botzoo.options.command_line import check_options, made
from botzoo.options.config import TrainConfig
from botzoo.recipes import load, merged

STEPS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "linear-scaling": ("baseline", {"batch_size": 1024, "linear_scaling": True}),
    "warmup": ("linear-scaling", {"warmup": 5}),
    "zero-gamma": ("warmup", {"zero_gamma": True}),
    "no-bias-decay": ("zero-gamma", {"no_bias_decay": True}),
    "efficient": ("no-bias-decay", {"mixed_precision": "auto"}),
    "cosine": ("efficient", {"cosine": True, "optim": {"decay": "constant"}}),
    "label-smoothing": ("cosine", {"label_smoothing": 0.1}),
    "distill": ("label-smoothing", {"distillation": "resnet152d_bot"}),
    "mixup": ("label-smoothing", {"mixup": 0.2, "epochs": 200}),
    "distill-mixup": ("mixup", {"distillation": "resnet152d_bot"}),
}

PAPER = {
    "baseline": {
        "resnet50a_bot": (75.87, 92.70),
        "inception_v3_bot": (77.32, 93.43),
        "mobilenet_v1_bot": (69.03, 88.71),
    },
    "linear-scaling": {"resnet50a_bot": (75.17, 92.54)},
    "warmup": {"resnet50a_bot": (75.93, 92.84)},
    "zero-gamma": {"resnet50a_bot": (76.37, 92.96)},
    "no-bias-decay": {"resnet50a_bot": (76.03, 92.86)},
    "efficient": {
        **{"resnet50a_bot": (76.21, 92.97), "resnet50d_bot": (77.16, 93.52)},
        **{"inception_v3_bot": (77.50, 93.60), "mobilenet_v1_bot": (71.90, 90.53)},
    },
    "cosine": {"resnet50d_bot": (77.91, 93.81), "inception_v3_bot": (78.19, 94.06), "mobilenet_v1_bot": (72.83, 91.00)},
    "label-smoothing": {
        **{"resnet50d_bot": (78.31, 94.09), "inception_v3_bot": (78.40, 94.13), "mobilenet_v1_bot": (72.93, 91.14)},
    },
    "distill": {
        "resnet50d_bot": (78.67, 94.36),
        "inception_v3_bot": (78.26, 94.01),
        "mobilenet_v1_bot": (71.97, 90.89),
    },
    "mixup": {"resnet50d_bot": (79.15, 94.58), "inception_v3_bot": (78.77, 94.39), "mobilenet_v1_bot": (73.28, 91.30)},
    "distill-mixup": {
        **{"resnet50d_bot": (79.29, 94.63), "inception_v3_bot": (78.34, 94.16), "mobilenet_v1_bot": (72.51, 91.02)},
    },
}
"""Top-1 and top-5 of the paper's Tables 2, 4 (at a batch of 1024), 5 and 6."""


def write(folder: Path, text: str, name: str = "mine.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_they_are_listed_from_the_baseline_up() -> None:
    assert recipes.names() == ["baseline", *STEPS]


@pytest.mark.parametrize("name", STEPS)
def test_each_is_one_step_from_its_base(name: str) -> None:
    recipe = load(name)
    assert (recipe.base and recipe.base.name, recipe.options) == STEPS[name]


@pytest.mark.parametrize("name", PAPER)
def test_the_figures_are_the_papers(name: str) -> None:
    assert load(name).paper == PAPER[name]


@pytest.mark.parametrize("name", PAPER)
def test_the_options_make_a_configuration(name: str) -> None:
    options = load(name).resolved()
    check_options(options, TrainConfig, name)
    assert made(options, TrainConfig).scratch


def test_the_baseline_has_none_of_the_tricks() -> None:
    config = made(load("baseline").resolved(), TrainConfig)
    tricks = (config.linear_scaling, config.warmup, config.zero_gamma, config.no_bias_decay, config.cosine)
    assert not any((*tricks, config.label_smoothing, config.mixup, config.distillation))
    assert (config.mixed_precision, config.optim.decay, config.paper_augment, config.xavier_init) == (
        *("fp32", "step"),
        *(True, True),
    )


def test_groups_are_merged_option_by_option() -> None:
    below = {"lr": 1, "optim": {"momentum": 0.9, "decay": "step"}}
    assert merged(below, {"optim": {"decay": "constant"}}) == {
        "lr": 1,
        "optim": {"momentum": 0.9, "decay": "constant"},
    }


def test_a_file_of_ones_own_builds_on_a_recipe(tmp_path: Path) -> None:
    mine = load(write(tmp_path, "base: mixup\noptions: {mixup: 0.4}\n"))
    assert mine.resolved() == merged(load("mixup").resolved(), {"mixup": 0.4})


def test_a_file_builds_on_one_beside_it(tmp_path: Path) -> None:
    write(tmp_path, "options: {lr: 0.5, epochs: 3}\n", "lower.yaml")
    assert load(write(tmp_path, "base: lower.yaml\noptions: {epochs: 4}\n")).resolved() == {"lr": 0.5, "epochs": 4}


REFUSED = {
    "base: mine.yaml\n": "based on itself",
    "base: mixupp\n": "no recipe 'mixupp'. Did you mean 'mixup'",
    "option: {lr: 1}\n": "no key 'option'. Did you mean 'options'",
    "- lr\n": "must be YAML, `name: value` on each line",
    "options: 3\n": "options must be",
    "a: [\n": "must be YAML",
    "!!python/object:os.system {}\n": "must be YAML",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(write(tmp_path, text))
    assert REFUSED[text] in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no recipe 'cosin'\. Did you mean 'cosine'.*baseline.*distill-mixup"):
        load("cosin")


def test_an_unknown_option_of_a_recipe_is_named() -> None:
    with pytest.raises(ConfigError, match=r"mine.yaml: There is no option 'mixupp'.*Did you mean 'mixup'"):
        check_options({"mixupp": 0.2}, TrainConfig, "mine.yaml")


def test_what_was_measured_is_what_the_ablation_recorded() -> None:
    file = Path(__file__).parents[2] / "cards" / "ablations" / "table6" / "ablation.json"
    rungs = json.loads(file.read_text())["rungs"]
    assert {rung["name"] for rung in rungs} == {name for name in recipes.names() if load(name).measured}
    for rung in rungs:
        measured = load(rung["name"]).measured
        assert measured["top1"] == pytest.approx(rung["top1"]["mean"], abs=0.005)
        assert measured["each"] == [pytest.approx(run["top1"], abs=0.005) for run in rung["runs"]]
