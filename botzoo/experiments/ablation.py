"""An ablation: every rung of a ladder trained with every seed, on the same images in the same order.

The rungs of one seed share the split, the order of the images and, where the network is the same, its first weights, so
that the differences between them are paired. A cell is one rung with one seed, a run of its own.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic

from accelerate import Accelerator

from botzoo.errors import BotzooError, ConfigError
from botzoo.experiments.register import Register
from botzoo.experiments.report import Ablation, Cell, write_report
from botzoo.experiments.series import ConfigT, Failure, MakeCallbacks, Outcome, Series, finished
from botzoo.options.accepted import seed_list
from botzoo.options.command_line import check_options, made
from botzoo.options.config import AblateConfig, TrainConfig
from botzoo.options.facts import with_values
from botzoo.recipes import Options, merged
from botzoo.recipes.ladders import Ladder, Rung, leave_one_out, load_ladder, select
from botzoo.training.distributed import from_main, make_accelerator
from botzoo.training.setup import check
from botzoo.tricks.mixed_precision import Precision
from botzoo.util.environment import user_path
from botzoo.util.nested import flat
from botzoo.util.outgoing import last_part

log = logging.getLogger("botzoo")

OWN = ("ladder", "seeds", "rungs", "leave_one_out", "teacher", "output", "seed", "epochs")
"""Options of the ablation itself, which every run gets in its own way."""

REGISTER = Register("ladder.json", "ladder", "rungs", "its rung {} has")

RUNS = "cells/*/seed-*"

WEIGHTS = "weights"
"""Under which the register has what tells the weights of a rung from others; no option of a run is called so."""


def rung_options(ladder: Ladder, common: Options, epochs: int, teacher: str | None) -> dict[str, Options]:
    """Return the options of each rung's runs: its own, with those given for all of them.

    ``epochs`` holds for every rung. The warmup, which recipes give in epochs, keeps its share of the run of the ladder's
    lowest rung, whichever rungs of it are trained.

    Args:
        common: options given for every rung, the ones of a group as a dictionary.
        teacher: of the rungs with distillation, None for their own.

    Raises:
        ConfigError: an option given for all is one that the ladder varies, no rung has a teacher to replace, or a value is
            wrong.
    """
    if teacher and not any(rung.options.get("distillation") for rung in ladder.rungs):
        raise ConfigError(f"--teacher {teacher}: no rung learns from a teacher here; leave it out.")
    share = epochs / ladder.epochs if ladder.epochs else 1.0

    def own(rung: Rung) -> Options:
        found: Options = {"epochs": epochs}
        found |= {"warmup": rung.options["warmup"] * share} if "warmup" in rung.options else {}
        return found | ({"distillation": teacher} if teacher and rung.options.get("distillation") else {})

    return checked_options(ladder, TrainConfig, common, own)


def checked_options(
    ladder: Ladder, config_class: type[ConfigT], common: Options, own: Callable[[Rung], Options]
) -> dict[str, Options]:
    """Return the options of each rung's runs: its own, those that ``own`` gives besides, and the ``common`` ones.

    Raises:
        ConfigError: one of the common ones is what the ladder varies, or a value is wrong.
    """
    checked = {rung.name: check_options(rung.options, config_class, f"Rung {rung.name}") for rung in ladder.rungs}
    ladder = replace(ladder, rungs=tuple(replace(rung, options=checked[rung.name]) for rung in ladder.rungs))
    for name in flat(common).keys() & ladder.varied() - {"epochs"}:
        advice = " Give --teacher instead." if name == "distillation" else ""
        flag = name.replace("_", "-")
        raise ConfigError(f"--{flag} is what the ladder {ladder.name} varies: leave it out.{advice}")
    every: dict[str, Options] = {}
    for rung in ladder.rungs:
        every[rung.name] = merged(merged(rung.options, own(rung)), common)
        try:
            if made(every[rung.name], config_class).optim.decay == "plateau":
                raise ConfigError(
                    "--optim.decay plateau looks at the very images that the rungs are compared on: take another one."
                )
        except ConfigError as error:
            raise ConfigError(f"Rung {rung.name}: {error}") from error
    return every


def ablate(config: AblateConfig, common: Options, command: str, make_callbacks: MakeCallbacks[TrainConfig]) -> Ablation:
    """Train what is missing of a ladder, and report after each run on all that is finished of it in the folder.

    Args:
        config: the options of the ablation; those of its runs come from ``common`` and the ladder.
        common: the options that were given, the ones of a group as a dictionary.
        command, make_callbacks: see ``Series``.

    Raises:
        StoppedError: SIGINT or SIGTERM came; the run's checkpoint is written.
        DivergedError: every run diverged.
        BotzooError: a rung cannot be trained, or the folder holds results of another ladder.
    """
    whole = load_ladder(config.ladder, common.get("model"))
    asked = whole if config.rungs is None else select(whole, [name.strip() for name in config.rungs.split(",")])
    if config.leave_one_out:
        whole = asked = leave_one_out(asked)
    name = Path(config.ladder).stem + ("-leave-one-out" if config.leave_one_out else "")
    shared = {name: value for name, value in common.items() if name not in OWN}
    epochs = config.epochs
    assert epochs is not None
    return Climb(
        whole,
        asked,
        seed_list(config.seeds),
        user_path(config.output or f"runs/ablate-{name}-{last_part(config.dataset)}"),
        TrainConfig(),
        lambda ladder: rung_options(ladder, shared, epochs, config.teacher),
        command,
        make_callbacks,
    ).train(*make_accelerator(config))


@dataclass(frozen=True)
class Climb(Generic[ConfigT]):
    """The rungs of a ladder that are to be trained, and with what."""

    whole: Ladder
    asked: Ladder  # those of its rungs that are to be trained
    seeds: list[int]
    folder: Path
    base: ConfigT  # of every run, besides its own options
    options_of: Callable[[Ladder], dict[str, Options]]  # those of each rung's runs, which are their own
    command: str  # as typed
    make_callbacks: MakeCallbacks[ConfigT]
    given: Collection[str] = ()  # names of options that keep their values besides those of the rungs
    report: str = "ablation"  # names of its files
    weights: Mapping[str, dict[str, Any]] = field(default_factory=dict)  # what each rung starts from, for the report

    def train(self, accelerator: Accelerator, precision: Precision) -> Ablation:
        """Train what is missing; see ``ablate``."""
        rungs, order = [rung.name for rung in self.asked.rungs], [rung.name for rung in self.whole.rungs]
        # What earlier commands have finished is reported too, and so belongs to the ladder.
        ended = from_main(accelerator, lambda: finished(self.folder, RUNS))
        before = [at for at in map(_rung_and_seed, ended) if at[0] in order]
        ladder = select(self.whole, [*rungs, *(rung for rung, _ in before)])
        options = self.options_of(ladder)
        made_by = self.command, accelerator, self.make_callbacks
        series = Series(ladder.name, self.base, self.folder, *made_by, self.given)
        for rung in rungs:  # a teacher that does not fit is named now, not in hours
            self._check(rung, options[rung], accelerator)
        # Seed by seed, so that whole ladders are there early.
        plan = [(rung, seed) for seed in self.seeds for rung in rungs]
        results = Ablation(
            ladder,
            options,
            list(dict.fromkeys(seed for _, seed in [*plan, *before])),
            self.folder,
            self.command,
            earlier=not set(before) <= set(plan),
            report=self.report,
            weights=self.weights,
        )

        def options_of_run(name: str) -> Options:
            rung, seed = _rung_and_seed(name)
            return results.options[rung] | {"seed": seed}

        def begun(rung: str) -> bool:
            return (self.folder / "cells" / rung).exists()

        # What the weights are is written down beside the options: other ones in their place would be noticed.
        known = {
            name: own | ({WEIGHTS: self.weights[name]["identity"]} if name in self.weights else {})
            for name, own in options.items()
        }
        with series.opened(REGISTER, known, precision.name, begun, RUNS) as claimed:
            results.options = {rung: {k: v for k, v in own.items() if k != WEIGHTS} for rung, own in claimed.items()}
            starts = {"random weights" if options[rung].get("scratch") else "pretrained weights" for rung in rungs}
            start = starts.pop() if len(starts) == 1 else "what each rung says"
            log.info("%s: %d rungs x %d seeds; they start from %s", ladder.name, len(rungs), len(self.seeds), start)
            series.train(
                {f"cells/{rung}/seed-{seed}": f"{rung}, seed {seed}" for rung, seed in plan},
                options_of_run,
                lambda: write_report(_as_far_as(series, results)) if series.outcomes else None,
            )
        return _as_far_as(series, results)

    def _check(self, rung: str, options: Options, accelerator: Accelerator) -> None:
        """Raise ConfigError where the runs of a rung cannot be trained."""
        probe = with_values(self.base, options)
        try:
            check(probe, accelerator, self.make_callbacks(probe), {*self.given, *flat(options)})
        except BotzooError as error:
            taught = options.get("distillation")
            advice = " For all rungs at once: --teacher." if taught is not None and error.value == taught else ""
            raise ConfigError(f"Rung {rung}: {error}{advice}") from error


def _as_far_as(series: Series[ConfigT], results: Ablation) -> Ablation:
    """Return the results with what has ended of the series."""
    every = {_rung_and_seed(name): end for name, end in series.ended.items()}
    ended = {(rung, seed): end for (rung, seed), end in every.items() if rung in results.options}
    outcomes = {at: end for at, end in ended.items() if isinstance(end, Outcome)}
    return replace(
        results,
        cells={at: Cell.of(*at, end) for at, end in outcomes.items()},
        diverged={at: end.diverged for at, end in ended.items() if isinstance(end, Failure)},
        facts={seed: end.facts for (_, seed), end in outcomes.items()},
        figure=results.ladder.figure or next(((end.key, end.figure) for end in outcomes.values()), results.figure),
    )


def _rung_and_seed(name: str) -> tuple[str, int]:
    """Return what the path of a run's folder says."""
    _, rung, seed = name.split("/")
    return rung, int(seed.removeprefix("seed-"))
