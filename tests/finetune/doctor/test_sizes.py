"""Sizes of images, beside each other and beside the network's input."""

import numpy as np
import pytest

from botzoo.models.preprocessing import Preprocessing, Side
from botzoo_finetune.doctor.quick import check_sizes, measure


def prepared(size: Side, fit: str = "crop") -> Preprocessing:
    return Preprocessing(size, (0.5,), (0.5,), 1.0, "bilinear").fitted(fit)


def shapes(*odd: tuple[int, int], usual: tuple[int, int] = (200, 300)) -> np.ndarray:
    return np.array([*odd, *[usual] * 20], np.int32)


def test_a_tiny_image_among_others_is_found() -> None:
    (finding,) = check_sizes(shapes((16, 20)), prepared(200))
    assert (finding.check, finding.images, finding.reason) == ("tiny", (0,), "is tiny (20 x 16 px)")


def test_where_all_are_tiny_none_is() -> None:
    assert check_sizes(shapes((7, 8), usual=(8, 8)), prepared(8)) == []


@pytest.mark.parametrize("shape", [(100, 500), (500, 100)])
def test_a_long_image_is_found(shape: tuple[int, int]) -> None:
    (finding,) = check_sizes(shapes(shape), prepared(100))
    assert (finding.check, finding.images) == ("aspect", (0,))
    assert "5.0 times" in finding.reason


@pytest.mark.parametrize(
    ("size", "fit", "said"),
    [
        (100, "crop", "5.0 times as long as wide, of which 20% is seen"),
        (100, "squash", "5.0 times as long as wide, and is squashed to the shape of the input"),
        (100, "pad", "5.0 times as long as wide, so that 80% of the input is padding"),
        ((80, 120), "crop", "7.5 times off the input's shape of 80 x 120, of which 13% is seen"),
    ],
)
def test_what_becomes_of_a_long_image_is_as_it_is_fitted(size: Side, fit: str, said: str) -> None:
    (finding,) = check_sizes(shapes((500, 100)), prepared(size, fit))
    assert said in finding.reason


def test_an_image_of_the_shape_of_a_long_input_is_not_long() -> None:
    assert check_sizes(shapes((100, 500)), prepared((60, 300))) == []


def test_where_all_are_long_none_is() -> None:
    assert check_sizes(shapes((100, 500), usual=(100, 450)), prepared(64)) == []


@pytest.mark.parametrize(("side", "said"), [(224, "enlarged"), (48, "a larger --img-size")])
def test_an_input_unlike_the_images_is_worth_knowing_and_no_more(side: int, said: str) -> None:
    (finding,) = check_sizes(shapes(), prepared(side))
    assert said in finding.reason
    assert not finding.look


def test_sizes_are_those_of_the_shorter_sides() -> None:
    sizes = measure(shapes((100, 90), (400, 500)), 200)
    assert (sizes.least, sizes.median, sizes.most, sizes.smaller) == (90, 200, 400, 1 / 22)
