"""--budget: the steps that fit, what is measured without a trace, a last epoch that is cut short, and a slower machine."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from itertools import count, takewhile
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import torch

from botzoo.errors import ConfigError
from botzoo.options.accepted import seconds_of
from botzoo.options.command_line import load_config, made
from botzoo.options.config import TrainConfig
from botzoo.results.card.beside import read_recipe, write_recipe
from botzoo.results.card.card import card
from botzoo.training.autotune import budget, speed
from botzoo.training.autotune.budget import Budget, KeepBudget, Pace, fit_steps, run_seconds
from botzoo.training.autotune.speed import LEAST, UNMEASURED, Costs, images_per_second, measure, seconds_each
from botzoo.training.callbacks import Callback
from botzoo.training.run import start_epoch, train
from botzoo.training.setup import set_up
from botzoo.training.state import Run
from botzoo.training.steps.schedule import fall_epochs
from botzoo.util.text import epochs_words
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.transfer.layers import Freeze
from recorded import a_record
from running import TINY, bare, final_weights, run_distributed

SPE = 6  # batches of 8 in the 48 images left for training
COSTS = Costs(steps=((0, 1.0),), start=2.0, evaluation=3.0, saving=0.5, end=10.0)


# The time that is asked for


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("2h30m", 9000), ("1h0m1.5s", 3601.5)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["10", "m", "", "30m2h", "-5m", "0s", "10 m", "1e3s", "inf", "10min"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--budget is .* such as 90s, 10m"):
        TrainConfig(budget=text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": "10m", "epochs": 3}, "--epochs 3 and --budget 10m each"),
        ({"budget": "10m", "steps": 3}, "--steps 3 and --budget 10m each"),
        ({"epochs": 2, "steps": 3}, "--epochs 2 and --steps 3 each"),
        ({"steps": 0}, "--steps is 0: it must be 1 or more"),
    ],
)
def test_two_lengths_are_one_too_many(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**options)


# The steps that fit


def plain_seconds(steps: int, costs: Costs, spe: int, every: int | None) -> float:
    """Add up the seconds of a run event by event, to its end."""
    total = costs.start + costs.end
    for done in range(1, steps + 1):
        total += costs.step((done - 1) // spe) + (costs.saving / every if every else 0)
        if done % spe == 0 or done == steps:
            total += costs.evaluation + costs.saving
    return total


@pytest.mark.parametrize("every", [None, 4])
@pytest.mark.parametrize("seconds", [15, 16.5, 17, 22.375, 40, 100])
@pytest.mark.parametrize("costs", [COSTS, replace(COSTS, steps=((0, 0.25), (2, 1.75), (5, 0.875)))])
def test_one_step_more_would_not_fit(costs: Costs, seconds: float, every: int | None) -> None:
    steps = fit_steps(seconds, costs, SPE, every)
    fitting = takewhile(lambda k: plain_seconds(k, costs, SPE, every) <= seconds, count(1))
    assert steps == max(fitting, default=0)


@pytest.mark.parametrize("steps", [1, 5, 6, 7, 12, 40])
def test_the_run_takes_what_its_parts_take(steps: int) -> None:
    costs = replace(COSTS, steps=((0, 0.3), (2, 1.7)))
    assert run_seconds(steps, costs, SPE, 4) + costs.end == pytest.approx(plain_seconds(steps, costs, SPE, 4))


def test_a_large_data_set_gets_a_part_of_an_epoch() -> None:
    assert fit_steps(100, COSTS, 10_000) == 100 - 2 - 3 - 0.5 - 10 - 0.5  # and half a second too short for a step


@pytest.mark.parametrize(("epochs", "falls"), [(2.4, [1, 2]), (0.3, []), (4.0, [1, 2, 3])])
def test_steps_fall_between_whole_epochs(epochs: float, falls: list[int]) -> None:
    assert fall_epochs("step", epochs) == falls
    assert all(isinstance(epoch, int) for epoch in fall_epochs("exponential", epochs, every=1))


@pytest.mark.parametrize(
    ("epochs", "words"), [(3, "3 epochs"), (1, "1 epoch"), (2.41666, "2.42 epochs"), (0.0321, "0.032 epochs")]
)
def test_epochs_are_named_as_they_are(epochs: float, words: str) -> None:
    assert epochs_words(epochs) == words


# What is measured


class Machine:
    """A clock, and work that takes its time on it."""

    def __init__(self, *seconds: float) -> None:
        self.now, self.calls, self.seconds = 0.0, 0, seconds

    def __call__(self) -> float:
        return self.now

    def work(self) -> None:
        self.now += self.seconds[min(self.calls, len(self.seconds) - 1)]
        self.calls += 1


def test_the_first_calls_do_not_count() -> None:
    machine = Machine(60.0, 7.0, 0.5)
    assert seconds_each(machine.work, 10.0, machine) == 0.5


def test_slow_calls_are_measured_a_few_times_and_quick_ones_for_the_allowance() -> None:
    slow, quick = Machine(100.0), Machine(0.25)
    seconds_each(slow.work, 10.0, slow)
    seconds_each(quick.work, 10.0, quick)
    assert slow.calls == 3 + LEAST
    assert quick.now == pytest.approx(10.0, abs=1.0)


def test_batches_that_were_read_ahead_do_not_count() -> None:
    machine = Machine(*[0.1] * 30, 0.4)
    assert seconds_each(machine.work, 10.0, machine, skip=30) == pytest.approx(0.4)


def tiny(photos: Path, **options: Any) -> TrainConfig:
    config = {**TINY, "epochs": None, "budget": "10m", "mixed_precision": "fp32", "dataset": str(photos)}
    return made({**config, "output": "nowhere/run", **options}, TrainConfig)


def begun(photos: Path, *callbacks: Callback, **options: Any) -> Run:
    """Return a run before its first step."""
    run = set_up(tiny(photos, **options), callbacks)
    start_epoch(run, callbacks)
    return run


def everything(state: Any) -> list[torch.Tensor]:
    if isinstance(state, dict):
        return [tensor for value in state.values() for tensor in everything(value)]
    return [state] if isinstance(state, torch.Tensor) else []


@pytest.mark.parametrize("look", [measure, images_per_second])
def test_measuring_leaves_no_trace(
    look: Callable[..., Any], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = begun(photos)
    before = [tensor.clone() for tensor in everything(run.trainer.state())]
    numbers = torch.get_rng_state()
    assert look(run, (), 1.0)
    after = everything(run.trainer.state())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(torch.get_rng_state(), numbers)
    assert not list(tmp_path.iterdir())


def test_every_phase_has_its_own_speed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count(1)
    monkeypatch.setattr(speed, "seconds_each", lambda take, *rest: float((take(), next(seconds))[1]))
    thaw = Freeze("none", 2)
    run = begun(photos, thaw, data={"train_scale": 2.0, "train_scale_epochs": 1})
    costs = measure(run, [thaw], 1000.0)
    assert costs.steps == ((0, 1.0), (1, 2.0), (2, 3.0), (4, 4.0), (6, 5.0), (8, 6.0), (10, 7.0))[: len(costs.steps)]
    assert len(costs.steps) > 3
    trained = [name for name, p in run.model.named_parameters() if p.requires_grad]
    assert trained == ["fc.weight", "fc.bias"]


def test_evaluations_at_the_end_are_counted(photos: Path) -> None:
    costs = measure(begun(photos, unlike=False), (), 1.0)
    assert costs.end == pytest.approx(costs.evaluation + costs.saving + UNMEASURED)


# The run


def within(
    photos: Path, output: Path, costs: Costs, refit: Mapping[int, int] = MappingProxyType({}), **options: Any
) -> Run:
    """Train with a budget of 1000 s, of which nothing has gone by before the first step.

    The pace is as planned, but after the steps of ``refit``, where as many as it says fit the budget.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "measure", lambda *args: costs)
        patch.setattr(budget, "agreed", lambda seconds: 0.0)
        patch.setattr(Pace, "refit", lambda self, step, seconds: refit.get(step, self.steps))
        return train(tiny(photos, **{"output": str(output), "budget": "1000s", **options}), [KeepBudget()])


SLOW = Costs(steps=((0, 50.0),), start=0.0, evaluation=20.0, saving=0.0, end=90.0)
"""Two epochs of 6 steps take 640 s and leave 270, five steps and an evaluation."""


@pytest.fixture(scope="module")
def result(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return within(photos, tmp_path_factory.mktemp("run") / "run", SLOW, warmup=5.0)


@pytest.mark.slow
def test_the_run_ends_in_the_middle_of_an_epoch_at_the_end_of_its_cosine(result: Run) -> None:
    assert result.progress.step == result.schedule.total_steps == 17
    assert result.schedule.lr(17) == pytest.approx(0)
    assert [(r["step"], r["epoch"]) for r in result.history.of("validation")] == [(6, 1), (12, 2), (17, 3)]


def test_its_steps_are_in_the_configuration_and_the_budget_beside_it(result: Run) -> None:
    config = load_config(result.folder / "config.yaml", TrainConfig)
    assert (config.steps, config.budget, config.epochs) == (17, None, None)
    facts = json.loads((result.folder / "run.json").read_text())["budget"]
    assert (facts["asked"], facts["costs"]["steps"]) == ("1000s", [[0, 50.0]])


def test_the_plan_says_what_was_measured_and_chosen(result: Run) -> None:
    log = (result.folder / "log.txt").read_text()
    assert "\nsteps      2.83 epochs x 6 = 17 steps" in log
    assert "1000s: 17 steps can be taken" in log
    assert "measured: 0.16 images/s" in log
    assert "20 s for an evaluation" in log
    assert "epoch 2.83/2.83  validation top-1" in log


def test_a_long_warmup_is_shortened_to_a_fifth(result: Run) -> None:
    assert result.schedule.warmup_steps == round(17 / 5)
    assert "warmup shortened from 5 to 0.567 epochs" in (result.folder / "log.txt").read_text()


def test_a_budget_for_no_step_names_the_least_that_would_do(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is 1000s: 0 s went by .* give 1061s"):
        within(photos, tmp_path / "run", replace(SLOW, steps=((0, 900.0),)))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("steps", [8, 23])
def test_a_run_takes_as_many_steps_as_it_is_found_to_have_time_for(photos: Path, tmp_path: Path, steps: int) -> None:
    result = within(photos, tmp_path / "run", SLOW, {6: steps})
    assert result.progress.step == result.schedule.total_steps == steps
    assert result.schedule.lr(steps) == pytest.approx(0)
    assert load_config(tmp_path / "run" / "config.yaml", TrainConfig).steps == steps
    assert result.facts["budget"]["refits"] == [(0, 17), (6, steps)][-len(result.facts["budget"]["refits"]) :]
    assert f"{steps} steps can be taken by now, where 17" in (tmp_path / "run" / "log.txt").read_text()


def train_for(steps: int, options: dict[str, Any]) -> None:
    """Train with a budget that is measured, and comes to ``steps`` and stays at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "fit_steps", lambda *args: steps)
        patch.setattr(Pace, "refit", lambda self, step, seconds: self.steps)
        bare({**options, "epochs": None, "budget": "5s"})


@pytest.mark.slow
def test_measuring_does_not_change_the_run(photos: Path, tmp_path: Path) -> None:
    options = {**TINY, "dataset": str(photos), "drop_rate": 0.2, "optimizer": "lamb", "warmup": 0.1}
    options |= {"data": {"crop_min": 0.5}}
    train_for(8, {**options, "output": str(tmp_path / "measured")})
    bare({**options, "epochs": None, "steps": 8, "output": str(tmp_path / "plain")})
    ours, theirs = final_weights(tmp_path / "measured"), final_weights(tmp_path / "plain")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_two_processes_agree_on_what_they_measured(photos: Path, tmp_path: Path) -> None:
    options = {**TINY, "dataset": str(photos), "output": str(tmp_path / "run")}
    assert run_distributed(2, train_for, 8, options) == [0, 0]
    assert load_config(tmp_path / "run" / "config.yaml", FinetuneConfig).steps == 8


def going_on(facts: dict[str, Any], step: int, total: int) -> tuple[KeepBudget, Any]:
    """Return the callback of a run with a budget that goes on after ``step``, and as much of the run as it looks at."""
    accelerator, schedule = SimpleNamespace(is_main_process=True), SimpleNamespace(total_steps=total)
    at = {"progress": SimpleNamespace(step=step), "schedule": schedule, "order": SimpleNamespace(steps_per_epoch=50)}
    run: Any = SimpleNamespace(
        config=TrainConfig(), facts={"budget": facts}, place=None, accelerator=accelerator, is_main=True, **at
    )
    callback = KeepBudget()
    callback.on_train_start(run)
    return callback, run


@pytest.mark.parametrize(
    ("noted", "step", "total", "now"),
    [
        ([], 6, 8, []),
        ([], 6, 15, [[6, 15]]),
        ([[6, 15]], 9, 15, [[6, 15]]),
        ([[6, 15]], 4, 15, [[4, 15]]),
        ([[6, 15], [12, 20]], 8, 20, [[6, 15], [8, 20]]),
    ],
)
def test_a_resumed_run_notes_the_steps_that_it_has_and_forgets_those_of_later(
    noted: list[list[int]], step: int, total: int, now: list[list[int]]
) -> None:
    _, run = going_on({**asdict(two_minutes(steps=8)), "refits": noted}, step, total)
    assert [list(refit) for refit in run.facts["budget"]["refits"]] == now


def test_a_slow_run_says_so_in_its_log(caplog: pytest.LogCaptureFixture) -> None:
    callback, run = going_on(asdict(two_minutes()), 10, 100)
    callback.on_log(run, {"step": 50, "seconds": 51.0})
    assert not caplog.records
    callback.on_log(run, {"step": 60, "seconds": 160.0})
    assert "slower than measured" in caplog.text


def test_card_and_recipe_tell_of_the_part_of_an_epoch_and_of_the_steps_counted_anew(tmp_path: Path) -> None:
    schedule = {"total_steps": 3, "steps_per_epoch": 6, "epochs": 0.5}
    options = {"epochs": None, "steps": 3}
    record = a_record(options=options, schedule=schedule, steps=3, best_epoch=1, budget={"refits": [[2, 3]]})
    text = card(record)
    assert "3 of 3 planned steps (0.5 epochs)" in text
    assert "after epoch 1, which was cut short" in text
    assert "3 from step 2 on" in text
    write_recipe(record, tmp_path / "recipe.yaml")
    recipe = read_recipe(tmp_path / "recipe.yaml")
    assert (recipe["epochs"], recipe["steps"], recipe["budget"]) == (None, 3, None)


# A machine that proves slower or faster


@pytest.mark.parametrize(
    ("seconds", "steps"),
    [
        (50.0, 100),  # as planned
        (50.5, 100),  # nearly
        (60.0, 81),  # 50 s are left, 12 of them for the end, and a step takes 1.2
        (40.0, 127),  # 70 s are left, 8 of them for the end, and a step takes 0.8
        (300.0, 75),  # no time at all, but half of what was left has to be
        (10.0, 150),
    ],
)
def test_after_an_epoch_a_run_takes_as_many_steps_as_fit_at_its_pace(seconds: float, steps: int) -> None:
    assert Pace(two_minutes(), 100).refit(50, seconds) == steps


def test_a_run_at_its_end_keeps_its_steps() -> None:
    assert Pace(two_minutes(), 100).refit(100, 300.0) == 100


def two_minutes(**options: Any) -> Budget:
    costs = Costs(steps=((0, 1.0),), start=0.0, evaluation=0.0, saving=0.0, end=10.0)
    return Budget(
        **{"asked": "2m", "seconds": 120.0, "before": 10.0, "steps": 100, "steps_per_epoch": 50, "costs": costs}
        | {"checkpoint_every": None}
        | options
    )


def test_a_run_without_a_budget_has_no_pace_to_keep() -> None:
    run: Any = SimpleNamespace(config=TrainConfig(), facts={}, order=SimpleNamespace(steps_per_epoch=50))
    callback = KeepBudget()
    callback.on_train_start(run)
    callback.on_log(run, {"step": 50, "seconds": 99.0 * 50})
    callback.on_epoch_end(SimpleNamespace(progress=None), None)  # type: ignore[arg-type]
    assert callback.pace is None


def remarks(seconds: Callable[[int], float], budget: Budget) -> list[int]:
    """Return the steps at which something is said of a run that is ``seconds(step)`` old."""
    pace = Pace(budget, 100)
    return [step for step in range(1, 101) if pace.remark(step, seconds(step)) is not None]


def test_a_run_on_time_is_not_spoken_of() -> None:
    assert remarks(lambda step: 1.03 * step, two_minutes()) == []


def test_a_run_that_is_late_says_so_once_and_again_when_much_later() -> None:
    assert remarks(lambda step: 2.0 * step, two_minutes()) == [5]
    assert len(remarks(lambda step: 2.0 * step if step < 50 else 100 + 9.0 * (step - 50), two_minutes())) > 1


def test_a_slow_phase_at_the_beginning_is_as_planned() -> None:
    costs = replace(two_minutes().costs, steps=((0, 1.5), (1, 0.5)))
    planned = lambda step: 1.5 * step if step <= 50 else 75 + 0.5 * (step - 50)  # noqa: E731
    assert remarks(planned, two_minutes(costs=costs)) == []
    assert remarks(lambda step: 1.5 * step, two_minutes()) != []


def test_the_remark_names_both_times() -> None:
    said = Pace(two_minutes(), 100).remark(50, 100.0)
    assert said is not None
    assert "after 3 min 40 s and not the 2m of" in said


def test_a_recipe_gives_way_to_a_budget_on_the_command_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from botzoo.commands.train import run

    with pytest.raises(SystemExit):
        run(["--budget", "10m", "--print-config"])
    printed = capsys.readouterr().out
    assert "epochs: null\n" in printed
    assert "budget: 10m\n" in printed
    with pytest.raises(ConfigError, match="--epochs 9 and --budget 10m each say"):
        run(["--budget", "10m", "--epochs", "9"])
