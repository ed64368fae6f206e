"""Ladders: which rung stands on which, what leaving one trick out means, and files of a user's own."""

import re
from pathlib import Path

import pytest

from botzoo import recipes
from botzoo.errors import ConfigError
from botzoo.experiments.ablation import rung_options
from botzoo.recipes.ladders import Ladder, leave_one_out, load_ladder, select
from botzoo.util.nested import flat, nested


def own(folder: Path, text: str) -> Ladder:
    (folder / "mine.yaml").write_text(text)
    return load_ladder(str(folder / "mine.yaml"))


def below(ladder: Ladder) -> dict[str, str | None]:
    return {rung.name: rung.below for rung in ladder.rungs}


def test_table_4_stacks_the_tricks_of_efficient_training() -> None:
    ladder = load_ladder("table4")
    assert [(rung.name, rung.paper) for rung in ladder.rungs] == [
        *(("linear-scaling", 75.17), ("warmup", 75.93), ("zero-gamma", 76.37), ("no-bias-decay", 76.03)),
        ("efficient", 76.21),
    ]
    assert ladder.varied() == {"warmup", "zero_gamma", "no_bias_decay", "mixed_precision"}


def test_table_5_varies_the_network_alone() -> None:
    ladder = load_ladder("table5")
    assert ladder.varied() == {"model"}
    assert [rung.paper for rung in ladder.rungs] == [76.21, 76.66, 76.87, 77.16]


def test_table_6_puts_distillation_and_mixup_on_label_smoothing() -> None:
    assert below(load_ladder("table6")) == {
        **{"efficient": None, "cosine": "efficient", "label-smoothing": "cosine"},
        **{"distill": "label-smoothing", "mixup": "label-smoothing", "distill-mixup": "mixup"},
    }


def test_the_papers_figures_follow_the_network() -> None:
    assert [rung.paper for rung in load_ladder("table6", "mobilenet_v1_bot").rungs] == [
        *(71.90, 72.83, 72.93),
        *(71.97, 73.28, 72.51),
    ]


def test_a_network_that_is_not_in_the_paper_has_the_ladders_figures() -> None:
    assert load_ladder("table6", "resnet18d_bot").rungs[1].paper == 77.91


def test_left_out_tricks_are_those_of_the_rung_below() -> None:
    ladder = leave_one_out(load_ladder("table6"))
    top = flat(recipes.load("distill-mixup").resolved())
    changed = {r.name: {k for k in top if flat(r.options).get(k) != top[k]} for r in ladder.rungs}
    assert changed == {
        "distill-mixup": set(),
        "without distillation": {"distillation"},
        "without mixup": {"mixup"},
        "without label-smoothing": {"label_smoothing"},
        "without cosine": {"cosine", "optim.decay"},
    }


def test_each_left_out_trick_is_compared_with_all_of_them() -> None:
    assert set(below(leave_one_out(load_ladder("table4"))).values()) == {None, "efficient"}


def test_a_selected_rung_stands_on_the_nearest_one_left() -> None:
    ladder = select(load_ladder("table6"), ["efficient", "label-smoothing", "mixup"])
    assert below(ladder) == {"efficient": None, "label-smoothing": "efficient", "mixup": "label-smoothing"}


def test_an_unknown_rung_is_named() -> None:
    with pytest.raises(ConfigError, match=r"table6 has no rung 'mixupp'\. Did you mean 'mixup'"):
        select(load_ladder("table6"), ["mixupp"])


def test_flat_and_nested_are_inverse() -> None:
    options = recipes.load("mixup").resolved()
    assert nested(flat(options)) == options


def test_a_ladder_of_ones_own(tmp_path: Path) -> None:
    ladder = own(tmp_path, "recipe: mixup\nrungs:\n- {name: a}\n- {name: b, options: {lr: 1}, paper: [80, 95]}\n")
    assert below(ladder) == {"a": None, "b": "a"}
    assert ladder.rung("b").options == recipes.load("mixup").resolved() | {"lr": 1}
    assert (ladder.rung("a").paper, ladder.rung("b").paper) == (None, 80)


def test_a_ladder_starts_from_random_weights_unless_it_says_otherwise(tmp_path: Path) -> None:
    ladder = own(tmp_path, "rungs:\n- {name: a}\n- {name: b, options: {scratch: false}}\n")
    assert [rung.options["scratch"] for rung in ladder.rungs] == [True, False]


def test_the_ladder_in_the_page_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "recipes-and-tricks.md").read_text()
    ladder = own(tmp_path, re.search(r"`--ladder mine\.yaml`:\n\n```yaml\n(.*?)```", text, re.DOTALL)[1])
    options = rung_options(ladder, {}, 20, None)
    assert below(ladder) == {"plain": None, "erasing": "plain", "erasing-mixup": "erasing", "cutmix": "plain"}
    assert options["erasing-mixup"]["augment"]["random_erasing"] == 0.25


REFUSED = {
    "rungs: 3\n": "rungs must be a list",
    "rungs: []\n": "rungs must be a list",
    "rungs:\n- {nam: a}\n": "no key 'nam'. Did you mean 'name'",
    "rungs:\n- {options: {}}\n": "needs a name",
    "rungs:\n- {name: a/b}\n": "needs a name",
    "rungs:\n- {name: ..}\n": "needs a name",
    "rungs:\n- {name: a}\n- {name: a}\n": "mine.yaml: two rungs are called a",
    "rungs:\n- {name: a, below: b}\n": "stands on 'b'",
    "rungs:\n- {recipe: cosin}\n": "no recipe 'cosin'",
    "rungs:\n- {name: a, paper: 70}\n": "paper is 70; it must be [top-1, top-5]",
    "rungs:\n- {name: a, options: 3}\n": "options of the rung a must be",
    "rung:\n- {name: a}\n": "no key 'rung'",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_file_that_is_no_ladder_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        own(tmp_path, text)
    assert REFUSED[text] in str(refusal.value)


def test_an_unknown_ladder_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no ladder 'table3'.*There are standard, table4, table5, table6"):
        load_ladder("table3")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml cannot be read"):
        load_ladder(str(tmp_path / "gone.yaml"))


def test_from_a_rung_that_stands_on_none_nothing_can_be_left_out() -> None:
    with pytest.raises(ConfigError, match="the top rung cosine of table6 stands on no other"):
        leave_one_out(select(load_ladder("table6"), ["cosine"]))


def test_leaving_out_what_changes_twice_means_nothing() -> None:
    with pytest.raises(ConfigError, match="table5 changes model more than once"):
        leave_one_out(load_ladder("table5"))


OF_WEIGHTS = "target: {task: classify}\nrungs:\n"


def test_the_ladders_of_weights_have_the_papers_figures() -> None:
    papers = {name: [rung.paper for rung in load_ladder(name, of_weights=True).rungs] for name in ("table8", "table9")}
    assert papers["table8"] == [77.54, 78.30, 79.23, 80.71, 80.96, 81.10, 81.33]
    assert papers["table9"] == [37.05, 38.88, 39.33, 38.75, 38.90, 37.99, 38.40]


@pytest.mark.parametrize("name", ["table7", "table8", "table9"])
def test_the_ladders_that_train_them_have_their_rungs(name: str) -> None:
    ladder = load_ladder(name, of_weights=True)
    assert ladder.target is not None
    trained = [rung.name for other in ladder.target.trained_by for rung in load_ladder(other).rungs]
    assert [rung.name for rung in ladder.rungs] == trained


def test_the_standard_is_the_baseline_but_for_a_batch_that_is_given() -> None:
    own = flat(load_ladder("standard").rungs[0].options)
    baseline = flat(recipes.load("baseline").resolved())
    assert {name for name in own if own[name] != baseline.get(name)} == {"model", "linear_scaling"}


def test_options_of_a_ladder_are_those_of_all_rungs(tmp_path: Path) -> None:
    ladder = own(
        tmp_path, "options: {lr: 1, optim: {momentum: 0}}\nrungs:\n- {name: a}\n- {name: b, options: {lr: 2}}\n"
    )
    assert [flat(rung.options)["lr"] for rung in ladder.rungs] == [1, 2]
    assert {flat(rung.options)["optim.momentum"] for rung in ladder.rungs} == {0}


def test_a_ladder_of_weights_is_no_other_and_the_other_way_round() -> None:
    with pytest.raises(ConfigError, match=r"table8 is a ladder of weights\. For it: botzoo transfer --ladder table8"):
        load_ladder("table8")
    with pytest.raises(ConfigError, match=r"table6 is a ladder of trainings.*: botzoo ablate --ladder table6"):
        load_ladder("table6", of_weights=True)


def test_the_ladder_of_weights_in_the_page_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "transfer.md").read_text()
    (tmp_path / "mine.yaml").write_text(re.search(r"`--ladder mine\.yaml`:\n\n```yaml\n(.*?)```", text, re.DOTALL)[1])
    ladder = load_ladder(str(tmp_path / "mine.yaml"), of_weights=True)
    assert [rung.weights for rung in ladder.rungs] == ["resnet18d.ra2_in1k", "runs/plants-resnet18d", None]
    assert {rung.options["lr"] for rung in ladder.rungs} == {0.002}


NO_WEIGHTS = {
    "target: 3\nrungs:\n- {name: a}\n": "target must be `name: value` lines",
    "target: {task: count}\nrungs:\n- {name: a}\n": "task is 'count'; it must be classify, detect, segment",
    "target: {figure: top1}\nrungs:\n- {name: a}\n": "figure is 'top1'; it must be [NAME IN metrics.jsonl, WORDS]",
    "target: {trained_by: {table6: e}}\nrungs:\n- {name: a}\n": "trained_by is",
    "target: {tsk: classify}\nrungs:\n- {name: a}\n": "no key 'tsk'. Did you mean 'task'",
    OF_WEIGHTS + "- {name: a, paper: [70, 80]}\n": "in a ladder of weights it must be a number",
    OF_WEIGHTS
    + "- {name: a, options: {model: resnet18}}\n": "a has the option model, which its weights or its target decide",
    "options: 3\n" + OF_WEIGHTS + "- {name: a}\n": "options must be `name: value` lines",
}


@pytest.mark.parametrize("text", NO_WEIGHTS)
def test_a_file_that_is_no_ladder_of_weights_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as refusal:
        load_ladder(str(tmp_path / "mine.yaml"), of_weights=True)
    assert NO_WEIGHTS[text] in str(refusal.value)
