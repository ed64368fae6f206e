"""How long botzoo-finetune takes to a given accuracy from the embedded weights, against plain fine-tuning in fp32.

    python tests/benchmarks/time_to_accuracy.py --data ./cifar10 --target 80

Both are botzoo-finetune, on the same images and the same validation split, each in a process of its own that finds nothing in
its caches. The time is that from the start of the command to the end of the first epoch whose validation accuracy is the
target or more, with reading and decoding the images and all evaluations in it. Ours is `botzoo-finetune --epochs 1`, which is
known to get to 80 % of CIFAR-10, and nothing else is given. The plain one:

- all layers learn alike, the classifier starts at random;
- SGD with momentum 0.9, not Nesterov's, without weight decay; learning rate 0.001 at a batch of 4, so 0.016 at one of 64, a
  tenth after every 7 epochs; crops of 8 to 100 % of the image: the fixed recipe of PyTorch's tutorial on transfer learning;
- fp32, contiguous.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OURS = ("--epochs", "1")
PLAIN = (
    *("--no-auto", "--no-lp-ft", "--layer-decay", "1", "--no-no-bias-decay", "--warmup", "0"),
    *("--optimizer", "momentum", "--optim.weight-decay", "0"),
    *("--lr", "0.016", "--no-linear-scaling", "--batch-size", "64"),
    *("--no-cosine", "--optim.decay", "step", "--optim.milestones", "[7,14]", "--data.crop-min", "0.08"),
    *("--mixed-precision", "fp32", "--no-engine.channels-last", "--epochs", "20"),
)
PAUSE = 0.5
"""Seconds between two looks at how far a run has got."""


def seconds_to(
    target: float, data: str, words: tuple[str, ...], folder: Path, limit: float
) -> tuple[float, list[float]]:
    """Train until the validation accuracy is ``target`` per cent or more; return the seconds and the accuracies.

    After ``limit`` seconds the run is given up, and they are returned.

    Raises:
        SystemExit: the run ended and never got there.
    """
    began = time.perf_counter()
    command = [sys.executable, "-m", "botzoo_finetune", "--dataset", data, *words, "--output", str(folder / "run")]
    home = os.environ | {"BOTZOO_CACHE": str(folder / "decoded"), "HF_DATASETS_CACHE": str(folder / "datasets")}
    with (folder / "log.txt").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log, env=home) as run:
        while True:
            ended = run.poll() is not None
            found = accuracies(folder / "run" / "metrics.jsonl")
            seconds = time.perf_counter() - began
            if (found and found[-1] >= target) or seconds > limit:
                run.kill()
                return seconds, found
            if ended:
                raise SystemExit(f"{(folder / 'log.txt').read_text()}\n{target} % was not reached: {found}")
            time.sleep(PAUSE)


def accuracies(metrics: Path) -> list[float]:
    """Return the validation accuracies of a run so far, in per cent."""
    lines = metrics.read_text(encoding="utf-8").splitlines(keepends=True) if metrics.exists() else []
    entries = [json.loads(line) for line in lines if line.endswith("\n")]
    return [entry["top1"] for entry in entries if entry["split"] == "validation"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="what --dataset takes")
    parser.add_argument("--target", type=float, default=80.0, help="validation accuracy in per cent")
    parser.add_argument("--give-up", type=float, default=5.0, help="times our own time that the plain one may take")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    for number in range(options.rounds):
        ours, found = arm(options, OURS, math.inf)
        print(f"round {number}: botzoo-finetune {ours:.0f} s, after which it has {shown(found)} %", flush=True)
        plain, found = arm(options, PLAIN, options.give_up * ours)
        print(f"round {number}: plain fp32 {plain:.0f} s, after which it has {shown(found)} %", flush=True)
        reached = found and found[-1] >= options.target
        print(f"round {number}: ratio {'' if reached else 'over '}{plain / ours:.2f}", flush=True)


def arm(options: argparse.Namespace, words: tuple[str, ...], limit: float) -> tuple[float, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        return seconds_to(options.target, options.data, words, Path(folder), limit)


def shown(found: list[float]) -> str:
    return ", ".join(f"{top1:.2f}" for top1 in found) or "not yet any"


if __name__ == "__main__":
    main()
