"""How much of what is wrong `botzoo-finetune --check` finds, and how much of what it finds is wrong.

    python tests/benchmarks/doctor.py --data shared/data/cifar10 --images 5000

copies so many images of a data set (a folder, or what --dataset takes) into class folders, training, validation and test,
plants faults into the copy, checks it, and prints precision and recall of each check:

- labels: images moved to the folder of another class.
- duplicates: images of one split copied into another one, byte for byte.
- near duplicates: the same, saved anew as JPEG of quality 80 or as PNG at 0.9 of the size, by turns.
- corrupt: files cut in half, filled with noise, or emptied, by turns.

What is wrong with the data set itself counts as falsely found, so precision is a lower bound; the last column says how many
findings were not planted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from PIL import Image

from botzoo.data.decode import decode
from botzoo.sources.base import Split
from botzoo.sources.find import find_images

SPLITS = {"train": 0.7, "validation": 0.15, "test": 0.15}

Pairs = set[frozenset[str]]


def copy(data: str, images: int, folder: Path, rng: random.Random) -> list[Path]:
    """Write ``images`` random images of all splits into class folders; return the files."""
    found = find_images(data)
    rows = [(split, i) for split in found.splits.values() for i in range(len(split))]
    files: list[Path] = []
    for number, (split, i) in enumerate(rng.sample(rows, min(images, len(rows)))):
        role = rng.choices(list(SPLITS), list(SPLITS.values()))[0]
        label = int(split.labels[i])
        name = found.class_names[label].replace("/", "_")
        place = folder / role / f"{label:04} {name}"
        place.mkdir(parents=True, exist_ok=True)
        files.append(_write(split, i, place / f"{number:06}"))
    return files


def _write(split: Split, i: int, beside: Path) -> Path:
    """Write an image as it is, or as PNG where it is not encoded; return its file."""
    encoded = split.read(i)
    if isinstance(encoded, Path):
        encoded = encoded.read_bytes()
    if isinstance(encoded, bytes):
        beside.write_bytes(encoded)  # a file without a suffix is read by what is in it
    else:
        decode(encoded).convert("RGB").save(beside, "PNG")
    return beside


def flip(files: Iterable[Path], rng: random.Random) -> set[str]:
    """Move each file to another class of its split; return their new names."""
    moved = set()
    for file in files:
        others = sorted(f for f in file.parent.parent.iterdir() if f != file.parent)
        moved.add(str(file.rename(rng.choice(others) / file.name)))
    return moved


def duplicate(files: Iterable[Path], rng: random.Random) -> tuple[Pairs, Pairs]:
    """Copy each file into another split, every second one encoded anew; return the equal and the nearly equal pairs."""
    exact: Pairs = set()
    near: Pairs = set()
    for number, file in enumerate(files):
        role, root = file.parts[-3], file.parents[2]
        other = root / rng.choice([r for r in SPLITS if r != role]) / file.parent.name / f"{file.name}-again"
        other.parent.mkdir(parents=True, exist_ok=True)
        if number % 2:
            _encode_anew(file, other, as_jpeg=number % 4 == 1)
        else:
            shutil.copyfile(file, other)
        (near if number % 2 else exact).add(frozenset({str(file), str(other)}))
    return exact, near


def _encode_anew(file: Path, other: Path, *, as_jpeg: bool) -> None:
    image = decode(file).convert("RGB")
    if as_jpeg:
        image.save(other, "JPEG", quality=80)
    else:
        size = max(1, round(0.9 * image.width)), max(1, round(0.9 * image.height))
        image.resize(size, Image.Resampling.BICUBIC).save(other, "PNG")


def corrupt(files: Iterable[Path], rng: random.Random) -> set[str]:
    """Damage each file; return their names."""
    names = set()
    for number, file in enumerate(files):
        content = file.read_bytes()
        file.write_bytes((content[: len(content) // 2], rng.randbytes(500), b"")[number % 3])
        names.add(str(file))
    return names


def found_by(check: str, report: dict[str, Any]) -> Iterator[list[dict[str, str]]]:
    """Yield the images of each finding of a check."""
    return (finding["images"] for finding in report["findings"] if finding["check"] == check)


def found_pairs(check: str, report: dict[str, Any]) -> Pairs:
    """Return the pairs across splits of all groups of a check."""
    pairs = (pair for images in found_by(check, report) for pair in combinations(images, 2))
    return {frozenset({a["name"], b["name"]}) for a, b in pairs if a["split"] != b["split"]}


def found_names(check: str, report: dict[str, Any]) -> set[str]:
    """Return the names of the images of all findings of a check."""
    return {image["name"] for images in found_by(check, report) for image in images}


def row(check: str, planted: set[Any], found: set[Any]) -> str:
    """Return a line of the table."""
    hits = len(planted & found)
    precision = f"{hits / len(found):9.1%}" if found else f"{'-':>9}"
    recall = f"{hits / len(planted):7.1%}" if planted else f"{'-':>7}"
    return f"{check:16} {len(planted):8} {len(found):6} {precision} {recall} {len(found) - hits:12}"


def examine(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Check the data set in ``folder`` and return what check.json says."""
    from botzoo.options.command_line import made
    from botzoo_finetune.config import FinetuneConfig
    from botzoo_finetune.run import execute

    output = folder.parent / "check"
    values = {"dataset": str(folder), "model": options.model, "img_size": options.img_size, "seed": options.seed}
    config = made({**values, "output": str(output)}, FinetuneConfig)
    execute(config, command="botzoo-finetune --check", mode="check")
    report: dict[str, Any] = json.loads((output / "check.json").read_text())
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder, or what --dataset takes")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--flipped", type=int, default=100)
    parser.add_argument("--duplicates", type=int, default=50)
    parser.add_argument("--corrupt", type=int, default=20)
    parser.add_argument("--model", default="resnet10d_bot")
    parser.add_argument("--img-size", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, help="a folder that the report is copied to")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["BOTZOO_CACHE"] = f"{temporary}/cache"
        folder = Path(temporary) / "data"
        files = copy(options.data, options.images, folder, rng)
        chosen = iter(rng.sample(files, options.flipped + options.duplicates + options.corrupt))

        def take(count: int) -> list[Path]:
            return [next(chosen) for _ in range(count)]

        exact, near = duplicate(take(options.duplicates), rng)
        broken = corrupt(take(options.corrupt), rng)
        flipped = flip(take(options.flipped), rng)
        report = examine(folder, options)
        if options.report is not None:
            shutil.copytree(Path(temporary) / "check", options.report)
    accuracy = report["estimate_accuracy"]
    print(f"{len(files)} images and {len(exact | near)} duplicates; accuracy of the estimate {accuracy or 0:.1%}")
    print("check             planted  found precision  recall  not planted")
    print(row("labels", flipped, found_names("labels", report)))
    print(row("duplicates", exact, found_pairs("duplicates", report)))
    print(row("near duplicates", near, found_pairs("near duplicates", report)))
    print(row("corrupt", broken, found_names("corrupt", report)))


if __name__ == "__main__":
    main()
