"""Values of more than 8 bits: which range they get, how they are scaled, and which files may hold them."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from botzoo.pixels.arrays import as_picture_shape, open_npy
from botzoo.pixels.values import Extremes, extremes_of, may_be_deep, scaled, usual_range
from data.pictures import encode


@pytest.mark.parametrize(
    ("low", "high", "whole", "between"),
    [
        (0, 255, True, (0, 255)),
        (3, 900, True, (0, 1023)),
        (0, 4095, True, (0, 4095)),
        (17, 4096, True, (0, 16383)),
        (0, 65535, True, (0, 65535)),
        (0, 100_000, True, (0, 100_000)),
        (-1024, 3071, True, (-1024, 3071)),  # Hounsfield units
        (30_000, 30_400, True, (30_000, 30_400)),  # a few levels of 65,536 would be left
        (0.0, 1.0, False, (0, 1)),
        (0.2, 0.9, False, (0, 1)),
        (0.0, 0.01, False, (0, 0.01)),
        (-2.5, 2.5, False, (-2.5, 2.5)),
        (0.0, 255.0, False, (0, 255)),
    ],
)
def test_the_range_follows_from_the_extremes(
    low: float, high: float, whole: bool, between: tuple[float, float]
) -> None:
    assert usual_range(Extremes(low, high, whole)) == between


@pytest.mark.parametrize("dtype", ["u2", ">u2", "i2", "i4", "u4", "f4", "f8"])
def test_values_of_all_types_are_scaled_alike(dtype: str) -> None:
    values = np.linspace(0, 4095, 60).reshape(6, 10).astype(dtype)
    expected = np.round(values.astype(float) * 255 / 4095)
    assert np.abs(scaled(values, (0, 4095)) - expected).max() <= 1
    assert extremes_of(values)[:2] == (0, 4095)


def test_values_beyond_the_range_are_clipped_and_those_that_are_no_numbers_are_black() -> None:
    values = np.array([[-np.inf, -1, 0, 1, 9, np.inf, np.nan]], np.float32)
    assert scaled(values, (0, 1)).tolist() == [[0, 0, 0, 255, 255, 255, 0]]
    assert extremes_of(values)[:2] == (-1, 9)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "AVIF"])
def test_files_of_eight_bits_are_not_looked_at_twice(form: str) -> None:
    assert not may_be_deep(encode(Image.new("RGB", (8, 8)), form))


@pytest.mark.parametrize(
    ("form", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I"), ("TIFF", "F"), ("PPM", "I")]
)
def test_files_of_more_bits_are_looked_at(form: str, mode: str) -> None:
    assert may_be_deep(encode(Image.new(mode, (8, 8)), form))


def saved(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(np.array([[{}]], object), allow_pickle=True), "it holds object"),
        (saved(np.zeros((4, 4), complex)), "it holds complex128"),
        (saved(np.zeros((4, 4), "U3")), "it holds <U3"),
        (saved(np.zeros(4)), r"its shape is \(4,\)"),
        (saved(np.zeros((2, 4, 4, 3))), r"its shape is \(2, 4, 4, 3\)"),
        (saved(np.zeros((0, 4))), r"its shape is \(0, 4\)"),
        (saved(np.zeros((5, 64, 64))), "move the channels last"),
        (saved(np.zeros((64, 64)))[:-9], "it is damaged"),
        (saved(np.zeros((4, 4))) + b"more", "it is damaged"),
        (saved(np.zeros((9, 9))).replace(b"(9, 9)", b"(1e9,)"), "."),
        (b"\x93NUMPY\x03\x00", "version 3.0"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "."),
    ],
)
def test_what_is_no_array_of_a_picture_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_npy(content)


@pytest.mark.parametrize("shape", [(1, 1), (2, 10), (2, 10, 3), (3, 4, 4), (8, 8, 5), (300, 4, 200)])
def test_small_pictures_are_pictures(shape: tuple[int, ...]) -> None:
    assert as_picture_shape(shape) == (*shape, 1)[:3]


def test_the_size_is_known_before_the_values_are_read() -> None:
    content = saved(np.zeros((8, 6, 5), np.float32))
    shape, itemsize, read, _ = open_npy(content)
    assert shape == as_picture_shape((8, 6, 5)) == read().shape
    assert itemsize == 4
