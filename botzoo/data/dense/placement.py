"""Where a picture lies in an input, and by that its boxes and its mask."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from botzoo.data.decoded import Pixels
from botzoo.data.transforms import resized_part
from botzoo.models.preprocessing import Size
from botzoo.pixels.bands import AtHand
from botzoo.sources.targets.boxes import Boxes, box_areas
from botzoo.sources.targets.coding import IGNORED

SEEN = 0.25
"""Share of a box that has to lie in the input for its object to be trained on."""


class Span(NamedTuple):
    """What of one side of a picture fills what of that side of the input: the first pixel and the one after the last."""

    start: int
    end: int
    at: int
    until: int

    @property
    def scale(self) -> float:
        """Pixels of the input to one of the picture."""
        return (self.until - self.at) / (self.end - self.start)

    @property
    def shift(self) -> float:
        """Where the picture's edge is in the input."""
        return self.at - self.start * self.scale

    def nearest(self, factor: float) -> NDArray[np.intp]:
        """Return the pixels under the middles of the input's, in a picture with ``factor`` times as many: ascending."""
        middles = self.start + (np.arange(self.until - self.at) + 0.5) / self.scale
        return (middles * factor).astype(np.intp)


class Placement(NamedTuple):
    """Where a picture lies in an input.

    Attributes:
        picture, size: sizes of the picture and of the input.
        across, down: along the width and along the height.
        mirrored: whether the input is mirrored then, left to right.
    """

    picture: Size
    size: Size
    across: Span
    down: Span
    mirrored: bool = False

    def pixels(self, image: AtHand, resample: Image.Resampling, fill: Sequence[int]) -> Pixels:
        """Return the input, uint8 (H, W, C); what the picture leaves free of it has the colour ``fill``."""
        x, y = self.across, self.down
        found = resized_part(image, (x.start, y.start, x.end, y.end), (x.until - x.at, y.until - y.at), resample)
        canvas = np.empty((*self.size, found.shape[2]), np.uint8)
        canvas[:] = tuple(fill)[: found.shape[2]]
        canvas[y.at : y.until, x.at : x.until] = found
        return canvas[:, ::-1] if self.mirrored else canvas

    def mask(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a mask of the picture, uint8 (h, w) of any size, as it is in the input, (H, W): its nearest pixels.

        What the picture leaves free of the input is ``IGNORED``.
        """
        x, y = self.across, self.down
        rows, columns = y.nearest(mask.shape[0] / self.picture.height), x.nearest(mask.shape[1] / self.picture.width)
        found = np.full(self.size, IGNORED, np.uint8)
        found[y.at : y.until, x.at : x.until] = mask[rows[:, None], columns]
        return found[:, ::-1] if self.mirrored else found

    def corners(self, corners: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return corners of boxes in the picture as they are in the input, also outside of it: float32, shape (n, 4)."""
        spans = (self.across, self.down) * 2
        moved: NDArray[np.float64] = corners * np.array([s.scale for s in spans]) + np.array([s.shift for s in spans])
        if self.mirrored:
            left, top, right, lower = moved.T
            moved = np.stack([self.size.width - right, top, self.size.width - left, lower], -1)
        return moved.astype(np.float32)

    def boxes(self, boxes: Boxes, size: Size) -> Boxes:
        """Return those boxes that have a part in the input, clipped to it.

        Where that part is less than ``SEEN`` of a box, it counts as a crowd: what is left of an object is no example of it.

        Args:
            boxes: in pixels of the picture as it is stored.
            size: of that; the picture may have been reduced since.
        """
        scale = np.tile([self.picture.width / size.width, self.picture.height / size.height], 2)
        corners = self.corners(boxes.corners * scale)
        height, width = self.size
        seen = box_areas(np.clip(corners, 0, np.array([width, height, width, height], np.float32)))
        cut = replace(boxes, corners=corners, crowd=boxes.crowd | (seen < SEEN * box_areas(corners)))
        return cut.usable(height, width)


def fitted(picture: Size, size: Size) -> Placement:
    """Return how evaluation lays a picture into an input."""
    f = min(size.width / picture.width, size.height / picture.height)
    down, across = (
        Span(0, side, 0, min(most, max(1, round(side * f)))) for side, most in zip(picture, size, strict=True)
    )
    return Placement(picture, size, across, down)


def drawn(rng: random.Random, picture: Size, size: Size, scales: tuple[float, float], hflip: float) -> Placement:
    """Return how training lays a picture into an input.

    Args:
        scales: the least and the greatest factor on the size that the picture has in evaluation, each greater than 0.
        hflip: probability that the input is mirrored.
    """
    low, high = map(math.log, scales)
    f = min(size.width / picture.width, size.height / picture.height) * math.exp(rng.uniform(low, high))
    down, across = (_drawn(rng, side, most, f) for side, most in zip(picture, size, strict=True))
    return Placement(picture, size, across, down, rng.random() < hflip)


def _drawn(rng: random.Random, side: int, most: int, f: float) -> Span:
    """Draw what of a ``side`` resized by ``f`` lies where in an input of ``most`` pixels."""
    if side * f > most:
        part = min(side, max(1, round(most / f)))
        start = rng.randint(0, side - part)
        return Span(start, start + part, 0, most)
    length = max(1, round(side * f))
    at = rng.randint(0, most - length)
    return Span(0, side, at, at + length)
