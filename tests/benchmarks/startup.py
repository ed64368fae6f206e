"""What a run takes before its first step on a large folder: seconds of CPU and memory, and how both grow with the images.

    python tests/benchmarks/startup.py                        # 10,000 and 100,000 images
    python tests/benchmarks/startup.py 1000 2000              # other numbers

The images are hard links to 500 small JPEGs, in 100 class folders. Each number is started twice with `--dry-run`, in a
process of its own and with a cache of its own: the first time all is new, the second time no file has changed. So it is with
images that are kept decoded, and with images that are decoded in every epoch and checked by their headers. CPU seconds, of
all threads, are compared, so that other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

COMMAND = ("--dry-run", "--model", "resnet10d_bot", "--img-size", "64", "--no-auto", "--no-lp-ft")
WAYS = {"kept decoded": (), "by headers": ("--data.cache-gib", "0")}
SOURCES, CLASSES = 500, 100


def write_images(folder: Path, count: int) -> Path:
    """Write so many links, class by class in turn."""
    rng, sources = np.random.default_rng(0), folder / "sources"
    if not sources.is_dir():
        sources.mkdir()
        for i in range(SOURCES):
            Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(sources / f"{i}.jpg")
    root = folder / f"{count}"
    for k in range(CLASSES):
        (root / f"class{k:03}").mkdir(parents=True)
    for i in range(count):
        os.link(sources / f"{i % SOURCES}.jpg", root / f"class{i % CLASSES:03}" / f"{i:07}.jpg")
    return root


def start(dataset: Path, cache: Path, more: tuple[str, ...]) -> tuple[float, float]:
    """Return the CPU seconds and the largest memory in MB of one dry run."""
    words = [sys.executable, "-m", "botzoo_finetune", "--dataset", str(dataset), *COMMAND, *more]
    env = os.environ | {"BOTZOO_CACHE": str(cache)}
    process = subprocess.Popen(
        words, env=env, cwd=dataset.parent, stdout=subprocess.DEVNULL
    )  # where a picture is drawn
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} ended with status {status}.")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def slope(few: tuple[int, float], many: tuple[int, float]) -> str:
    """Return what one more image takes, in microseconds."""
    return f"{1e6 * (many[1] - few[1]) / (many[0] - few[0]):.0f} us an image"


def main() -> None:
    """Print a line for each start, and the slopes between the least and the greatest number."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("counts", nargs="*", type=int, default=[10_000, 100_000])
    counts = sorted(parser.parse_args().counts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        roots = {count: write_images(folder, count) for count in counts}
        for way, more in WAYS.items():
            for number in ("first", "second"):
                seen = []
                for count in counts:
                    seconds, memory = start(roots[count], folder / f"cache {count} {way}", more)
                    seen.append((count, seconds))
                    took = f"{seconds:.1f} s of CPU, {memory:,.0f} MB"
                    print(f"{way}, {number} start, {count:,} images: {took}", flush=True)
                if len(seen) > 1:
                    print(f"{way}, {number} start: {slope(seen[0], seen[-1])}", flush=True)


if __name__ == "__main__":
    main()
