"""Sizes of images, beside each other and beside the network's input."""

import numpy as np
import pytest

from botzoo_finetune.doctor.quick import check_sizes, measure


def shapes(*odd: tuple[int, int], usual: tuple[int, int] = (200, 300)) -> np.ndarray:
    return np.array([*odd, *[usual] * 20], np.int32)


def test_a_tiny_image_among_others_is_found() -> None:
    (finding,) = check_sizes(shapes((16, 20)), 200)
    assert (finding.check, finding.images, finding.reason) == ("tiny", (0,), "is tiny (20 x 16 px)")


def test_where_all_are_tiny_none_is() -> None:
    assert check_sizes(shapes((7, 8), usual=(8, 8)), 8) == []


@pytest.mark.parametrize("shape", [(100, 500), (500, 100)])
def test_a_long_image_is_found(shape: tuple[int, int]) -> None:
    (finding,) = check_sizes(shapes(shape), 100)
    assert (finding.check, finding.images) == ("aspect", (0,))
    assert "5.0 times" in finding.reason


def test_where_all_are_long_none_is() -> None:
    assert check_sizes(shapes((100, 500), usual=(100, 450)), 64) == []


@pytest.mark.parametrize(("side", "said"), [(224, "enlarged"), (48, "a larger --img-size")])
def test_an_input_unlike_the_images_is_worth_knowing_and_no_more(side: int, said: str) -> None:
    (finding,) = check_sizes(shapes(), side)
    assert said in finding.reason
    assert not finding.look


def test_sizes_are_those_of_the_shorter_sides() -> None:
    sizes = measure(shapes((100, 90), (400, 500)), 200)
    assert (sizes.least, sizes.median, sizes.most, sizes.smaller) == (90, 200, 400, 1 / 22)
