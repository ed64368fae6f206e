"""How an image becomes the input of a network."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Decoding:
    """How a stored image becomes pixels of 8 bits; the default is what Pillow's ``convert("RGB")`` does, as in timm.

    The values stand in config.json, where they differ from these, under "decoding"; ``channels`` in its input_size.
    """

    channels: int = 3  # of the pixels: 3 are red, green and blue
    background: str | None = (
        None  # colour under transparent pixels, a name or #rrggbb; None leaves the transparency out
    )
    range: tuple[float, float] | None = (
        None  # what becomes 0 and 255 of values of more than 8 bits; None: by each image
    )
    side: int | None = None  # an image whose shorter side has more pixels is reduced to so many; None: never

    def as_json(self) -> dict[str, Any]:
        """Return what stands in config.json, nothing where all is as by default."""
        ends = [int(end) if float(end).is_integer() else end for end in self.range or ()]
        kept = {"background": self.background, "range": ends or None, "side": self.side}
        return {key: value for key, value in kept.items() if value is not None}


PLAIN = Decoding()
"""What timm and transformers do alone, and what a model folder means that says nothing of it."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the network's input; the same values stand in config.json."""

    size: int  # side of the square input in pixels
    mean: tuple[float, ...]  # of each channel, on the scale 0..1
    std: tuple[float, ...]
    crop_pct: float  # share of the resized image that the centre crop of evaluation keeps, in (0, 1]
    interpolation: str  # "bilinear" or "bicubic"
    crop_mode: str = "center"  # how evaluation crops, as timm names it
    fixed_size: bool = False  # whether the network takes images of this size only
    decoding: Decoding = PLAIN  # how stored images become pixels, before all of this

    def __str__(self) -> str:
        """Return mean, std and interpolation in words."""
        more = " ..." if self.channels > 6 else ""
        mean, std = (" ".join(f"{value:.4g}" for value in values[:6]) + more for values in (self.mean, self.std))
        return f"mean {mean}, std {std}, {self.interpolation}"

    @property
    def channels(self) -> int:
        """C of the input."""
        return self.decoding.channels

    def train_size(self, scale: float) -> int:
        """Return the side of training crops: ``scale`` times the input's, to the nearest 32 pixels, 16 below 128."""
        if self.fixed_size or scale == 1:
            return self.size
        multiple = 32 if self.size >= 128 else 16  # 32 is the stride of the last features
        return max(multiple, int(self.size * scale / multiple + 0.5) * multiple)

    def needed_side(self, train_size: int, crop_min: float) -> int:
        """Return the shorter side, in pixels, from which on more of an image is of no use to training and evaluation.

        A crop of the share ``crop_min`` of an image's area is resized to ``train_size`` (one side, or height and width). Of an
        image of the sides s <= l with the aspect ratio 3/4 its shorter side is sqrt(3/4 crop_min s l): of a photo of
        4 : 3, s sqrt(crop_min), of a longer one more. So with s = train_size / sqrt(crop_min) no crop is enlarged (of square
        images those of less than 4/3 crop_min are, by a seventh at most). Evaluation resizes the shorter side to
        size / crop_pct. The larger of both is enough however images are made to fit: where all of an image is seen,
        less would do.
        """
        evaluated = int(np.max(self.size)) / self.crop_pct
        return math.ceil(max(evaluated, int(np.max(train_size)) / math.sqrt(crop_min)) - 1e-9)

    def normalise(self, images: Tensor) -> Tensor:
        """Return ``(images / 255 - mean) / std``: uint8 (N, C, H, W) to float32 of the same shape and memory format."""
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
