"""--budget: the steps that fit, what is measured without a trace, a last epoch that is cut short, and a slower machine."""

import json
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count, takewhile
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import torch

from botzoo.errors import BotzooError, ConfigError
from botzoo.options.command_line import load_config, made
from botzoo.options.config import TrainConfig, seconds_of
from botzoo.training import run as run_module
from botzoo.training.autotune.budget import Budget, Costs, Pace, fit_steps, run_seconds
from botzoo.training.autotune.speed import LEAST, UNMEASURED, Work, measure, seconds_each
from botzoo.training.checkpoint import Progress
from botzoo.training.run import Result, train, try_out
from botzoo.training.schedule import fall_epochs
from botzoo.training.setup import Transfer
from botzoo.training.setup import set_up as prepare
from botzoo.util.text import epochs_words
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.transfer.freeze import Freezer
from running import SIGKILLED, TINY, final_weights, finetune, finetune_and_signal, run, run_distributed

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
    with pytest.raises(ConfigError, match=r"--budget is .*: it must be a duration such as 90s, 10m, 1\.5h or 2h30m\."):
        TrainConfig(budget=text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": "10m", "epochs": 3}, "--epochs 3 and --budget 10m each say how long to train: give one"),
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


def work() -> Work:
    return Work(run_module._train_batches, run_module._eval_batches, run_module._save_all)


def test_measuring_leaves_no_trace(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settled = prepare(tiny(photos), Transfer())
    settled.trainer.start_epoch(lambda model: False)
    before = [tensor.clone() for tensor in everything(settled.trainer.state())]
    numbers = torch.get_rng_state()
    measure(settled, work(), 1.0)
    after = everything(settled.trainer.state())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(torch.get_rng_state(), numbers)
    assert not list(tmp_path.iterdir())


def everything(state: Any) -> list[torch.Tensor]:
    if isinstance(state, dict):
        return [tensor for value in state.values() for tensor in everything(value)]
    return [state] if isinstance(state, torch.Tensor) else []


def test_every_phase_has_its_own_speed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"train_scale": 2.0, "train_scale_epochs": 1}
    seconds = count(1)
    monkeypatch.setattr(
        "botzoo.training.autotune.speed.seconds_each", lambda take, *rest: float((take(), next(seconds))[1])
    )
    transfer = Transfer(set_trainable=Freezer("none", 2))
    settled = prepare(tiny(photos, data=data), transfer)
    settled.trainer.start_epoch(lambda model: transfer.set_trainable(model, 0))
    costs = measure(settled, work(), 1000.0)
    assert costs.steps == ((0, 1.0), (1, 2.0), (2, 3.0), (4, 4.0), (6, 5.0), (8, 6.0), (10, 7.0))[: len(costs.steps)]
    assert len(costs.steps) > 3
    trained = [name for name, p in settled.model.named_parameters() if p.requires_grad]
    assert trained == ["fc.weight", "fc.bias"]


def test_evaluations_at_the_end_are_counted(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled = prepare(tiny(photos), Transfer())
    settled.trainer.start_epoch(lambda model: False)
    costs = measure(settled, work(), 1.0)
    assert costs.end == pytest.approx(costs.evaluation + costs.saving + UNMEASURED)


# The run


def measured(costs: Costs) -> Callable[..., Costs]:
    return lambda settled, work, seconds: costs


def within(
    photos: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    costs: Costs,
    refit: Mapping[int, int] = MappingProxyType({}),
    **options: Any,
) -> Result:
    """Train with a budget of 1000 s, of which nothing has gone by before the first step.

    The pace is as planned, but after the steps of ``refit``, where as many as it says fit the budget.
    """
    monkeypatch.setattr(run_module, "measure", measured(costs))
    monkeypatch.setattr(run_module, "agreed", lambda seconds: 0.0)
    monkeypatch.setattr(Pace, "refit", lambda self, step, seconds: refit.get(step, self.steps))
    return train(tiny(photos, **{"output": str(output), "budget": "1000s", **options}))


SLOW = Costs(steps=((0, 50.0),), start=0.0, evaluation=20.0, saving=0.0, end=90.0)
"""Two epochs of 6 steps take 640 s and leave 270, five steps and an evaluation."""


@pytest.fixture(scope="module")
def result(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        return within(photos, tmp_path_factory.mktemp("run") / "run", patch, SLOW)


def test_the_run_ends_in_the_middle_of_an_epoch_at_the_end_of_its_cosine(result: Result) -> None:
    assert (result.steps, result.job.schedule.total_steps) == (17, 17)
    assert result.job.schedule.lr(17) == pytest.approx(0)
    assert [(r["step"], r["epoch"]) for r in result.job.history.of("validation")] == [(6, 1), (12, 2), (17, 3)]


def test_the_settled_steps_are_in_the_configuration_and_the_budget_beside_it(result: Result) -> None:
    config = load_config(result.job.folder / "config.yaml", TrainConfig)
    assert (config.steps, config.budget, config.epochs) == (17, None, None)
    facts = json.loads((result.job.folder / "run.json").read_text())["budget"]
    assert (facts["asked"], facts["costs"]["steps"]) == ("1000s", [[0, 50.0]])


def test_the_plan_says_what_was_measured_and_chosen(result: Result) -> None:
    log = (result.job.folder / "log.txt").read_text()
    assert "\nsteps      2.83 epochs x 6 = 17 steps; batch 8" in log
    assert "\nbudget     1000s: 17 steps are what fits; they end after 16 min 40 s, of which 0 s have passed" in log
    assert "measured: 0.16 images/s in training, 20 s for an evaluation and 0 s for a checkpoint" in log
    assert "epoch    3" not in log
    assert "epoch 2.83/2.83  validation top-1" in log


def test_a_long_warmup_is_shortened_to_a_fifth(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = within(photos, tmp_path / "run", monkeypatch, SLOW, warmup=5.0)
    assert result.job.schedule.warmup_steps == round(17 / 5)
    assert "warmup shortened from 5 to 0.567 epochs, a fifth of the run" in (tmp_path / "run" / "log.txt").read_text()


def test_a_budget_for_no_step_names_the_least_that_would_do(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = replace(SLOW, steps=((0, 900.0),))
    with pytest.raises(
        BotzooError, match=r"--budget is 1000s: 0 s went by .* takes 16 min 50 s more: give 1061s or more"
    ):
        within(photos, tmp_path / "run", monkeypatch, costs)
    assert not (tmp_path / "run").exists()


def finetune_for(steps: int, options: dict[str, Any]) -> None:
    """Fine-tune with a budget that is measured, and comes to ``steps`` and stays at them."""
    from botzoo.training import run
    from botzoo.training.autotune import budget

    run.fit_steps = lambda *args: steps  # type: ignore[assignment]
    budget.Pace.refit = lambda self, step, seconds: self.steps  # type: ignore[method-assign]
    finetune({**options, "epochs": None, "budget": "10s"})


def test_measuring_does_not_change_the_run(photos: Path, tmp_path: Path) -> None:
    options = {**TINY, "dataset": str(photos), "drop_rate": 0.2, "optimizer": "lamb", "warmup": 0.1}
    assert run(finetune_for, 8, {**options, "output": str(tmp_path / "measured")}) == 0
    assert run(finetune, {**options, "epochs": None, "steps": 8, "output": str(tmp_path / "plain")}) == 0
    ours, theirs = final_weights(tmp_path / "measured"), final_weights(tmp_path / "plain")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_trying_out_the_speed_leaves_no_trace_of_it(photos: Path) -> None:
    settled = prepare(tiny(photos, budget="10s"), Transfer())
    before = {name: value.clone() for name, value in settled.model.state_dict().items()}
    assert try_out(settled, 1.0) > 0
    assert all(torch.equal(value, before[name]) for name, value in settled.model.state_dict().items())


def test_two_processes_agree_on_what_they_measured(photos: Path, tmp_path: Path) -> None:
    options = {**TINY, "dataset": str(photos), "output": str(tmp_path / "run")}
    assert run_distributed(2, finetune_for, 8, options) == [0, 0]
    assert load_config(tmp_path / "run" / "config.yaml", FinetuneConfig).steps == 8


def test_a_killed_run_with_part_of_an_epoch_ends_with_the_same_weights(photos: Path, tmp_path: Path) -> None:
    options = {**TINY, "dataset": str(photos), "epochs": None, "steps": 9}
    whole, killed = ({**options, "output": str(tmp_path / name)} for name in ("whole", "killed"))
    assert run(finetune, whole) == 0
    assert run(finetune_and_signal, killed, 9, 8) == SIGKILLED
    assert run(finetune, killed, killed["output"]) == 0
    ours, theirs = final_weights(tmp_path / "whole"), final_weights(tmp_path / "killed")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_card_and_recipe_tell_of_the_part_of_an_epoch(photos: Path, tmp_path: Path) -> None:
    options = {**TINY, "dataset": str(photos), "epochs": None, "steps": 3, "warmup": 0.0}
    options |= {"output": str(tmp_path / "run")}
    assert run(finetune, options) == 0
    card, recipe = ((tmp_path / "run" / "model" / name).read_text() for name in ("README.md", "recipe.yaml"))
    assert "3 of 3 planned steps (0.5 epochs). The weights kept are those after epoch 1, which was cut short" in card
    assert "epochs: null\nsteps: 3\nbudget: null\n" in recipe


@pytest.mark.parametrize("steps", [8, 23])
def test_a_run_takes_as_many_steps_as_it_is_found_to_have_time_for(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    result = within(photos, tmp_path / "run", monkeypatch, SLOW, {6: steps})
    assert (result.steps, result.job.schedule.total_steps) == (steps, steps)
    assert result.job.schedule.lr(steps) == pytest.approx(0)
    assert load_config(tmp_path / "run" / "config.yaml", TrainConfig).steps == steps
    assert (
        f"budget     {steps} steps are what fits by now, where 17 were planned"
        in (tmp_path / "run" / "log.txt").read_text()
    )


def finetune_refitted(options: dict[str, Any], signal_at: int | None, resume: str | None = None) -> None:
    """Fine-tune with a budget of 8 steps, and of 15 from the first epoch on; die after a step, if one is given.

    Nothing is measured: on a fast machine that would take the step to die after.
    """
    from botzoo.training import run
    from botzoo.training.autotune import budget

    run.measure = lambda *args: COSTS  # type: ignore[assignment]
    run.fit_steps = lambda *args: 8  # type: ignore[assignment]
    budget.Pace.refit = lambda self, step, seconds: 15 if step == 6 else self.steps  # type: ignore[method-assign]
    if resume is not None:
        finetune(options, resume)
        return
    options = {**options, "epochs": None, "budget": "10s"}
    finetune_and_signal(options, signal.SIGKILL, signal_at or 0)


@pytest.fixture(scope="module")
def longer(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("longer") / "run"
    assert run(finetune_refitted, {**TINY, "dataset": str(photos), "output": str(folder)}, None) == 0
    return folder


def test_a_run_that_was_made_longer_ends_with_the_same_weights_after_a_kill(
    photos: Path, longer: Path, tmp_path: Path
) -> None:
    options = {**TINY, "dataset": str(photos), "output": str(tmp_path / "killed")}
    assert run(finetune_refitted, options, 13) == SIGKILLED
    assert run(finetune_refitted, options, None, options["output"]) == 0
    ours, theirs = final_weights(longer), final_weights(tmp_path / "killed")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


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
    tmp_path: Path, noted: list[list[int]], step: int, total: int, now: list[list[int]]
) -> None:
    facts = {"budget": {"steps": 8, "refits": noted}}
    accelerator, schedule = SimpleNamespace(is_main_process=True), SimpleNamespace(total_steps=total)
    job: Any = SimpleNamespace(facts=facts, folder=tmp_path, accelerator=accelerator, schedule=schedule)
    run_module._record_steps(job, Progress(step=step))
    assert [list(refit) for refit in facts["budget"]["refits"]] == now  # type: ignore[attr-defined]


def test_the_card_says_that_the_steps_were_counted_anew(longer: Path) -> None:
    card = (longer / "model" / "README.md").read_text()
    assert "counted anew on the way to keep to the time: 15 from step 6 on. A training by the recipe" in card


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
    assert Pace(budget().facts(), 100).refit(50, seconds) == steps


def test_a_run_without_a_budget_or_at_its_end_keeps_its_steps() -> None:
    assert Pace(None, 100).refit(50, 300.0) == 100
    assert Pace(budget().facts(), 100).refit(100, 300.0) == 100


def budget(**options: Any) -> Budget:
    costs = Costs(steps=((0, 1.0),), start=0.0, evaluation=0.0, saving=0.0, end=10.0)
    return Budget(
        **{"asked": "2m", "seconds": 120.0, "before": 10.0, "steps": 100, "steps_per_epoch": 50, "costs": costs}
        | {"batch_size": 8, "checkpoint_every": None}
        | options
    )


def remarks(seconds: Callable[[int], float], facts: dict[str, Any] | None) -> list[int]:
    """Return the steps at which something is said of a run that is ``seconds(step)`` old."""
    pace = Pace(facts, 100)
    return [step for step in range(1, 101) if pace.remark(step, seconds(step)) is not None]


def test_a_run_on_time_is_not_spoken_of() -> None:
    assert remarks(lambda step: 1.03 * step, budget().facts()) == []
    assert remarks(lambda step: 99.0 * step, None) == []


def test_a_run_that_is_late_says_so_once_and_again_when_much_later() -> None:
    assert remarks(lambda step: 2.0 * step, budget().facts()) == [5]
    assert len(remarks(lambda step: 2.0 * step if step < 50 else 100 + 9.0 * (step - 50), budget().facts())) > 1


def test_a_slow_phase_at_the_beginning_is_as_planned() -> None:
    costs = replace(budget().costs, steps=((0, 1.5), (1, 0.5)))
    planned = lambda step: 1.5 * step if step <= 50 else 75 + 0.5 * (step - 50)  # noqa: E731
    assert remarks(planned, budget(costs=costs).facts()) == []
    assert remarks(lambda step: 1.5 * step, budget().facts()) != []


def test_the_remark_names_both_times() -> None:
    said = Pace(budget().facts(), 100).remark(50, 100.0)
    assert said is not None
    assert "the run ends after 3 min 40 s and not the 2m of --budget; its steps are" in said


def test_a_slow_run_says_so_in_its_log(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = Costs(steps=((0, 1e-9),), start=0.0, evaluation=1e-9, saving=0.0, end=0.0)
    monkeypatch.setattr(run_module, "fit_steps", lambda *args: 6)
    within(photos, tmp_path / "run", monkeypatch, costs, budget="0.001s")
    assert "slower than measured: at this pace" in (tmp_path / "run" / "log.txt").read_text()


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
