"""Decoding against Pillow, and what is refused."""

import contextlib
import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from botzoo.data import decode as module
from botzoo.data.decode import TRANSPARENT, decode, decoding, extremes
from botzoo.models.preprocessing import Decoding
from botzoo.sources.targets.pictures import encoded_size
from data.pictures import RED, encode, noise

YCBCR = ["YCbCr"] if int(PIL.__version__.split(".")[0]) >= 13 else []
"""Pillow before 13 cannot read such a TIFF of its own."""

MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "I;16", "I", "F", "CMYK", "LAB", *YCBCR],
    "JPEG": ["L", "RGB", "CMYK", "YCbCr"],
    "WEBP": ["RGB", "RGBA"],
    "BMP": ["1", "L", "P", "RGB", "RGBA"],
    "GIF": ["1", "L", "P", "RGB"],
}


@pytest.mark.parametrize(("form", "mode"), [(form, mode) for form, modes in MODES.items() for mode in modes])
def test_every_mode_becomes_eight_bit_rgb(form: str, mode: str) -> None:
    image = Image.new(mode, (3, 2)) if mode in ("I;16", "LAB") else RED.convert(mode)
    decoded = decode(encode(image, form))
    assert (decoded.mode, decoded.size) == ("RGB", (3, 2))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1"])
def test_common_modes_are_converted_as_pillow_does(mode: str) -> None:
    image = noise(9, 7).convert(mode)
    assert decode(encode(image)).tobytes() == image.convert("RGB").tobytes()


def clear(mode: str) -> Image.Image:
    """A picture of which some is transparent, in a mode of Pillow's or, as "RGB", by a colour that is."""
    image = noise(9, 7).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    if mode in ("RGB", "L", "P", "1"):
        image = image.convert("RGB").convert(mode)
        image.info["transparency"] = image.getpixel((0, 0))
        return image
    return image.convert("RGBA").convert("LA") if mode == "LA" else image


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGB", "L", "P", "1"])
@pytest.mark.parametrize("background", ["white", "#102030"])
@pytest.mark.parametrize("stored", [True, False])
def test_transparent_images_lie_on_the_background(mode: str, background: str, stored: bool) -> None:
    image, seen = clear(mode), set[str]()
    ground = Image.new("RGBA", image.size, background)
    with decoding(encode(image) if stored else image, Decoding(background=background), seen.add) as found:
        assert found.tobytes() == Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB").tobytes()
    assert seen == {TRANSPARENT}


def test_an_opaque_image_is_the_same_on_every_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 18)  # two rows at a time
    image, seen = noise(9, 7).convert("RGBA"), set[str]()
    with decoding(encode(image), Decoding(background="red"), seen.add) as found:
        assert found.tobytes() == image.convert("RGB").tobytes()
    assert not seen
    assert decode(encode(clear("RGBA")), Decoding(background="red")).size == (9, 7)


def sixteen_bit_png(values: np.ndarray, clear: np.ndarray | None = None) -> bytes:
    """A PNG of uint16 (H, W, C), C from 2 to 4, which Pillow does not write; the colour ``clear`` is transparent."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, {2: 4, 3: 2, 4: 6}[values.shape[2]], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head_and_clear = chunk(b"IHDR", head) + (
        chunk(b"tRNS", clear.astype(">u2").tobytes()) if clear is not None else b""
    )
    return b"\x89PNG\r\n\x1a\n" + head_and_clear + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [3, 4])
def test_all_bits_of_sixteen_bit_colours_are_read(channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (5, 6, channels)).astype(np.uint16)
    values[:, :, 3:] = 65535
    found = decode(sixteen_bit_png(values), Decoding(range=(0, 4095), background="white"))
    assert np.array_equal(np.asarray(found), np.round(values[:, :, :3] * (255 / 4095)).astype(np.uint8))
    assert extremes(sixteen_bit_png(values[:, :, :3])) == (values[:, :, :3].min(), values[:, :, :3].max(), True, 1)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_range_holds_for_every_image(mode: str, channels: int) -> None:
    values = np.array([[0, 1024, 4095]], {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
    found = np.asarray(decode(encode(Image.fromarray(values), "TIFF"), Decoding(channels, range=(0, 2048))))
    assert found.reshape(3, -1)[:, 0].tolist() == [0, 128, 255]
    assert found.shape == ((1, 3) if channels == 1 else (1, 3, 3))


def test_heic_is_read_by_its_plugin_or_named() -> None:
    heic = b"\0\0\0\x1cftypheic" + bytes(40)
    with pytest.raises(ValueError, match=r"pip install 'botzoo\[heif\]'|not an image|[Ii]nvalid"):
        decode(heic)
    plugin = pytest.importorskip("pillow_heif")
    plugin.register_heif_opener()
    heic = encode(noise(64, 48), "HEIF", quality=100)
    found = np.asarray(decode(heic), np.float32)
    assert np.abs(found - np.asarray(noise(64, 48), np.float32)).mean() < 8
    assert encoded_size(heic, "a.heic") == (48, 64)


def test_cmyk_is_converted_as_pillow_does() -> None:
    encoded = encode(noise(9, 7).convert("CMYK"), "JPEG")
    assert decode(encoded).tobytes() == Image.open(io.BytesIO(encoded)).convert("RGB").tobytes()


def test_a_palette_with_transparency_is_read_without_a_warning() -> None:
    image = RED.convert("P", palette=Image.Palette.ADAPTIVE)
    transparency = bytes([128]) * 256
    assert decode(encode(image, transparency=transparency)).getpixel((0, 0)) == pytest.approx((200, 30, 10), abs=2)


def test_sixteen_bits_are_scaled_by_their_range_and_not_clipped() -> None:
    values = np.array([[0, 128 * 257, 65535]], np.uint16)
    decoded = np.asarray(decode(encode(Image.fromarray(values))))
    assert decoded[0, :, 0].tolist() == [0, 128, 255]
    dark = np.asarray(decode(encode(Image.fromarray(np.array([[1, 257]], np.uint16)))))
    assert dark[0, :, 0].tolist() == [0, 1]


@pytest.mark.parametrize("values", [[0, 0.5, 1], [0, 128, 255], [-3, 32896, 65535], [float("nan"), 128, 255]])
def test_floating_point_is_scaled_by_the_range_of_its_values(values: list[float]) -> None:
    encoded = encode(Image.fromarray(np.array([values], np.float32)), "TIFF")
    assert np.asarray(decode(encoded))[0, :, 1].tolist() == [0, 128, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_their_exif_says(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = encode(noise(9, 7), exif=exif)
    assert decode(encoded).size == ((9, 7) if orientation <= 4 else (7, 9))
    corner = {1: (0, 0), 2: (8, 0), 3: (8, 6), 4: (0, 6), 5: (0, 0), 6: (0, 6), 7: (8, 6), 8: (8, 0)}[orientation]
    assert decode(encoded).getpixel((0, 0)) == noise(9, 7).getpixel(corner)


def test_the_first_image_of_an_animation_is_taken() -> None:
    blue = Image.new("RGB", RED.size, (0, 0, 255))
    for form in ("GIF", "PNG", "WEBP"):
        encoded = encode(RED, form, save_all=True, append_images=[blue], lossless=True)
        assert decode(encoded).getpixel((0, 0)) == pytest.approx((200, 30, 10), abs=1)


def test_pixels_are_taken_as_they_are() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert np.asarray(decode(grey)).tolist() == np.stack([grey] * 3, -1).tolist()


def test_a_huge_image_is_read_without_a_warning(tmp_path: Path) -> None:
    Image.new("1", (10_000, 9_000)).save(tmp_path / "huge.png", compress_level=1)
    assert decode(tmp_path / "huge.png").size == (10_000, 9_000)


def test_an_image_beyond_the_limit_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTZOO_MAX_MEGAPIXELS", "5e-6")
    with pytest.raises(ValueError, match="it has 3 x 2 pixels, more than 5"):
        decode(encode(RED))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "ICO", "TGA"])
def test_damage_of_any_kind_is_one_kind_of_error(form: str) -> None:
    whole, rng = encode(noise(40, 50), form), random.Random(0)
    for _ in range(60):
        damaged = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
        for _ in range(3 if damaged else 0):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with contextlib.suppress(ValueError):
            assert decode(bytes(damaged)).mode == "RGB"


def test_postscript_is_not_run() -> None:
    with pytest.raises(ValueError, match="it is not an image"):
        decode(encode(RED, "EPS"))
