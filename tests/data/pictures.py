"""Small pictures and splits of them, for the tests of this folder."""

import io
from typing import Any

import numpy as np
from PIL import Image

from botzoo.data.images import Images, read_images
from botzoo.data.splits import with_validation
from botzoo.sources.base import Encoded, ImageData, SourceOptions, Split
from botzoo.sources.find import find_images

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth random picture, so that resampling it has no extreme values."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def split_of(encoded: list[Encoded], labels: list[int] | None = None) -> Split:
    numbers = np.array(labels or [i % 2 for i in range(len(encoded))], np.int64)
    return Split("train", numbers, encoded.__getitem__, lambda i: f"image {i}")


def pictures(count: int) -> list[Encoded]:
    return [encode(noise(12, 10, seed)) for seed in range(count)]


def images(count: int) -> Images:
    return read_images(split_of(pictures(count)))[0]


RED = Image.new("RGB", (3, 2), (200, 30, 10))


def open_images(dataset: Any, val_fraction: float = 0.2, seed: int = 0, **said: Any) -> ImageData[Split]:
    """A data set as a run gets it, with a validation split."""
    return with_validation(find_images(dataset, SourceOptions(**said)), val_fraction, seed)
