"""What digests take of a run: the seconds spent in computing them, as a share of the seconds of the whole run.

    python tests/benchmarks/digests.py            # both runs below, on an idle machine
    python tests/benchmarks/digests.py --quick    # the same with few steps, to see that it works

Both figures are of one run in this process. The runs:

- digits: `botzoo-finetune` as it is without options;
- resnet50: a network of 25 million weights from scratch, on noise, with a checkpoint after each epoch as it is without
  options, and with `--checkpoint-every N` where N is given: the more often, the larger the share.

What counts is what is hashed in this process: SHA-256 of files, texts, images and teachers, XXH3 of the best weights and of
what the cache holds. Reading a file counts where it is read for its digest alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from xxhash import xxh3_128

from botzoo.options.command_line import parse
from botzoo.training.recording import checkpoint
from botzoo.util import cache
from botzoo_finetune import cli
from botzoo_finetune.run import execute

RESNET50 = ("--model", "resnet50d_bot", "--scratch", "--no-auto", "--no-lp-ft", "--batch-size", "16")


class Clock:
    """Seconds spent in the functions and hashes that it makes of others."""

    seconds = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function`` with its seconds counted; of a hash that it returns, those of its methods too."""

        def call(*args: Any, **more: Any) -> Any:
            began = time.perf_counter()
            try:
                made = function(*args, **more)
            finally:
                self.seconds += time.perf_counter() - began
            return Hash(made, self) if hasattr(made, "update") else made

        return call


class Hash:
    """A hash whose methods are timed."""

    def __init__(self, inner: Any, clock: Clock) -> None:
        self.inner, self.clock = inner, clock

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return self.clock.timed(found) if callable(found) else found


@contextmanager
def counting() -> Iterator[Clock]:
    """Count the seconds of all digests within the block."""
    clock = Clock()

    class Draft(cache.Draft):
        def __init__(self, file: Any, key: str) -> None:
            super().__init__(file, key, clock.timed(xxh3_128)())

    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (hashlib, "sha256"),
            (hashlib, "file_digest"),
            (cache, "xxh3_128"),
            (checkpoint, "xxh3_128"),
        ):
            patch.setattr(module, name, clock.timed(getattr(module, name)))
        patch.setattr(cache, "Draft", Draft)
        yield clock


def write_noise(folder: Path, images: int, size: int) -> Path:
    """Write so many images of noise, half of them of each of two classes."""
    rng = np.random.default_rng(0)
    for i in range(images):
        path = folder / f"class{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(path)
    return folder


def measure(name: str, words: list[str], folder: Path) -> None:
    """Train, and print what digests have taken."""
    config = parse(cli.command(), [*words, "--output", str(folder / name)]).config
    with counting() as clock:
        began = time.perf_counter()
        execute(config, command="botzoo-finetune")
        seconds = time.perf_counter() - began
    print(
        f"{name:10} digests {clock.seconds:.2f} s of {seconds:.1f} s: {100 * clock.seconds / seconds:.2f} %", flush=True
    )


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few steps of small images; no figure to be published")
    parser.add_argument("--runs", nargs="+", choices=("digits", "resnet50"), default=["digits", "resnet50"])
    parser.add_argument("--images", type=int, default=2000, help="of the run on noise (default: %(default)s)")
    parser.add_argument(
        "--img-size", type=int, default=224, help="of the run on noise, in pixels (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=2, help="of the run on noise (default: %(default)s)")
    parser.add_argument("--checkpoint-every", type=int, help="steps, of the run on noise; by default each epoch only")
    args = parser.parse_args()
    if args.quick:
        args.images, args.img_size, args.epochs = 40, 32, 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["BOTZOO_CACHE"] = str(folder / "cache")  # what is cached is hashed once more
        if "digits" in args.runs:
            measure("digits", ["--steps", "5"] if args.quick else [], folder)
        if "resnet50" in args.runs:
            data = write_noise(folder / "noise", args.images, args.img_size)
            size = ["--img-size", str(args.img_size), "--epochs", str(args.epochs)]
            every = ["--checkpoint-every", str(args.checkpoint_every)] if args.checkpoint_every else []
            measure("resnet50", ["--dataset", str(data), *RESNET50, *size, *every], folder)


if __name__ == "__main__":
    main()
