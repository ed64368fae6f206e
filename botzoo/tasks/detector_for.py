"""What a detector is made of, and how it is trained, where nobody says: by the boxes and the pictures of a data set."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import ConfigError, DataError
from botzoo.models.create import Network
from botzoo.models.dense.anchors import MET, SCALE, Anchors, anchors_at, fitted, fitting_share
from botzoo.models.dense.body import STRIDES, body_of
from botzoo.models.dense.detector import Detector, DetectorPlan
from botzoo.models.preprocessing import Size
from botzoo.options.choices import Choice
from botzoo.options.config import TrainConfig
from botzoo.options.facts import stands_in_for
from botzoo.sources.base import ImageData
from botzoo.sources.targets.boxes import BoxSplit
from botzoo.util.text import counted

log = logging.getLogger("botzoo")

Sides = NDArray[np.float64]
"""Widths and heights of boxes in pixels of the network's input, shape (n, 2), each greater than 0."""

SIDE = 416
"""Root of the input's area in pixels, where pictures are no smaller."""
MULTIPLE = 32
"""Pixels that its sides are multiples of: the stride of a body's last map."""
LONGEST = 2.0
"""Greatest quotient of its sides."""
LOOKED_AT = 200
"""Pictures whose headers say how large they are, where the annotations do not."""
SMALL = 16.0
"""Side of a box in pixels, the root of its area, below which the finest map has a stride of 4."""
FEW = 0.02
"""Share of boxes that may be smaller all the same."""
SEEN = 2_400
"""Training images seen in a run, each as often as there are epochs."""
FEWEST, MOST = 3, 30
"""Epochs."""
BATCH = 4
LR, HEAD_LR_SCALE = 0.0064, 10.0
"""At a batch of 256, of the body; and the factor on that of what is new."""
MEASURED = "measured on blood cells with resnet10d_bot"
WELL = 0.9
"""Share of boxes that anchors should fit."""


def suiting(config: TrainConfig, data: ImageData[BoxSplit], given: Collection[str]) -> tuple[Choice, ...]:
    """Return what suits the boxes of ``data`` in the place of options that are not ``given``, each with its reason."""
    size, own = input_for(config, data.train)
    sides = sides_at(data.train, size)
    stride = config.detect.stride or stride_for(sides)
    choices = [*of_shape(size, own, sides, stride, config), *of_training(config, len(data.train))]
    return tuple(c for c in choices if {c.option, *stands_in_for(c.option)}.isdisjoint(given))


def of_shape(size: Size, own: Size, sides: Sides, stride: int, config: TrainConfig) -> Iterator[Choice]:
    """Yield the choices of input, finest map and anchors; ``own`` is the median size of the pictures."""
    if config.img_size is None:
        why = f"pictures have {own} px in the median, and boxes are found at about {SIDE} px in minutes"
        yield Choice("img_size", size.side, why, MEASURED)
    if config.detect.stride is None:
        low = f"{np.quantile(_lengths(sides), FEW):.0f} px" if len(sides) else "unknown"
        yield Choice("detect.stride", stride, f"but for {FEW:.0%} boxes have sides of {low} or more there", MEASURED)
    if config.detect.anchors is None:
        strides = strides_from(stride)
        best = fitted(sides, strides)
        share = fitting_share(sides, best)
        why = f"anchors of {_range(best)} fit {share:.0%} of the boxes with an overlap of {MET:g} or more"
        yield Choice("detect.anchors", best.sizes[0] / strides[0], why, "Ren 2015, arXiv:1506.01497, section 3.1.1")


def of_training(config: TrainConfig, images: int) -> Iterator[Choice]:
    """Yield the choices of batch, length and learning rates."""
    yield Choice("batch_size", min(BATCH, images), "a picture has many boxes, each of which is an example", MEASURED)
    epochs = min(MOST, max(FEWEST, round(SEEN / images)))
    seen = f"about {SEEN:,} images seen are minutes on a processor; {FEWEST} epochs at least, {MOST} at most"
    yield Choice("epochs", epochs, seen, MEASURED)
    if config.optimizer != "adamw":
        yield Choice("optimizer", "adamw", "few steps are better used by steps of each weight's own size", MEASURED)
        yield Choice("optim.weight_decay", 0.05, "usual for AdamW", "Loshchilov 2019, arXiv:1711.05101")
    yield Choice("lr", LR, "at a batch of 256, of AdamW", MEASURED)
    if hasattr(config, "head_lr_scale") and not config.scratch:
        why = "what is new learns faster than the body, which has its weights"
        yield Choice("head_lr_scale", HEAD_LR_SCALE, why, MEASURED)


def check_anchors(config: TrainConfig, data: ImageData[BoxSplit]) -> None:
    """Look whether the anchors that are asked for fit the training images' boxes; say so where they hardly do.

    Raises:
        ConfigError: they fit none.
    """
    if config.detect.anchors is None:
        return
    sides = sides_at(data.train, input_for(config, data.train)[0])
    strides = strides_from(config.detect.stride or stride_for(sides))
    asked, best = anchors_at(strides, config.detect.anchors), fitted(sides, strides)
    share = fitting_share(sides, asked)
    if share >= WELL:
        return
    lengths = _lengths(sides)
    how_many = f"{share:.0%} of" if share else "none of"
    fits = (
        f"--detect.anchors {config.detect.anchors:g} gives anchors of {_range(asked)}, which fit {how_many} the "
        f"{counted(len(sides), 'box', 'boxes')}: these have sides of {lengths.min():.0f} to {lengths.max():.0f} px"
    )
    cure = f"{best.sizes[0] / strides[0]:g} would fit {fitting_share(sides, best):.0%}"
    if not share:
        raise ConfigError(f"{fits}. Leave it out, or give another: {cure}.")
    log.warning("%s, and %s.", fits, cure)


def detector_on(network: Network, classes: int, config: TrainConfig) -> Network:
    """Return a detector on the body of a classifier, with its weights.

    BatchNorm stays as it is in these: a batch has a few pictures. With ``config.scratch`` it learns.

    Raises:
        ModelError: the network has no maps that a pyramid can be made of.
    """
    finest = config.detect.stride or STRIDES[0]
    body = body_of(network, finest=finest)
    if not config.scratch:
        body.freeze_norms()
    strides = [*body.strides, 2 * body.strides[-1]]
    plan = DetectorPlan(finest=finest, anchors=anchors_at(strides, config.detect.anchors or SCALE))
    whole = replace(network.preprocessing, crop_mode="border", crop_pct=1.0)
    return replace(network, model=Detector(body, classes, plan), preprocessing=whole)


def strides_from(finest: int) -> list[int]:
    """Return the strides of a detector's maps on a body that has all."""
    return [stride for stride in (*STRIDES, 2 * STRIDES[-1]) if stride >= finest]


def stride_for(sides: Sides) -> int:
    """Return the stride of the finest map that suits boxes."""
    small = float((_lengths(sides) < SMALL).mean()) if len(sides) else 0.0
    return 4 if small > FEW else 8


def input_for(config: TrainConfig, split: BoxSplit) -> tuple[Size, Size]:
    """Return the size of the input that suits a split's pictures, or that is asked for, and the pictures' median size."""
    own = median_size(split)
    return (input_of(own) if config.img_size is None else Size.of(config.img_size)), own


def input_of(own: Size) -> Size:
    """Return the size of the input for pictures of this size: their shape, so that little of it is left free."""
    ratio = min(LONGEST, max(1 / LONGEST, own.width / own.height))
    side = min(float(SIDE), own.area**0.5)
    height, width = (
        max(MULTIPLE, round(length / MULTIPLE) * MULTIPLE) for length in (side / ratio**0.5, side * ratio**0.5)
    )
    return Size(height, width)


def median_size(split: BoxSplit) -> Size:
    """Return the medians of height and width of a split's pictures, as far as annotations or some of the headers say."""
    known = split.sizes[(split.sizes > 0).all(1)]
    if not len(known):
        some = np.unique(np.linspace(0, len(split) - 1, min(LOOKED_AT, len(split))).astype(int)).tolist()
        known = np.array([*_sizes(split, some)], np.int32).reshape(-1, 2)
    height, width = np.median(known, 0).astype(int).tolist() if len(known) else (SIDE, SIDE)
    return Size(height, width)


def _sizes(split: BoxSplit, images: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield height and width of those images that can be read; of the others something is said later."""
    for i in images:
        with suppress(DataError):
            placed = split.target(i)
            yield placed.height, placed.width


def sides_at(split: BoxSplit, size: Size) -> Sides:
    """Return the sides of all boxes of a split, in pixels of an input of this ``size``."""
    median = median_size(split)
    found = [np.empty((0, 2))]
    for boxes, (height, width) in zip(split.boxes, split.sizes.tolist(), strict=True):
        height, width = (height, width) if height and width else median
        corners = boxes.usable(height, width).corners.astype(np.float64)
        found.append((corners[:, 2:] - corners[:, :2]) * min(size.height / height, size.width / width))
    return np.concatenate(found)


def _lengths(sides: Sides) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(sides.prod(1)))


def _range(anchors: Anchors) -> str:
    return f"{anchors.sizes[0]:g} to {anchors.sizes[-1]:g} px"
