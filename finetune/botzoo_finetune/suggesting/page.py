"""The page of the images to label next."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from botzoo.data.images import Images
from botzoo.errors import DataError
from botzoo.pages.render import render
from botzoo.pages.thumbnails import thumbnail
from botzoo.util.environment import user_path
from botzoo.util.text import counted
from botzoo_finetune.suggesting.suggestions import Suggestions

PICTURED = 300  # images, at most


def page(done: Suggestions, pool: Images, places: NDArray[np.int64]) -> str:
    """Return suggested.html: small pictures in the order of the table, each with its file and likeliest class."""
    shown, folder = zip(done.images[:PICTURED], places.tolist(), strict=False), f"{user_path(done.folder)}/"
    return render(
        Path(__file__).with_name("page.html"),
        title=f"What to label next for {done.dataset}",
        lead=f"{counted(len(done.images), 'image')} of {done.found:,} in {done.folder}",
        remarks=done.left_out(),
        images=[(image, image.file.removeprefix(folder), _picture(pool, i)) for image, i in shown],
        more=len(done.images) - PICTURED,
    )


def _picture(pool: Images, i: int) -> str | None:
    """Return a small picture as a data: URI; None where the image is gone by now."""
    try:
        picture = pool.image(i)
    except DataError:
        return None
    return thumbnail(picture)
