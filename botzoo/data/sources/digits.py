"""The built-in digits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from botzoo.data.sources.base import Encoded, ImageData, Split


@dataclass(frozen=True)
class _Digits:
    pixels: NDArray[np.uint8]

    def read(self, i: int) -> Encoded:
        pixels: NDArray[np.uint8] = self.pixels[i]
        return pixels

    def describe(self, i: int) -> str:
        return f"digit {i}"


def open_digits() -> ImageData[Split]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    digits = _Digits(pixels)
    train = Split("all", bunch.target.astype(np.int64), digits.read, digits.describe)
    return ImageData("digits", tuple("0123456789"), train, license="cc-by-4.0", mirrored=False)
