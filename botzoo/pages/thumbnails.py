"""Small pictures that lie within a page."""

from base64 import b64encode
from io import BytesIO
from typing import Protocol

from PIL import Image


class Convertible(Protocol):
    """A picture of Pillow's, or one of more channels than it knows."""

    @property
    def size(self) -> tuple[int, int]: ...

    def convert(self, mode: str) -> Image.Image: ...


def thumbnail(image: Convertible, side: int = 112, quality: int = 80) -> str:
    """Return an image as a JPEG in a ``data:`` URI.

    Args:
        image: of any mode that converts to RGB.
        side: of the longer side, in pixels; smaller images are enlarged to it, each pixel a square.
        quality: of the JPEG, in [1, 95].
    """
    file = BytesIO()
    sized(image, side).save(file, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"


def sized(image: Convertible, side: int) -> Image.Image:
    """Return an image as RGB, its longer side ``side`` pixels."""
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    kernel = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX  # the pixels of an icon are to be seen
    return image.convert("RGB").resize((width, height), kernel)
