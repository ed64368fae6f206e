"""A map over one image as a figure for a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from botzoo.errors import DataError
from botzoo.explain.maps import Explainer, batched, overlay
from botzoo.explain.overlays import Unseen, class_number, look
from botzoo.inference.images import AnyImage, check_kind
from botzoo.inference.predict import Model
from botzoo.util.pictures import label as drawn_text
from botzoo.util.pictures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def explanation(
    model: Model, image: AnyImage, label: str | int | None = None, *, method: str = "layercam", device: str = "auto"
) -> Figure:
    """Return an image beside itself with a map over it; ``Model.explain`` says more."""
    check_kind(image, 0, model.preprocessing.decoding)
    number = class_number(model, label) if label is not None else None
    explainer = Explainer(model, method, device=device)
    found = look(explainer.transform, image)
    if isinstance(found, Unseen):
        raise DataError(f"{found.name} cannot be read: {found.problem}.")
    pixels = batched([found.pixels])
    probabilities = explainer.probabilities(pixels)[0]
    k = int(probabilities.argmax()) if number is None else number
    over = overlay(found.picture, explainer.heat(pixels, [k])[0], found.region)
    figure = new_figure(8, min(8, 4 * found.picture.height / found.picture.width + 0.4))
    left, right = figure.subplots(1, 2)
    _show(left, found.picture, f"{model.label_names[k]}, {probabilities[k]:.1%}")
    _show(right, over, f"{explainer.method}: {explainer.words}")
    return figure


def _show(axes: Axes, picture: Image.Image, title: str) -> None:
    axes.imshow(np.asarray(picture))
    axes.set_title(drawn_text(title), fontsize=9, wrap=True)
    axes.set_axis_off()
