"""The same run with several seeds: what chance alone makes of it.

The split is the same for all of them: where it has to be set aside, --seed (or --data.split-seed) decides it, and not the seed
of a run. So the spread is that of training: the new layers, the order of the images, their augmentation, mixing and
dropout. What other images would say is the question of --folds.
"""

import logging
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from botzoo.experiments.estimate import spread, spread_words
from botzoo.experiments.series import ConfigT, MakeCallbacks, Series, repeated
from botzoo.options.accepted import seed_list
from botzoo.util.text import table, under

log = logging.getLogger("botzoo")

REPORT = "seeds.json"

VARIES = "new layers, order, augmentation, mixing and dropout"


def train_seeds(
    config: ConfigT, value: str, command: str, make_callbacks: MakeCallbacks[ConfigT], given: Collection[str] = ()
) -> None:
    """Train with each seed that is missing in the folder --output; say and write what all of them come to.

    Args:
        config: the options of every run; --seed decides what is set aside for validation, if anything.
        value: how many seeds, or a list of them, as typed.
        command, make_callbacks, given: see ``Series``.

    Raises:
        ConfigError: it is neither a count nor a list, or an option makes no sense here.
        DivergedError: every run diverged.
        BotzooError: see ``botzoo.training.run.train``.
    """
    seeds = seed_list(value)
    parts = {f"seed-{seed}": {"seed": seed} for seed in seeds}
    config = replace(config, data=replace(config.data, split_seed=config.split_seed))
    with repeated("seeds", "seed", config, command, make_callbacks, given, first={"seed": seeds[0]}) as runs:
        names = list(dict.fromkeys([*parts, *runs.ended]))  # seeds of earlier commands are among them
        titles = {name: name.replace("-", " ") for name in parts}
        runs.train(titles, parts.__getitem__, lambda: runs.write(REPORT, as_json(runs), names))
        for line in (*under("seeds", _table(runs, names)), *under("result", _lines(runs))):
            log.info("%s", line)
        log.info("%-10s %s", "written", runs.folder / REPORT)


def as_json(runs: Series[ConfigT]) -> dict[str, Any]:
    """Return everything that is known besides the runs themselves, for other programs."""
    outcomes = list(runs.outcomes.values())
    return {
        "metric": f"top-1 accuracy in per cent on the {outcomes[0].split} images" if outcomes else None,
        "chosen_on_split": outcomes[0].split == "validation" if outcomes else None,
        "split_seed": runs.config.split_seed if outcomes and outcomes[0].set_aside else None,
        "varies": VARIES,
        "top1": spread([outcome.top1 for outcome in outcomes]) if outcomes else None,
    }


def _table(runs: Series[ConfigT], names: Collection[str]) -> Iterator[str]:
    rows = [["seed", "top-1", "images", "epoch"]]
    for name in names:
        outcome, seed = runs.outcomes.get(name), name.removeprefix("seed-")
        if outcome is None:
            rows.append([seed, "diverged", "", ""])
        else:
            rows.append([seed, f"{outcome.top1:.2f} %", f"{outcome.images:,}", f"{outcome.best_epoch:,}"])
    return table(rows, left=())


def _lines(runs: Series[ConfigT]) -> Iterator[str]:
    outcomes = list(runs.outcomes.values())
    one = outcomes[0]
    top1 = spread_words([outcome.top1 for outcome in outcomes])
    yield f"top-1 on {one.images:,} {one.split} images: {top1}"
    split = f": seed {runs.config.split_seed} set the validation images aside" if one.set_aside else ""
    yield f"what varies: {VARIES}; the splits do not{split}"
    if one.split == "validation":
        yield "these images also chose the epoch of each run, so expect a little less on new ones"
    for name in runs.failures:
        yield f"{name} diverged and is left out, which flatters"
