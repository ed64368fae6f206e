"""Pictures resized by torch against Pillow's own filters."""

import numpy as np
import pytest
from PIL import Image

from botzoo.pixels import resizing
from botzoo.pixels.bands import each_band, picture_of
from botzoo.pixels.resizing import part, resampled, smaller
from data.pictures import noise

FILTERS = [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS]
SIZES = [(40, 30), (33, 70), (1, 1), (150, 100), (7, 9)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 9])
def test_values_are_pillow_s_but_for_rounding(channels: int, resample: Image.Resampling, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(channels).integers(0, 256, (90, 120, channels), np.uint8)
    expected = each_band(picture_of(pixels), lambda band, _: band.resize(size, resample))
    np.testing.assert_allclose(resampled(pixels, size, resample).astype(int), expected, rtol=0, atol=2)


@pytest.mark.parametrize("extent", [(119.125, 89.875), (120, 89.25), (119.5, 90)])
@pytest.mark.parametrize("size", [(40, 30), (119, 89), (59, 45)])
def test_a_picture_may_end_within_its_last_pixels(extent: tuple[float, float], size: tuple[int, int]) -> None:
    picture = noise(120, 90)
    expected = np.asarray(picture.resize(size, Image.Resampling.LANCZOS, (0, 0, *extent))).astype(int)
    np.testing.assert_allclose(resampled(np.asarray(picture), size, FILTERS[2], extent), expected, rtol=0, atol=2)


def test_pixels_that_are_kept_are_only_read() -> None:
    pixels = np.asarray(noise(30, 20))
    assert not pixels.flags.writeable
    assert resampled(pixels, (10, 10), Image.Resampling.BICUBIC).flags.writeable


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_picture_keeps_its_mode_and_what_its_file_says(mode: str) -> None:
    picture = noise(200, 150).convert(mode)
    picture.info["exif"] = b"x"
    found = smaller(picture, (20, 15))
    assert (found.mode, found.size, found.info["exif"]) == (mode, (20, 15), b"x")


BOXES = [(0, 0, 400, 300), (13, 7, 371, 290), (5, 5, 45, 35), (0, 100, 400, 101)]


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_it_makes_no_difference_whether_an_image_was_kept(channels: int, box: tuple[int, int, int, int]) -> None:
    pixels = np.random.default_rng(channels).integers(0, 256, (300, 400, channels), np.uint8)
    kept, decoded = (part(image, box, (20, 15), Image.Resampling.BICUBIC) for image in (pixels, picture_of(pixels)))
    assert np.array_equal(kept, decoded)


@pytest.mark.parametrize("box", BOXES)
def test_a_part_is_what_pillow_cuts_out_and_resizes(box: tuple[int, int, int, int]) -> None:
    picture = noise(400, 300)
    expected = picture.crop(box).resize((20, 15), Image.Resampling.BICUBIC, reducing_gap=3.0)
    found = part(picture, box, (20, 15), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(found.astype(int), expected, rtol=0, atol=3)


def test_a_version_of_torch_without_the_filter_leaves_it_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resizing, "MODES", {})
    expected = noise(120, 90).resize((40, 30), Image.Resampling.LANCZOS)
    assert np.array_equal(np.asarray(smaller(noise(120, 90), (40, 30))), np.asarray(expected))
