"""The same run several times, with each of K folds or with several seeds, and what all such commands have in common.

Cross-validation evaluates every image once, by a network that has not seen it. All training images, those of a
validation split among them, are cut into K stratified folds. The run of a fold has it as its test split and the others
for the rest: they are trained on, but for a part of each class (--data.val-fraction) that chooses the epoch, as in every
run without a validation split. A fold that chose the epoch it is evaluated after would flatter. A test split of the data
set stays unread.

Several seeds show what chance alone makes of a run. The split is the same for all: where it has to be set aside, --seed
(or --data.split-seed) decides it, and not the seed of a run. So the spread is that of training: the new layers, the
order of the images, their augmentation, mixing and dropout. What other images would say is the question of --folds.
"""

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from botzoo.errors import ConfigError
from botzoo.experiments.estimate import spread, spread_words
from botzoo.experiments.out_of_fold import write_out_of_fold
from botzoo.experiments.register import Register
from botzoo.experiments.series import ConfigT, MakeCallbacks, Series, fingerprints
from botzoo.options import facts
from botzoo.options.accepted import MOST_RUNS, seed_list
from botzoo.options.config import TrainConfig
from botzoo.recipes import Options
from botzoo.tasks.classification import wilson
from botzoo.training.distributed import make_accelerator, on_main
from botzoo.training.recording.folder import usual_name
from botzoo.training.setup import check
from botzoo.training.state import Run
from botzoo.util.environment import user_path
from botzoo.util.text import counted, table, under

log = logging.getLogger("botzoo")

REGISTER = Register("options.json", "command", "runs", "its {} have")

VARIES = "new layers, order, augmentation, mixing and dropout"


@contextmanager
def repeated(
    name: str,
    prefix: str,
    config: ConfigT,
    command: str,
    make_callbacks: MakeCallbacks[ConfigT],
    given: Collection[str],
    *,
    first: Options,
    fixed: Options | None = None,
    identify: Callable[[Run], Any] = fingerprints,
    one_label: bool = True,
) -> Iterator[Series[ConfigT]]:
    """Open the folder of runs that are all of ``config``, but for a few options that each has of its own.

    Args:
        name: why there are several, as the flag that asks for it is called.
        prefix: what the names of their folders begin with.
        config: of every run, besides its own options; --output is the folder.
        command, make_callbacks, given, identify: see ``Series``.
        first: own options of one of the runs, by which all of them are tried out.
        fixed: what else the runs of one folder have in common.
        one_label: whether each image has to have one.

    Raises:
        ConfigError: an option makes no sense here, or the folder holds something else.
        BotzooError: what a run would raise before it reads its images.
    """
    length = "left out: it is for one run; give --epochs or --steps"
    facts.check(config.budget is None, "budget", config.budget, length)
    facts.check(config.batch_size != "auto", "batch_size", config.batch_size, "a number: the same for every run")
    publish = "left out: publish the run that you like with botzoo publish"
    facts.check(config.push_to is None, "push_to", config.push_to, publish)
    facts.check(config.data.fold is None, "data.fold", config.data.fold, f"left out beside --{name}")
    accelerator, precision = make_accelerator(config)
    usual = usual_name(config)
    folder = user_path(config.output) if config.output else usual.with_name(f"{usual.name}-{name}")
    runs = Series(name, config, folder, command, accelerator, make_callbacks, given, identify)
    probe = facts.with_values(config, first)
    task = check(probe, accelerator, make_callbacks(probe), given)  # before a folder is made
    if one_label and not task.one_label:
        other = f"give --seeds, which goes by {task.headline.figure}, or leave it out"
        raise ConfigError(f"--{name} goes by top-1, and images of {config.dataset} have {task.labels}: {other}.")
    part, pattern = f"{prefix}s", f"{prefix}-*"
    parts = {part: facts.without_machine(asdict(config)) | (fixed or {})}
    with runs.opened(REGISTER, parts, precision.name, lambda _: any(folder.glob(pattern)), pattern) as claimed:
        # The precision that was measured when the folder began holds for all of its runs.
        runs.config = replace(config, mixed_precision=claimed[part]["mixed_precision"])
        yield runs


def count(flag: str, text: str, least: int) -> int:
    """Return the number behind a flag.

    Raises:
        ConfigError: it is none, less than ``least``, or more than ``MOST_RUNS``.
    """
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
    facts.check(least <= number <= MOST_RUNS, flag, text, f"a whole number of {least} or more, up to {MOST_RUNS:,}")
    return number


def say(parts: dict[str, Iterable[str]], written: str) -> None:
    """Log the lines of each part under its heading, and what was ``written``."""
    for heading, lines in (parts | {"written": [written]}).items():
        for line in under(heading, lines):
            log.info("%s", line)


def cross_validate(
    config: ConfigT, value: str, command: str, make_callbacks: MakeCallbacks[ConfigT], given: Collection[str] = ()
) -> None:
    """Train each of so many folds' runs that is missing in the folder --output; say and write what they come to.

    Args:
        config: the options of every run; --seed, or --data.split-seed, decides the folds.
        value: how many folds, as typed.
        command, make_callbacks, given: see ``Series``.

    Raises:
        ConfigError: fewer than two folds, or an option makes no sense here.
        DataError: a class has fewer images than there are folds.
        DivergedError: every run diverged.
        BotzooError: see ``botzoo.training.run.train``.
    """
    folds = count("folds", value, 2)
    parts = {f"fold-{k}": {"data.fold": f"{k}/{folds}"} for k in range(1, folds + 1)}
    first, fixed = parts["fold-1"], {"folds": folds}
    with repeated(
        "folds", "fold", config, command, make_callbacks, given, first=first, fixed=fixed, identify=all_images
    ) as runs:
        titles = {name: name.replace("-", " ") for name in parts}
        report = runs.folder / "folds.json"
        runs.train(titles, parts.__getitem__, lambda: runs.write(report.name, _folds_json(runs, folds), parts))
        on_main(runs.accelerator, lambda: write_out_of_fold(runs.folder, list(runs.outcomes)))
        rows = _table(runs, parts, {"right": "correct", "images": "images", "epoch": "best_epoch"})
        say(
            {"folds": rows, "result": _folds_lines(runs, folds)},
            f"{report}, with predictions.csv and errors.csv beside it",
        )


def all_images(run: Run) -> str:
    """Return the SHA-256, in hexadecimal, of all images and labels that the folds were cut from, in their order."""
    splits: list[Any] = list(run.images.values())
    digests = splits[0].decoded.index.digests
    labels = np.full(len(digests), -1, np.int64)
    for split in splits:
        labels[split.rows] = split.labels
    return hashlib.sha256(labels.tobytes() + np.ascontiguousarray(digests).tobytes()).hexdigest()


def _table(runs: Series[ConfigT], names: Collection[str], columns: dict[str, str]) -> Iterator[str]:
    """Yield a table of the accuracies, with a column of each of some attributes of the outcomes, by its heading."""
    figure = next((outcome.figure for outcome in runs.outcomes.values()), "")
    rows = [[next(iter(names)).partition("-")[0], figure, *columns]]
    for name in names:
        figures, end = ["diverged", *("" for _ in columns)], runs.outcomes.get(name)
        if end is not None:
            figures = [f"{end.score:.2f} %", *(f"{getattr(end, column):,}" for column in columns.values())]
        rows.append([name.partition("-")[2], *figures])
    return table(rows, left=())


def _pooled(runs: Series[ConfigT]) -> tuple[int, int]:
    """Return how many images of all folds were classified right, and how many there are."""
    outcomes = runs.outcomes.values()
    return sum(outcome.correct or 0 for outcome in outcomes), sum(outcome.images for outcome in outcomes)


def _folds_json(runs: Series[ConfigT], folds: int) -> dict[str, Any]:
    """Return everything that is known besides the runs themselves, for other programs."""
    correct, images = _pooled(runs)
    right = {"value": 100 * correct / images, "correct": correct, "images": images} if images else {}
    return {
        "metric": "top-1 accuracy in per cent on the fold that a run has not seen; its epoch was chosen on other images",
        "folds": folds,
        "split_seed": runs.config.split_seed,
        "complete": len(runs.outcomes) == folds,
        "top1": right | {"interval_95": wilson(correct, images)} if images else None,
        "over_folds": spread([outcome.score for outcome in runs.outcomes.values()]) if images else None,
    }


def _folds_lines(runs: Series[ConfigT], folds: int) -> Iterator[str]:
    correct, images = _pooled(runs)
    low, high = wilson(correct, images)
    yield (
        f"top-1 {100 * correct / images:.2f} % of {counted(images, 'image')}, each evaluated once by a network that has not "
        f"seen it (95 % interval {low:.2f} to {high:.2f})"
    )
    yield f"over the folds: {spread_words([outcome.score for outcome in runs.outcomes.values()])}"
    yield "folds share training images, so their interval is somewhat too narrow"
    yield how_chosen(runs.config, folds)
    for name in runs.failures:
        yield f"{name} diverged: its images are not among those evaluated"


def how_chosen(config: TrainConfig, folds: int) -> str:
    """Return what chose the epoch of each fold's run."""
    how = "by whole groups" if config.data.group is not None or config.data.crops else "of each class"
    chose = f"{config.data.val_fraction:.0%} {how} in the {counted(folds - 1, 'other fold')} chose the epoch"
    return f"{chose}; a test split of the data is left unread"


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
    # The split keeps the seed of the command, whatever that of a run is.
    config = replace(config, data=replace(config.data, split_seed=config.split_seed))
    with repeated(
        "seeds", "seed", config, command, make_callbacks, given, first={"seed": seeds[0]}, one_label=False
    ) as runs:
        names = list(dict.fromkeys([*parts, *runs.ended]))  # seeds of earlier commands are among them
        titles = {name: name.replace("-", " ") for name in parts}
        report = runs.folder / "seeds.json"
        runs.train(titles, parts.__getitem__, lambda: runs.write(report.name, _seeds_json(runs), names))
        rows = _table(runs, names, {"images": "images", "epoch": "best_epoch"})
        say({"seeds": rows, "result": _seeds_lines(runs)}, str(report))


def _seeds_json(runs: Series[ConfigT]) -> dict[str, Any]:
    """Return everything that is known besides the runs themselves, for other programs."""
    outcomes = list(runs.outcomes.values())
    return {
        "metric": f"{outcomes[0].figure} in per cent on the {outcomes[0].split} images" if outcomes else None,
        "chosen_on_split": outcomes[0].split == "validation" if outcomes else None,
        "split_seed": runs.config.split_seed if outcomes and outcomes[0].set_aside else None,
        "varies": VARIES,
        outcomes[0].key if outcomes else "top1": spread([outcome.score for outcome in outcomes]) if outcomes else None,
    }


def _seeds_lines(runs: Series[ConfigT]) -> Iterator[str]:
    outcomes = list(runs.outcomes.values())
    one = outcomes[0]
    figures = spread_words([outcome.score for outcome in outcomes])
    yield f"{one.figure} on {counted(one.images, f'{one.split} image')}: {figures}"
    split = f": seed {runs.config.split_seed} set the validation images aside" if one.set_aside else ""
    yield f"what varies: {VARIES}; the splits do not{split}"
    if one.split == "validation":
        yield "these images also chose the epoch of each run, so expect a little less on new ones"
    for name in runs.failures:
        yield f"{name} diverged and is left out, which flatters"
