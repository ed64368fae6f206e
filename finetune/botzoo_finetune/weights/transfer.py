"""A ladder of weights: each rung's weights are found or trained, and fine-tuned with every seed."""

import logging
from collections.abc import Collection
from dataclasses import asdict
from functools import partial
from pathlib import Path

from botzoo.api import all_callbacks
from botzoo.errors import ConfigError
from botzoo.experiments.ablation import REGISTER, Climb, ablate, checked_options
from botzoo.experiments.report import Ablation
from botzoo.experiments.weights import find_weights, with_structure
from botzoo.options.accepted import seed_list
from botzoo.options.command_line import from_keywords
from botzoo.options.config import AblateConfig
from botzoo.options.facts import values_of, with_values
from botzoo.recipes import Options
from botzoo.recipes.ladders import GIVEN_BY_WEIGHTS, Ladder, load_ladder, select
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import make_accelerator
from botzoo.training.rehearsal import steps_in_budget
from botzoo.util.environment import user_path
from botzoo.util.files import parse_json, read_sealed
from botzoo.util.nested import nested
from botzoo.util.outgoing import last_part
from botzoo.util.text import counted
from botzoo.util.yaml_files import read_yaml
from botzoo_finetune.auto import for_optimizer
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.run import transfer as transfer_callbacks
from botzoo_finetune.weights.options import TransferConfig, of_one_run

log = logging.getLogger("botzoo")

OWN = ("ladder", "seeds", "rungs", "weights", "pretrain", "output", "seed")
"""Options of the ladder itself, which no run has."""

ALIKE = ("data.fit",)
"""What fine-tuning would choose by how good the weights are: all rungs have it alike."""


def transfer(config: TransferConfig, common: Options, given: Collection[str], command: str) -> Ablation:
    """Fine-tune what is missing of a ladder of weights, and report after each run on all that is finished in the folder.

    Args:
        config: the options of the ladder and of its runs.
        common: the options that were given, the ones of a group as a dictionary; ``given`` are their names, dotted.
        command: as typed.

    Raises:
        ConfigError: a rung has no weights, or an option is what they decide.
        BotzooError: see ``botzoo.experiments.ablation.ablate``.
    """
    whole = load_ladder(config.ladder, of_weights=True)
    for name in GIVEN_BY_WEIGHTS & common.keys():
        raise ConfigError(f"--{name} is what the ladder {whole.name} says, or its weights: leave it out.")
    task: Options = {"task": whole.target.task} if whole.target else {}
    asked = whole if config.rungs is None else select(whole, [name.strip() for name in config.rungs.split(",")])
    usual = f"runs/transfer-{Path(config.ladder).stem}-{last_part(config.dataset)}"
    folder = user_path(config.output or usual)
    found = find_weights(whole, config.weights)
    missing = [rung.name for rung in asked.rungs if rung.name not in found]
    if missing and config.pretrain is not None:
        trained = pretrain(select(whole, missing), config.pretrain, folder.with_name(f"{folder.name}-weights"), command)
        found |= find_weights(select(whole, missing), trained)
    elif missing:
        raise no_weights(whole, missing)
    shared = {name: value for name, value in common.items() if name not in OWN}
    kept = {*given, *ALIKE}

    def options_of(ladder: Ladder) -> dict[str, Options]:
        if earlier := [rung.name for rung in ladder.rungs if rung.name not in found]:
            raise no_weights(whole, earlier)
        return checked_options(ladder, FinetuneConfig, shared, lambda rung: task | {"model": found[rung.name].model})

    def make_callbacks(run: FinetuneConfig) -> list[Callback]:
        return all_callbacks(run, transfer_callbacks(run, kept), summary=False)

    base = for_optimizer(of_one_run(config), given)
    if config.budget is not None:
        top = with_values(base, task | {"model": found[asked.rungs[-1].name].model})
        steps = steps_before(folder) or steps_in_budget(top, make_callbacks(top), kept)
        log.info("--budget %s: %s for every run", config.budget, counted(steps, "step"))
        base = with_values(base, {"budget": None})
        shared = {name: value for name, value in shared.items() if name != "budget"} | {"steps": steps}
    return Climb(
        whole,
        asked,
        seed_list(config.seeds),
        folder,
        base,
        options_of,
        command,
        make_callbacks,
        kept,
        report="transfer",
        weights={name: asdict(weights) for name, weights in found.items()},
    ).train(*make_accelerator(config))


def steps_before(folder: Path) -> int | None:
    """Return the steps of the runs that a ladder in ``folder`` has begun with, None where there is none yet."""
    file = folder / REGISTER.file
    try:
        rungs = parse_json(read_sealed(file))[REGISTER.parts] if file.exists() else {}
    except (OSError, ValueError, KeyError):
        return None  # which the ladder itself will tell of
    return next((int(own["steps"]) for own in rungs.values() if "steps" in own), None)


def no_weights(ladder: Ladder, rungs: list[str]) -> ConfigError:
    """Return what to say where rungs have no weights."""
    cure = f"give --weights FOLDER of botzoo ablate, {rungs[0]}=FOLDER of a run, or --pretrain FILE"
    others = [rung.name for rung in ladder.rungs if rung.name not in rungs]
    some = f"; --rungs {','.join(others)} does without" * bool(others)
    return ConfigError(f"There are no weights for {', '.join(rungs)} of {ladder.name}: {cure}{some}.")


def pretrain(ladder: Ladder, file: str, folder: Path, command: str) -> str:
    """Train the weights of a ladder's rungs that are missing in ``folder``; return it as --weights takes it.

    Args:
        file: with the options of botzoo ablate, YAML; its ``model`` lends its depth to all networks.
        folder: has a folder of an ablation for each ladder that trains them.

    Raises:
        ConfigError: no ladder trains them, or an option of the file is wrong.
        BotzooError: see ``botzoo.experiments.ablation.ablate``.
    """
    options = read_yaml(user_path(file), as_text=True)
    missing, done = {rung.name for rung in ladder.rungs}, list[str]()
    by_letter = ladder.target.trained_by if ladder.target else {}
    for trained_by, letter in by_letter.items():
        rungs = [rung for rung in load_ladder(trained_by).rungs if rung.name in missing]
        if not rungs:
            continue
        own: Options = {"ladder": trained_by, "rungs": ",".join(rung.name for rung in rungs)}
        own |= {"seeds": "1", "model": with_structure(str(options.get("model", AblateConfig.model)), letter)}
        own |= {"output": str(folder / trained_by)}
        taught = any(rung.options.get("distillation") for rung in rungs)
        asked = {name: value for name, value in options.items() if taught or name != "teacher"} | own
        try:
            config, given = from_keywords(AblateConfig, {}, asked)
        except ConfigError as error:
            raise ConfigError(f"--pretrain {file}: {error}") from error
        log.info("weights of %s are trained by the ladder %s, %s", own["rungs"], trained_by, own["model"])
        common = nested({name: value for name, value in values_of(config).items() if name in given})
        ablate(config, common, command, partial(all_callbacks, summary=False))
        missing -= {rung.name for rung in rungs}
        done.append(str(folder / trained_by))
    if missing:
        raise no_weights(ladder, sorted(missing))
    return ",".join(done)
