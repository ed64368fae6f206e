"""What long images lose by the centre crop, and what squashing, padding or a long input gives back.

    python tests/benchmarks/fit.py --flowers FOLDER --weather FOLDER --seeds 3 --output fit

Each FOLDER holds one folder of photographs for each class. Of each seed, 60 % of every class are for training and 40 % for the
test split, drawn anew, 60 images of a class. The data:

- ends: every flower, 160 x 160 px, at the left or right end of a picture of 640 x 160 px, at random; the rest is a photograph
  of the weather, stretched.
- middle: the same with the flower in the middle, where the centre crop is.
- strips: the upper or lower half of every photograph of the weather, at random, which is about three times as wide as high.
- photographs: those of the weather as they are, half of them 3:2 or longer.

The embedded network is probed, fitted on the training images and evaluated on the test images, and fine-tuned as
``botzoo-finetune --epochs 4 --data.fit FIT`` does, with the epoch chosen on 20 % of the training images; the figure is top-1
on the test images. ``long input`` is --img-size 32 128, or 40 104 for the strips and 56 80 for the photographs, with the
centre crop: about as many pixels as in the square.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
from pathlib import Path
from typing import Any

from PIL import Image

import botzoo_finetune

WAYS: dict[str, dict[str, Any]] = {"crop": {"data__fit": "crop"}, "squash": {"data__fit": "squash"}}
WAYS |= {"pad": {"data__fit": "pad"}, "long input": {"data__fit": "crop"}}
IMAGES = 60  # of a class, at most
LONG = {"ends": (32, 128), "middle": (32, 128), "strips": (40, 104), "photographs": (56, 80)}


def in_weather(flower: Image.Image, left: int, rng: random.Random, weather: list[Path]) -> Image.Image:
    picture = Image.open(rng.choice(weather)).convert("RGB").resize((640, 160))
    picture.paste(flower.resize((160, 160)), (left, 0))
    return picture


def half(photograph: Image.Image, rng: random.Random) -> Image.Image:
    top = rng.choice([0, photograph.height // 2])
    return photograph.crop((0, top, photograph.width, top + photograph.height // 2))


def write(name: str, options: argparse.Namespace, seed: int) -> Path:
    """Write one data set with its splits; validation links to test, for the probe."""
    rng, source = random.Random(seed), options.flowers if name in ("ends", "middle") else options.weather
    folder: Path = options.output / "data" / f"{name}-{seed}"
    weather = sorted(options.weather.glob("*/*.jpg"))
    shutil.rmtree(folder, ignore_errors=True)
    for of_class in sorted(path for path in source.iterdir() if path.is_dir()):
        files = sorted(of_class.glob("*.jpg"))
        rng.shuffle(files)
        files = files[:IMAGES]
        for i, file in enumerate(files):
            image = Image.open(file).convert("RGB")
            if name in ("ends", "middle"):
                image = in_weather(image, 240 if name == "middle" else rng.choice([0, 480]), rng, weather)
            image = half(image, rng) if name == "strips" else image
            role = "train" if i < 0.6 * len(files) else "test"
            (to := folder / "whole" / role / of_class.name).mkdir(parents=True, exist_ok=True)
            image.save(to / f"{i}.jpg", quality=95)
    (folder / "probed").mkdir()
    for role, link in (("train", "train"), ("test", "validation")):
        (folder / "probed" / link).symlink_to((folder / "whole" / role).resolve())
    return folder


def probed(folder: Path, given: dict[str, Any]) -> float:
    return float(botzoo_finetune.probe(str(folder / "probed"), **given).probe.evaluation.top1)


def fine_tuned(folder: Path, given: dict[str, Any]) -> float:
    shutil.rmtree(folder / "run", ignore_errors=True)
    run = botzoo_finetune.finetune(str(folder / "whole"), epochs=4, output=str(folder / "run"), **given)
    return float(run.record.evaluation.top1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flowers", type=Path, required=True)
    parser.add_argument("--weather", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", nargs="+", choices=[*LONG], default=[*LONG])
    parser.add_argument("--output", type=Path, default=Path("fit"))
    options = parser.parse_args()
    folders = {(name, seed): write(name, options, seed) for name in options.data for seed in range(options.seeds)}
    results: dict[str, list[float]] = {}
    for measure in (probed, fine_tuned):
        for (name, seed), folder in folders.items():
            for way, given in WAYS.items():
                given = given | {"seed": seed} | ({"img_size": LONG[name]} if way == "long input" else {})
                results.setdefault(f"{name}, {measure.__name__}, {way}", []).append(measure(folder, given))
                (options.output / "fit.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"| images | {' | '.join(WAYS)} |\n|{' --- |' * (len(WAYS) + 1)}")
    for name in options.data:
        for what in ("probed", "fine_tuned"):
            found = [results[f"{name}, {what}, {way}"] for way in WAYS]
            cells = (f"{statistics.mean(v):.1f} % ({min(v):.1f} to {max(v):.1f})" for v in found)
            print(f"| {name}, {what.replace('_', '-')} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
