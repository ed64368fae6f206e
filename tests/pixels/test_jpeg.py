"""JPEGs decoded by TorchCodec against Pillow, whose pixels they are to the bit."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from botzoo.data.decode import decode
from botzoo.models.preprocessing import Decoding
from botzoo.pixels import jpeg
from data.pictures import encode, noise

if jpeg.fast_decoder() is None:
    pytest.skip("TorchCodec is not installed, or made for a later torch", allow_module_level=True)


def turned(by: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = by
    return exif


FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "4:4:4": ("RGB", {"subsampling": 0}),
    "4:2:2": ("RGB", {"subsampling": 1}),
    "4:2:0": ("RGB", {"subsampling": 2, "quality": 30}),
    "progressive": ("RGB", {"progressive": True}),
    "in RGB": ("RGB", {"keep_rgb": True}),
    "restarts": ("RGB", {"restart_marker_blocks": 4}),
    "grey": ("L", {}),
    "cmyk": ("CMYK", {}),
    **{f"turned {by}": ("RGB", {"exif": turned(by)}) for by in range(1, 10)},
    "turned in XMP": ("RGB", {"xmp": b'<rdf:Description tiff:Orientation="6"/>'}),
}


@pytest.mark.parametrize("how", [Decoding(), Decoding(1), Decoding(side=70)])
@pytest.mark.parametrize("size", [(157, 103), (8, 16), (1, 1)])
@pytest.mark.parametrize("form", FORMS)
def test_pixels_are_pillow_s_to_the_bit(
    form: str, size: tuple[int, int], how: Decoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    mode, options = FORMS[form]
    content = encode(noise(*size).convert(mode), "JPEG", **options)
    found = np.asarray(decode(content, how))
    if how == Decoding():
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        assert np.array_equal(found, np.asarray(upright.convert("RGB")))
    monkeypatch.setattr(jpeg, "fast_decoder", lambda: None)
    assert np.array_equal(found, np.asarray(decode(content, how)))


def test_it_is_torchcodec_that_decodes() -> None:
    content = encode(noise(60, 40), "JPEG")
    assert jpeg.whole(Image.open(io.BytesIO(content)), content) is not None


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: c[:-2], lambda c: c[:200], lambda c: c[:2]])
def test_damaged_files_are_refused_in_pillow_s_words(damage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    content = damage(encode(noise(157, 103), "JPEG"))
    with pytest.raises(ValueError, match=r".") as ours:
        decode(content)
    monkeypatch.setattr(jpeg, "fast_decoder", lambda: None)
    with pytest.raises(ValueError, match=r".") as pillow:
        decode(content)
    assert str(ours.value) == str(pillow.value)
