"""From a decoded image to pixels of one size, in training and in evaluation.

An image of w x h pixels fits an input of W x H in one of three ways, which timm and transformers know as crop modes. In
evaluation, with c for crop_pct:

- center (``--data.fit crop``): it is resized by max(W / w, H / h) / c, both sides alike, and the middle is cut out.
- squash: its width is resized by W / w and its height by H / h, over c, and the middle is cut out; with c = 1 that is all.
- border (``--data.fit pad``): it is resized by min(W / w, H / h) / c; what is missing then gets the mean colour.

In training a part of the same frame is resized to W x H: of the image itself, and for border of the smallest box of the
input's shape around it, fw x fh = max(w, h W / H) x max(h, w H / W). The part has a share a of the frame's area, and
width over height r k: r is drawn near 1, and k is what evaluation resizes to the input's shape without cutting it, W / H
or, squashed, w / h. So r is how much longer things look than in evaluation, whatever the shape of the image. For square
images and a square input k = 1, and the three ways are one.
"""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from botzoo.data.augment import Augment, make_augment
from botzoo.data.decoded import Pixels
from botzoo.errors import DataError, printable
from botzoo.models.preprocessing import Preprocessing, Side, Size
from botzoo.options.config import AugmentConfig
from botzoo.pixels.bands import AtHand, Bands, Picture, each_band, picture_of, pixels_of, size_at_hand
from botzoo.pixels.resizing import part
from botzoo.tricks import paper_augment

Key = tuple[int, ...]
"""(epoch, index), or (epoch, index, turn) where an image comes several times in an epoch: all that an augmented image depends
on besides the seed."""

Box = tuple[int, int, int, int]
"""Left, upper, right and lower of a part of an image, in pixels."""

AspectRatio = Callable[[random.Random], float]
"""Draws the width of a crop over its height."""


Row = tuple[Pixels, Any, tuple[float, ...]]
"""Pixels, target (a label, or 0 or 1 for each label, or as the task has it) and numbers, if any, of an image."""


class Transform(Protocol):
    """Makes an image of a data set into pixels of one size; what is random in it follows from the key."""

    def __call__(self, image: AtHand, key: Key) -> Pixels:
        """Return uint8 pixels of shape (H, W, C), the same for all images."""

    def colour(self, key: Key) -> tuple[float, ...]:
        """Return the six colour parameters of ``paper_augment``, or none: colours stay as they are."""
        return ()

    def pair(self, image: AtHand, target: Any, key: Key) -> Row:
        """Return an image with its target, which moves with the pixels where it says where things are.

        The numbers are the third tensor of a batch: here the colour parameters.
        """
        return self(image, key), target, self.colour(key)

    def stack(self, targets: Sequence[Any]) -> NDArray[Any]:
        """Return the targets of a batch as one array, whose first axis counts the images."""
        return np.array(targets)


@dataclass(frozen=True)
class Prepared:
    """What a training transform is made of.

    Attributes:
        size: of the result in pixels.
        preprocessing: how evaluation prepares images.
        crop_min: smallest area of the crop as a share of the image, in (0, 1].
        hflip: probability of a flip.
        seed: of the run.
        augment: what else is done to the pixels.
        paper: whether crop and colour are those of the paper.
        scales: sides of a picture as shares of those in evaluation, drawn between these two; where a target moves along.
    """

    size: Size
    preprocessing: Preprocessing
    crop_min: float = 1.0
    hflip: float = 0.0
    seed: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    paper: bool = False
    scales: tuple[float, float] = (1.0, 1.0)

    @property
    def augmentation(self) -> Augment | None:
        """What is done to the pixels besides crop and flip."""
        return make_augment(self.augment, min(self.size), self.preprocessing.mean)

    @property
    def train_transform(self) -> TrainTransform:
        """Crop, flip and augmentation of images whose target does not move."""
        p = self.preprocessing
        return TrainTransform(
            self.size.side,
            p.interpolation,
            self.crop_min,
            self.hflip,
            self.seed,
            paper=self.paper,
            augment=self.augmentation,
            crop_mode=p.crop_mode,
            fill=p.fill,
        )


class TrainTransform(Transform):
    """Random resized crop, horizontal flip and what ``augment`` adds, drawn from (seed, epoch, index) alone.

    Args:
        size: of the result in pixels.
        interpolation: "bilinear" or "bicubic".
        crop_min: smallest area of the crop as a share of the image, or of the box that it is padded to, in (0, 1]. With 1
            the whole image is resized, and squashed unless it is padded.
        hflip: probability of a flip.
        paper: crop with the paper's aspect ratios and draw its colours, which the training device applies to batches.
        augment: what else is done to the pixels, given a seed of theirs.
        crop_mode: how evaluation makes images fit: "center", "squash" or "border".
        fill: colour of what is padded, a value from 0 to 255 for each of the C channels.
    """

    def __init__(
        self,
        size: Side,
        interpolation: str,
        crop_min: float,
        hflip: float,
        seed: int,
        *,
        paper: bool = False,
        augment: Augment | None = None,
        crop_mode: str = "center",
        fill: Sequence[int] = (0, 0, 0),
    ) -> None:
        self.size, self.crop_min, self.hflip, self.seed = Size.of(size), crop_min, hflip, seed
        self.paper, self.augment, self.crop_mode, self.fill = paper, augment, crop_mode, tuple(fill)
        self.aspect_ratio = paper_augment.aspect_ratio if paper else log_uniform_aspect_ratio
        self.resample = Image.Resampling[interpolation.upper()]

    def __call__(self, image: AtHand, key: Key) -> Pixels:
        rng = rng_of(self.seed, key, 0)
        width, height = size_at_hand(image)
        frame = frame_of(width, height, self.size, self.crop_mode)
        box = random_crop_box(rng, width, height, self.crop_min, self.aspect_ratio, frame)
        pixels = resized(image, box, self.size, self.resample, self.fill)
        if rng.random() < self.hflip:
            pixels = pixels[:, ::-1]
        return pixels if self.augment is None else self.augment(pixels, rng.getrandbits(63))

    def colour(self, key: Key) -> tuple[float, ...]:
        return paper_augment.draw_colour(rng_of(self.seed, key, 1)) if self.paper else ()


def rng_of(seed: int, key: Key, stream: int) -> random.Random:
    """Return the numbers that an image of a key is augmented by, in one of two streams, 0 or 1."""
    epoch, index, turn = (*key, 0)[:3]  # the first time that an image comes is turn 0, with a sampler or without
    return random.Random((turn << 129) | (stream << 128) | (seed << 96) | (epoch << 64) | index)


def log_uniform_aspect_ratio(rng: random.Random) -> float:
    """Draw the width of a crop over its height, log-uniform in [3/4, 4/3], as torchvision's RandomResizedCrop does."""
    bound = math.log(4 / 3)
    return math.exp(rng.uniform(-bound, bound))


class Frame(NamedTuple):
    """What crops are taken of: a box around the middle of an image, in its pixels, no smaller than the image."""

    width: int
    height: int
    ratio: float  # width over height of crops that look as in evaluation, k above


def frame_of(width: int, height: int, size: Size, crop_mode: str) -> Frame:
    """Return the frame of an image of ``width`` x ``height`` pixels that is to fit ``size``."""
    if crop_mode == "squash":
        return Frame(width, height, width / height)
    ratio = size.width / size.height
    if crop_mode == "border":
        return Frame(max(width, round(height * ratio)), max(height, round(width / ratio)), ratio)
    return Frame(width, height, ratio)


def random_crop_box(
    rng: random.Random,
    width: int,
    height: int,
    crop_min: float,
    aspect_ratio: AspectRatio = log_uniform_aspect_ratio,
    frame: Frame | None = None,
) -> Box:
    """Return the box of a crop with area U[crop_min, 1] and an aspect ratio drawn from [3/4, 4/3], both of the ``frame``.

    Ten tries, then the largest centred crop within those ratios, as torchvision does. By default the frame is the image.
    """
    full_width, full_height, k = frame or Frame(width, height, 1.0)
    if crop_min >= 1:
        return _centred(width, height, full_width, full_height)
    for _ in range(10):  # the box drawn may be longer than one side of the frame
        area = full_width * full_height * rng.uniform(crop_min, 1)
        ratio = aspect_ratio(rng) * k
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= full_width and 0 < h <= full_height:
            left, top = _drawn(rng, width, w, full_width), _drawn(rng, height, h, full_height)
            return left, top, left + w, top + h
    w, h = round(full_height * 4 / 3 * k), round(full_width * 4 / 3 / k)
    return _centred(width, height, max(1, min(full_width, w)), max(1, min(full_height, h)))


def _drawn(rng: random.Random, whole: int, part: int, full: int) -> int:
    """Draw where a crop of ``part`` pixels begins along an image of ``whole`` in the middle of a frame of ``full``.

    Where it is longer than the image it has all of it, else it lies within: a crop of mere padding teaches nothing.
    """
    before = (full - whole) // 2
    first, last = min(0, whole - part), max(0, whole - part)
    return rng.randint(max(first, -before), min(last, full - before - part))


def resized(image: AtHand, box: Box, size: Size, resample: Image.Resampling, fill: tuple[int, ...]) -> Pixels:
    """Return what is in ``box``, resized to ``size``; what of it lies outside of the image gets the colour ``fill``."""
    width, height = size_at_hand(image)
    left, top, right, lower = box
    inside = max(0, left), max(0, top), min(width, right), min(height, lower)
    if inside == box:
        return resized_part(image, box, (size.width, size.height), resample)
    w, x = _placed(inside[0] - left, inside[2] - inside[0], right - left, size.width)
    h, y = _placed(inside[1] - top, inside[3] - inside[1], lower - top, size.height)
    found = resized_part(image, inside, (w, h), resample)
    canvas = np.empty((*size, found.shape[2]), np.uint8)
    canvas[:] = fill[: found.shape[2]]
    canvas[y : y + h, x : x + w] = found
    return canvas


def resized_part(image: AtHand, box: Box, size: tuple[int, int], resample: Image.Resampling) -> Pixels:
    """Return what is in ``box``, all of which lies in the image, resized to ``size``, width and height."""
    # Small images come as Pillow makes them, which takes little time; so results on such data sets stay what they were.
    if math.prod(size_at_hand(image)) <= math.prod(size):
        return each_band(picture_of(image), lambda band, _: band.resize(size, resample, box=box))
    return part(image, box, size, resample)


def _placed(before: int, length: int, full: int, side: int) -> tuple[int, int]:
    """Return how long ``length`` of ``full`` pixels get on a ``side``, and where they begin after so many ``before``."""
    scaled = max(1, round(length * side / full))
    return scaled, before * (side - scaled) // (full - length) if full > length else 0


class EvalTransform(Transform):
    """timm's own evaluation transform up to uint8, so that our figures are those of timm and transformers."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        from timm.data.transforms_factory import create_transform

        p = preprocessing
        how: dict[str, Any] = {"interpolation": p.interpolation, "crop_pct": p.crop_pct, "crop_mode": p.crop_mode}
        self.transform = create_transform((3, *p.shape), use_prefetcher=True, mean=p.mean, **how)
        self.preprocessing = p

    def __call__(self, image: AtHand, key: Key) -> Pixels:
        p, (width, height) = self.preprocessing, size_at_hand(image)
        thin = min(width, height) < max(width / p.shape.width, height / p.shape.height)
        if p.crop_mode == "border" and (thin or p.channels != 3):
            # timm fails where less than a pixel would be left of a side, and pads with three channels only
            resample = Image.Resampling[p.interpolation.upper()]
            return resized(image, self._framed(width, height), p.shape, resample, p.fill)
        return each_band(picture_of(image), self._prepared)

    def _framed(self, width: int, height: int) -> Box:
        """Return the box that a padded image is taken in; timm resizes it by whole pixels, and keeps the middle of that."""
        p = self.preprocessing
        frame = frame_of(width, height, p.shape, "border")
        sides = zip(frame[:2], (p.shape.width, p.shape.height), strict=True)
        w, h = (full * side / max(1, math.floor(side / p.crop_pct)) for full, side in sides)
        return _centred(width, height, max(1, round(w)), max(1, round(h)))

    def _prepared(self, image: Image.Image, channel: int | None) -> Pixels:
        p, (width, height) = self.preprocessing, image.size
        if p.crop_mode == "center" and (box := middle_box(width, height, p.shape)) != (0, 0, width, height):
            image = image.crop(box)
        chw: Pixels = np.asarray(self.transform(image))
        return chw.transpose(1, 2, 0)


def middle_box(width: int, height: int, size: Size, ratio: int = 8) -> Box:
    """Return the box of the middle of an image, at most ``ratio`` times as long as what a centre crop of ``size`` keeps.

    What lies outside is not kept after resizing, and resizing a line of 1 x 20,000 pixels whole takes gigabytes.
    """
    longest = math.ceil(ratio * max(size) / min(size))
    return _centred(width, height, min(width, longest * height), min(height, longest * width))


def _centred(width: int, height: int, w: int, h: int) -> Box:
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


class OwnTransform(Transform):
    """A Python user's own augmentation, seeded for each image so that neither workers nor order change its result.

    Args:
        transform: a callable of a PIL image, as those of torchvision; or of ``image=``, an array uint8 (H, W, 3), as those of
            albumentations, which return a dict with the key "image". The result is a PIL image, a uint8 array
            (H, W, 3), or a tensor (3, H, W), uint8 or floating point in [0, 1]. Normalising is left to the network's
            preprocessing. Where images have C channels and not 1 or 3, a callable of a PIL image is given a tensor uint8
            (C, H, W) in its place.
        size: of the result in pixels.
        seed: the run's seed. Before each call ``random``, NumPy's and torch's global generators on the CPU are seeded with it
            and the key, and they are put back afterwards.
    """

    def __init__(self, transform: Callable[..., Any], size: Side, seed: int) -> None:
        self.transform, self.size, self.seed = transform, Size.of(size), seed
        self.takes_arrays = _takes_arrays(transform)

    def __call__(self, image: AtHand, key: Key) -> Pixels:
        """Return uint8 pixels of shape (H, W, C); raise DataError where the callable returns anything else."""
        seed = int(np.random.SeedSequence((self.seed, *key)).generate_state(1)[0])  # 32 bits: NumPy's takes no more
        states = random.getstate(), np.random.get_state()
        try:
            with torch.random.fork_rng(devices=[]):
                random.seed(seed)
                np.random.seed(seed)
                torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs as well
                if hasattr(self.transform, "set_random_seed"):  # albumentations has generators of its own
                    self.transform.set_random_seed(seed)
                given = np.array(image) if self.takes_arrays else _for_torchvision(picture_of(image))
                found = self.transform(image=given) if self.takes_arrays else self.transform(given)
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
        return self._checked(
            found["image"] if self.takes_arrays and isinstance(found, dict) else found, pixels_of(image).shape[2]
        )

    def _checked(self, found: Any, channels: int) -> Pixels:
        came = f"{tuple(found.shape)} of {found.dtype}" if hasattr(found, "dtype") else printable(repr(found))
        if isinstance(found, Image.Image):
            came, found = (
                f"a picture of {found.width} x {found.height} pixels",
                np.asarray(found.convert("RGB" if channels == 3 else "L")),
            )
        elif isinstance(found, torch.Tensor) and found.ndim == 3:
            if found.is_floating_point() and found.numel():
                low, high = float(found.min()), float(found.max())
                came += f" with values from {low:g} to {high:g}"
                found = (found * 255).round().to(torch.uint8) if 0 <= low <= high <= 1 else found
            found = found.permute(1, 2, 0).numpy()
        if isinstance(found, np.ndarray) and found.ndim == 2:
            found = found[:, :, None]
        wanted = (*self.size, channels)
        if not isinstance(found, np.ndarray) or found.dtype != np.uint8 or found.shape != wanted:
            tensor = f"a tensor ({channels}, {self.size.height}, {self.size.width}), uint8 or floating point in [0, 1]"
            needed = f"{self.size} pixels are needed: a PIL image, a uint8 array {wanted}, or {tensor}"
            raise DataError(f"The transform returned {came}, and {needed}.")
        return found


def _for_torchvision(image: Picture) -> Image.Image | torch.Tensor:
    """Return what transforms of torchvision take: a picture of Pillow's, or a tensor uint8 (C, H, W) of other channels."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) if isinstance(image, Bands) else image


def _takes_arrays(transform: Callable[..., Any]) -> bool:
    """Tell whether a callable takes ``image=`` by name only, as those of albumentations do."""
    if isinstance(transform, torch.nn.Module):  # torchvision's, which pass on names that they do not know
        return False
    try:
        parameters = inspect.signature(transform).parameters.values()
    except (TypeError, ValueError):  # built in
        return False
    by_place = any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    return not by_place and any(p.kind is p.VAR_KEYWORD or p.name == "image" for p in parameters)


class ProgressiveResizing(Transform):
    """One transform for the first ``epochs``, passes over streamed images, and one of another size from then on."""

    def __init__(self, first: Transform, epochs: int, then: Transform) -> None:
        self.first, self.epochs, self.then = first, epochs, then

    def __call__(self, image: AtHand, key: Key) -> Pixels:
        return self._at(key)(image, key)

    def colour(self, key: Key) -> tuple[float, ...]:
        return self._at(key).colour(key)

    def pair(self, image: AtHand, target: Any, key: Key) -> Row:
        return self._at(key).pair(image, target, key)

    def stack(self, targets: Sequence[Any]) -> NDArray[Any]:
        return self.first.stack(targets)

    def _at(self, key: Key) -> Transform:
        return self.first if key[0] < self.epochs else self.then
