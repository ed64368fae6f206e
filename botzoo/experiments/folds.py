"""Cross-validation: every image evaluated once, by a network that has not seen it.

All training images, those of a validation split among them, are cut into K stratified folds. The run of a fold has it as its
test split and the others for the rest: they are trained on, but for a part of each class (--data.val-fraction) that chooses
the epoch, as in every run without a validation split. A fold that chose the epoch it is evaluated after would flatter. A test
split of the data set stays unread.
"""

import hashlib
import logging
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from botzoo.experiments.estimate import spread, spread_words
from botzoo.experiments.series import ConfigT, MakeCallbacks, Series, count, repeated
from botzoo.tasks.classification import wilson
from botzoo.training.state import Run
from botzoo.util.text import table, under

log = logging.getLogger("botzoo")

REPORT = "folds.json"


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
    with repeated(
        *("folds", "fold", config, command, make_callbacks, given),
        first=parts["fold-1"],
        fixed={"folds": folds},
        identify=all_images,
    ) as runs:
        titles = {name: name.replace("-", " ") for name in parts}
        runs.train(titles, parts.__getitem__, lambda: runs.write(REPORT, as_json(runs, folds), parts))
        for line in (*under("folds", _table(runs, parts)), *under("result", _lines(runs, folds))):
            log.info("%s", line)
        log.info("%-10s %s", "written", runs.folder / REPORT)


def all_images(run: Run) -> str:
    """Return the SHA-256, in hexadecimal, of all images and labels that the folds were cut from, in their order."""
    splits: list[Any] = list(run.images.values())
    digests = splits[0].decoded.index.digests
    labels = np.full(len(digests), -1, np.int64)
    for split in splits:
        labels[split.rows] = split.labels
    return hashlib.sha256(labels.tobytes() + np.ascontiguousarray(digests).tobytes()).hexdigest()


def pooled(runs: Series[ConfigT]) -> tuple[int, int]:
    """Return how many images of all folds were classified right, and how many there are."""
    outcomes = runs.outcomes.values()
    return sum(outcome.correct for outcome in outcomes), sum(outcome.images for outcome in outcomes)


def as_json(runs: Series[ConfigT], folds: int) -> dict[str, Any]:
    """Return everything that is known besides the runs themselves, for other programs."""
    correct, images = pooled(runs)
    right = {"value": 100 * correct / images, "correct": correct, "images": images} if images else {}
    return {
        "metric": "top-1 accuracy in per cent on the fold that a run has not seen; its epoch was chosen on other images",
        "folds": folds,
        "split_seed": runs.config.split_seed,
        "complete": len(runs.outcomes) == folds,
        "top1": right | {"interval_95": wilson(correct, images)} if images else None,
        "over_folds": spread([outcome.top1 for outcome in runs.outcomes.values()]) if images else None,
    }


def _table(runs: Series[ConfigT], names: Collection[str]) -> Iterator[str]:
    rows = [["fold", "top-1", "right", "images", "epoch"]]
    for name in names:
        outcome, fold = runs.outcomes.get(name), name.removeprefix("fold-")
        if outcome is None:
            rows.append([fold, "diverged", "", "", ""])
        else:
            counts = (f"{n:,}" for n in (outcome.correct, outcome.images, outcome.best_epoch))
            rows.append([fold, f"{outcome.top1:.2f} %", *counts])
    return table(rows, left=())


def _lines(runs: Series[ConfigT], folds: int) -> Iterator[str]:
    correct, images = pooled(runs)
    low, high = wilson(correct, images)
    yield (
        f"top-1 {100 * correct / images:.2f} % of {images:,} images, each evaluated once by a network that has not seen it "
        f"(95 % interval {low:.2f} to {high:.2f})"
    )
    yield f"over the folds: {spread_words([outcome.top1 for outcome in runs.outcomes.values()])}"
    yield "folds share training images, so their interval is somewhat too narrow"
    share = f"{runs.config.data.val_fraction:.0%}"
    yield f"of the {folds - 1} other fold(s), {share} of each class chose the epoch; a test split of the data is left unread"
    for name in runs.failures:
        yield f"{name} diverged: its images are not among those evaluated"
