"""Test-time augmentation: several views of an image, whose probabilities are averaged."""

import math
from dataclasses import replace

from torch import Tensor
from torchvision.transforms.v2 import functional as F

from botzoo.errors import ConfigError
from botzoo.inference.options import Tta
from botzoo.models.preprocessing import Preprocessing


def prepared_for(tta: Tta, preprocessing: Preprocessing) -> Preprocessing:
    """Return how images are prepared before ``views`` takes its crops: for corners, with the margin around the centre.

    Raises:
        ConfigError: corners are asked for where the evaluation's crop leaves no margin.
    """
    if tta in ("none", "flip"):
        return preprocessing
    side = math.floor(preprocessing.size / preprocessing.crop_pct)
    if side <= preprocessing.size or preprocessing.crop_mode != "center":
        raise ConfigError(
            f"--tta {tta} takes crops from the corners, and this network's evaluation sees the whole image (crop_pct "
            f"{preprocessing.crop_pct:g}): use --tta flip."
        )
    return replace(preprocessing, size=side, crop_pct=1.0)


def views(images: Tensor, tta: Tta, size: int) -> list[Tensor]:
    """Return the views of uint8 images (N, 3, S, S), each (N, 3, size, size); the images themselves or their centre first."""
    if tta == "none":
        return [images]
    if tta == "flip":
        return [images, images.flip(-1)]
    corners = F.five_crop(images, [size, size]) if tta == "five-crop" else F.ten_crop(images, [size, size])
    return [corners[4], *corners[:4], *corners[5:]]
