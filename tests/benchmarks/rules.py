"""How good the options are that --auto chooses, against fixed ones and the rules of others, on subsets of data sets.

    python tests/benchmarks/rules.py --cifar10 FOLDER --tinyimagenet100 FOLDER --seeds 3 --output rules

FOLDER holds the parquet files of a data set. Every rule fine-tunes the embedded network on the same images with each seed; the
figure is that on 2,000 test images, of which those of Tiny ImageNet had a part in choosing auto's rules; of the digits, which
have no test split, that of the best epoch. With --full all of CIFAR-10 is trained on, and evaluated on its 10,000 test images.
A run that has been finished is not repeated, so other code needs another --output. On all of CIFAR-10 auto chooses what fixed
has, so --rules may leave fixed out. The rules:

- auto: botzoo-finetune as it is.
- fixed: the same with --no-auto.
- BiT-HyperRule (A. Kolesnikov et al., 2020, arXiv:1912.11370, section 3.3): SGD with momentum 0.9 (here Nesterov's), learning
  rate 0.003 at a batch of 512, a tenth at each fall, no weight decay, all layers alike; for as many epochs as auto, which
  has to come before it, and not for its own 500 steps of 512 images.
- fastai's fine_tune (J. Howard, S. Gugger, 2020, arXiv:2002.04688): Adam with weight decay 0.01, learning rate 0.001 at the
  top and a hundredth of it at the stem, a third of the steps rising; a linear probe stands for its first epoch on the
  classifier.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from datasets import load_dataset
from scipy.stats import t  # type: ignore[attr-defined]

Facts = dict[str, Any]

TEST = 2000
LAYERS = 5
"""Below the classifier of the embedded network: a stem and four blocks."""
RULES: dict[str, tuple[str, ...]] = {
    "auto": (),
    "fixed": ("--no-auto",),
    "BiT-HyperRule": (
        *("--no-auto", "--no-lp-ft", "--layer-decay", "1", "--lr", "0.0015", "--optim.weight-decay", "0"),
        *("--optimizer", "sgd", "--no-cosine", "--optim.decay", "step"),
    ),
    "fastai fine_tune": (
        *("--no-auto", "--layer-decay", f"{0.01 ** (1 / LAYERS):.3f}", "--lr", "0.001"),
        "--no-linear-scaling",
        *("--optimizer", "adamw", "--optim.weight-decay", "0.01"),
    ),
}


def write_subset(source: Path, folder: Path, images: int) -> None:
    """Write ``images`` of the training images, as many of each class, and 2,000 of the others for a test split."""
    files = [str(path) for path in sorted(source.rglob("*.parquet"))]
    held = [name for name in files if "test" in Path(name).name or "val" in Path(name).name]
    parts = {"train": [name for name in files if name not in held], "test": held}
    for role, count in (("train", images), ("test", TEST)):
        rows = load_dataset("parquet", data_files={role: parts[role]}, split=role)
        label = next(name for name in rows.column_names if "label" in name)
        labels = np.array(rows[label])
        each = count // len(np.unique(labels))
        order = np.random.default_rng(0).permutation(len(labels))
        kept = np.concatenate([order[labels[order] == k][:each] for k in np.unique(labels)])
        folder.mkdir(parents=True, exist_ok=True)
        rows.select(np.sort(kept)).to_parquet(str(folder / f"{role}.parquet"))


def train(name: str, data: str, rule: str, seed: int, output: Path, epochs: int | None) -> Facts:
    """Fine-tune by a rule, or take what was finished before; return what came of it."""
    folder = output / "runs" / f"{name}-{rule.replace(' ', '-')}-{seed}"
    if not (folder / "model" / "README.md").is_file():
        again = ["--resume", str(folder)] if (folder / "config.yaml").is_file() else None
        words = [*("--dataset", data, "--seed", str(seed), "--output", str(folder)), *RULES[rule]]
        if epochs is not None:
            words += ["--epochs", str(epochs)]
            words += ["--warmup", f"{epochs / 3:.2f}"] if rule.startswith("fastai") else []
        call(again or words)
    return result_of(folder)


def call(words: list[str]) -> None:
    """Run ``botzoo-finetune`` with these words in a process of its own, so that no run inherits anything of another."""
    subprocess.run([sys.executable, "-m", "botzoo_finetune", *words], check=True, stdout=subprocess.DEVNULL)


def result_of(folder: Path) -> Facts:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    facts: Facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    evaluated = [line for line in lines if line["split"] == "test"] or [
        line for line in lines if line["split"] == "validation"
    ]
    epochs = max(line["epoch"] for line in lines if line["split"] == "validation")
    top1 = evaluated[-1]["top1"] if evaluated[-1]["split"] == "test" else max(line["top1"] for line in evaluated)
    return {"top1": top1, "epochs": epochs, "seconds": facts["seconds"], "lr": config["lr"]}


def interval(values: list[float]) -> tuple[float, float]:
    """Return mean and half the width of the 95 % t-interval."""
    if len(values) < 2:
        return values[0], math.nan
    return statistics.mean(values), float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(
        len(values)
    )


def table(results: dict[str, dict[str, list[Facts]]]) -> str:
    rows = [f"| data | {' | '.join(RULES)} |", f"|{' --- |' * (len(RULES) + 1)}"]
    for name, by_rule in results.items():
        cells = []
        for rule in RULES:
            found = by_rule.get(rule, [])
            mean, half = interval([one["top1"] for one in found]) if found else (math.nan, math.nan)
            cells.append(f"{mean:.2f} % ± {half:.2f}, {found[0]['epochs']} epochs" if found else "")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, help="folder of its parquet files")
    parser.add_argument("--tinyimagenet100", type=Path, help="folder of its parquet files")
    parser.add_argument("--full", action="store_true", help="all images of --cifar10, and nothing else")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rules", default=",".join(RULES))
    parser.add_argument("--output", type=Path, default=Path("rules"))
    options = parser.parse_args()
    rules = options.rules.split(",")
    if unknown := set(rules) - set(RULES):
        parser.error(f"--rules has {', '.join(sorted(unknown))}; there are {', '.join(RULES)}")
    if options.full and options.cifar10 is None:
        parser.error("--full needs --cifar10")
    data = {"cifar10": str(options.cifar10)} if options.full else {"digits": "digits"}
    for name, source, images in (
        ("cifar10-400", options.cifar10, 500),
        ("cifar10-2000", options.cifar10, 2500),
        ("tinyimagenet100-1000", options.tinyimagenet100, 1300),
    ):
        if source is not None and not options.full:
            folder = options.output / "data" / name
            if not (folder / "test.parquet").is_file():
                write_subset(source, folder, images)
            data[name] = str(folder)
    results: dict[str, dict[str, list[Facts]]] = {}
    for seed in range(options.seeds):
        for name, where in data.items():
            epochs = None
            for rule in rules:
                own = rule in ("auto", "fixed")
                found = train(name, where, rule, seed, options.output, None if own else epochs)
                epochs = found["epochs"] if rule == "auto" else epochs
                results.setdefault(name, {}).setdefault(rule, []).append(found)
                print(f"{name}, {rule}, seed {seed}: {found}", flush=True)
                (options.output / "rules.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
                (options.output / "rules.md").write_text(table(results), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
