"""Cross-validation: every image judged once, by a network that has not seen it.

All training images, those of a validation split among them, are cut into K stratified folds. The run of a fold has it as its
test split and the others for the rest: they are trained on, but for a part of each class (--data.val-fraction) that chooses
the epoch, as in every run without a validation split. A fold that chose the epoch it is judged after would flatter. A test
split of the data set stays unread.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from botzoo.tasks.classification import wilson
from botzoo.training.setup import Settled
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.several import (
    MakeTransfer,
    Outcome,
    Several,
    count,
    log_lines,
    log_table,
    rows_json,
    several,
    spread,
    spread_words,
)

log = logging.getLogger("botzoo")

REPORT = "folds.json"


def cross_validate(config: FinetuneConfig, value: str, command: str, transfer: MakeTransfer) -> None:
    """Train each of so many folds' runs that is missing in the folder --output; say and write what they come to.

    Args:
        config: the options of every run; --seed, or --data.split-seed, decides the folds.
        value: how many folds, as typed.
        command: as typed.
        transfer: given the options, returns what transfer learning adds.

    Raises:
        ConfigError: fewer than two folds, or an option makes no sense here.
        DataError: a class has fewer images than there are folds.
        DivergedError: every run diverged.
        BotzooError: see ``botzoo.training.run.train``.
    """
    folds = count("folds", value, 2)
    parts = {f"fold-{k}": {"data.fold": f"{k}/{folds}"} for k in range(1, folds + 1)}
    with several(
        "folds", "fold", config, command, transfer, first=parts["fold-1"], fixed={"folds": folds}, identify=all_images
    ) as runs:
        names = list(parts)
        runs.train(names, parts.__getitem__, lambda: runs.write(REPORT, as_json(runs, names)))
        log_table("folds", _table(runs, names))
        log_lines("result", _lines(runs, folds))
        log.info("%-10s %s", "written", runs.folder / REPORT)


def all_images(settled: Settled) -> str:
    """Return the SHA-256, in hexadecimal, of all images and labels that the folds were cut from, in their order."""
    splits: list[Any] = list(settled.images.values())
    digests = splits[0].decoded.index.digests
    labels = np.full(len(digests), -1, np.int64)
    for split in splits:
        labels[split.rows] = split.labels
    return hashlib.sha256(labels.tobytes() + np.ascontiguousarray(digests).tobytes()).hexdigest()


def pooled(outcomes: list[Outcome]) -> tuple[int, int]:
    """Return how many images of all folds were classified right, and how many there are."""
    return sum(outcome.correct for outcome in outcomes), sum(outcome.images for outcome in outcomes)


def as_json(runs: Several, names: list[str]) -> dict[str, Any]:
    """Return everything that is known, for other programs."""
    outcomes = list(runs.outcomes.values())
    return {
        "metric": "top-1 accuracy in per cent on the fold that a run has not seen; its epoch was chosen on other images",
        "folds": len(names),
        "split_seed": runs.config.split_seed,
        "complete": len(outcomes) == len(names),
        "top1": _pooled_json(*pooled(outcomes)) if outcomes else None,
        "over_folds": spread(outcomes) if outcomes else None,
        "diverged": list(runs.failures),
        "runs": rows_json(runs, names),
    }


def _pooled_json(correct: int, images: int) -> dict[str, Any]:
    interval = wilson(correct, images)
    return {"value": 100 * correct / images, "correct": correct, "images": images, "interval_95": interval}


def _table(runs: Several, names: list[str]) -> list[list[str]]:
    rows = [["fold", "top-1", "right", "images", "epoch"]]
    for name in names:
        outcome, fold = runs.outcomes.get(name), name.removeprefix("fold-")
        if outcome is None:
            rows.append([fold, "diverged", "", "", ""])
        else:
            counts = (f"{n:,}" for n in (outcome.correct, outcome.images, outcome.best_epoch))
            rows.append([fold, f"{outcome.top1:.2f} %", *counts])
    return rows


def _lines(runs: Several, folds: int) -> Iterator[str]:
    outcomes = list(runs.outcomes.values())
    correct, images = pooled(outcomes)
    low, high = wilson(correct, images)
    yield (
        f"top-1 {100 * correct / images:.2f} % of {images:,} images, each judged once by a network that has not seen it "
        f"(95 % interval {low:.2f} to {high:.2f})"
    )
    yield f"over the folds: {spread_words(outcomes)}"
    yield "folds share training images, so their interval is somewhat too narrow"
    share = f"{runs.config.data.val_fraction:.0%}"
    yield f"of the {folds - 1} other fold(s), {share} of each class chose the epoch; a test split of the data is left unread"
    for name in runs.failures:
        yield f"{name} diverged: its images are not among those judged"
