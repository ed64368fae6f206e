"""Speed of features that are computed once, as ratios within one run.

    python tests/benchmarks/features.py --data FOLDER     # such as a folder of cifar10's parquet files

Every ratio compares two things that are measured in turn, round by round, in this process: machines are shared and their speed
drifts, so the absolute figures mean little. Two ratios are printed: the median over the rounds, with the smallest and the
largest, and that of each side's fastest round, which other work on the machine disturbed least.

- extraction: images per second of computing features, from decoded images to the file that keeps them, to those of the
  network's bare forward pass on normalised tensors that are already there, in the same precision and memory format, with the
  same threads and batches, BatchNorm folded. 1 would be no cost at all. In bf16 and in fp32, whichever a run would take.
- second look: time of a second probe on the same images and weights, report included, to the first's, both from where the
  images have been read and the network has been made.
- second command: the same of the whole ``--probe``, from there on where the libraries are imported.
- head: time of an epoch through the frozen network (forward and backward of the classifier), to one on kept features.
- frozen stages: time of a training step of all layers, to one with the stem and the first two stages frozen.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from botzoo.data.images import Images
from botzoo.options.command_line import made
from botzoo.training.callbacks import Callback
from botzoo.training.run import start_epoch
from botzoo.training.setup import set_up
from botzoo.training.state import Run
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.probing import outcomes
from botzoo_finetune.probing.first_look import Look, probe_images
from botzoo_finetune.run import transfer
from botzoo_finetune.transfer import feature_store
from botzoo_finetune.transfer.features import Extractor

STEPS = 8
"""Of a measurement of training steps."""


class Few(Callback):
    """Takes the first ``images`` training images only."""

    def __init__(self, images: int) -> None:
        self.images = images

    def on_setup(self, run: Run) -> None:
        whole = run.images["train"]
        assert isinstance(whole, Images)
        few = whole.only(whole.split.take(np.arange(min(self.images, len(whole)))))
        run.images = run.feed.whole.images = {**run.images, "train": few}
        run.order = replace(run.order, images=len(few))


def run_on(data: str, images: int, **options: Any) -> Run:
    """Set up a fine-tuning of the embedded network on the first ``images`` training images, up to its first step."""
    config = made({"dataset": data, "epochs": 20, **options}, FinetuneConfig)
    callbacks = [Few(images), *transfer(config)]  # first, so that features are those of the few
    run = set_up(config, callbacks)
    start_epoch(run, callbacks)
    return run


@contextmanager
def fresh_cache() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for module, name in ((feature_store, "FEATURES"), (outcomes, "PROBES")):  # decoded images stay where they are
            store = getattr(module, name)
            patch.setattr(module, name, replace(store, name=f"{folder}/{store.name}"))
        yield


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turn(above: Callable[[], object], below: Callable[[], object], rounds: int) -> list[tuple[float, float]]:
    """Return the seconds of both in each round, every other round backwards."""
    took = []
    for i in range(rounds):
        if i % 2:
            second = seconds(below)
            took.append((seconds(above), second))
        else:
            took.append((seconds(above), seconds(below)))
    return took


def extraction(run: Run, rounds: int, *, half: bool) -> list[tuple[float, float]]:
    """Return the seconds of the bare forward pass and of extraction, of the same images in the same batches."""
    extract, images = Extractor(run), len(run.images["train"])
    vars(extract)["_half"] = half
    body, size = extract._body, extract.batch_size
    pixels = torch.randint(0, 256, (size, *run.preprocessing.shape, 3), dtype=torch.uint8)
    batch = extract._normalised(pixels.permute(0, 3, 1, 2).to(run.accelerator.device))

    @torch.no_grad()
    def bare() -> None:
        for first in range(0, images, size):
            with extract._autocast():
                body(batch[: images - first]).sum().item()

    def ours() -> None:
        with fresh_cache():
            extract("train")

    bare()
    ours()
    return in_turn(bare, ours, rounds)


def look_at(run: Run) -> None:
    """Ask all that a probe says."""
    look = Look(run)
    assert look.probe
    assert look.outlook


def second(work: Callable[[], object], rounds: int) -> list[tuple[float, float]]:
    """Return the seconds of doing ``work`` a second time, and those of the first."""
    took = []
    for _ in range(rounds):
        with fresh_cache():
            first = seconds(work)
            took.append((seconds(work), first))
    return took


def head(through: Run, kept: Run, rounds: int) -> list[tuple[float, float]]:
    """Return the seconds of an epoch through the frozen network and of one on kept features, which are computed before."""

    def epoch(run: Run) -> None:
        for step, batch in enumerate(run.feed.train_batches(run.order, 0, run.order.steps_per_epoch)):
            run.trainer.step(step, batch)

    with fresh_cache():
        epoch(kept)  # computes the features
        return in_turn(lambda: epoch(through), lambda: epoch(kept), rounds)


def frozen_stages(whole: Run, part: Run, rounds: int) -> list[tuple[float, float]]:
    """Return the seconds of steps of all layers and of steps with the first stages frozen."""

    def steps(run: Run) -> None:
        for step, batch in enumerate(run.feed.train_batches(run.order, 0, STEPS)):
            run.trainer.step(step, batch)

    steps(whole)
    steps(part)
    return in_turn(lambda: steps(whole), lambda: steps(part), rounds)


def show(name: str, took: Sequence[tuple[float, float]]) -> None:
    """Print the ratio of the first of each round's seconds to the second."""
    above, below = zip(*took, strict=True)
    ratios = [a / b for a, b in took]
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    rounds = f"median {middle:.3f}   min {low:.3f}   max {high:.3f}   n {len(ratios)}"
    print(f"{name:56} {rounds}   fastest rounds {min(above) / min(below):.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="A folder of images, or any other data set.")
    parser.add_argument("--images", type=int, default=2000, help="Training images that are used.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("extraction", "second", "head", "stages"), help="Measure nothing else.")
    options = parser.parse_args()
    plain, rounds = run_on(options.data, options.images), options.rounds
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.cpu.get_capabilities().get('cpu_name')}"
    )
    if options.only in (None, "extraction"):
        for half, name in ((True, "bf16"), (False, "fp32")):
            show(f"extraction / bare forward, images/s, {name}", extraction(plain, rounds, half=half))
    if options.only in (None, "second"):
        show("second look / first, seconds", second(lambda: look_at(plain), rounds))
        config, quiet = made({"dataset": options.data}, FinetuneConfig), logging.getLogger("botzoo")
        quiet.setLevel(logging.ERROR)
        show("second --probe / first, seconds, all images", second(lambda: probe_images(config), 1))
    frozen = {"freeze": "backbone", "lp_ft": False}
    if options.only in (None, "head"):
        through = run_on(options.data, options.images, **frozen, views=0)
        kept = run_on(options.data, options.images, **frozen)
        show("epoch through the frozen network / on features", head(through, kept, rounds))
    if options.only in (None, "stages"):
        part = run_on(options.data, options.images, freeze="2")
        show("step of all layers / with 2 stages frozen", frozen_stages(plain, part, rounds))


if __name__ == "__main__":
    main()
