"""What a detector is made of, and how it is trained, where nobody says: by the boxes and the pictures of a data set."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import ConfigError
from botzoo.models.create import Network
from botzoo.models.dense.anchors import MET, SCALE, Anchors, anchors_at, fitted, fitting_share
from botzoo.models.dense.body import STRIDES, body_of
from botzoo.models.dense.detector import Detector, DetectorPlan
from botzoo.models.preprocessing import Size
from botzoo.options.choices import Choice
from botzoo.options.config import TrainConfig
from botzoo.sources.base import ImageData
from botzoo.sources.targets.boxes import BoxSplit
from botzoo.tasks.dense import HEAD_LR, Length, batch_for, epochs_for, known, usual_input
from botzoo.util.text import counted

log = logging.getLogger("botzoo")

Sides = NDArray[np.float64]
"""Widths and heights of boxes in pixels of the network's input, shape (n, 2), each greater than 0."""

LONGEST = 480
"""Longer side of the input in pixels, where pictures are no smaller."""
SMALL = 16.0
"""Side of a box in pixels, the root of its area, below which the finest map has a stride of 4."""
FEW = 0.02
"""Share of boxes that may be smaller all the same."""
LENGTH = Length(seen=2_400, fewest=3, most=30)
BATCH = 4
LR = 0.0064
"""Of the body, at a batch of 256."""
CLIP = 5.0
"""Norm of the gradient, at most."""
MEASURED = "measured on blood cells with resnet10d_bot"
WELL = 0.9
"""Share of boxes that anchors should fit."""


def suiting(config: TrainConfig, data: ImageData[BoxSplit], given: Collection[str]) -> list[Choice]:
    """Return what suits the boxes of ``data`` in the place of options that are not ``given``, each with its reason."""
    side, why = usual_input(data, LONGEST)
    size = Size.of(config.img_size or side)
    sides = sides_at(data.train, size)
    stride = config.detect.stride or stride_for(sides)
    every = [
        Choice("img_size", size.side, why, MEASURED),
        *of_boxes(sides, stride),
        *of_training(config, len(data.train), given),
    ]
    return known(config, every, given)


def of_boxes(sides: Sides, stride: int) -> Iterator[Choice]:
    """Yield the choices of finest map and anchors."""
    lengths, strides = _lengths(sides), strides_from(stride)
    low = np.quantile(lengths, FEW) if len(sides) else 0.0
    yield Choice(
        "detect.stride", stride, f"boxes have sides of {low:.0f} px and more there, but for {FEW:.0%}", MEASURED
    )
    best = fitted(sides, strides)
    share = fitting_share(sides, best)
    larger = "" if share >= WELL else "; with a larger --img-size they would be more"
    why = f"anchors of {_range(best)} overlap {share:.0%} of the boxes by {MET:g} or more{larger}"
    yield Choice("detect.anchors", best.sizes[0] / strides[0], why, "Ren 2015, arXiv:1506.01497, section 3.1.1")


def of_training(config: TrainConfig, images: int, given: Collection[str]) -> Iterator[Choice]:
    """Yield the choices of batch, length and, where nobody has chosen another optimizer, learning rate and decay."""
    why = "a picture has many boxes, each of which is an example"
    yield Choice("batch_size", batch_for(BATCH, images), why, MEASURED)
    yield from epochs_for(LENGTH, images, given, MEASURED)
    if config.optimizer != "adamw":
        yield Choice("optimizer", "adamw", "few steps are better used by steps of each weight's own size", MEASURED)
    if config.optimizer == "adamw" or "optimizer" not in given:
        yield Choice("optim.weight_decay", 0.05, "usual for AdamW", "Loshchilov 2019, arXiv:1711.05101")
        yield Choice("lr", LR, "of AdamW, at a batch of 256", MEASURED)
    yield Choice("optim.clip_grad", CLIP, "the losses of single pictures differ much", MEASURED)
    if not config.scratch:
        yield Choice("head_lr_scale", HEAD_LR, "the head is new and the body is not", "as is usual")
    yield Choice("layer_decay", 1.0, "the body's lower layers have small objects to learn too", MEASURED)


def check_anchors(config: TrainConfig, data: ImageData[BoxSplit]) -> None:
    """Look whether the anchors that are asked for fit the training images' boxes; say so where they hardly do.

    Raises:
        ConfigError: they fit none.
    """
    if config.detect.anchors is None:
        return
    sides = sides_at(data.train, Size.of(config.img_size or usual_input(data, LONGEST)[0]))
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


def check_numbers(data: ImageData[BoxSplit]) -> None:
    """Say so where images have more boxes than a detector gives: the rest is never found."""
    most = DetectorPlan.most
    for role, split in data.splits.items():
        counts = [int((~boxes.crowd).sum()) for boxes in split.boxes]
        if many := sum(count > most for count in counts):
            has = f"{counted(many, 'image')} of the {role} split with up to {max(counts):,} boxes"
            log.warning("%s, and at most %d are found: cut such images into several.", has, most)


def detector_on(network: Network, classes: int, config: TrainConfig) -> Detector:
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
    anchors = anchors_at(strides, config.detect.anchors or SCALE)
    return Detector(body, classes, DetectorPlan(finest=finest, anchors=anchors))


def strides_from(finest: int) -> list[int]:
    """Return the strides of a detector's maps on a body that has all."""
    return [stride for stride in (*STRIDES, 2 * STRIDES[-1]) if stride >= finest]


def stride_for(sides: Sides) -> int:
    """Return the stride of the finest map that suits boxes."""
    small = float((_lengths(sides) < SMALL).mean()) if len(sides) else 0.0
    return 4 if small > FEW else 8


def sides_at(split: BoxSplit, size: Size) -> Sides:
    """Return the sides of a split's boxes in pixels of an input of this ``size``, those of pictures of a known size."""
    found = [np.empty((0, 2))]
    for boxes, (height, width) in zip(split.boxes, split.sizes.tolist(), strict=True):
        if height and width:
            corners = boxes.usable(height, width).corners.astype(np.float64)
            found.append((corners[:, 2:] - corners[:, :2]) * min(size.height / height, size.width / width))
    return np.concatenate(found)


def _lengths(sides: Sides) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(sides.prod(1)))


def _range(anchors: Anchors) -> str:
    return f"{anchors.sizes[0]:g} to {anchors.sizes[-1]:g} px"
