"""An ablation: every rung of a ladder trained with every seed, on the same images in the same order.

The rungs of one seed share the split, the order of the images and, where the network is the same, its first weights, so
that the differences between them are paired. A cell is one rung with one seed, a run of its own; finished cells are not
trained again, and one that was cut short goes on from its newest checkpoint.
"""

from __future__ import annotations

import json
import logging
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from glob import escape
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from botzoo.errors import BotzooError, ConfigError, DivergedError
from botzoo.experiments.series import Register, check_images, close, one_by_one, read_record, train_one
from botzoo.options.command_line import check_options, made
from botzoo.options.config import AblateConfig, TrainConfig, seed_list
from botzoo.recipes import Options, merged
from botzoo.recipes.ladders import Ladder, leave_one_out, load_ladder, select
from botzoo.training.distributed import from_main, make_accelerator, on_main
from botzoo.training.folder import Facts, working_in
from botzoo.training.run import Result
from botzoo.training.setup import Settled, preflight
from botzoo.util.nested import flat

log = logging.getLogger("botzoo")


OWN = ("ladder", "seeds", "rungs", "leave_one_out", "teacher", "output", "seed", "epochs")
"""Options of the ablation itself, which every run gets in its own way."""

REGISTER = Register("ladder.json", "ladder", "rungs", "its rung {} has")


@dataclass(frozen=True)
class Cell:
    """What one run of one rung came to, on the validation images after its last epoch.

    Attributes:
        rung: its name.
        seed: of the run.
        top1, top5: accuracy in per cent; nothing was chosen on these images.
        loss: mean negative log-likelihood in nats.
        images: validation images.
        images_per_second: median over the training steps.
        minutes_per_epoch: wall time, evaluation included.
        peak_memory_gib: the most in use by the main process, or on its GPU.
    """

    rung: str
    seed: int
    top1: float
    top5: float
    loss: float
    images: int
    images_per_second: float
    minutes_per_epoch: float
    peak_memory_gib: float


@dataclass
class Ablation:
    """A ladder and what is known of it so far.

    Attributes:
        ladder: what is compared: the rungs asked for, and those that earlier commands have finished in the folder.
        options: of each rung's runs, by its name.
        seeds: of the runs, those of earlier commands last.
        folder: where everything is.
        command: as typed.
        cells: finished runs by rung and seed.
        diverged: what was said of the runs whose loss became NaN or infinite, by rung and seed.
        facts: of the newest finished run of each seed: hardware, versions, fingerprints.
        earlier: whether there are rungs or seeds that only an earlier command asked for.
    """

    ladder: Ladder
    options: dict[str, Options]
    seeds: list[int]
    folder: Path
    command: str
    cells: dict[tuple[str, int], Cell] = field(default_factory=dict)
    diverged: dict[tuple[str, int], str] = field(default_factory=dict)
    facts: dict[int, Facts] = field(default_factory=dict)
    earlier: bool = False

    def place(self, rung: str, seed: int) -> Path:
        """Return the folder of a run."""
        return self.folder / "cells" / rung / f"seed-{seed}"

    def begun(self, rung: str) -> bool:
        """Tell whether there is a run of a rung."""
        return (self.folder / "cells" / rung).exists()


def rung_options(ladder: Ladder, common: Options, epochs: int, teacher: str | None) -> dict[str, Options]:
    """Return the options of each rung's runs: its own, with those given for all of them.

    ``epochs`` holds for every rung. The warmup, which recipes give in epochs, keeps its share of the run of the ladder's
    lowest rung, whichever rungs of it are trained.

    Args:
        ladder: what is compared.
        common: options given for every rung, the ones of a group as a dictionary.
        epochs: of every run.
        teacher: of the rungs with distillation, None for their own.

    Raises:
        ConfigError: an option given for all is one that the ladder varies, no rung has a teacher to replace, or a value is
            wrong.
    """
    checked = [
        replace(rung, options=check_options(rung.options, TrainConfig, f"Rung {rung.name}")) for rung in ladder.rungs
    ]
    ladder = replace(ladder, rungs=tuple(checked))
    varied = ladder.varied() - {"epochs"}
    for name in flat(common):
        if name in varied:
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
        _checked(every[rung.name], rung.name)
    return every


def _checked(options: Options, rung: str) -> TrainConfig:
    try:
        config = made(options, TrainConfig)
        if config.optim.decay == "plateau":
            raise ConfigError(
                "--optim.decay plateau looks at the very images that the rungs are compared on: take another one."
            )
        return config
    except ConfigError as error:
        raise ConfigError(f"Rung {rung}: {error}") from error


def ablate(config: AblateConfig, common: Options, command: str, report: Callable[[Ablation], None]) -> Ablation:
    """Train what is missing of a ladder, and report after each run on all that is finished of it in the folder.

    Args:
        config: the options of the ablation; those of its runs come from ``common`` and the ladder.
        common: the options that were given, the ones of a group as a dictionary.
        command: as typed.
        report: called on the main process with what is known so far.

    Raises:
        StoppedError: SIGINT or SIGTERM came; the run's checkpoint is written.
        BotzooError: a rung cannot be trained, or the folder holds results of another ladder.
    """
    whole, asked = _ladder(config, common.get("model"))
    shared = {name: value for name, value in common.items() if name not in OWN}
    assert config.epochs is not None
    accelerator, precision = make_accelerator(config)
    dataset = Path(config.dataset).expanduser().resolve().name
    name = Path(config.ladder).stem + ("-leave-one-out" if config.leave_one_out else "")
    folder = Path(config.output or f"runs/ablate-{name}-{dataset}").expanduser()
    plan = [(rung, seed) for seed in seed_list(config.seeds) for rung in asked]
    finished = from_main(accelerator, lambda: _finished(folder, whole))
    ladder = select(whole, [*asked, *(rung for rung, _ in finished)])
    options = rung_options(ladder, shared, config.epochs, config.teacher)
    seeds = list(dict.fromkeys(seed for _, seed in [*plan, *finished]))
    ablation = Ablation(ladder, options, seeds, folder, command, earlier=not set(finished) <= set(plan))
    for name in asked:  # a teacher that does not fit is named now, not in hours
        _preflight(name, options[name], accelerator)
    on_main(accelerator, lambda: REGISTER.make_folder(folder))
    with working_in(folder, accelerator):
        ablation.options = from_main(
            accelerator, lambda: REGISTER.claim(folder, ladder.name, options, precision.name, ablation.begun)
        )
        _train_all(ablation, plan, accelerator, report)
    return ablation


def _preflight(rung: str, options: Options, accelerator: Accelerator) -> None:
    try:
        preflight(_checked(options, rung), accelerator)
    except BotzooError as error:
        advice = " For all rungs at once: --teacher." if options.get("distillation") and "teacher" in str(error) else ""
        raise ConfigError(f"Rung {rung}: {str(error).removeprefix(f'Rung {rung}: ')}{advice}") from error


def _ladder(config: AblateConfig, model: str | None) -> tuple[Ladder, list[str]]:
    """Return the ladder, and the names of the rungs to train."""
    ladder = load_ladder(config.ladder, model)
    asked = ladder if config.rungs is None else select(ladder, [name.strip() for name in config.rungs.split(",")])
    if config.leave_one_out:
        ladder = asked = leave_one_out(asked)
    return ladder, [rung.name for rung in asked.rungs]


def _finished(folder: Path, ladder: Ladder) -> list[tuple[str, int]]:
    """Return the rungs of the ladder with the seeds of which a run has ended in the folder, in their order."""
    return [
        (rung.name, int(seed))
        for rung in ladder.rungs
        for cell in sorted(folder.glob(f"cells/{escape(rung.name)}/seed-*/cell.json"))
        if (seed := cell.parent.name.removeprefix("seed-")).isdecimal()
    ]


def _train_all(
    ablation: Ablation, plan: list[tuple[str, int]], accelerator: Accelerator, report: Callable[[Ablation], None]
) -> None:
    """Train the rungs and seeds of ``plan``, seed by seed, so that whole ladders are there early."""
    ablation.cells, ablation.diverged, ablation.facts = from_main(accelerator, lambda: _read_finished(ablation))
    missing = [at for at in plan if at not in ablation.cells and at not in ablation.diverged]
    rungs, seeds = {rung for rung, _ in plan}, {seed for _, seed in plan}
    log.info("%s: %d rungs x %d seeds = %d runs, %d of them done; they start from %s", ablation.ladder.name, len(rungs),
             len(seeds), len(plan), len(plan) - len(missing), _start([ablation.options[name] for name in rungs]))  # fmt: skip
    one_by_one(missing, len(plan), lambda at: f"{at[0]}, seed {at[1]}",
               lambda at: _train_cell(ablation, accelerator, *at, report), accelerator)  # fmt: skip
    if not missing:
        on_main(accelerator, lambda: report(ablation))
    if not ablation.cells:
        raise DivergedError(f"Every run of the ladder diverged; the first: {next(iter(ablation.diverged.values()))}")


def _start(options: list[Options]) -> str:
    """Say what the runs with these options start from."""
    kinds = {bool(own.get("scratch")) for own in options}
    return "random weights" if kinds == {True} else "pretrained weights" if kinds == {False} else "what each rung says"


def _read_finished(
    ablation: Ablation,
) -> tuple[dict[tuple[str, int], Cell], dict[tuple[str, int], str], dict[int, Facts]]:
    """Take up the runs that are finished; return them, those that diverged, and their facts."""
    for at in [(rung.name, seed) for seed in ablation.seeds for rung in ablation.ladder.rungs]:
        read_record(ablation.place(*at), partial(_take_up, ablation, at))
    return ablation.cells, ablation.diverged, ablation.facts


def _take_up(ablation: Ablation, at: tuple[str, int], values: dict[str, Any]) -> None:
    if "diverged" in values:
        ablation.diverged[at] = str(values["diverged"])
        return
    ablation.cells[at] = Cell(**values)
    facts = json.loads((ablation.place(*at) / "run.json").read_text(encoding="utf-8"))
    ablation.facts[at[1]] = facts | {"fingerprints": dict(facts["fingerprints"])}


def _train_cell(
    ablation: Ablation, accelerator: Accelerator, rung: str, seed: int, report: Callable[[Ablation], None]
) -> None:
    """Train one run and record it."""
    place, title = ablation.place(rung, seed), f"{rung}, seed {seed}"
    config = _checked(ablation.options[rung] | {"output": str(place), "seed": seed, "keep_checkpoints": 1}, rung)

    def same_images(settled: Settled) -> None:
        if seed in ablation.facts:
            now = {role: split.fingerprint for role, split in settled.images.items()}
            check_images(config.dataset, now, ablation.facts[seed]["fingerprints"])

    ended = train_one(title, config, accelerator, ablation.command, approve=same_images)
    values: dict[str, Any]
    if isinstance(ended, DivergedError):
        ablation.diverged[rung, seed] = str(ended)
        values = {"diverged": str(ended)}
    else:
        ablation.cells[rung, seed], ablation.facts[seed] = _cell(rung, seed, ended), ended.facts
        values = asdict(ablation.cells[rung, seed])
    on_main(accelerator, lambda: close(place, values, lambda: report(ablation) if ablation.cells else None))


def _cell(rung: str, seed: int, result: Result) -> Cell:
    speeds = [row["images_per_second"] for row in result.job.history.of("train")]
    last = result.job.history.of("validation")[-1]
    return Cell(
        rung,
        seed,
        last["top1"],
        last["top5"],
        last["loss"],
        last["images"],
        statistics.median(speeds),
        last["seconds"] / 60 / result.job.epochs,
        result.facts["peak_memory_bytes"] / 2**30,
    )
