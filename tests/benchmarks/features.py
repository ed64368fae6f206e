"""Speed of features that are computed once, as ratios within one run.

    python tests/benchmarks/features.py --data FOLDER     # such as a folder of cifar10's parquet files

Every ratio compares two things that are measured in turn in this process: machines are shared and their speed drifts.

- extraction: images per second of computing features, decoding and resizing included, to those of the network's bare forward
  pass on tensors that are already there, BatchNorm folded, in the same precision and memory format. 1 would be no cost at all.
- second probe: time of a second probe on the same images and weights, to the first's.
- head: time of an epoch through the frozen network (forward and backward of the classifier), to one on kept features.
- frozen stages: time of a training step of all layers, to one with the stem and the first two stages frozen.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from botzoo.training.command_line import made
from botzoo.training.data import EvalTransform, Images
from botzoo.training.prepare import Settled, prepare
from botzoo.training.run import _train_batches
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.features import Extractor
from botzoo_finetune.first_look import look
from botzoo_finetune.head_only import HeadOnly
from botzoo_finetune.run import _transfer


def settled_for(data: str, images: int, **options: Any) -> Settled:
    """Prepare a fine-tuning of the embedded network on the first ``images`` training images."""
    config = made({"dataset": data, "lr": 0.2, "epochs": 20, **options}, FinetuneConfig)
    settled = prepare(config, _transfer(config))
    settled.trainer.start_epoch(lambda model: settled.transfer.set_trainable(model, 0))
    whole: Any = settled.images["train"]
    few = Images(whole.split.take(np.arange(count := min(images, len(whole)))), whole.decoded, whole.rows[:count])
    limited = replace(
        settled,
        images={"train": few, "validation": settled.images["validation"]},
        order=replace(settled.order, images=count),
    )
    if not isinstance(settled.shortcut, HeadOnly):
        return limited
    through = replace(limited, trainer=settled.shortcut.whole, shortcut=None)
    return replace(limited, shortcut=replace(settled.shortcut, settled=through))


@contextmanager
def fresh_cache() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("botzoo_finetune.features.cache_folder", lambda: Path(folder))
        yield


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def extraction(settled: Settled) -> float:
    """Return images/s of extraction to those of the bare forward pass."""
    extract, images = Extractor(settled), settled.images["train"]
    body, size = extract._body, max(32, 2 * settled.order.micro_batch)
    pixels = torch.randint(0, 256, (size, 3, *[settled.preprocessing.size] * 2), dtype=torch.uint8)
    batch = extract._normalised(pixels.to(settled.accelerator.device))

    @torch.no_grad()
    def bare() -> None:
        for _ in range(len(images) // size):
            with extract._autocast():
                body(batch).sum().item()

    transform = EvalTransform(settled.preprocessing)
    ours = seconds(lambda: [rows.sum() for rows in extract._batches(images, transform)])  # type: ignore[arg-type]
    return seconds(bare) * (len(images) / (len(images) // size * size)) / ours


def second_probe(settled: Settled) -> float:
    """Return the time of a second look at the same data to the first's."""
    with fresh_cache():
        first = seconds(lambda: look(settled))
        return seconds(lambda: look(settled)) / first


def head(through: Settled, kept: Settled) -> float:
    """Return the time of an epoch through the frozen network to one on kept features, which are computed before."""

    def epoch(settled: Settled) -> None:
        for step, batch in enumerate(_train_batches(settled, 0, settled.order.steps_per_epoch)):
            settled.trainer.step(step, batch)

    with fresh_cache():
        epoch(kept)  # computes the features
        return seconds(lambda: epoch(through)) / seconds(lambda: epoch(kept))


def frozen_stages(whole: Settled, part: Settled) -> float:
    """Return the time of steps of all layers to that of steps with the first stages frozen."""

    def steps(settled: Settled) -> None:
        for step, batch in enumerate(itertools.islice(_train_batches(settled, 0, 8), 8)):
            settled.trainer.step(step, batch)

    steps(whole), steps(part)
    return seconds(lambda: steps(whole)) / seconds(lambda: steps(part))


def show(name: str, ratios: list[float]) -> None:
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    print(f"{name:60} median {middle:.3f}   min {low:.3f}   max {high:.3f}   n {len(ratios)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="A folder of images, or any other data set.")
    parser.add_argument("--images", type=int, default=2000, help="Training images that are used.")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    plain = settled_for(options.data, options.images)
    show("extraction / bare forward, images per second", [extraction(plain) for _ in range(options.rounds)])
    show("second probe / first, seconds", [second_probe(plain) for _ in range(options.rounds)])
    frozen = {"freeze": "backbone", "lp_ft": False}
    through = settled_for(options.data, options.images, **frozen, views=0)
    kept = settled_for(options.data, options.images, **frozen)
    show("epoch through the frozen network / on features", [head(through, kept) for _ in range(options.rounds)])
    part = settled_for(options.data, options.images, freeze="2")
    show("step of all layers / with 2 stages frozen", [frozen_stages(plain, part) for _ in range(options.rounds)])


if __name__ == "__main__":
    main()
