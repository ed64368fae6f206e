"""Where in a mistaken image the network found its answer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from botzoo.data.transforms import EvalTransform
from botzoo.errors import BotzooError
from botzoo.explain.maps import Explainer, batched, overlay
from botzoo.explain.region import seen
from botzoo.inference.predict import Model
from botzoo.pages.thumbnails import sized
from botzoo.pixels.bands import Picture
from botzoo.tasks.task import Task


class Reasons(NamedTuple):
    """What spoke for an answer, image by image, laid over it; None where there was no image."""

    pictures: Sequence[Image.Image | None]
    of: Sequence[int]  # the class that each is about
    layer: str  # whose output was looked at, "" where nothing could be


def reasons(model: Model | None, pictures: Sequence[Picture | None], of: Sequence[int], side: int) -> Reasons:
    """Return maps of the classes ``of`` over as many images, the longer side of which is then ``side`` pixels."""
    nothing = Reasons([None] * len(pictures), of, "")
    there = [k for k, picture in enumerate(pictures) if picture is not None]
    if model is None or not there:
        return nothing
    try:
        explainer, transform = Explainer(model), EvalTransform(model.preprocessing)
        inputs = [transform(pictures[k], (0, 0)) for k in there]  # type: ignore[arg-type]
        heat: list[Any] = []
        for first in range(0, len(there), explainer.batch_size):
            part = slice(first, first + explainer.batch_size)
            heat += [*explainer.heat(batched(inputs[part]), [of[k] for k in there[part]])]
    except BotzooError:
        return nothing  # a network of another kind has no layer to look at
    laid: list[Image.Image | None] = [None] * len(pictures)
    for k, hot in zip(there, heat, strict=True):
        shown = sized(pictures[k], side)  # type: ignore[arg-type]
        laid[k] = overlay(shown, hot, seen(*shown.size, model.preprocessing))
    return Reasons(laid, of, explainer.layer)


def asked(task: Task, evaluation: Any, rows: Sequence[int]) -> list[int]:
    """Return the class that each of the images ``rows`` is explained by: the answer, of several labels the most wrong one."""
    if task.one_label:
        found: NDArray[Any] = evaluation.predicted[list(rows)]
    else:
        shares = 1 / (1 + np.exp(-evaluation.logits[list(rows)].astype(np.float64).clip(-50, 50)))
        found = np.abs(evaluation.labels[list(rows)] - shares).argmax(1)
    return [int(k) for k in found]
