"""The built-in digits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from botzoo.data.sources.base import Encoded, ImageData, Source, Split


@dataclass(frozen=True)
class _Digits:
    pixels: NDArray[np.uint8]

    def read(self, i: int) -> Encoded:
        pixels: NDArray[np.uint8] = self.pixels[i]
        return pixels

    def describe(self, i: int) -> str:
        return f"digit {i}"


class Digits(Source):
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels; a folder of that name comes first."""

    def recognises(self, name: str, path: Path) -> bool:
        return name == "digits" and not path.is_dir()

    def open(self, name: str, path: Path, image_column: str | None, label_column: str | None) -> ImageData[Split]:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        digits = _Digits(np.round(bunch.images * (255 / 16)).astype(np.uint8))
        train = Split("all", bunch.target.astype(np.int64), digits.read, digits.describe)
        return ImageData(name, tuple("0123456789"), train, license="cc-by-4.0")
