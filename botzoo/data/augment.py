"""The augmentations of practice: torchvision's, drawn from a seed of each image and not from the global generators."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchvision.transforms import v2

from botzoo.data.decoded import Pixels
from botzoo.options.config import AugmentConfig


class Augment:
    """Transforms of torchvision as a pure function of pixels and seed.

    Args:
        transforms: take and return uint8 tensors of shape (C, H, W); torch's CPU generator is all they draw from.
    """

    def __init__(self, transforms: Sequence[v2.Transform]) -> None:
        self.transform = v2.Compose(transforms)

    def __call__(self, pixels: Pixels, seed: int) -> Pixels:
        """Return the augmented pixels, uint8 (H, W, C) like ``pixels``; ``seed`` is in [0, 2**63)."""
        image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs as well
            augmented: Pixels = self.transform(image).permute(1, 2, 0).numpy()
        return augmented


def make_augment(config: AugmentConfig, size: int, mean: Sequence[float]) -> Augment | None:
    """Return what ``config`` asks for, None where everything is off.

    Args:
        size: side of the images in pixels, the shorter one.
        mean: of each of the C channels, on the scale 0..1; what is erased or turned out of the image gets this colour.
    """
    fill, jitter = [round(255 * value) for value in mean], config.color_jitter
    policy: dict[str, Any] = {"interpolation": v2.InterpolationMode.BILINEAR, "fill": fill}
    kernel = max(3, 2 * round((size / 10 - 1) / 2) + 1)  # the odd number nearest to a tenth of the side
    # In their order: geometry, policies, colour, degradation, erasing.
    transforms = [
        config.vflip and v2.RandomVerticalFlip(config.vflip),
        config.rotate90 and v2.RandomChoice([v2.RandomRotation((angle, angle)) for angle in (0, 90, 180, 270)]),
        config.randaugment and v2.RandAugment(magnitude=config.randaugment, **policy),
        config.trivialaugment and v2.TrivialAugmentWide(**policy),
        jitter and v2.ColorJitter(jitter, jitter, jitter),
        config.blur and v2.RandomApply([v2.GaussianBlur(kernel, sigma=(0.1, 2.0))], config.blur),
        config.noise and v2.GaussianNoise(sigma=config.noise),
        config.random_erasing and v2.RandomErasing(config.random_erasing, value=fill),  # type: ignore[arg-type]
    ]
    chosen = [transform for transform in transforms if transform]
    return Augment(chosen) if chosen else None
