"""What the tables of answers cost: seconds of writing predictions.csv and errors.csv, for each 10,000 images.

    python tests/benchmarks/answers.py            # 10,000 images of 10, 100 and 1,000 classes, on an idle machine
    python tests/benchmarks/answers.py --images 100000

The answers are random, a tenth of them wrong, and read back from evaluation/ as `botzoo card` reads them. Given are the
median of five rounds and their spread, the size of the files, and the most memory that writing takes besides the answers
themselves (measured apart from the time, which it would change).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import log_softmax

sys.path.append(str(Path(__file__).parents[1]))  # as pytest does

from botzoo.results.predictions import write_predictions
from botzoo.results.record import RunRecord
from botzoo.tasks.answers import read_answers, write_answers
from botzoo.tasks.classification import CLASSIFICATION, Evaluation
from recorded import a_record  # type: ignore[import-not-found]

ROUNDS = 5


def made(folder: Path, images: int, classes: int) -> RunRecord:
    """Return the record of a run in ``folder`` that never took place, its answers written and read."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (images, classes)).astype(np.float32)
    labels = np.where(rng.random(images) < 0.9, logits.argmax(1), rng.integers(0, classes, images))
    log_p = log_softmax(logits, 1)
    sure, loss = np.exp(log_p.max(1)), -log_p[np.arange(images), labels]
    seen = Evaluation(labels, log_p.argmax(1), np.ones(images, bool), loss, sure, log_p.astype(np.float16))
    record: RunRecord = a_record(folder, tuple(f"class {k}" for k in range(classes)), seen)
    write_answers(file := folder / "evaluation" / "validation.parquet", record.image_names, seen.answers)
    return replace(record, evaluation=CLASSIFICATION.evaluation(read_answers(file)[1]))


def measure(images: int, classes: int) -> str:
    """Return a line on a table of so many rows and classes."""
    with tempfile.TemporaryDirectory() as temporary:
        record, seconds = made(Path(temporary), images, classes), list[float]()
        for _ in range(ROUNDS):
            began = time.perf_counter()
            write_predictions(record)
            seconds.append((time.perf_counter() - began) * 10_000 / images)
        size = sum(file.stat().st_size for file in record.folder.glob("*.csv"))
        tracemalloc.start()
        write_predictions(record)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    spread = f"{statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f}, n = {ROUNDS})"
    room = f"{size / 1e6:.1f} MB on the disk, {most / 1e6:.1f} MB of memory"
    return f"{classes:5,} classes: {spread} for 10,000 of {images:,} images; {room}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    options = parser.parse_args()
    for classes in (10, 100, 1000):
        print(measure(options.images, classes), flush=True)


if __name__ == "__main__":
    main()
