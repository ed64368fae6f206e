"""What labelling suggested images gains over labelling random ones, by the accuracy of a probe.

    python tests/benchmarks/suggest.py --data shared/data/cifar10 --seeds 10 --kept features.npz

draws some labelled images of a data set with each seed, fits the probe of --suggest on the embedded network's features, adds
as many images of a pool as are asked for by each way of choosing, fits the probe again and evaluates it on test images. Random
images, 400 and 200 more by default, are what the others are compared with, paired by seed: mean difference and 95 % interval
by Student's t. Features are computed once, and kept in the file --kept.

The ways: random; most uncertain (the smallest lead of the likeliest class); BADGE (J. Ash, C. Zhang, A. Krishnamurthy,
J. Langford, A. Agarwal, *Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds*, ICLR 2020,
arXiv:1906.03671, k-means++ seeding on the gradients of the last layer); and clusters, which --suggest takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit

import botzoo
from botzoo.data.decode import decode
from botzoo.data.transforms import EvalTransform
from botzoo.models.layers import features_seen
from botzoo.sources.base import Split
from botzoo.sources.find import find_images
from botzoo_finetune.probing import probe as probes
from botzoo_finetune.suggesting import choose as choosing

Rows = NDArray[Any]
Way = Callable[[Rows, Rows, int, int], Rows]
"""Of features (N, D), probabilities (N, K), how many, and a seed: which images of the pool."""


@torch.inference_mode()
def features(split: Split, count: int) -> tuple[Rows, Rows]:
    """Return features of random images of a split by the embedded network, float16 (N, D), and their labels."""
    model = botzoo.load("resnet10d_bot")
    transform, rows = EvalTransform(model.preprocessing), np.random.default_rng(0).permutation(len(split))[:count]
    with features_seen(model.module) as seen:
        for at in range(0, len(rows), 128):
            pictures = [decode(split.read(int(i))).convert("RGB") for i in rows[at : at + 128]]
            pixels = torch.from_numpy(np.stack([transform(picture, (0, 0)) for picture in pictures]))
            model.module(model.preprocessing.normalise(pixels.permute(0, 3, 1, 2)))
    return torch.cat(seen).numpy().astype(np.float16), split.labels[rows]


def at_random(rows: Rows, p: Rows, count: int, seed: int) -> Rows:
    """Return random images."""
    return np.random.default_rng(1000 + seed).permutation(len(rows))[:count]


def most_uncertain(rows: Rows, p: Rows, count: int, seed: int) -> Rows:
    """Return the images with the smallest margins."""
    return np.argsort(-choosing.margin_uncertainty(p), kind="stable")[:count]


def badge(rows: Rows, p: Rows, count: int, seed: int) -> Rows:
    """Return k-means++ seeds of the gradients (p - answer) x features, whose products are those of the two factors."""
    rng, off = np.random.default_rng(1000 + seed), p.copy()
    off[np.arange(len(p)), p.argmax(1)] -= 1
    norms = np.square(off).sum(1) * np.square(rows).sum(1)
    chosen, distance = [int(norms.argmax())], np.full(len(rows), np.inf)
    while len(chosen) < count:
        last = chosen[-1]
        distance = np.minimum(distance, norms + norms[last] - 2 * (off @ off[last]) * (rows @ rows[last]))
        distance = np.maximum(distance, 0)
        distance[chosen] = 0
        chosen.append(int(rng.choice(len(rows), p=distance / distance.sum())))
    return np.array(chosen)


def clusters(rows: Rows, p: Rows, count: int, seed: int) -> Rows:
    """Return what --suggest does."""
    uncertainty = choosing.margin_uncertainty(p)
    likely = choosing.candidates(uncertainty, count)
    return likely[choosing.choose(rows[likely], uncertainty[likely], count, seed)[0]]


WAYS: dict[str, Way] = {"random": at_random, "clusters": clusters, "most uncertain": most_uncertain, "BADGE": badge}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="what --dataset takes, with a test split")
    parser.add_argument("--images", type=int, default=12_000, help="of the training split: labelled ones and the pool")
    parser.add_argument("--test", type=int, default=5_000, help="test images")
    parser.add_argument("--labelled", type=int, default=400)
    parser.add_argument("--more", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--kept", type=Path, required=True, help="file of features, made where it is missing")
    options = parser.parse_args()
    if not options.kept.is_file():
        data = find_images(options.data)
        assert data.test is not None
        (pool, labels), (test, truth) = features(data.train, options.images), features(data.test, options.test)
        np.savez(options.kept, pool=pool, labels=labels, test=test, truth=truth)
    kept = np.load(options.kept)
    pool, labels, test, truth = (kept[name] for name in ("pool", "labels", "test", "truth"))
    classes, scores = int(labels.max()) + 1, {name: list[float]() for name in WAYS}
    for seed in range(options.seeds):
        order = np.random.default_rng(seed).permutation(len(pool))
        first, rest = order[: options.labelled], order[options.labelled :]
        before = probes.probe(pool[first], labels[first], test, truth, classes, seed)
        logits = before.linear.logits(pool[rest])
        p = torch.from_numpy(logits).softmax(1).numpy()
        for name, way in WAYS.items():
            rows = np.concatenate([first, rest[way(pool[rest].astype(np.float32), p, options.more, seed)]])
            scores[name].append(probes.probe(pool[rows], labels[rows], test, truth, classes, seed).evaluation.top1)
        said = ", ".join(f"{name} {values[-1]:.2f}" for name, values in scores.items())
        print(f"seed {seed}: {before.evaluation.top1:.2f} % before; {said}", flush=True)
    for name, values in scores.items():
        gain = np.array(values) - np.array(scores["random"])
        half = float(stdtrit(len(gain) - 1, 0.975) * gain.std(ddof=1) / len(gain) ** 0.5)
        to = f"{gain.mean():+.2f} to random ({gain.mean() - half:+.2f} to {gain.mean() + half:+.2f})"
        print(f"{name:16} {np.mean(values):.2f} %, n = {len(values)}; {to}")


if __name__ == "__main__":
    main()
