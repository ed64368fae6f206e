"""Transforms of a picture together with its target, in training and in evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from botzoo.data.augment import Augment
from botzoo.data.decoded import Pixels
from botzoo.data.dense.placement import Placement, drawn, fitted
from botzoo.data.transforms import Key, Transform, rng_of
from botzoo.models.preprocessing import Preprocessing, Side, Size
from botzoo.pixels.bands import AtHand, size_at_hand
from botzoo.sources.targets.coding import IGNORED


class Target(Protocol):
    """A kind of target that says where things are in a picture."""

    def size(self, target: Any) -> Size:
        """Return height and width of the picture in whose pixels it is, the picture as it is stored."""

    def moved(self, target: Any, place: Placement) -> Any:
        """Return what it is in an input."""

    def stack(self, targets: Sequence[Any]) -> NDArray[Any]:
        """Return one array of several, whose first axis counts them."""


class Masks(Target):
    """Classes of pixels or ``IGNORED``, uint8 (H, W)."""

    def size(self, target: NDArray[np.uint8]) -> Size:
        """See ``Target``."""
        height, width = target.shape
        return Size(height, width)

    def moved(self, target: NDArray[np.uint8], place: Placement) -> NDArray[np.uint8]:
        """See ``Target``."""
        return place.mask(target)

    def stack(self, targets: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Return masks, uint8 (N, H, W), each at the upper left corner of what is ``IGNORED`` besides."""
        height, width = (max(mask.shape[k] for mask in targets) for k in (0, 1))
        found = np.full((len(targets), height, width), IGNORED, np.uint8)
        for whole, mask in zip(found, targets, strict=True):
            whole[: mask.shape[0], : mask.shape[1]] = mask
        return found


class DenseTraining(Transform):
    """Random size and place, a flip, and what ``augment`` does to the pixels, drawn from (seed, epoch, index) alone.

    Args:
        size: of the input in pixels.
        interpolation: "bilinear" or "bicubic".
        scales, hflip: see ``drawn``.
        kind: of the targets.
        augment: what else is done to the pixels, given a seed of theirs; nothing that moves any.
        fill: colour of what is left free, a value from 0 to 255 for each of the C channels.
    """

    def __init__(
        self,
        size: Side,
        interpolation: str,
        scales: tuple[float, float],
        hflip: float,
        seed: int,
        kind: Target,
        *,
        augment: Augment | None = None,
        fill: Sequence[int] = (0, 0, 0),
    ) -> None:
        self.size, self.scales, self.hflip, self.seed = Size.of(size), scales, hflip, seed
        self.kind, self.augment, self.fill = kind, augment, tuple(fill)
        self.resample = Image.Resampling[interpolation.upper()]

    def __call__(self, image: AtHand, key: Key) -> Pixels:
        return self._placed(image, key)[0]

    def pair(self, image: AtHand, target: Any, key: Key) -> tuple[Pixels, Any, tuple[float, ...]]:
        """Return pixels, uint8 (H, W, C), and the target, which has moved with them."""
        pixels, place = self._placed(image, key)
        return pixels, self.kind.moved(target, place), ()

    def stack(self, targets: Sequence[Any]) -> NDArray[Any]:
        return self.kind.stack(targets)

    def _placed(self, image: AtHand, key: Key) -> tuple[Pixels, Placement]:
        rng = rng_of(self.seed, key, 0)
        width, height = size_at_hand(image)
        place = drawn(rng, Size(height, width), self.size, self.scales, self.hflip)
        pixels = place.pixels(image, self.resample, self.fill)
        return pixels if self.augment is None else self.augment(pixels, rng.getrandbits(63)), place


class DenseEvaluation(Transform):
    """The whole picture in the upper left corner. The target stays the picture's, in whose pixels figures are computed."""

    def __init__(self, preprocessing: Preprocessing, kind: Target) -> None:
        self.preprocessing, self.kind = preprocessing, kind

    def __call__(self, image: AtHand, key: Key) -> Pixels:
        p = self.preprocessing
        return self._place(image).pixels(image, Image.Resampling[p.interpolation.upper()], p.fill)

    def pair(self, image: AtHand, target: Any, key: Key) -> tuple[Pixels, Any, tuple[float, ...]]:
        """Return pixels, the target as it is, and four numbers by which places in the input are found in the picture.

        They are height and width of the picture as it is stored, and of the part of the input that it fills.
        """
        place = self._place(image)
        return self(image, key), target, (*self.kind.size(target), place.down.until, place.across.until)

    def stack(self, targets: Sequence[Any]) -> NDArray[Any]:
        return self.kind.stack(targets)

    def _place(self, image: AtHand) -> Placement:
        width, height = size_at_hand(image)
        return fitted(Size(height, width), self.preprocessing.shape)
