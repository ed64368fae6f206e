"""What the page takes: its share of the run of the digits, and its seconds and size for 1,000 and 10,000 evaluated images.

    python tests/benchmarks/report.py              # on an idle machine; about two minutes
    python tests/benchmarks/report.py --repeats 3

The run is `botzoo-finetune` as it is without options. Its time is that of the whole command; the page's is all that its
callback does, imports included. The larger sets are noise of 32 x 32 pixels that a small network was trained on for a
moment; memory is the most
that the process took.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import botzoo
from botzoo.options.command_line import parse
from botzoo.report.callback import WritePage
from botzoo_finetune import cli
from botzoo_finetune.run import execute


def digits(folder: Path) -> tuple[float, float]:
    """Return the seconds of the whole run and those of its page."""
    write, taken = WritePage.on_finish, []

    def timed(self: WritePage, run: Any) -> None:
        began = time.perf_counter()
        write(self, run)
        taken.append(time.perf_counter() - began)

    parsed = parse(cli.command(), ["--output", str(folder)])
    began = time.perf_counter()
    with patch.object(WritePage, "on_finish", timed):
        execute(parsed.config, command="botzoo-finetune", given=parsed.given)
    return time.perf_counter() - began, taken[0]


def evaluated(images: int, folder: Path) -> tuple[float, int]:
    """Return the seconds and bytes of the page of a run that evaluated so many images."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (images + 640, 32, 32, 3), np.uint8), rng.integers(0, 10, images + 640)
    data = {"train": (pixels[images:], labels[images:]), "validation": (pixels[:images], labels[:images])}
    how: dict[str, Any] = {
        "scratch": True,
        "img_size": 32,
        "epochs": 1,
        "batch_size": 64,
        "report": False,
        "output": str(folder),
    }
    run = botzoo.train(data, model="test_resnet", **how)
    began = time.perf_counter()
    page = run.report(data=data)
    return time.perf_counter() - began, page.stat().st_size


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as temporary:
        shares = []
        for k in range(repeats):
            whole, page = digits(Path(temporary, f"digits-{k}"))
            shares.append(100 * page / whole)
            print(f"digits: {whole:.1f} s, of them {page:.2f} s for the page: {shares[-1]:.1f} %", flush=True)
        print(f"digits: median {statistics.median(shares):.1f} % of n = {repeats}")
        for images in (1_000, 10_000):
            seconds, size = evaluated(images, Path(temporary, str(images)))
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(f"{images:,} images: {seconds:.2f} s, {size / 1e6:.2f} MB; at most {memory:.2f} GiB of memory so far")


if __name__ == "__main__":
    main()
