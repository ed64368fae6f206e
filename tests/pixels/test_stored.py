"""Files that Pillow reads in part, wrongly or not at all, against the arrays that were written and Pillow's own rules."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from botzoo.data import decode as decoding_module
from botzoo.data.decode import channels_of, decode, extremes
from botzoo.data.decoded import key_of
from botzoo.data.images import Survey, extremes_in, survey
from botzoo.models.preprocessing import PLAIN, Decoding
from botzoo.pixels.arrays import turned
from botzoo.pixels.bands import pixels_of
from botzoo.pixels.values import may_be_deep, range_of_one, scaled
from data.pictures import encode, split_of
from data.test_decode import sixteen_bit_png

ALL = (0.0, 65535.0)


def values(channels: int, dtype: Any = np.uint16) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, np.iinfo(dtype).max, (6, 9, channels), dtype, endpoint=True)


def tiff(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    pytest.importorskip("tifffile").imwrite(file, array, **options)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def on_white(rgba: np.ndarray) -> np.ndarray:
    flat = Image.alpha_composite(Image.new("RGBA", rgba.shape[1::-1], "white"), Image.fromarray(rgba))
    return np.asarray(flat.convert("RGB"))


def test_transparency_is_no_part_of_the_range_of_colours() -> None:
    rgba = values(4) // 64
    rgba[:, :, 3] = 65535
    png = sixteen_bit_png(rgba)
    assert extremes(png, 3) == extremes(png, 1) == (rgba[:, :, :3].min(), rgba[:, :, :3].max(), True, 1)
    assert extremes(npy(rgba), 4) == (rgba.min(), 65535, True, 1)


@pytest.mark.parametrize("between", [(0.0, 4095.0), ALL])
def test_sixteen_bits_of_grey_and_transparency_are_read(between: tuple[float, float]) -> None:
    found = values(2) % 4096
    expected = np.concatenate([*[scaled(found[:, :, :1], between)] * 3, scaled(found[:, :, 1:], ALL)], 2)
    how = Decoding(background="white", range=between)
    assert np.array_equal(pixels_of(decode(sixteen_bit_png(found), how)), on_white(expected))


@pytest.mark.parametrize("between", [(0.0, 4095.0), ALL])
def test_a_transparent_colour_of_sixteen_bits_stays_transparent(between: tuple[float, float]) -> None:
    found = values(3) % 4096
    png = sixteen_bit_png(found, clear=found[2, 3])
    expected = scaled(found, between)
    expected[2, 3] = 255
    assert np.array_equal(pixels_of(decode(png, Decoding(background="white", range=between))), expected)


def test_files_and_arrays_of_sixteen_bit_colours_are_scaled_alike() -> None:
    how = Decoding(range=ALL)
    assert decode(sixteen_bit_png(values(3)), how).tobytes() == decode(values(3), how).tobytes()


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_an_open_picture_comes_out_as_its_file(kind: str) -> None:
    content = sixteen_bit_png(values(3)) if kind == "png" else tiff(values(3), photometric="rgb")
    picture, how = Image.open(io.BytesIO(content)), Decoding(range=(0, 999))
    assert decode(picture, how).tobytes() == decode(content, how).tobytes()
    assert picture.tobytes() == Image.open(io.BytesIO(content)).tobytes()  # which is left as it is


def test_the_range_of_pages_is_that_of_all_and_another_for_other_channels() -> None:
    pages = [Image.fromarray(np.full((4, 5), 100 * k, np.uint16)) for k in range(1, 6)]
    content = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    split = split_of([content])
    assert extremes_in(split, survey(split), 5)[:2] == (100, 500)
    assert extremes_in(split, survey(split), 3)[:2] == (100, 100)


@pytest.mark.parametrize(("channels", "wanted"), [(5, 3), (3, 5), (1, 4), (2, 1)])
def test_an_image_of_other_channels_does_not_decide_the_range(channels: int, wanted: int) -> None:
    assert extremes(npy(values(channels)), wanted) is None
    assert extremes(values(channels), wanted) is None


def test_what_memory_did_not_suffice_for_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of([npy(values(3)), npy(values(1))])
    with monkeypatch.context() as patch:
        patch.setattr(decoding_module, "extremes_of", lambda values: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            extremes(split.read(0))
        assert extremes_in(split, survey(split)) is None
    assert extremes_in(split, survey(split)).images == 2


def test_values_count_against_the_limit_and_other_channels_are_refused_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTZOO_MAX_MEGAPIXELS", "1e-4")
    monkeypatch.setattr(decoding_module.np, "asarray", lambda *given: pytest.fail("loaded"))
    many = npy(np.zeros((9, 9, 60), np.float64))
    with pytest.raises(ValueError, match="9 x 9 pixels, which take the memory of 12,960 of RGB, more than 100"):
        decode(many, Decoding(60))
    with pytest.raises(ValueError, match="it has 60 channels and not 3"):
        decode(many)


def test_a_plugin_that_is_new_makes_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = set()
    for found in ("none", "1.0", "1.1"):
        monkeypatch.setattr(decoding_module, "_version", lambda name, found=found: found if name != "pillow" else "1")
        keys.add(key_of(np.zeros(32, np.uint8), PLAIN))
    assert len(keys) == 3


@pytest.mark.parametrize("how", [PLAIN, Decoding(range=ALL)])
def test_planes_of_sixteen_bit_colours_are_read_as_they_were_written(how: Decoding) -> None:
    content = tiff(np.moveaxis(values(3), -1, 0), photometric="rgb", planarconfig="separate")
    assert np.array_equal(pixels_of(decode(content, how)), scaled(values(3), ALL))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"planarconfig": "separate"}])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_fourth_band_in_doubt_is_transparency_for_who_wants_three(options: dict[str, str], dtype: Any) -> None:
    rgba = values(4, dtype)
    stored = np.moveaxis(rgba, -1, 0) if "planarconfig" in options else rgba
    content = tiff(stored, photometric="rgb", extrasamples=["unspecified"], **options)
    expected = rgba if dtype is np.uint8 else scaled(rgba, ALL)
    found = decode(content, Decoding(background="white", range=ALL))
    assert np.array_equal(pixels_of(found), on_white(expected))


def test_a_flat_picture_of_many_bands_is_read_where_the_file_says_so() -> None:
    flat = values(6, np.uint8)[:2]
    content = tiff(flat, photometric="minisblack", planarconfig="contig")
    assert channels_of(content) == 6
    assert np.array_equal(pixels_of(decode(content, Decoding(6))), flat)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_bands_and_pages_are_turned_as_pillow_turns_pictures(orientation: int) -> None:
    def upright(band: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(band)
        picture.getexif()[0x0112] = orientation
        return np.asarray(ImageOps.exif_transpose(picture))

    bands = values(5, np.uint8)
    expected = np.stack([upright(np.ascontiguousarray(bands[:, :, k])) for k in range(5)], -1)
    assert np.array_equal(turned(bands, orientation), expected)
    tag: Any = {"extratags": [(274, "H", 1, orientation, False)], "photometric": "minisblack", "metadata": None}
    pages = tiff(np.moveaxis(bands, -1, 0), **tag)
    for content in (tiff(bands, planarconfig="contig", **tag), pages):
        assert np.array_equal(pixels_of(decode(content, Decoding(5))), expected)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_truth_values_are_black_and_white(channels: int) -> None:
    mask = values(channels) > 30_000
    found = decode(npy(mask), Decoding(channels, range=ALL))
    assert np.array_equal(pixels_of(found), 255 * mask)


def test_portable_maps_as_text_are_looked_at() -> None:
    assert may_be_deep(b"P2\n2 1\n4095\n0 4095\n")
    assert extremes(b"P2\n2 1\n4095\n0 4095\n").high > 255


def test_the_largest_numbers_have_a_range() -> None:
    most = float(np.finfo(np.float64).max)
    assert scaled(np.array([[-most, 0, most, np.inf]]), (-most, most)).tolist() == [[0, 128, 255, 255]]
    assert scaled(np.array([[-most, 0.5, most]]), (0, 1)).tolist() == [[0, 128, 255]]


def test_infinity_does_not_make_an_image_black() -> None:
    assert range_of_one(np.array([[0.5, np.inf, np.nan]]), sixteen=False) == (0, 1)
    assert range_of_one(np.array([[np.inf]]), sixteen=False) == (0, 1)


def test_a_file_that_is_gone_does_not_settle_the_range(tmp_path: Path) -> None:
    split, seen = split_of([tmp_path / "1.npy"], [0]), Survey(np.ones((1, 32), np.uint8), {}, [0])
    assert extremes_in(split, seen) is None
    np.save(tmp_path / "1.npy", values(1))
    assert extremes_in(split, seen) is not None


def stored_tiff(array: np.ndarray, planes: str, last: str) -> bytes:
    """A TIFF of grey or RGB whose last channel is as the tag says."""
    photometric = "rgb" if array.shape[2] > 2 else "minisblack"
    stored = np.moveaxis(array, -1, 0) if planes == "separate" else array
    return tiff(stored, photometric=photometric, planarconfig=planes, extrasamples=[last])


PLANES = ["contig", "separate"]


@pytest.mark.parametrize("planes", PLANES)
@pytest.mark.parametrize("last", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_by_its_tag_is_that_however_it_is_stored(
    channels: int, dtype: Any, last: str, planes: str
) -> None:
    rgba = values(channels, np.uint8)
    rgba[:, :, -1] |= 0x80  # of what is nearly clear few bits of a colour are left
    top = {np.uint8: 1, np.uint16: 257, np.float32: 1 / 255}[dtype]
    array = (rgba * dtype(top)).astype(dtype)
    if last == "assocalpha":
        array[:, :, :-1] = np.round(array[:, :, :-1] / 1.0 * rgba[:, :, -1:] / 255, 0 if dtype != np.float32 else 9)
    between = (0.0, 1.0) if dtype is np.float32 else ALL
    content = stored_tiff(array, planes, last)
    assert channels_of(content) == 3
    found = pixels_of(decode(content, Decoding(background="white", range=between))).astype(int)
    expected = on_white(np.ascontiguousarray(rgba if channels == 4 else rgba[:, :, [0, 0, 0, 1]]))
    assert np.abs(found - expected).max() <= 2


@pytest.mark.parametrize("planes", PLANES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("channels", "told"), [(2, 2), (4, None)])
def test_a_last_channel_that_no_tag_explains_is_the_same_however_it_is_stored(
    channels: int, told: int | None, dtype: Any, planes: str
) -> None:
    content = stored_tiff(values(channels, np.uint8).astype(dtype), planes, "unspecified")
    assert channels_of(content) == told
    assert pixels_of(decode(content, Decoding(channels, range=(0.0, 255.0)))).shape == (6, 9, channels)
    if told == 2:
        with pytest.raises(ValueError, match="it has 2 channels and not 3"):
            decode(content, Decoding(range=(0.0, 255.0)))


@pytest.mark.parametrize("planes", PLANES)
@pytest.mark.parametrize("last", ["unassalpha", "assocalpha", "unspecified"])
def test_bands_behind_transparency_are_not_left_out(last: str, planes: str) -> None:
    array = values(5, np.uint8)
    stored = np.moveaxis(array, -1, 0) if planes == "separate" else array
    content = tiff(stored, photometric="rgb", planarconfig=planes, extrasamples=[last, "unspecified"])
    assert channels_of(content) == 5
    assert np.array_equal(pixels_of(decode(content, Decoding(5))), array)
