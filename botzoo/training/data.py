"""From encoded images to batches: decoding, two transforms, and an order that is a pure function of seed and step."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import random
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from threading import Condition, Event
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from botzoo.errors import DataError
from botzoo.training.augment import Augment
from botzoo.training.decoded import Decoded, Index, Pixels, key_of, open_decoded, path_of, writing
from botzoo.training.imbalance import ClassSampler
from botzoo.training.sources import Encoded, Split, as_file
from botzoo.tricks import paper_augment

log = logging.getLogger("botzoo")

Key = tuple[int, ...]
"""(epoch, index), or (epoch, index, turn) where an image comes several times in an epoch: all that an augmented image depends
on besides the seed."""

MAX_PIXELS = 500_000_000
"""Larger images are refused as unreadable: decoded, they would take over 1.5 GB each."""

Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns from 89 million pixels on; MAX_PIXELS takes its place


FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA")
"""What is tried, the frequent ones first; Pillow reads more, some of it by running other programs."""


def decode(encoded: Encoded) -> Image.Image:
    """Return an image as 8-bit RGB, upright as its EXIF orientation says; the first one of an animation.

    Greyscale, palette, CMYK and RGBA are converted as Pillow does; 16-bit, 32-bit and floating-point greyscale are
    scaled to 8 bits first, which Pillow clips instead.

    Raises:
        ValueError: the image is truncated, corrupt, too large or not an image; the message says which.
        MemoryError: there is no room for it now.
    """
    try:
        return _decode(encoded)
    except MemoryError as error:
        raise MemoryError("there is not memory enough to decode it") from error
    except UnidentifiedImageError as error:
        raise ValueError("it is not an image") from error
    except Exception as error:  # besides OSError, decoders raise whatever a damaged file leads them to
        raise ValueError(str(error).split("\n")[0] or type(error).__name__) from error


def _decode(encoded: Encoded) -> Image.Image:
    if isinstance(encoded, np.ndarray):
        return Image.fromarray(encoded).convert("RGB")
    image: Image.Image = Image.open(as_file(encoded), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"it has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_to_eight_bits(np.asarray(image, np.float64), image.mode))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_eight_bits(values: NDArray[np.float64], mode: str) -> Pixels:
    """Scale by the range that the mode has, or, where it could hold anything, by the one that the values suggest."""
    values = np.nan_to_num(values)
    top = values.max(initial=0)
    if mode not in ("I", "F"):
        scale = 255 / 65535
    elif mode == "F" and top <= 1:
        scale = 255
    else:
        scale = 1 if top <= 255 else 255 / 65535 if top <= 65535 else 255 / top
    return np.clip(np.round(values * scale), 0, 255).astype(np.uint8)


class Images:
    """The readable images of a split, decoded once where there is room for their pixels.

    Attributes:
        labels: int64, shape (N,), or uint8, shape (N, K); see ``Split``.
        split: the split they come from, without the images left out.
        fingerprint: SHA-256 over every encoded image and label in order, in hexadecimal.
    """

    def __init__(self, split: Split, decoded: Decoded, rows: NDArray[np.int64]) -> None:
        self.split, self.labels, self.decoded, self.rows = split, split.labels, decoded, rows
        sha = hashlib.sha256(split.labels.tobytes())
        sha.update(np.ascontiguousarray(decoded.index.digests[rows]).data)
        self.fingerprint = sha.hexdigest()

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, split: Split) -> Images:
        """Return those images that are in ``split``, which was taken from this one's."""
        return self if split is self.split else Images(split, self.decoded, self.rows[split.rows])

    @property
    def shapes(self) -> NDArray[np.int32]:
        """Height and width of each image in pixels, shape (N, 2)."""
        return self.decoded.index.shapes[self.rows]

    @property
    def cached(self) -> bool:
        """Whether decoded images are at hand, in memory or mapped from a file."""
        return self.decoded.kept

    @property
    def kept_in(self) -> str:
        """Where the pixels are, in words."""
        mapped = self.decoded.path
        return "decoded in every epoch" if not self.cached else f"decoded in {mapped.parent}" if mapped else "in memory"

    @property
    def cached_bytes(self) -> int:
        """Size of the decoded images at hand."""
        return int(3 * self.shapes.astype(np.int64).prod(1).sum()) if self.cached else 0

    def pixels(self, i: int) -> Pixels:
        """Return image i, uint8 (H, W, 3) in RGB, to be read only; where it is cached, a view."""
        if self.cached:
            return self.decoded.pixels(int(self.rows[i]))
        return np.asarray(self._decode(i))

    def image(self, i: int) -> Image.Image:
        """Return image i, decoded, RGB."""
        return Image.fromarray(self.pixels(i)) if self.cached else self._decode(i)

    def _decode(self, i: int) -> Image.Image:
        try:
            return decode(self.split.read(i))
        except (OSError, ValueError, MemoryError) as error:
            raise DataError(f"{self.split.describe(i)} can no longer be read: {_reason(error)}") from error


Progress = Callable[[Iterator[Any], int], Iterator[Any]]
"""Wraps the iterator over all images, given their number."""


def read_images(
    split: Split,
    *,
    skip_corrupt: bool = False,
    cache_bytes: int = 2 << 30,
    progress: Progress = lambda items, total: items,
    first: Callable[[Callable[[], str | None]], str | None] = lambda work: work(),
) -> tuple[Images, list[Unreadable]]:
    """Decode every image of ``split`` once, so that a broken file is found before training and not in its middle.

    What was decoded once is taken from the disk, as long as not a byte of the encoded images has changed; see
    ``botzoo.training.decoded``.

    Args:
        split: what to read.
        skip_corrupt: leave unreadable images out instead of raising.
        cache_bytes: decoded images are kept if all of them take at most so many bytes.
        progress: is told of the reading and then, where that is needed, of the decoding.
        first: does the work on one process of each machine and gives its answer to the others there.

    Returns:
        The images, and those left out.

    Raises:
        DataError: an image cannot be read and ``skip_corrupt`` is False, or none is left.
    """
    mine: list[Decoded] = []

    def work() -> str | None:
        mine.append(_decoded(split, cache_bytes, progress))
        return mine[0].path.stem if mine[0].path else None

    key = first(work)
    decoded = mine[0] if mine else (open_decoded(key) if key else None) or _decoded(split, cache_bytes, progress)
    return _readable(split, _within(decoded, cache_bytes), skip_corrupt)


class Unreadable(NamedTuple):
    """An image that cannot be read: its file or row, and why."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}"


def _readable(split: Split, decoded: Decoded, skip_corrupt: bool) -> tuple[Images, list[Unreadable]]:
    index = decoded.index
    bad = [Unreadable(split.describe(i), problem) for i, problem in sorted(index.problems.items())]
    if bad and not skip_corrupt:
        raise unreadable(bad, len(split))
    kept = np.setdiff1d(np.arange(len(split)), list(index.problems))
    if not len(kept):
        raise DataError(f"None of the {len(split)} images in the {split.name} split can be read: {bad[0]}.")
    good = split.take(kept) if bad else split
    if bad and (lost := _classes(split) - _classes(good)):
        raise DataError(f"All {split.name} images of {len(lost)} class(es) are unreadable, such as {bad[0]}.")
    return Images(good, decoded, kept), bad


def _classes(split: Split) -> set[int]:
    """Return the classes that have images."""
    return set((split.labels if split.labels.ndim == 1 else split.labels.nonzero()[1]).tolist())


def unreadable(bad: Sequence[Unreadable], total: int) -> DataError:
    """Return the error that lists the images that cannot be read."""
    more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
    return DataError(
        f"{len(bad)} of {total} images cannot be read: {'; '.join(map(str, bad[:10]))}{more}. Mend or remove them, or leave "
        "them out with --skip-corrupt."
    )


def _within(decoded: Decoded, cache_bytes: int) -> Decoded:
    """Return what was decoded without its pixels, if they are more than ``cache_bytes``."""
    return Decoded(decoded.index) if decoded.index.offsets[-1] > cache_bytes else decoded


def _decoded(split: Split, cache_bytes: int, progress: Progress) -> Decoded:
    """Return what earlier runs decoded of exactly these images, or decode them, on the disk or, failing that, in memory."""
    read = list(progress(in_order(lambda i: _digest(split, i), len(split)), len(split)))
    digests = np.frombuffer(b"".join(digest for digest, _ in read), np.uint8).reshape(-1, 32)
    problems = {i: problem for i, (_, problem) in enumerate(read) if problem}
    key = key_of(digests)
    found = open_decoded(key)
    if found is not None and (found.kept or found.index.offsets[-1] > cache_bytes):
        return Decoded(replace(found.index, problems=found.index.problems | problems), path=found.path)

    def check() -> Iterator[_Checked]:
        checked = in_order(lambda i: _check(split, i, problems.get(i)), len(split), lambda image: image.pixels.nbytes)
        return iter(progress(checked, len(split)))

    if len(split) and not isinstance(split.read(0), np.ndarray):  # else there is nothing to save
        try:
            with writing(key) as writer:
                index, kept = _decode_all(check(), cache_bytes, writer.add)
                writer.finish(index, keep=kept)
            return Decoded(index, path=writer.path)
        except OSError as error:
            log.warning(
                "Decoded images are held in memory: they cannot be kept in %s (%s).", path_of(key).parent, error
            )
    pixels: list[Pixels] = []
    index, kept = _decode_all(check(), cache_bytes, pixels.append)
    return Decoded(index, pixels if kept else None)


class _Checked(NamedTuple):
    """An image that was decoded: the SHA-256 of what it was decoded from, its pixels or none, and what is wrong with it."""

    digest: bytes
    pixels: Pixels
    problem: str | None


def _decode_all(checked: Iterator[_Checked], cache_bytes: int, keep: Callable[[Pixels], None]) -> tuple[Index, bool]:
    """Give the pixels of each image to ``keep`` while they are within ``cache_bytes``; return the index and if all were."""
    left, digests, shapes, problems = cache_bytes, bytearray(), [], {}
    for i, (digest, pixels, problem) in enumerate(checked):
        digests += digest
        shapes.append(pixels.shape[:2])
        left -= pixels.nbytes
        if problem:
            problems[i] = problem
        if left >= 0:
            keep(pixels)
    encoded = np.frombuffer(bytes(digests), np.uint8).reshape(-1, 32)
    return Index(encoded, np.array(shapes, np.int32).reshape(-1, 2), problems), left >= 0


T = TypeVar("T")


AHEAD_BYTES = 512 << 20
"""Decoded images that may be held before their turn has come, apart from the one that each thread is at work on."""


class _Ahead:
    """Room for results that have to wait for their turn; whose turn it is needs none, so that the others move up."""

    def __init__(self, room: int) -> None:
        self.room, self.turn, self._changed = room, 0, Condition()

    def wait(self, chunk: int) -> None:
        """Wait until there is room, or it is the turn of ``chunk``."""
        with self._changed:
            self._changed.wait_for(lambda: self.room > 0 or self.turn >= chunk)

    def move(self, held: int, turn: int = 0) -> None:
        """Note that so many bytes more are held, and whose turn it is, counting on."""
        with self._changed:
            self.room -= held
            self.turn += turn
            self._changed.notify_all()


def in_order(
    work: Callable[[int], T], count: int, size: Callable[[T], int] = lambda result: 0, *, patient: bool = True
) -> Iterator[T]:
    """Yield the result for each image in order, without Pillow's warnings of oddities that can be read all the same.

    Threads work ahead, but not far: what they have ready is held in memory, ``size`` bytes of it for each result. Where the
    results are no longer wanted, the images at work are waited for if ``patient``.
    """
    ahead, ended = _Ahead(AHEAD_BYTES), Event()

    def chunk(number: int) -> list[T]:
        results = []
        for i in range(8 * number, min(8 * number + 8, count)):
            ahead.wait(number)
            if ended.is_set():
                break
            results.append(work(i))
            ahead.move(size(results[-1]))
        return results

    threads = min(16, cores(shared=False))
    pool = ThreadPoolExecutor(threads)
    ready: deque[Future[list[T]]] = deque()

    def next_chunk() -> list[T]:
        results = ready.popleft().result()
        ahead.move(-sum(map(size, results)), turn=1)
        return results

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            for number in range(math.ceil(count / 8)):
                ready.append(pool.submit(chunk, number))
                if len(ready) > 2 * threads:
                    yield from next_chunk()
            while ready:
                yield from next_chunk()
    finally:
        ended.set()
        ahead.move(0, turn=count)  # none waits any longer
        pool.shutdown(wait=patient, cancel_futures=True)


def cores(*, shared: bool = True) -> int:
    """Return how many processors a training process may use, at least 1; with ``shared`` its share of the machine's."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) if shared else usable


NO_DIGEST = bytes(32)
"""In place of the SHA-256 of an image whose bytes cannot be blamed: nothing that is kept under it is ever taken for theirs."""


def _digest(split: Split, i: int) -> tuple[bytes, str | None]:
    """Return the SHA-256 of an encoded image and None, or zeros and why there is none."""
    try:
        raw = _raw(split, i)
    except (OSError, MemoryError) as error:
        return NO_DIGEST, _reason(error)
    if isinstance(raw, bytes) and not raw:
        return NO_DIGEST, "it is empty (0 bytes)"
    return _sha256(raw), None


def _check(split: Split, i: int, problem: str | None) -> _Checked:
    """Decode an image, unless there is a problem already; the digest is of the bytes read now, which may be others."""
    digest, pixels = NO_DIGEST, np.empty((0, 0, 3), np.uint8)
    try:
        if not problem:
            raw = _raw(split, i)
            digest = _sha256(raw)
            pixels = np.asarray(decode(raw))
    except (OSError, MemoryError) as error:
        digest, problem = NO_DIGEST, _reason(error)
    except ValueError as error:
        problem = str(error)
    return _Checked(digest, pixels, problem)


def _raw(split: Split, i: int) -> bytes | Pixels:
    encoded = split.read(i)
    return encoded.read_bytes() if isinstance(encoded, Path) else encoded


def _sha256(raw: bytes | Pixels) -> bytes:
    return hashlib.sha256(raw if isinstance(raw, bytes) else raw.tobytes()).digest()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or "there is not memory enough for it"


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the network's input; the same values stand in config.json.

    Attributes:
        size: side of the square input in pixels.
        mean, std: of each RGB channel, on the scale 0..1.
        crop_pct: share of the resized image that the centre crop of evaluation keeps, in (0, 1].
        interpolation: "bilinear" or "bicubic".
        crop_mode: how evaluation crops, as timm names it.
        fixed_size: whether the network takes images of this size only.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float
    interpolation: str
    crop_mode: str = "center"
    fixed_size: bool = False

    def train_size(self, scale: float) -> int:
        """Return the side of training crops: ``scale`` times the input's, to the nearest 32 pixels, 16 if it is below 128."""
        if self.fixed_size or scale == 1:
            return self.size
        multiple = 32 if self.size >= 128 else 16
        return max(multiple, int(self.size * scale / multiple + 0.5) * multiple)

    def normalise(self, images: Tensor) -> Tensor:
        """Return ``(images / 255 - mean) / std``: uint8 (N, 3, H, W) to float32 of the same shape and memory format."""
        width = images.shape[-1]
        mean, std = _on_device(self.mean, width, images.device), _on_device(self.std, width, images.device)
        return images.float().sub_(mean).div_(std)


@cache
def _on_device(values: tuple[float, ...], width: int, device: torch.device) -> Tensor:
    """Return values of each channel, on the scale 0..1, for pixels of 0..255: float32, shape (1, C, 1, W).

    A whole row of pixels is worked on at once then, where three numbers would be beside a (1, C, 1, 1).
    """
    with torch.inference_mode(False):  # an evaluation may come first, and what is made in it is of no use to training
        row = (torch.tensor(values).view(1, -1, 1, 1) * 255).expand(-1, -1, -1, width)
        return row.contiguous(memory_format=torch.channels_last).to(device)


class TrainTransform:
    """Random resized crop, horizontal flip and what ``augment`` adds, drawn from (seed, epoch, index) alone.

    Args:
        size: side of the square result in pixels.
        interpolation: "bilinear" or "bicubic".
        crop_min: smallest area of the crop as a share of the image, in (0, 1]. With 1 the whole image is resized.
        hflip: probability of a flip.
        seed: the run's seed.
        paper: crop with the paper's aspect ratios and draw its colours, which the training device applies to batches.
        augment: what else is done to the pixels, given a seed of theirs.
    """

    def __init__(
        self,
        size: int,
        interpolation: str,
        crop_min: float,
        hflip: float,
        seed: int,
        *,
        paper: bool = False,
        augment: Augment | None = None,
    ) -> None:
        self.size, self.crop_min, self.hflip, self.seed = size, crop_min, hflip, seed
        self.paper, self.augment = paper, augment
        self.aspect_ratio = paper_augment.aspect_ratio if paper else log_uniform_aspect_ratio
        self.resample = Image.Resampling[interpolation.upper()]

    def __call__(self, image: Image.Image, key: Key) -> Pixels:
        """Return uint8 pixels of shape (size, size, 3)."""
        rng = self._rng(key, 0)
        box = random_crop_box(rng, image.width, image.height, self.crop_min, self.aspect_ratio)
        pixels: Pixels = np.asarray(image.resize((self.size, self.size), self.resample, box=box))
        if rng.random() < self.hflip:
            pixels = pixels[:, ::-1]
        return pixels if self.augment is None else self.augment(pixels, rng.getrandbits(63))

    def colour(self, key: Key) -> tuple[float, ...]:
        """Return the six colour parameters of ``paper_augment`` for an image, none where it is off."""
        return paper_augment.draw_colour(self._rng(key, 1)) if self.paper else ()

    def _rng(self, key: Key, stream: int) -> random.Random:
        epoch, index, *turn = key
        again = turn[0] if turn else 0
        return random.Random((again << 129) | (stream << 128) | (self.seed << 96) | (epoch << 64) | index)


def log_uniform_aspect_ratio(rng: random.Random) -> float:
    """Draw the width of a crop over its height, log-uniform in [3/4, 4/3], as torchvision's RandomResizedCrop does."""
    bound = math.log(4 / 3)
    return math.exp(rng.uniform(-bound, bound))


def random_crop_box(
    rng: random.Random,
    width: int,
    height: int,
    crop_min: float,
    aspect_ratio: Callable[[random.Random], float] = log_uniform_aspect_ratio,
) -> tuple[int, int, int, int]:
    """Return (left, upper, right, lower) of a crop with area U[crop_min, 1] and an aspect ratio drawn from [3/4, 4/3].

    Ten tries, then the largest centred crop within those ratios, as torchvision does.
    """
    if crop_min >= 1:
        return 0, 0, width, height
    for _ in range(10):
        area = width * height * rng.uniform(crop_min, 1)
        ratio = aspect_ratio(rng)
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = rng.randint(0, width - w), rng.randint(0, height - h)
            return left, top, left + w, top + h
    w, h = max(1, min(width, round(height * 4 / 3))), max(1, min(height, round(width * 4 / 3)))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


class EvalTransform:
    """timm's own evaluation transform up to uint8, so that our figures are those of timm and transformers."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        from timm.data.transforms_factory import create_transform

        p = preprocessing
        self.transform = create_transform(
            (3, p.size, p.size),
            interpolation=p.interpolation,
            crop_pct=p.crop_pct,
            crop_mode=p.crop_mode,
            use_prefetcher=True,
        )
        self.crops_centre = p.crop_mode == "center"

    def __call__(self, image: Image.Image, key: Key) -> Pixels:
        """Return uint8 pixels of shape (size, size, 3)."""
        if self.crops_centre:
            image = _without_far_ends(image)
        chw: Pixels = np.asarray(self.transform(image))
        return chw.transpose(1, 2, 0)

    def colour(self, key: Key) -> tuple[float, ...]:
        """Return no parameters: colours stay as they are."""
        return ()


def middle_box(width: int, height: int, ratio: int = 8) -> tuple[int, int, int, int]:
    """Return (left, upper, right, lower) of the middle of an image, at most ``ratio`` times as long as its shorter side.

    Only a square of it is kept after resizing, and resizing a line of 1 x 20,000 pixels whole takes gigabytes.
    """
    w, h = min(width, ratio * height), min(height, ratio * width)
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def _without_far_ends(image: Image.Image) -> Image.Image:
    box = middle_box(*image.size)
    return image if box == (0, 0, *image.size) else image.crop(box)


Row = tuple[Pixels, Any, tuple[float, ...]]
"""Pixels, label (or 0 or 1 for each label) and colour parameters, if any, of an image."""

Batch = tuple[Tensor, ...]
"""Images uint8 (N, 3, H, W), labels int64 (N,) or uint8 (N, K), and, with paper_augment, colour parameters float32 (N, 6)."""


class Transform(Protocol):
    """Makes an image of a data set into pixels of one size; what is random in it follows from the key."""

    def __call__(self, image: Image.Image, key: Key) -> Pixels:
        """Return uint8 pixels of shape (size, size, 3)."""

    def colour(self, key: Key) -> tuple[float, ...]:
        """Return the six colour parameters of ``paper_augment``, or none."""


class ProgressiveResizing:
    """One transform for the first epochs and another, of larger or smaller images, from then on.

    Args:
        first: transform of the first epochs.
        epochs: how many they are; of streamed images, how many passes over them.
        then: transform of the others.
    """

    def __init__(self, first: Transform, epochs: int, then: Transform) -> None:
        self.first, self.epochs, self.then = first, epochs, then

    def __call__(self, image: Image.Image, key: Key) -> Pixels:
        """Return uint8 pixels of shape (size, size, 3), with the size of the key's epoch."""
        return self._of(key)(image, key)

    def colour(self, key: Key) -> tuple[float, ...]:
        """Return what the transform of the key's epoch returns."""
        return self._of(key).colour(key)

    def _of(self, key: Key) -> Transform:
        return self.first if key[0] < self.epochs else self.then


class _Keyed(Dataset[Row]):
    """Images behind a transform, addressed by (epoch, index)."""

    def __init__(self, images: Images, transform: Transform) -> None:
        self.images, self.transform = images, transform

    def __getitem__(self, key: Key) -> Row:
        index = key[1]
        pixels = self.transform(self.images.image(index), key)
        return pixels, self.images.labels[index], self.transform.colour(key)


def collate(rows: Sequence[Row]) -> Batch:
    """Return a batch; its images have the channels last in memory."""
    pixels, labels, colours = zip(*rows, strict=True)
    batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), torch.from_numpy(np.array(labels))
    return (*batch, torch.tensor(colours)) if any(colours) else batch


@dataclass(frozen=True)
class Order:
    """Which images each process sees at which step, as a pure function of the seed.

    The global batch of a step does not depend on the number of processes: process r of W takes every W-th image of it
    from the r-th on, in ``accumulate`` micro-batches. The images that do not fill a last batch are left out of that
    epoch. Every image comes once in an epoch, unless a ``sampler`` draws them by their classes.

    Attributes:
        images: number of training images, >= batch_size.
        batch_size: images in a global batch, a multiple of world_size * accumulate.
        seed: the run's seed.
        rank, world_size: this process and how many there are.
        accumulate: micro-batches of a process in a step.
        sampler: draws the images of each epoch, None where each comes once.
    """

    images: int
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1
    accumulate: int = 1
    sampler: ClassSampler | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        return self.images // self.batch_size

    @property
    def micro_batch(self) -> int:
        """Images of a process in one forward pass."""
        return self.batch_size // (self.world_size * self.accumulate)

    def global_batch(self, step: int) -> list[Key]:
        """Return the keys of all images of optimizer step ``step``, counted from 0 over all epochs."""
        epoch, k = divmod(step, self.steps_per_epoch)
        batch = slice(k * self.batch_size, (k + 1) * self.batch_size)
        if self.sampler is not None:
            return [(epoch, i, turn) for i, turn in self.sampler.epoch(self.seed, epoch)[batch]]
        return [(epoch, i) for i in _permutation(self.images, self.seed, epoch)[batch]]

    def micro_batches(self, step: int) -> list[list[Key]]:
        """Return the keys of this process at ``step``, one list for each micro-batch."""
        mine = self.global_batch(step)[self.rank :: self.world_size]
        size = len(mine) // self.accumulate
        return [mine[i : i + size] for i in range(0, len(mine), size)]


_last_permutation: dict[tuple[int, int, int], list[int]] = {}


def _permutation(images: int, seed: int, epoch: int) -> list[int]:
    key = (images, seed, epoch)
    if key not in _last_permutation:
        _last_permutation.clear()
        _last_permutation[key] = np.random.default_rng((seed, epoch)).permutation(images).tolist()
    return _last_permutation[key]


class _Batches(Sampler[list[Key]]):
    """The micro-batches of the steps [first, last), for torch's DataLoader."""

    def __init__(self, order: Order, first: int, last: int) -> None:
        self.order, self.first, self.last = order, first, last

    def __iter__(self) -> Iterator[list[Key]]:
        for step in range(self.first, self.last):
            yield from self.order.micro_batches(step)


def share(images: int, rank: int, world_size: int) -> range:
    """Return which images of a split process ``rank`` evaluates: the rank-th of W parts, all but equal in size."""
    return range(images * rank // world_size, images * (rank + 1) // world_size)


class _Slice(Sampler[list[Key]]):
    """The images of a process, once, in batches."""

    def __init__(self, images: int, batch_size: int, rank: int, world_size: int) -> None:
        indices = share(images, rank, world_size)
        self.batches: list[list[Key]] = [
            [(0, i) for i in indices[k : k + batch_size]] for k in range(0, len(indices), batch_size)
        ]

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)


def _set_up_worker(worker: int) -> None:
    """Leave Ctrl-C and SIGTERM to the training process, which writes a checkpoint and then ends its workers."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal or a scheduler signals the whole group
        signal.signal(number, signal.SIG_IGN)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    torch.set_num_threads(1)


def train_batches(
    images: Images, transform: Transform, order: Order, first: int, last: int, *, workers: int, pin: bool
) -> Iterator[list[Batch]]:
    """Yield this process's micro-batches of each step of [first, last)."""
    loader = make_loader(_Keyed(images, transform), _Batches(order, first, last), collate, workers, pin)
    batches = iter(loader)
    for _ in range(first, last):
        try:
            yield [next(batches) for _ in range(order.accumulate)]
        except DataError as error:  # from a worker it comes with the worker's traceback in front
            raise DataError(str(error).strip().splitlines()[-1].removeprefix("botzoo.errors.DataError: ")) from error


def eval_batches(
    images: Images, transform: Transform, batch_size: int, *, rank: int, world_size: int, workers: int, pin: bool
) -> Iterator[Batch]:
    """Yield this process's share of the images in order, each exactly once over any number of processes."""
    batches = _Slice(len(images), batch_size, rank, world_size)
    yield from make_loader(_Keyed(images, transform), batches, collate, workers, pin)


def make_loader(
    dataset: Dataset[Any],
    batches: Sampler[list[Any]],
    collate: Callable[[list[Any]], Any],
    workers: int,
    pin: bool,
) -> DataLoader[Any]:
    """Return torch's loader: ``dataset[row]`` for the rows of each batch, put together by ``collate``, in worker processes."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_set_up_worker,
        # Forked workers share the images in memory; started otherwise, each would be sent a copy.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        prefetch_factor=4 if workers else None,
    )
