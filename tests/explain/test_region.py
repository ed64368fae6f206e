"""The part of a picture that a network sees, against pictures whose colours say where a pixel came from."""

import numpy as np
import pytest
from PIL import Image

from botzoo.data.transforms import EvalTransform
from botzoo.explain.region import seen
from botzoo.models.preprocessing import Preprocessing, Side


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875])
@pytest.mark.parametrize("size", [64, (64, 160)])
@pytest.mark.parametrize(("width", "height"), [(300, 200), (90, 500), (40, 40)])
def test_the_input_shows_that_part(mode: str, crop_pct: float, size: Side, width: int, height: int) -> None:
    preprocessing = Preprocessing(size, (0.0,) * 3, (1.0,) * 3, crop_pct, "bilinear", mode)
    left, upper, right, lower = seen(width, height, preprocessing)
    x, y = np.meshgrid(np.linspace(20, 250, width), np.linspace(20, 250, height))
    picture = Image.fromarray(np.stack([x, y, 0 * x + 200], -1).round().astype(np.uint8))
    pixels = EvalTransform(preprocessing)(picture, (0, 0)).astype(float)
    row, column = np.argwhere(pixels[..., 2] > 199).mean(0).astype(int)  # of all that is no padding, the middle
    step_x, step_y = (right - left) / pixels.shape[1], (lower - upper) / pixels.shape[0]
    found = [(pixels[row, column, 0] - 20) / 230 * (width - 1), (pixels[row, column, 1] - 20) / 230 * (height - 1)]
    assert abs(found[0] + 0.5 - (left + (column + 0.5) * step_x)) <= 1.5 * step_x + width / 230
    assert abs(found[1] + 0.5 - (upper + (row + 0.5) * step_y)) <= 1.5 * step_y + height / 230


def test_what_is_cropped_and_what_is_padded() -> None:
    square = Preprocessing(50, (0.0,) * 3, (1.0,) * 3, 1.0, "bilinear")
    assert seen(200, 100, square) == (50, 0, 150, 100)
    assert seen(200, 100, square.fitted("squash")) == (0, 0, 200, 100)
    assert seen(200, 100, square.fitted("pad")) == (0, -50, 200, 150)
