"""Which files are images: against what Pillow writes."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from botzoo.sources.folders import begins_as_image, is_image

FORMATS = ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM", "AVIF"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_image_is_known_by_its_first_bytes(form: str, mode: str) -> None:
    file = io.BytesIO()
    try:
        Image.new(mode, (16, 16)).save(file, form)
    except (KeyError, OSError):
        pytest.skip(f"Pillow writes no {form} here")
    assert begins_as_image(file.getvalue()[:32])


OTHERS = [b"", b"BMW is a car, and no bitmap", b"P1 text", b"RIFF1234WAVE", b"PK\3\4", b"%PDF-1.7", b"\0" * 32]


@pytest.mark.parametrize("start", OTHERS)
def test_what_is_no_image_is_not_taken_for_one(start: bytes) -> None:
    assert not begins_as_image(start)


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not is_image(str(tmp_path / "pipe"))
