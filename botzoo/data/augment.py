"""The augmentations of practice: torchvision's, drawn from a seed of each image and not from the global generators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from botzoo.data.decoded import Pixels
from botzoo.options.config import AugmentConfig


class Augment:
    """Transforms of torchvision as a pure function of pixels and seed.

    Args:
        transforms: take and return uint8 tensors of shape (3, H, W); torch's CPU generator is all they draw from.
    """

    def __init__(self, transforms: Sequence[v2.Transform]) -> None:
        self.transform = v2.Compose(transforms)

    def __call__(self, pixels: Pixels, seed: int) -> Pixels:
        """Return the augmented pixels, uint8 (H, W, 3) like ``pixels``; ``seed`` is in [0, 2**63)."""
        image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs as well
            augmented: Pixels = self.transform(image).permute(1, 2, 0).numpy()
        return augmented


def make_augment(config: AugmentConfig, size: int, mean: Sequence[float]) -> Augment | None:
    """Return what ``config`` asks for, None where everything is off.

    Args:
        config: the options.
        size: side of the images in pixels.
        mean: of each RGB channel, on the scale 0..1; what is erased or turned out of the image gets this colour.
    """
    transforms = list(_transforms(config, size, [round(255 * value) for value in mean]))
    return Augment(transforms) if transforms else None


def _transforms(config: AugmentConfig, size: int, fill: list[int]) -> Iterator[v2.Transform]:
    """Yield the transforms in their order: geometry, policies, colour, degradation, erasing."""
    if config.vflip:
        yield v2.RandomVerticalFlip(config.vflip)
    if config.rotate90:
        yield v2.RandomChoice([v2.RandomRotation((angle, angle)) for angle in (0, 90, 180, 270)])
    if config.randaugment:
        yield v2.RandAugment(magnitude=config.randaugment, interpolation=InterpolationMode.BILINEAR, fill=fill)
    if config.trivialaugment:
        yield v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR, fill=fill)
    if config.color_jitter:
        yield v2.ColorJitter(config.color_jitter, config.color_jitter, config.color_jitter)
    if config.blur:
        yield v2.RandomApply([v2.GaussianBlur(_odd(size / 10), sigma=(0.1, 2.0))], config.blur)
    if config.noise:
        yield v2.GaussianNoise(sigma=config.noise)
    if config.random_erasing:
        yield v2.RandomErasing(config.random_erasing, value=fill)  # type: ignore[arg-type]  # it takes a colour too


def _odd(size: float) -> int:
    """Return the odd number nearest to ``size``, at least 3."""
    return max(3, 2 * round((size - 1) / 2) + 1)
