"""Photos of 12 megapixels at the speed of small ones: time as ratios within one run, and accuracy against full resolution.

    python tests/benchmarks/photos.py --photos FOLDER                # of JPEGs, read at any depth; a hundred are used
    python tests/benchmarks/photos.py --accuracy FOLDER [FOLDER ...]  # of class folders

The photos are enlarged to a shorter side of 3000 pixels and reduced to one of 256, and written as JPEGs into a temporary
folder. Times are of the processor, in one thread, the median of the rounds, which take turns; so other work on the machine
changes them little.

- second epoch: crops of 224 px of the kept large photos against those of the kept small ones, with the crops of a short run
  (from 70 % on) and of a long one (from 35 % on). 1 is the aim.
- start: reading, hashing and checking a photo as it is by its header, against decoding it too. No aim is set.
- first pass: decoding and reducing a large photo against decoding it whole with Pillow. 0.33 is the aim.
- images a second, decoded in every epoch: our decoding and crop against the data set classes of timm and fastai with their
  random resized crop, on the photos as they are. They are decoded from the files, by TorchCodec if it is there and by Pillow,
  and from smaller copies. What is not installed is left out. 1.4 is the aim.
- copies: decoding a smaller copy of a large photo and taking a crop of it, against the same with the photo itself; and
  what the copies take of the pixels' bytes. No aim is set.
- accuracy: top-1 of a network of --side px trained on reduced images less that of the same training on whole ones, paired by
  seed, with --copies on smaller copies of them. Each run is evaluated as it trains. The side is so small that the images are
  really reduced.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image

from botzoo.data.decode import decode
from botzoo.data.images import Images, _look, decode_smaller, read_images
from botzoo.data.transforms import TrainTransform
from botzoo.models.preprocessing import PLAIN, Decoding, Preprocessing
from botzoo.pixels import jpeg
from botzoo.sources.base import Files, Split

SIZE, CROP_MIN, SHORT_CROP_MIN = 224, 0.35, 0.7
PREPARED = Preprocessing(SIZE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.875, "bicubic")
HOW = Decoding(side=PREPARED.needed_side(SIZE, CROP_MIN))
EVERY_EPOCH = Decoding(side=PREPARED.needed_side(SIZE, CROP_MIN, smallest=True))
COPIES_BYTES = 1 << 30


def seconds(work: Callable[[], object]) -> float:
    """Return the processor's time for ``work``."""
    began = time.process_time()
    work()
    return time.process_time() - began


def by_turns(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Return the median time of each of ``works``, which take turns, after one round that does not count."""
    measured = [[seconds(work) for work in works] for _ in range(rounds + 1)][1:]
    return [statistics.median(times) for times in zip(*measured, strict=True)]


def resized(files: Sequence[Path], side: int, folder: Path) -> Split:
    """Write photos with a shorter side of ``side`` pixels."""
    folder.mkdir()
    for i, file in enumerate(files):
        image = Image.open(file).convert("RGB")
        width, height = (round(length * side / min(image.size)) for length in image.size)
        image.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=88)
    return split_of([folder / f"{i}.jpg" for i in range(len(files))])


def split_of(files: Sequence[Path]) -> Split:
    paths = Files([str(file) for file in files])
    return Split("train", np.zeros(len(files), np.int64), paths.read, paths.describe)


def epoch(images: Images, crop_min: float = CROP_MIN) -> None:
    """Make a crop of each image, as a training process does."""
    transform = TrainTransform(SIZE, "bicubic", crop_min, 0.5, 0)
    for i in range(len(images)):
        with images.at_hand(i) as picture:
            transform(picture, (0, i))


def times(folder: Path, rounds: int) -> None:
    """Print the ratios of times."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg"))[:100]
    with tempfile.TemporaryDirectory() as place:
        large, small = (resized(files, side, Path(place, str(side))) for side in (3000, 256))
        few = [Path(str(large.read(i))) for i in range(0, len(large), 5)]
        for crop_min in (SHORT_CROP_MIN, CROP_MIN):
            how = Decoding(side=PREPARED.needed_side(SIZE, crop_min))
            second_epoch(rounds, crop_min, *(read_images(split, how)[0] for split in (large, small)))
        ours, theirs = by_turns(
            rounds,
            lambda: [decode(file, HOW) for file in few],
            lambda: [Image.open(file).convert("RGB") for file in few],
        )
        print(f"first pass, a large photo against Pillow's whole decoding: {ours / theirs:.2f}", flush=True)
        copied_photos(rounds, split_of(few))
    as_they_are = split_of(files)
    ours, theirs = by_turns(
        rounds,
        lambda: [_look(as_they_are, i, HOW, by_header=True) for i in range(len(files))],
        lambda: [_look(as_they_are, i, HOW) for i in range(len(files))],
    )
    print(f"start, by the header against decoding: {ours / theirs:.2f} ({1000 * ours / len(files):.2f} ms a photo)")
    every_epoch = EVERY_EPOCH if decode_smaller(as_they_are, EVERY_EPOCH) else PLAIN  # as a run chooses it
    again, _ = read_images(as_they_are, every_epoch, cache_bytes=0)
    copies, _ = read_images(as_they_are, HOW, cache_bytes=COPIES_BYTES, copies=True)
    ways = {"TorchCodec": again, "copies": copies} if jpeg.fast_decoder() else {"copies": copies}
    for name, make in {"timm": timm_data, "fastai": fastai_data}.items():
        if importlib.util.find_spec(name) is None:
            print(f"images a second against {name}: left out, it is not installed")
            continue
        read = make(files)

        def read_all(read: Callable[[int], Any] = read) -> list[Any]:
            return [read(i) for i in range(len(files))]

        works = [partial(epoch, images) for images in ways.values()]
        *ours_by_way, pillow, theirs = by_turns(rounds, *works, lambda: by_pillow(partial(epoch, again)), read_all)
        for way, ours in zip([*ways, "Pillow"], [*ours_by_way, pillow], strict=True):
            rate = f"{len(files) / ours:.0f} against {len(files) / theirs:.0f}"
            print(f"images a second of a core, {way}, against {name}: {theirs / ours:.2f} ({rate})", flush=True)


def by_pillow(work: Callable[[], object]) -> None:
    """Do ``work`` as without TorchCodec."""
    with mock.patch.object(jpeg, "fast_decoder", return_value=None):
        work()


def copied_photos(rounds: int, large: Split) -> None:
    """Print the ratios of times and bytes of smaller copies to those of large photos, decoded and kept as pixels."""
    copies, _ = read_images(large, HOW, cache_bytes=COPIES_BYTES, copies=True)
    files, _ = read_images(large, HOW, cache_bytes=0)
    pixels = 3 * int(files.shapes.astype(int).prod(1).sum())
    ours, theirs = by_turns(rounds, lambda: epoch(copies), lambda: epoch(files))
    each = f"{1000 * ours / len(large):.2f} against {1000 * theirs / len(large):.2f} ms a photo"
    size = f"{copies.cached_bytes / pixels:.2f} of the pixels' bytes"
    print(f"a copy of a large photo against the photo: {ours / theirs:.2f} ({each}), {size}", flush=True)


def second_epoch(rounds: int, crop_min: float, large: Images, small: Images) -> None:
    """Print the ratio of the times of one epoch on kept photos."""
    ours, theirs = by_turns(rounds, lambda: epoch(large, crop_min), lambda: epoch(small, crop_min))
    each = f"{1000 * ours / len(large):.2f} against {1000 * theirs / len(small):.2f} ms a photo"
    print(f"second epoch, crops from {crop_min:.0%} on, large against small photos: {ours / theirs:.2f} ({each})")


def timm_data(files: Sequence[Path]) -> Callable[[int], Any]:
    """Return what reads and crops a photo with timm."""
    from timm.data import ImageDataset, create_transform

    how: dict[str, Any] = {"scale": (CROP_MIN, 1), "color_jitter": None, "interpolation": "bicubic"}
    transform = create_transform(SIZE, is_training=True, use_prefetcher=True, **how)
    data = ImageDataset(str(files[0].parent), transform=transform)
    return data.__getitem__


def fastai_data(files: Sequence[Path]) -> Callable[[int], Any]:
    """Return what reads and crops a photo with fastai."""
    from fastai.vision.all import PILImage, Pipeline, RandomResizedCrop, ToTensor  # type: ignore[import-not-found]

    read = Pipeline([PILImage.create, RandomResizedCrop(SIZE, min_scale=CROP_MIN), ToTensor()])
    return lambda i: read(files[i])


def accuracy(folders: Sequence[str], seeds: int, side: int, copies: str) -> None:
    """Print the differences of top-1, in percentage points."""
    from botzoo_finetune import finetune

    for folder in folders:
        differences = []
        for seed in range(seeds):
            top1 = []
            for data_side in (None, 0):
                with tempfile.TemporaryDirectory() as place:
                    options: dict[str, Any] = {
                        "img_size": side,
                        "epochs": 5,
                        "data__side": data_side,
                        "data__crop_min": CROP_MIN,
                        "data__copies": copies,
                    }
                    run = finetune(folder, model="resnet10d_bot", seed=seed, output=str(Path(place, "run")), **options)
                    top1.append(run.record.evaluation.top1)
            differences.append(top1[0] - top1[1])
            print(f"{folder}, seed {seed}: {top1[0]:.2f} of reduced, {top1[1]:.2f} of whole images", flush=True)
        mean, spread = statistics.mean(differences), statistics.stdev(differences)
        print(f"{folder}: {mean:+.2f} points, n = {seeds}, standard error {spread / seeds**0.5:.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--accuracy", nargs="+", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--copies", action="store_const", const="always", default="never")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.photos is not None:
        times(given.photos, given.rounds)
    accuracy(given.accuracy, given.seeds, given.side, given.copies)
