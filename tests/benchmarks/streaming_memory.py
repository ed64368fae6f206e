"""Resident memory while shards are streamed, by the size of the data set: it should not depend on it.

    python tests/benchmarks/streaming_memory.py      # writes about 400 MB of JPEG shards into a temporary folder

Each row is a process of its own that streams one pass over the training shards (batches of 64 crops of 64 px, a shuffle
buffer of 512 encoded images), and notes its resident memory after each tenth of the pass: the second column is the size of the
encoded images, the third the most that the process grew beyond where it stood after the first tenth.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from botzoo.data.order import Order
from botzoo.data.streaming.find import find_shards
from botzoo.data.streaming.stream import Stream
from botzoo.data.transforms import TrainTransform

PER_SHARD, BATCH, BUFFER = 500, 64, 512
STATUS = Path("/proc/self/status")


def write(folder: Path, shards: int) -> int:
    """Write tar shards of noisy photographs of 400 x 300 pixels; return the bytes of all images."""
    rng, total = np.random.default_rng(0), 0
    folder.mkdir()
    for name in [*(f"train-{i:04}" for i in range(shards)), "val-0000"]:
        with tarfile.open(folder / f"{name}.tar", "w") as tar:
            for i in range(PER_SHARD if name != "val-0000" else 10):
                noise = Image.fromarray(rng.integers(0, 256, (75, 100, 3), dtype=np.uint8)).resize((400, 300))
                file = io.BytesIO()
                noise.save(file, "JPEG", quality=90)
                total += len(file.getvalue())
                for ending, content in (("cls", str(i % 10).encode()), ("jpg", file.getvalue())):
                    info = tarfile.TarInfo(f"{i:05}.{ending}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    return total


def resident() -> float:
    """Return this process's resident memory in MiB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def growth(folder: Path) -> None:
    """Stream one pass; print the memory after its first tenth and the most it grew from there, in MiB."""
    stream = Stream(find_shards(str(folder)).splits["train"], BUFFER)
    order = Order(len(stream), BATCH, 0)
    transform = TrainTransform(64, "bilinear", 0.35, 0.5, 0)
    steps, seen = order.steps_per_epoch, []
    for step, _ in enumerate(stream.train_batches(transform, order, 0, steps, workers=0, pin=False), 1):
        if step % max(1, steps // 10) == 0:
            seen.append(resident())
    print(f"{seen[0]:.0f} {max(seen) - seen[0]:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="+", default=[2, 6, 18], help=f"of {PER_SHARD} images each")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        growth(options.folder)
        return
    print("images  encoded (MiB)  resident after a tenth (MiB)  grew by (MiB)")
    with tempfile.TemporaryDirectory() as temporary:
        for shards in options.shards:
            folder = Path(temporary) / str(shards)
            size = write(folder, shards)
            command = [sys.executable, __file__, "--folder", str(folder)]
            before, grown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2:]
            print(f"{shards * PER_SHARD:6}  {size / 2**20:13.0f}  {before:>28}  {grown:>13}", flush=True)


if __name__ == "__main__":
    main()
