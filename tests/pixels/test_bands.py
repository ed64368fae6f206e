"""Pictures of any number of channels against Pillow, channel by channel."""

import numpy as np
import pytest
from PIL import Image

from botzoo.data.decode import channels_of, decode
from botzoo.data.transforms import EvalTransform, OwnTransform, TrainTransform
from botzoo.models.preprocessing import Decoding, Preprocessing
from botzoo.pixels.bands import Bands, picture_of, pixels_of


def many(channels: int) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 256, (20, 30, channels), np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_pixels_and_pictures_are_one(channels: int) -> None:
    assert np.array_equal(pixels_of(picture_of(many(channels))), many(channels))
    assert picture_of(many(channels)).size == (30, 20)


@pytest.mark.parametrize("channels", [2, 4, 5])
@pytest.mark.parametrize("train", [True, False])
def test_a_transform_does_to_each_channel_what_it_does_to_a_grey_image(channels: int, train: bool) -> None:
    prepared = Preprocessing(16, (0.5,), (0.5,), 0.9, "bicubic", decoding=Decoding(channels))
    transform = TrainTransform(16, "bicubic", 0.3, 0.5, 1) if train else EvalTransform(prepared)
    found = transform(picture_of(many(channels)), (0, 3))
    for k in range(channels):
        assert np.array_equal(found[:, :, [k]], transform(picture_of(many(channels)[:, :, [k]]), (0, 3)))


@pytest.mark.parametrize("channels", [1, 5])
def test_transforms_of_ones_own_are_given_all_channels(channels: int) -> None:
    transform = OwnTransform(lambda image: image, 20, 0)
    assert transform(picture_of(many(channels)[:, :20]), (0, 0)).shape == (20, 20, channels)


def test_an_array_of_four_channels_is_rgba_or_four_bands() -> None:
    pixels = many(4)
    assert channels_of(pixels) == 3
    assert np.array_equal(pixels_of(decode(pixels, Decoding(4))), pixels)
    flat = Image.alpha_composite(Image.new("RGBA", (30, 20), "white"), Image.fromarray(pixels)).convert("RGB")
    assert np.array_equal(pixels_of(decode(pixels, Decoding(background="white"))), np.asarray(flat))


@pytest.mark.parametrize(("found", "wanted"), [(5, 3), (5, 1), (3, 5), (2, 4)])
def test_other_channels_than_those_wanted_are_refused(found: int, wanted: int) -> None:
    with pytest.raises(ValueError, match=f"it has {found} channels and not {wanted}"):
        decode(many(found), Decoding(wanted))


@pytest.mark.parametrize("values", [np.uint8, np.uint16, np.float32])
def test_so_is_grey_in_an_array(values: type) -> None:
    with pytest.raises(ValueError, match="it has 1 channels and not 5"):
        decode(np.ones((4, 4), values), Decoding(5))


def test_many_channels_are_shown_by_their_first_three() -> None:
    shown = Bands([Image.fromarray(many(5)[:, :, k]) for k in range(5)]).convert("RGB")
    assert np.array_equal(np.asarray(shown), many(5)[:, :, :3])


def test_bands_of_a_tiff_are_read_as_tifffile_reads_them() -> None:
    tifffile = pytest.importorskip("tifffile")
    import io

    for options in ({"planarconfig": "contig"}, {"planarconfig": "contig", "compression": "zlib"}):
        file = io.BytesIO()
        tifffile.imwrite(file, many(6), photometric="minisblack", **options)
        assert channels_of(file.getvalue()) == 6
        assert np.array_equal(pixels_of(decode(file.getvalue(), Decoding(6))), many(6))
