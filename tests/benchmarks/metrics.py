"""What the metrics beside the headline figure take at the end of a run, with their bootstrap intervals.

    python tests/benchmarks/metrics.py                # 1,797 images of 10 classes to 100,000 of 1,000
    python tests/benchmarks/metrics.py --images 10000 --classes 100

The answers are made up: each class has as many images, the answers are right for four of five.
"""

import argparse
import resource
import time

import numpy as np

from botzoo.tasks.classification import Evaluation
from botzoo.tasks.metrics.metric import measured
from botzoo.tasks.metrics.of_classes import CLASS_METRICS

SIZES = ((1_797, 10), (10_000, 10), (10_000, 1_000), (100_000, 100), (100_000, 1_000))


def made_up(images: int, classes: int) -> Evaluation:
    """Return answers of random logits to which the true class has something added."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, images)
    log_p = np.empty((images, classes), np.float16)
    for rows in np.array_split(np.arange(images), max(1, images * classes >> 24)):
        logits = rng.normal(0, 1, (len(rows), classes)).astype(np.float32)
        logits[np.arange(len(rows)), labels[rows]] += 4
        log_p[rows] = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    nll, sure = -log_p[np.arange(images), labels].astype(np.float32), np.exp(log_p.max(1).astype(np.float32))
    return Evaluation(labels, log_p.argmax(1), np.ones(images, bool), nll, sure, log_p)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int)
    parser.add_argument("--classes", type=int, default=10)
    options = parser.parse_args()
    print("images   classes  CPU seconds  of them ranking  resamples  peak memory")
    for images, classes in SIZES if options.images is None else ((options.images, options.classes),):
        seen, shown = made_up(images, classes), [metric for metric in CLASS_METRICS if not metric.ordered]
        began = time.process_time()
        measured([metric for metric in shown if not metric.ranks], seen, classes)
        middle = time.process_time()
        found = measured([metric for metric in shown if metric.ranks], seen, classes)
        now = time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        spent = f"{now - began:11.1f}  {now - middle:15.1f}  {found[0].resamples:9,}  {peak:8.0f} MiB"
        print(f"{images:7,}  {classes:7,}  {spent}", flush=True)


if __name__ == "__main__":
    main()
