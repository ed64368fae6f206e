"""The built-in digits."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.sources.base import ImageData, Source, SourceOptions, Split


class Digits(Source):
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels; a folder of that name comes first."""

    def recognises(self, name: str, path: Path) -> bool:
        return name == "digits" and not path.is_dir()

    def open(self, name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
        from sklearn.datasets import load_digits

        if options.splits:
            raise DataError(f"{name} has one split: leave --data.splits out.")
        bunch = load_digits()
        pixels: NDArray[np.uint8] = np.round(bunch.images * (255 / 16)).astype(np.uint8)  # they are 0..16
        train = Split("all", bunch.target.astype(np.int64), pixels.__getitem__, "digit {}".format)
        return ImageData(name, tuple("0123456789"), train, license="cc-by-4.0")
