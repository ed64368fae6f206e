"""How well images unlike the training images are told: the digits and CIFAR-10 as strangers to each other.

    python tests/benchmarks/unlike.py --cifar10 shared/data/cifar10 --seeds 3 --runs RUNS

fine-tunes the embedded network on the digits and on some images of CIFAR-10 with each seed (a run that is in the folder RUNS
already is taken as it is), and prints by several scores the area under the ROC curve of own images against those of the other
data set and of Tiny ImageNet, if it is given. Own images are the test images of CIFAR-10, and the validation images of the
digits. The intervals are of a bootstrap over the images of both sides, 1,000 times.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score

import botzoo
from botzoo.data.decode import decode
from botzoo.data.transforms import EvalTransform
from botzoo.inference.predict import Model
from botzoo.models import unlike
from botzoo.models.layers import features_seen
from botzoo.sources.base import Split
from botzoo.sources.find import find_images
from botzoo.training.recording.features import looked_at
from botzoo_finetune import finetune
from botzoo_finetune.probing.probe import unit

Rows = NDArray[Any]
Score = Callable[[Rows, Rows], Rows]
"""Of features (N, D) and logits (N, K); the higher, the more unlike."""
HELD_OUT = 1000
NEIGHBOURS = 10


def pictures(split: Split, count: int, seed: int) -> tuple[Rows, Rows]:
    """Return random images of a split, each an array (H, W, 3) of one size, and their labels."""
    rows = np.random.default_rng(seed).permutation(len(split))[:count]
    return np.stack([np.asarray(decode(split.read(int(i))).convert("RGB")) for i in rows]), split.labels[rows]


@torch.inference_mode()
def seen(model: Model, images: Rows) -> tuple[Rows, Rows]:
    """Return features and logits of images."""
    from PIL import Image

    transform, logits = EvalTransform(model.preprocessing), []
    with features_seen(model.module) as features:
        for at in range(0, len(images), 128):
            pixels = [transform(Image.fromarray(image), (0, 0)) for image in images[at : at + 128]]
            batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
            logits.append(model.module(model.preprocessing.normalise(batch)))
    return torch.cat(features).numpy(), torch.cat(logits).numpy()


def scores(features: Rows, labels: Rows, held_out: Rows) -> Iterator[tuple[str, Score]]:
    """Yield the scores that are compared, made of the training images' features and labels."""
    yield "1 - highest probability", lambda f, z: -torch.from_numpy(z).softmax(1).amax(1).numpy()
    yield "energy", lambda f, z: -torch.from_numpy(z).logsumexp(1).numpy()
    bank = unit(features)

    def neighbours(f: Rows, z: Rows) -> Rows:
        distances = 2 - 2 * unit(f) @ bank.T
        return np.partition(distances, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1]

    yield f"distance of the {NEIGHBOURS}th neighbour, length 1", neighbours
    yield "Mahalanobis, class means, shared covariance", mahalanobis(features, labels)
    for name, scaled in (("as they are", np.asarray), ("length 1", unit)):
        found = unlike.fit(scaled(features), scaled(held_out))
        assert found is not None
        yield f"Mahalanobis, one mean, {name}", partial(one_mean, found, scaled)


def one_mean(found: unlike.Unlike, scaled: Callable[[Rows], Rows], features: Rows, logits: Rows) -> Rows:
    """Return what is kept says of ``features``, (N,)."""
    return found(scaled(features))


def mahalanobis(features: Rows, labels: Rows) -> Score:
    """Return the distance of the nearest class mean, with the covariance within the classes shrunk after Ledoit and Wolf."""
    means = np.stack([features[labels == k].mean(0) for k in np.unique(labels)])
    within = features - means[np.unique(labels, return_inverse=True)[1]]
    whiten = np.linalg.cholesky(np.linalg.inv(ledoit_wolf(within, assume_centered=True)[0]))
    centres = means @ whiten
    return lambda f, z: np.square((f @ whiten)[:, None] - centres).sum(2).min(1)


def auroc(own: Rows, strange: Rows, times: int = 1000) -> tuple[float, float, float]:
    """Return the area under the curve in per cent, and its 95 % interval."""
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], [len(own), len(strange)])
    drawn = (np.concatenate([rng.choice(own, len(own)), rng.choice(strange, len(strange))]) for _ in range(times))
    spread = np.percentile([roc_auc_score(truth, values) for values in drawn], [2.5, 97.5])
    area = roc_auc_score(truth, np.concatenate([own, strange]))
    return 100 * area, 100 * spread[0], 100 * spread[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", required=True, help="what --dataset takes")
    parser.add_argument("--others", help="another data set of strangers, such as Tiny ImageNet")
    parser.add_argument("--images", type=int, default=4000, help="of CIFAR-10 that are trained on")
    parser.add_argument("--strangers", type=int, default=1000, help="of each other data set; and own test images")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    options = parser.parse_args()
    cifar, digits = find_images(options.cifar10), find_images("digits")
    assert cifar.test is not None
    other = {"others": pictures(find_images(options.others).train, options.strangers, 0)[0]} if options.others else {}
    for seed in range(options.seeds):
        images, labels = pictures(cifar.train, options.images + HELD_OUT, seed)
        rows = np.random.default_rng(seed).permutation(len(digits.train))
        every, numbers = pictures(digits.train, len(rows), seed)
        tests = pictures(cifar.test, options.strangers, seed)[0]
        parts = {"cifar": (images, labels, tests), "digits": (every[359:], numbers[359:], every[:359])}
        held_out = {"cifar": images[options.images :], "digits": every[:359]}
        for name, (trained, truth, own) in parts.items():
            trained, truth = trained[: options.images], truth[: options.images]
            folder = options.runs / f"{name}-{seed}"
            if not (folder / "model" / "README.md").is_file():
                data = {"train": (trained, truth), "validation": (held_out[name], labels[options.images :])}
                data |= {"validation": (every[:359], numbers[:359])} if name == "digits" else {}
                finetune(data, seed=seed, output=str(folder))
            model = botzoo.load(folder)
            strange = {key: values[2] for key, values in parts.items() if key != name} | other
            looked = {key: seen(model, values) for key, values in {"own": own, **strange}.items()}
            most, few = looked_at(len(trained), len(held_out[name]))  # as a run does
            features, kept = seen(model, trained[:most])[0], seen(model, held_out[name][:few])[0]
            for score, of in scores(features, truth[:most], kept):
                own_scores = of(*looked["own"])
                areas = [(key, auroc(own_scores, of(*looked[key]))) for key in strange]
                words = ", ".join(f"{key} {area:.2f} ({low:.2f} to {high:.2f})" for key, (area, low, high) in areas)
                print(f"{name} seed {seed}  {score:50} {words}", flush=True)
            found = unlike.fit(features, kept)
            assert found is not None
            over = {key: float((found(values[0]) > 1).mean()) for key, values in looked.items()}
            print(
                f"{name} seed {seed}  over the limit: {', '.join(f'{k} {v:.1%}' for k, v in over.items())}", flush=True
            )


if __name__ == "__main__":
    main()
