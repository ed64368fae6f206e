"""Pictures of answers beside what is there, kept by a run at its end."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.data.images import Images
from botzoo.pages.sheet import Pair, sheet
from botzoo.pixels.bands import picture_of
from botzoo.results.dense.looking import Look, Network
from botzoo.results.dense.shared import DRAWN, PICTURE
from botzoo.results.record import RunRecord
from botzoo.results.words import dense_words
from botzoo.training.callbacks import Callback
from botzoo.util.files import written_whole
from botzoo.util.text import brief

log = logging.getLogger("botzoo")

SHOWN = 4  # images


class KeepPictures(Callback):
    """Draws some evaluated images with what is there and what was found; it stands before what writes the card."""

    def on_finish(self, run: Any) -> None:
        """Write the picture on the main process; a failure costs the run nothing but the picture."""
        if not run.is_main:
            return
        (run.folder / DRAWN).unlink(missing_ok=True)  # of an end that was interrupted
        images = run.images["test" if "test" in run.images else "validation"]
        if not isinstance(images, Images) or run.task.whole_image:
            return
        network = Network(run.task, run.trainer.evaluated, run.preprocessing)
        try:
            whole = sheet(pairs(RunRecord.load(run.folder), images, network), run.data.class_names)
            with written_whole(run.folder / DRAWN) as part:
                whole.save(part, "PNG")
        except Exception as error:  # whatever images and fonts may raise
            log.warning("%s was not drawn (%s); all else is written.", PICTURE, brief(error))


def pairs(record: RunRecord, images: Images, network: Network) -> list[Pair]:
    """Return some images of the record's split with their answers, the best ones first."""
    words = dense_words(record)
    found = []
    for i in chosen(words.losses(record.evaluation)):
        with images.at_hand(i) as at_hand:
            look = Look(picture_of(at_hand), partial(images.split.target, i), network)
        line = f"{record.image_names[i]}: {words.line(record.evaluation, i)}"
        found.append(Pair(look.picture, *words.marks(record.evaluation, i, look), line))
    return found


def chosen(losses: NDArray[np.float64]) -> list[int]:
    """Return images from the middle of each of ``SHOWN`` parts of all of them, in the order of their losses."""
    order = np.argsort(losses, kind="stable")
    places = (np.arange(SHOWN) + 0.5) / SHOWN * len(order)
    return [*dict.fromkeys(order[places.astype(int)].tolist())]
