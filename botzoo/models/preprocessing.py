"""How an image becomes the input of a network."""

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Side = int | tuple[int, int]
"""Pixels of an image as options and files have them: its side where it is a square, else height and width."""

FITS = {"crop": "center", "squash": "squash", "pad": "border"}
"""The names in timm of the ways to fit an image to the input."""

LONG = 1.5
"""The median quotient of aspect ratios from which on a data set's images are long: the centre crop sees two thirds of such."""


class Size(NamedTuple):
    """Height and width of images, in pixels."""

    height: int
    width: int

    @classmethod
    def of(cls, side: Side) -> "Size":
        """Return the size that is written as ``side``."""
        return cls(side, side) if isinstance(side, int) else cls(*side)

    @property
    def side(self) -> Side:
        """The size as options and files have it."""
        return (self.height, self.width) if self.oblong else self.height

    @property
    def oblong(self) -> bool:
        """Whether it is no square."""
        return self.height != self.width

    @property
    def area(self) -> int:
        """Pixels of an image."""
        return self.height * self.width

    @property
    def px(self) -> str:
        """In words: "64 px", or "128 x 512 px", the height first."""
        return f"{self} px" if self.oblong else f"{self.height} px"

    @property
    def typed(self) -> str:
        """As it stands behind --img-size: "64", or "128 512"."""
        return f"{self.height} {self.width}" if self.oblong else str(self.height)

    def __str__(self) -> str:
        return f"{self.height} x {self.width}"


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

    size: Side  # of the input in pixels
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

    @property
    def shape(self) -> Size:
        """Height and width of the input in pixels."""
        return Size.of(self.size)

    @property
    def fill(self) -> tuple[int, ...]:
        """The mean colour, each channel from 0 to 255, as timm rounds it for what it pads."""
        return tuple(round(255 * value) for value in self.mean)

    def fitted(self, fit: str | None) -> "Preprocessing":
        """Return this for images that are fitted as ``FITS`` names it; None leaves it to the weights.

        Of squashed and padded images evaluation sees all: it crops none of what was fitted.
        """
        if fit is None:
            return self
        return replace(self, crop_mode=FITS[fit], crop_pct=self.crop_pct if fit == "crop" else 1.0)

    def stretch(self, height: NDArray[Any], width: NDArray[Any]) -> NDArray[np.float64]:
        """Return how far images of such shapes, in pixels, are from the input's: the quotient of the two aspect ratios.

        It is 1 or more, and for a square input the long side over the short one. The centre crop of evaluation sees
        crop_pct ** 2 / stretch of an image, since it is taken once the image covers the input by 1 / crop_pct.
        """
        ratio = (width * self.shape.height) / (height * self.shape.width)
        return np.asarray(np.maximum(ratio, 1 / ratio))

    def train_size(self, scale: float) -> Size:
        """Return the size of training crops: sides ``scale`` times the input's, to the nearest 32 pixels, 16 below 128."""
        if self.fixed_size or scale == 1:
            return self.shape
        height, width = (_scaled(side, scale) for side in self.shape)
        return Size(height, width)

    def needed_side(self, train_size: Side, crop_min: float, *, smallest: bool = False) -> int:
        """Return the shorter side, in pixels, that images are reduced to: enough for evaluation and for the mean crop.

        Evaluation resizes the shorter side to size / crop_pct. Training crops have the share U[crop_min, 1] of an image's
        area. With the shorter side s a photo of 4 : 3 has 4/3 s^2 pixels, and its mean crop 2/3 (1 + crop_min) s^2: as
        many as training takes with s = train_size / sqrt(2/3 (1 + crop_min)). Smaller crops are enlarged; what could be
        gained by more pixels was not measurable, and they would take up to nine times the bytes.

        With ``smallest`` the smallest crop is enough: of the aspect ratio 3/4 its shorter side is s sqrt(crop_min), so
        s = train_size / sqrt(crop_min). That is for images that are not kept, which it costs time to reduce.
        """
        share = crop_min if smallest else 2 / 3 * (1 + crop_min)
        evaluated, trained = max(self.shape) / self.crop_pct, max(Size.of(train_size)) / math.sqrt(share)
        return math.ceil(max(evaluated, trained) - 1e-9)

    def normalise(self, images: Tensor) -> Tensor:
        """Return ``(images / 255 - mean) / std``: uint8 (N, C, H, W) to float32 of the same shape and memory format."""
        width = images.shape[-1]
        mean, std = _on_device(self.mean, width, images.device), _on_device(self.std, width, images.device)
        return images.float().sub_(mean).div_(std)


def _scaled(side: int, scale: float) -> int:
    multiple = 32 if side >= 128 else 16  # 32 is the stride of the last features
    return max(multiple, int(side * scale / multiple + 0.5) * multiple)


@cache
def _on_device(values: tuple[float, ...], width: int, device: torch.device) -> Tensor:
    """Return values of each channel, on the scale 0..1, for pixels of 0..255: float32, shape (1, C, 1, W).

    A whole row of pixels is worked on at once then, where three numbers would be beside a (1, C, 1, 1).
    """
    with torch.inference_mode(False):  # an evaluation may come first, and what is made in it is of no use to training
        row = (torch.tensor(values).view(1, -1, 1, 1) * 255).expand(-1, -1, -1, width)
        return row.contiguous(memory_format=torch.channels_last).to(device)
