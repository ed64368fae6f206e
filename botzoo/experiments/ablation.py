"""An ablation: every rung of a ladder trained with every seed, on the same images in the same order.

The rungs of one seed share the split, the order of the images and, where the network is the same, its first weights, so
that the differences between them are paired. A cell is one rung with one seed, a run of its own.
"""

import logging
from dataclasses import replace
from pathlib import Path

from botzoo.errors import BotzooError, ConfigError
from botzoo.experiments.register import Register
from botzoo.experiments.report import Ablation, Cell, write_report
from botzoo.experiments.series import Failure, MakeCallbacks, Outcome, Series, finished
from botzoo.options.accepted import seed_list
from botzoo.options.command_line import check_options, made
from botzoo.options.config import AblateConfig, TrainConfig
from botzoo.options.facts import with_values
from botzoo.recipes import Options, merged
from botzoo.recipes.ladders import Ladder, leave_one_out, load_ladder, select
from botzoo.training.distributed import from_main, make_accelerator
from botzoo.training.setup import check
from botzoo.util.nested import flat
from botzoo.util.outgoing import last_part

log = logging.getLogger("botzoo")

OWN = ("ladder", "seeds", "rungs", "leave_one_out", "teacher", "output", "seed", "epochs")
"""Options of the ablation itself, which every run gets in its own way."""

REGISTER = Register("ladder.json", "ladder", "rungs", "its rung {} has")

RUNS = "cells/*/seed-*"


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
    checked = [
        replace(rung, options=check_options(rung.options, TrainConfig, f"Rung {rung.name}")) for rung in ladder.rungs
    ]
    ladder = replace(ladder, rungs=tuple(checked))
    for name in flat(common).keys() & ladder.varied() - {"epochs"}:
        advice = " Give --teacher instead." if name == "distillation" else ""
        flag = name.replace("_", "-")
        raise ConfigError(f"--{flag} is what the ladder {ladder.name} varies: leave it out.{advice}")
    if teacher and not any(rung.options.get("distillation") for rung in ladder.rungs):
        raise ConfigError(f"--teacher {teacher}: no rung learns from a teacher here; leave it out.")
    share = epochs / ladder.epochs if ladder.epochs else 1.0
    every: dict[str, Options] = {}
    for rung in ladder.rungs:
        own: Options = {"epochs": epochs}
        own |= {"warmup": rung.options["warmup"] * share} if "warmup" in rung.options else {}
        own |= {"distillation": teacher} if teacher and rung.options.get("distillation") else {}
        every[rung.name] = merged(merged(rung.options, own), common)
        try:
            if made(every[rung.name], TrainConfig).optim.decay == "plateau":
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
    rungs, order = [rung.name for rung in asked.rungs], [rung.name for rung in whole.rungs]
    dataset = last_part(config.dataset)
    name = Path(config.ladder).stem + ("-leave-one-out" if config.leave_one_out else "")
    folder = Path(config.output or f"runs/ablate-{name}-{dataset}").expanduser()
    accelerator, precision = make_accelerator(config)
    # What earlier commands have finished is reported too, and so belongs to the ladder.
    ended = from_main(accelerator, lambda: finished(folder, RUNS))
    before = [at for at in map(_rung_and_seed, ended) if at[0] in order]
    ladder = select(whole, [*rungs, *(rung for rung, _ in before)])
    shared = {name: value for name, value in common.items() if name not in OWN}
    assert config.epochs is not None
    options = rung_options(ladder, shared, config.epochs, config.teacher)
    series = Series(ladder.name, TrainConfig(), folder, command, accelerator, make_callbacks)
    for rung in rungs:  # a teacher that does not fit is named now, not in hours
        probe = with_values(series.config, options[rung])
        try:
            check(probe, accelerator, make_callbacks(probe), flat(options[rung]))
        except BotzooError as error:
            taught = options[rung].get("distillation")
            advice = " For all rungs at once: --teacher." if taught is not None and error.value == taught else ""
            raise ConfigError(f"Rung {rung}: {error}{advice}") from error
    # Seed by seed, so that whole ladders are there early.
    plan = [(rung, seed) for seed in seed_list(config.seeds) for rung in rungs]
    seeds = list(dict.fromkeys(seed for _, seed in [*plan, *before]))

    def so_far() -> Ablation:
        every = {_rung_and_seed(name): end for name, end in series.ended.items()}
        ended = {(rung, seed): end for (rung, seed), end in every.items() if rung in options}
        outcomes = {at: end for at, end in ended.items() if isinstance(end, Outcome)}
        return Ablation(
            ladder,
            options,
            seeds,
            folder,
            command,
            cells={at: Cell.of(*at, end) for at, end in outcomes.items()},
            diverged={at: end.diverged for at, end in ended.items() if isinstance(end, Failure)},
            facts={seed: end.facts for (_, seed), end in outcomes.items()},
            earlier=not set(before) <= set(plan),
        )

    def options_of_run(name: str) -> Options:
        rung, seed = _rung_and_seed(name)
        return options[rung] | {"seed": seed}

    def begun(rung: str) -> bool:
        return (folder / "cells" / rung).exists()

    with series.opened(REGISTER, options, precision.name, begun, RUNS) as options:
        starts = {"random weights" if options[rung].get("scratch") else "pretrained weights" for rung in rungs}
        start = starts.pop() if len(starts) == 1 else "what each rung says"
        log.info("%s: %d rungs x %d seeds; they start from %s", ladder.name, len(rungs), len(plan) // len(rungs), start)
        series.train(
            {f"cells/{rung}/seed-{seed}": f"{rung}, seed {seed}" for rung, seed in plan},
            options_of_run,
            lambda: write_report(so_far()) if series.outcomes else None,
        )
    return so_far()


def _rung_and_seed(name: str) -> tuple[str, int]:
    """Return what the path of a run's folder says."""
    _, rung, seed = name.split("/")
    return rung, int(seed.removeprefix("seed-"))
