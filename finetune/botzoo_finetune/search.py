"""Search for hyper-parameters by Optuna: the learning rate, the weight decay and how fast it falls from layer to layer.

A trial is an ordinary run, on the same split and with the same seed as all others. The folder is all that is remembered:
before each trial a study is made anew from the records of those before it, and what it proposes depends on them, the seed
and the trial's number alone. So a search that was killed goes on as if it had not been.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botzoo.errors import ConfigError
from botzoo.options.command_line import load_config
from botzoo.options.facts import check
from botzoo.recipes import Options
from botzoo.tasks.classification import wilson
from botzoo.training.distributed import from_main
from botzoo.util.pictures import drawn, new_figure
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.several import (
    Failure,
    MakeTransfer,
    Outcome,
    Several,
    count,
    log_lines,
    log_table,
    rows_json,
    several,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Study
    from optuna.trial import FrozenTrial

log = logging.getLogger("botzoo")

REPORT, PICTURE = "search.json", "search.png"

SEARCHED = ("lr", "optim.weight_decay", "layer_decay")

LEARN_FROM = 5
"""Trials at random before Optuna's sampler (TPE) learns from them, and finished ones before any is ended early."""


@dataclass(frozen=True)
class Range:
    """Where an option is looked for: from ``low`` to ``high``, evenly in its logarithm if ``log``."""

    low: float
    high: float
    log: bool


def search(config: FinetuneConfig, value: str, command: str, transfer: MakeTransfer) -> None:
    """Try out so many combinations in the folder --output, those of earlier commands among them; say which is best.

    Args:
        config: the options of every trial; where they lie in the space, they are the first trial.
        value: how many trials, as typed.
        command: as typed.
        transfer: given the options, returns what transfer learning adds.

    Raises:
        ConfigError: Optuna is not installed, or an option makes no sense here.
        DivergedError: every trial diverged.
        BotzooError: see ``botzoo.training.run.train``.
    """
    _check_installed()
    trials = count("search", value, 1)
    check(config.patience is None, "patience", config.patience, "left out: the search itself ends what falls behind")
    config = replace(config, data=replace(config.data, test_split=False))
    with several("search", "trial", config, command, transfer, first={}) as runs:
        names = [f"trial-{k}" for k in range(1, trials + 1)]
        runs.train(names, partial(_options, runs), partial(_report, runs), partial(_goes_on, runs))
        log_table("trials", _table(runs))
        log_lines("best", _lines(runs))
        log.info("%-10s %s and %s", "written", runs.folder / REPORT, PICTURE)


def _check_installed() -> None:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            "--search needs the package optuna: pip install optuna, or install botzoo with its extra, 'botzoo[search]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def space(config: FinetuneConfig) -> dict[str, Range]:
    """Return where each option is looked for.

    The learning rate from a twentieth of --lr to five times as much, --optim.weight-decay from 1e-6 to 0.01 and to five times
    as much as given, --layer-decay from 0.5 to 1; wider where the option given lies outside. Where the classifier alone is
    trained, there are no layers that could learn at rates of their own.
    """
    decay = config.optim.weight_decay
    found = {
        "lr": Range(rounded(config.lr / 20), rounded(min(5 * config.lr, 99.0)), True),
        "optim.weight_decay": Range(min(1e-6, rounded(decay) or 1e-6), max(1e-2, rounded(5 * decay)), True),
    }
    if config.freeze != "backbone":
        found["layer_decay"] = Range(min(0.5, rounded(config.layer_decay)), 1.0, False)
    return found


def rounded(value: float) -> float:
    """Return a number to three digits, so that a command can give it in full."""
    return float(f"{value:.3g}")


def _in_order(runs: Several) -> list[str]:
    """Return the names of the trials that have ended, those of earlier commands among them."""
    return sorted(runs.ended, key=_number)


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])


def _options(runs: Several, name: str) -> Options:
    """Return the options of a trial: those that it has begun with, or what is proposed now."""
    return from_main(runs.accelerator, lambda: _begun_with(runs, name) or propose(runs, _number(name)))


def _begun_with(runs: Several, name: str) -> Options | None:
    file = runs.folder / name / "config.yaml"
    return own_options(load_config(file, FinetuneConfig)) if file.exists() else None


def own_options(config: FinetuneConfig) -> Options:
    """Return the options of ``config`` that are searched for."""
    values = {"lr": config.lr, "optim.weight_decay": config.optim.weight_decay, "layer_decay": config.layer_decay}
    return {name: values[name] for name in space(config)}


def propose(runs: Several, number: int) -> Options:
    """Return what to try out as trial ``number``, from 1 on, to three digits; of the first one the options given."""
    study = _study(runs, number)
    if number == 1:
        ranges, own = space(runs.config), own_options(runs.config)
        inside = {name: rounded(v) for name, v in own.items() if ranges[name].low <= rounded(v) <= ranges[name].high}
        study.enqueue_trial(inside)
    return {name: rounded(value) for name, value in study.ask(_distributions(runs.config)).params.items()}


def _goes_on(runs: Several, name: str, accuracies: list[float]) -> bool:
    """Tell whether a trial goes on: not where its best epoch so far is below the median of the finished ones.

    The first third of the epochs does not count: the larger the learning rate, the later a run becomes good.
    """
    good = from_main(runs.accelerator, lambda: not falls_behind(runs, _number(name), accuracies))
    if not good:
        log.info("ended early: below the median of the trials so far after %d epochs", len(accuracies))
    return good


def falls_behind(runs: Several, number: int, accuracies: list[float]) -> bool:
    """Tell whether a trial with these validation accuracies after its epochs so far is worth no more of them."""
    trial = _study(runs, number).ask()
    for epoch, top1 in enumerate(accuracies, 1):
        trial.report(top1, epoch)
    return trial.should_prune()


def _study(runs: Several, number: int) -> Study:
    """Return a study that knows the trials before ``number``."""
    from optuna import create_study
    from optuna.pruners import MedianPruner
    from optuna.samplers import TPESampler

    seed = (runs.config.seed + number) % 2**32
    study = create_study(
        direction="maximize",
        sampler=TPESampler(seed=seed, n_startup_trials=LEARN_FROM),
        pruner=MedianPruner(n_startup_trials=LEARN_FROM, n_warmup_steps=1 + int(runs.epochs / 3)),
    )
    for name in _in_order(runs):
        if _number(name) < number:
            study.add_trial(_as_trial(runs.ended[name], _distributions(runs.config)))
    return study


def _as_trial(end: Outcome | Failure, distributions: dict[str, Any]) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    known: dict[str, Any] = {"params": end.options, "distributions": distributions}
    if isinstance(end, Failure):
        return create_trial(state=TrialState.FAIL, **known)
    state = TrialState.PRUNED if end.stopped else TrialState.COMPLETE
    return create_trial(state=state, value=end.top1, intermediate_values=dict(enumerate(end.validation, 1)), **known)


def _distributions(config: FinetuneConfig) -> dict[str, Any]:
    from optuna.distributions import FloatDistribution

    return {name: FloatDistribution(each.low, each.high, log=each.log) for name, each in space(config).items()}


def best(runs: Several) -> str:
    """Return the name of the trial with the best validation accuracy, the first of several; none that was ended early."""
    whole = {name: end.top1 for name, end in runs.outcomes.items() if not end.stopped}
    return min(whole, key=lambda name: (-whole[name], _number(name)))


def train_with(command: str, options: Mapping[str, Any]) -> str:
    """Return the command that trains with ``options``: ``command`` without --search and --output, and with them."""
    kept = list(_without(shlex.split(command), {"--search", "--output", *map(_flag, options)}))
    return shlex.join([*kept, *(word for name, value in options.items() for word in (_flag(name), f"{value:g}"))])


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _without(words: Iterable[str], flags: set[str]) -> Iterator[str]:
    """Yield words without these flags and the values behind them."""
    value_follows = False
    for word in words:
        flag, equals, _ = word.replace("_", "-").partition("=")
        if flag in flags:
            value_follows = not equals
        elif value_follows:
            value_follows = False
        else:
            yield word


def _report(runs: Several) -> None:
    """Write search.json and search.png, from the first finished trial on."""
    runs.write(REPORT, as_json(runs))
    if runs.outcomes:
        drawn(runs.folder / PICTURE, lambda: search_figure(runs))


def as_json(runs: Several) -> dict[str, Any]:
    """Return everything that is known, for other programs."""
    return {
        "metric": "top-1 accuracy in per cent on the validation images after the best epoch",
        "space": {name: vars(each) for name, each in space(runs.config).items()},
        "best": _best_json(runs) if runs.outcomes else None,
        "ended_early": [name for name, end in runs.outcomes.items() if end.stopped],
        "diverged": list(runs.failures),
        "runs": rows_json(runs, _in_order(runs)),
    }


def _best_json(runs: Several) -> dict[str, Any]:
    name = best(runs)
    end = runs.outcomes[name]
    return {
        "run": name,
        "top1": end.top1,
        "correct": end.correct,
        "images": end.images,
        "interval_95": wilson(end.correct, end.images),
        "chosen_on_split": True,
        "options": end.options,
        "train_with": train_with(runs.command, end.options),
    }


def _table(runs: Several) -> list[list[str]]:
    ranges = list(space(runs.config))
    rows = [["trial", "top-1", "epochs", *map(_flag, ranges), ""]]
    for name in _in_order(runs):
        end = runs.ended[name]
        own = [f"{end.options[each]:g}" for each in ranges]
        if isinstance(end, Failure):
            rows.append([str(_number(name)), "", "", *own, "diverged"])
        else:
            remark = "ended early" if end.stopped else "best" if name == best(runs) else ""
            rows.append([str(_number(name)), f"{end.top1:.2f} %", str(len(end.validation)), *own, remark])
    return rows


def _lines(runs: Several) -> Iterator[str]:
    name = best(runs)
    end = runs.outcomes[name]
    low, high = wilson(end.correct, end.images)
    yield (
        f"{name}: top-1 {end.top1:.2f} % on {end.images:,} validation images (95 % interval {low:.2f} to {high:.2f}); its "
        f"model is in {runs.folder / name / 'model'}"
    )
    yield (
        f"these images chose it among {len(runs.ended)} trials, and its epoch, so the figure flatters; a test split of the "
        "data is left unread"
    )
    yield f"train with it: {train_with(runs.command, end.options)}"


def search_figure(runs: Several) -> Figure:
    """Return the accuracy of each trial by its learning rate, and the best so far by the number of trials, as a picture."""
    figure = new_figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    _draw_rates(left, runs)
    _draw_best(right, runs)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.suptitle(f"{runs.config.model} on {Path(runs.config.dataset).name}: search", fontsize=11, parse_math=False)
    return figure


def _draw_rates(axes: Any, runs: Several) -> None:
    for label, stopped, form in (("finished", False, "o"), ("ended early", True, "x")):
        ends = [end for end in runs.outcomes.values() if end.stopped == stopped]
        axes.plot([end.options["lr"] for end in ends], [end.top1 for end in ends], form, label=label)
    for failure in runs.failures.values():
        axes.axvline(failure.options["lr"], color="grey", lw=0.8, ls=":")
    axes.set(xscale="log", xlabel="--lr (dotted: diverged)", ylabel="validation top-1 (%)")
    axes.legend()


def _draw_best(axes: Any, runs: Several) -> None:
    names = [name for name in _in_order(runs) if name in runs.outcomes and not runs.outcomes[name].stopped]
    numbers, heights = [_number(name) for name in names], [runs.outcomes[name].top1 for name in names]
    axes.plot(numbers, heights, "o", mfc="none")
    axes.step(numbers, list(accumulate(heights, max)), "-", color="C0", where="post")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="trial", ylabel="validation top-1 (%), best so far")
