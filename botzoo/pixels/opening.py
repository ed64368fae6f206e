"""Files of pictures, opened by Pillow as one of a few formats, or by its plugin for HEIC."""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA")
"""What is tried, the frequent ones first; Pillow reads more, some of it by running other programs."""

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""What a file of HEVC says that it is; AVIF, which Pillow reads, has others."""


def open_picture(file: BinaryIO) -> Image.Image:
    """Open a file of one of ``FORMATS`` or, where there is the plugin, HEIC; only its header is read.

    Raises:
        ValueError: it is HEIC, and the plugin is not there.
        OSError: it is none of these.
    """
    start = file.read(64)
    file.seek(0)
    if start[4:8] != b"ftyp" or start[8:12] not in HEIF_BRANDS or b"avif" in start:
        return Image.open(file, formats=FORMATS)
    try:
        import pillow_heif  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ValueError("it is HEIC, which takes a plugin of Pillow's: pip install 'botzoo[heif]'") from error
    pillow_heif.register_heif_opener()
    return Image.open(file, formats=("HEIF",))
