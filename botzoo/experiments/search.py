"""Search for hyper-parameters by Optuna: the learning rate, the weight decay and how fast it falls from layer to layer.

A trial is an ordinary run, on the same split and with the same seed as all others. The folder is all that is remembered:
before each trial a study is made anew from the records of those before it, and what it proposes depends on them, the seed
and the trial's number alone. So a search that was killed goes on as if it had not been.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from botzoo.errors import ConfigError
from botzoo.experiments import repeats
from botzoo.experiments.series import ConfigT, Failure, MakeCallbacks, Outcome, Series
from botzoo.options.command_line import load_config
from botzoo.options.config import TrainConfig
from botzoo.options.facts import check, flag, values_of
from botzoo.recipes import Options
from botzoo.tasks.classification import wilson
from botzoo.tasks.task import Evaluation
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import from_main
from botzoo.training.state import Run
from botzoo.util.outgoing import last_part
from botzoo.util.pictures import drawn, label, new_figure
from botzoo.util.text import counted, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Study
    from optuna.distributions import FloatDistribution
    from optuna.trial import FrozenTrial

log = logging.getLogger("botzoo")

REPORT, PICTURE = "search.json", "search.png"

SEARCHED = ("lr", "optim.weight_decay", "layer_decay")
"""Where a configuration has them."""

LEARN_FROM = 5
"""Trials at random before Optuna's sampler (TPE) learns from them, and finished ones before any is ended early."""


def search(
    config: ConfigT, value: str, command: str, make_callbacks: MakeCallbacks[ConfigT], given: Collection[str] = ()
) -> None:
    """Try out so many combinations in the folder --output, those of earlier commands among them; say which is best.

    Args:
        config: the options of every trial; where they lie in the space, they are the first trial.
        value: how many trials, as typed.
        command, make_callbacks, given: see ``Series``.

    Raises:
        ConfigError: Optuna is not installed, or an option makes no sense here.
        DivergedError: every trial diverged.
        BotzooError: see ``botzoo.training.run.train``.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            "--search needs the package optuna: pip install optuna, or install botzoo with its extra, 'botzoo[search]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials = repeats.count("search", value, 1)
    check(config.patience is None, "patience", config.patience, "left out: the search itself ends what falls behind")
    config = replace(config, data=replace(config.data, test_split=False))
    with repeats.repeated("search", "trial", config, command, make_callbacks, given, first={}) as runs:
        titles = {f"trial-{k}": f"trial {k}" for k in range(1, trials + 1)}

        def options_of(name: str) -> Options:
            begun = runs.folder / name / "config.yaml"
            if begun.exists():  # the trial was cut short, and goes on with what was proposed then
                return own_options(load_config(begun, type(config), config.dataset))
            return propose(runs, number(name))

        def report() -> None:
            runs.write(REPORT, as_json(runs), by_number(runs))
            if runs.outcomes:
                drawn(runs.folder / PICTURE, lambda: trials_figure(runs))

        runs.train(
            titles,
            lambda name: from_main(runs.accelerator, lambda: options_of(name)),
            report,
            lambda name: [EndEarly(runs, number(name))],
        )
        repeats.say({"trials": _table(runs), "best": _lines(runs)}, f"{runs.folder / REPORT} and {PICTURE}")


def number(name: str) -> int:
    """Return the number of a trial, from 1 on."""
    return int(name.rpartition("-")[2])


def by_number(runs: Series[ConfigT]) -> list[str]:
    """Return the names of the trials that have ended, those of earlier commands among them."""
    return sorted(runs.ended, key=number)


def space(config: TrainConfig) -> dict[str, FloatDistribution]:
    """Return where each option is looked for.

    The learning rate from a twentieth of --lr to five times as much, --optim.weight-decay from 1e-6 to 0.01 and to five times
    as much as given, --layer-decay from 0.5 to 1; wider where the option given lies outside. Where the classifier alone is
    trained, there are no layers that could learn at rates of their own.
    """
    from optuna.distributions import FloatDistribution  # an extra, which only a search needs

    decay, of_layers = config.optim.weight_decay, getattr(config, "layer_decay", None)
    lowest, highest = min(1e-6, rounded(decay) or 1e-6), max(1e-2, rounded(5 * decay))
    found = {
        "lr": FloatDistribution(rounded(config.lr / 20), rounded(min(5 * config.lr, 99.0)), log=True),
        "optim.weight_decay": FloatDistribution(lowest, highest, log=True),
    }
    if of_layers is not None and getattr(config, "freeze", None) != "backbone":
        found["layer_decay"] = FloatDistribution(min(0.5, rounded(of_layers)), 1.0)
    return found


def rounded(value: float) -> float:
    """Return a number to three digits, so that a command can give it in full."""
    return float(f"{value:.3g}")


def own_options(config: TrainConfig) -> Options:
    """Return the options of ``config`` that are searched for."""
    values = values_of(config)
    return {name: values[name] for name in space(config)}


def propose(runs: Series[ConfigT], trial: int) -> Options:
    """Return what to try out as a trial, by its number, to three digits; of the first one the options given."""
    study, ranges = _study(runs, trial, 0), space(runs.config)
    if trial == 1:
        own = {name: rounded(value) for name, value in own_options(runs.config).items()}
        study.enqueue_trial({name: v for name, v in own.items() if ranges[name].low <= v <= ranges[name].high})
    return {name: rounded(value) for name, value in study.ask(dict(ranges)).params.items()}


class EndEarly(Callback):
    """Ends a trial, by its number, whose best epoch so far is below the median of the finished ones at that epoch."""

    def __init__(self, runs: Series[Any], trial: int) -> None:
        self.runs, self.trial = runs, trial

    def on_epoch_end(self, run: Run, evaluation: Evaluation) -> bool:
        """Ask Optuna's pruner, but not after the last step, when there is nothing left to end."""
        accuracies = [line["top1"] for line in run.history.of("validation")]
        if run.progress.step == run.schedule.total_steps:
            return True
        behind = from_main(run.accelerator, lambda: falls_behind(self.runs, self.trial, accuracies, run.epochs))
        if behind:
            log.info("ended early: below the median of the trials so far after %d epochs", len(accuracies))
        return not behind


def falls_behind(runs: Series[ConfigT], trial: int, accuracies: list[float], epochs: float) -> bool:
    """Tell whether a trial with these validation accuracies after its epochs so far, of ``epochs``, is worth no more of them.

    The first third of the epochs does not count: the larger the learning rate, the later a run becomes good.
    """
    asked = _study(runs, trial, epochs).ask()
    for epoch, top1 in enumerate(accuracies, 1):
        asked.report(top1, epoch)
    return asked.should_prune()


def _study(runs: Series[ConfigT], trial: int, epochs: float) -> Study:
    """Return a study that knows the trials before ``trial``."""
    import optuna

    study = optuna.create_study(
        direction="maximize",
        # A seed of its own for each trial: with the same one, all random proposals would be the same.
        sampler=optuna.samplers.TPESampler(seed=(runs.config.seed + trial) % 2**32, n_startup_trials=LEARN_FROM),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=LEARN_FROM, n_warmup_steps=1 + int(epochs / 3)),
    )
    for name in by_number(runs):
        if number(name) < trial:
            study.add_trial(_as_trial(runs.ended[name], space(runs.config)))
    return study


def _as_trial(end: Outcome | Failure, ranges: dict[str, FloatDistribution]) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    known: dict[str, Any] = {"params": end.options, "distributions": ranges}
    if isinstance(end, Failure):
        return create_trial(state=TrialState.FAIL, **known)
    state = TrialState.PRUNED if end.stopped else TrialState.COMPLETE
    return create_trial(
        state=state, value=trained(end), intermediate_values=dict(enumerate(end.validation, 1)), **known
    )


def trained(end: Outcome) -> float:
    """Return the accuracy that a trial's training came to, also where the run has kept what it started from."""
    return end.score if end.best_epoch or not end.validation else max(end.validation)


def best(runs: Series[ConfigT]) -> str:
    """Return the name of the trial with the best validation accuracy, the first of several; none that was ended early."""
    whole = {name: trained(end) for name, end in runs.outcomes.items() if not end.stopped}
    return min(whole, key=lambda name: (-whole[name], number(name)))


def train_with(command: str, options: Mapping[str, Any]) -> str:
    """Return the command that trains with ``options``: ``command`` without --search and --output, and with them."""
    dropped, kept, skips = {"--search", "--output", *map(flag, options)}, list[str](), False
    for word in shlex.split(command):
        name, equals, _ = word.replace("_", "-").partition("=")
        if name in dropped:
            skips = not equals  # the value behind it
        elif skips:
            skips = False
        else:
            kept.append(word)
    return " ".join([shlex.join(kept), *(flag(name, float(value)) for name, value in options.items())])


def as_json(runs: Series[ConfigT]) -> dict[str, Any]:
    """Return everything that is known besides the runs themselves, for other programs."""
    found = None
    if runs.outcomes:
        end = runs.outcomes[best(runs)]
        found = {
            "run": best(runs),
            **{"top1": end.score, "correct": end.correct, "images": end.images},
            "interval_95": wilson(end.correct or 0, end.images),
            "chosen_on_split": True,
            "options": end.options,
            "train_with": train_with(runs.command, end.options),
        }
    return {
        "metric": "top-1 accuracy in per cent on the validation images after the best epoch",
        "space": {name: {"low": r.low, "high": r.high, "log": r.log} for name, r in space(runs.config).items()},
        "best": found,
        "ended_early": [name for name, end in runs.outcomes.items() if end.stopped],
    }


def _table(runs: Series[ConfigT]) -> Iterator[str]:
    ranges = list(space(runs.config))
    rows = [["trial", "top-1", "epochs", *map(flag, ranges), ""]]
    for name in by_number(runs):
        end = runs.ended[name]
        own = [f"{end.options[each]:g}" for each in ranges]
        if isinstance(end, Failure):
            rows.append([str(number(name)), "", "", *own, "diverged"])
        else:
            remark = "ended early" if end.stopped else "best" if name == best(runs) else ""
            rows.append([str(number(name)), f"{end.score:.2f} %", str(len(end.validation)), *own, remark])
    return table(rows, left=())


def _lines(runs: Series[ConfigT]) -> Iterator[str]:
    name = best(runs)
    end = runs.outcomes[name]
    low, high = wilson(end.correct or 0, end.images)
    yield (
        f"{name}: top-1 {end.score:.2f} % on {counted(end.images, 'validation image')} (95 % interval {low:.2f} to "
        f"{high:.2f}); its model is in {runs.folder / name / 'model'}"
    )
    yield (
        f"these images chose it among {counted(len(runs.ended), 'trial')}, and its epoch, so the figure flatters; a test "
        "split of the data is left unread"
    )
    yield f"train with it: {train_with(runs.command, end.options)}"


def trials_figure(runs: Series[ConfigT]) -> Figure:
    """Return a picture of the accuracy of each trial by its learning rate, and of the best so far by the number of trials."""
    figure = new_figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    for legend, stopped, form in (("finished", False, "o"), ("ended early", True, "x")):
        ends = [end for end in runs.outcomes.values() if end.stopped == stopped]
        left.plot([end.options["lr"] for end in ends], [end.score for end in ends], form, label=legend)
    for failure in runs.failures.values():
        left.axvline(failure.options["lr"], color="grey", lw=0.8, ls=":")
    left.set(xscale="log", xlabel="--lr (dotted: diverged)", ylabel="validation top-1 (%)")
    left.legend()
    whole = {number(name): end.score for name, end in runs.outcomes.items() if not end.stopped}
    numbers, heights = zip(*sorted(whole.items()), strict=True)
    right.plot(numbers, heights, "o", mfc="none")
    right.step(numbers, list(accumulate(heights, max)), "-", color="C0", where="post")
    right.xaxis.get_major_locator().set_params(integer=True)
    right.set(xlabel="trial", ylabel="validation top-1 (%), best so far")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.suptitle(label(f"{runs.config.model} on {last_part(runs.config.dataset)}: search"), fontsize=11)
    return figure
