"""The same run with several seeds: what chance alone makes of it.

The split is the same for all of them: where it has to be set aside, --seed (or --data.split-seed) decides it, and not the seed
of a run. So the spread is that of training: the new layers, the order of the images, their augmentation, mixing and
dropout. What other images would say is the question of --folds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from botzoo.options.config import seed_list
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.several import (
    MakeTransfer,
    Outcome,
    Several,
    log_lines,
    log_table,
    rows_json,
    several,
    spread,
    spread_words,
)

log = logging.getLogger("botzoo")

REPORT = "seeds.json"

VARIES = "new layers, order, augmentation, mixing and dropout"


def train_seeds(config: FinetuneConfig, value: str, command: str, transfer: MakeTransfer) -> None:
    """Train with each seed that is missing in the folder --output; say and write what all of them come to.

    Args:
        config: the options of every run; --seed decides what is set aside for validation, if anything.
        value: how many seeds, or a list of them, as typed.
        command: as typed.
        transfer: given the options, returns what transfer learning adds.

    Raises:
        ConfigError: it is neither a count nor a list, or an option makes no sense here.
        DivergedError: every run diverged.
        BotzooError: see ``botzoo.training.run.train``.
    """
    seeds = seed_list(value)
    parts = {f"seed-{seed}": {"seed": seed} for seed in seeds}
    config = replace(config, data=replace(config.data, split_seed=config.split_seed))
    with several("seeds", "seed", config, command, transfer, first={"seed": seeds[0]}) as runs:
        names = list(parts)
        names += sorted(runs.ended.keys() - parts.keys(), key=lambda name: int(name.removeprefix("seed-")))
        runs.train(list(parts), parts.__getitem__, lambda: runs.write(REPORT, as_json(runs, names)))
        log_table("seeds", _table(runs, names))
        log_lines("result", _lines(runs))
        log.info("%-10s %s", "written", runs.folder / REPORT)


def as_json(runs: Several, names: list[str]) -> dict[str, Any]:
    """Return everything that is known, for other programs; seeds of earlier commands are among them."""
    outcomes = list(runs.outcomes.values())
    return {
        "metric": f"top-1 accuracy in per cent on the {outcomes[0].split} images" if outcomes else None,
        "chosen_on_split": outcomes[0].split == "validation" if outcomes else None,
        "split_seed": runs.config.split_seed if outcomes and outcomes[0].set_aside else None,
        "varies": VARIES,
        "top1": spread(outcomes) if outcomes else None,
        "diverged": list(runs.failures),
        "runs": rows_json(runs, names),
    }


def _table(runs: Several, names: list[str]) -> list[list[str]]:
    rows = [["seed", "top-1", "images", "epoch"]]
    for name in names:
        outcome, seed = runs.outcomes.get(name), name.removeprefix("seed-")
        if outcome is None:
            rows.append([seed, "diverged", "", ""])
        else:
            rows.append([seed, f"{outcome.top1:.2f} %", f"{outcome.images:,}", f"{outcome.best_epoch:,}"])
    return rows


def _lines(runs: Several) -> Iterator[str]:
    outcomes = list(runs.outcomes.values())
    one = outcomes[0]
    yield f"top-1 on {one.images:,} {one.split} images: {spread_words(outcomes)}"
    yield f"what varies: {VARIES}; the splits do not{_split_words(runs, one)}"
    if one.split == "validation":
        yield "these images also chose the epoch of each run, so expect a little less on new ones"
    for name in runs.failures:
        yield f"{name} diverged and is left out, which flatters"


def _split_words(runs: Several, one: Outcome) -> str:
    return f": seed {runs.config.split_seed} set the validation images aside" if one.set_aside else ""
