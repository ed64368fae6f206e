"""How long images are made to fit the input: cut, squashed or padded, or an input of their shape.

It is whichever a probe finds the classes by best.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.models.preprocessing import FITS, LONG, Preprocessing, Size
from botzoo.options.choices import Choice
from botzoo.training.callbacks import Callback
from botzoo.training.plan import long_words, median_stretch
from botzoo.training.state import Draft
from botzoo_finetune import auto
from botzoo_finetune.probing.first_look import Look, has_batch_norm, in_part, no_probe

LOOKED_AT = {"train": 2_000, "validation": 1_000}
"""Images that are looked at in each way, at most; of a data set with no more, the features of the way taken are kept."""

LEAST_SIDE = 32
"""Pixels: the stride of the last features of ResNets, which see nothing of a smaller side."""


class ChooseFit(Callback):
    """Chooses ``data.fit``, or ``img_size``, where the median image is long and nobody has chosen; nothing is done elsewhere.

    An input of the images' shape is tried of networks that take any, which are those with BatchNorm; it has as many pixels as
    the square, so that it costs the same.
    """

    looks_at_train = True

    def on_resolve(self, draft: Draft) -> Iterator[Choice]:
        """Choose the way whose probe is right most often on the validation split, the first of equal ones."""
        images, prepared = draft.images["train"], draft.network.preprocessing
        if auto.stands_aside("data.fit", draft.given) or prepared.crop_mode != "center" or no_probe(draft) is not None:
            return
        if (stretch := median_stretch(images, prepared)) < LONG:
            return
        ways = {fit: prepared.fitted(fit) for fit in FITS}
        free = not auto.stands_aside("img_size", draft.given) and _takes_any(draft)
        if (size := long_input(images.shapes, prepared) if free else None) is not None:
            ways[f"an input of {size} px"] = replace(prepared, size=size.side)
        sample = in_part(draft, LOOKED_AT)
        scores = {way: probed(sample, fitted) for way, fitted in ways.items()}
        best = max(scores, key=lambda way: scores[way])
        figures = ", ".join(f"{way} {score:.1f} %" for way, score in scores.items())
        tried = f"a probe comes to {figures} on {len(sample.images['validation']):,} validation images"
        reason = f"{long_words(stretch, prepared)}; {tried}"
        if size is not None and best not in FITS:
            yield Choice("img_size", size.side, reason, "measured here")
        else:
            yield Choice("data.fit", best, reason, "measured here")


def _takes_any(draft: Draft) -> bool:
    fixed = draft.network.preprocessing.fixed_size or draft.own.model is not None
    return not fixed and has_batch_norm(draft.network.model)


def long_input(shapes: NDArray[np.int32], prepared: Preprocessing) -> Size | None:
    """Return the size of an input with about as many pixels that has the median shape of images, None where none fits most.

    Args:
        shapes: (N, 2), height and width of the images in pixels.
        prepared: for the input as it is.
    """
    heights, widths = shapes.astype(float).T
    ratio = math.exp(float(np.median(np.log(widths / heights))))
    sides = [math.sqrt(prepared.shape.area / ratio), math.sqrt(prepared.shape.area * ratio)]
    multiples = [32 if side >= 128 else 8 for side in sides]
    height, width = (max(LEAST_SIDE, round(side / of) * of) for side, of in zip(sides, multiples, strict=True))
    stretch = float(np.median(replace(prepared, size=(height, width)).stretch(*shapes.T)))
    return Size(height, width) if height != width and stretch < LONG else None


def probed(draft: Draft, prepared: Preprocessing) -> float:
    """Return the figure of a probe on images that are prepared so, in per cent; 0 where they look all alike."""
    try:
        return float(
            Look(replace(draft, network=replace(draft.network, preprocessing=prepared))).probe.evaluation.score
        )
    except DataError:
        return 0.0
