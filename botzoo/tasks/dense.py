"""What the tasks have in common that say where things are in an image."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import nn

from botzoo.data.dense.transforms import DenseEvaluation, DenseTraining, Target
from botzoo.data.transforms import Prepared, Transform
from botzoo.errors import DataError
from botzoo.models.create import Network
from botzoo.models.dense.body import group_as
from botzoo.models.dense.folder import Dense, write_dense_folder
from botzoo.models.preprocessing import Preprocessing, Side
from botzoo.models.pretrained import KeyReport
from botzoo.options.choices import Choice
from botzoo.options.config import TrainConfig
from botzoo.options.facts import Need, refuse, stands_in_for, values_of
from botzoo.sources.base import ImageData, Split
from botzoo.sources.targets.pictures import encoded_size

HEAD_LR = 10.0
"""Factor on the learning rate of a head on a pretrained body."""


class DenseTask(Protocol):
    """A head on the body of a classifier, whose target moves with the pictures; see ``botzoo.tasks.task.Task``.

    Attributes:
        kind: of the targets.
        usual_scales: of pictures in training, where nobody gives others.
    """

    name: str
    labels: str
    kind: Target
    usual_scales: tuple[float, float]
    whole_image: bool = False
    one_label: bool = False
    interval_around: bool = False

    def check(self, config: TrainConfig, data: ImageData[Any]) -> None:
        for need in (Need.ONE_LABEL, Need.WHOLE_IMAGE):
            refuse(config, need, f"and images of {data.name} have {self.labels}")

    def head(self, network: Network, classes: int, config: TrainConfig) -> Dense:
        """Return a network of the classifier's body, with its weights, and a new head."""

    def network(self, network: Network, classes: int, config: TrainConfig) -> Network:
        module = self.head(network, classes, config)
        module.pretrained_cfg = network.model.pretrained_cfg
        (place,) = (name for name, part in module.named_modules() if part is module.body)
        group_as(network.model, module, place)
        preprocessing = replace(network.preprocessing, crop_mode="border", crop_pct=1.0)
        start = network.start
        if start.report is not None:
            names = [*module.state_dict()]
            loaded = tuple(name for name in names if name.startswith(f"{place}."))
            new = tuple(name for name in names if not name.startswith(f"{place}."))
            start = replace(start, report=KeyReport(loaded, new, (), ()))
        return replace(network, model=module, preprocessing=preprocessing, start=start)

    def scales(self, config: TrainConfig) -> tuple[float, float]:
        return config.data.scales or self.usual_scales

    def train_transform(self, how: Prepared) -> Transform:
        p = how.preprocessing
        return DenseTraining(
            how.size.side,
            p.interpolation,
            how.scales,
            how.hflip,
            how.seed,
            self.kind,
            augment=how.augmentation,
            fill=p.fill,
        )

    def eval_transform(self, preprocessing: Preprocessing) -> Transform:
        return DenseEvaluation(preprocessing, self.kind)

    def write_folder(
        self,
        folder: Path,
        module: nn.Module,
        preprocessing: Preprocessing,
        class_names: Sequence[str],
        *,
        tag: str,
        license: str | None,
    ) -> None:
        """Write the folder that ``botzoo.models.dense.folder`` reads."""
        write_dense_folder(folder, module, preprocessing, class_names, tag=tag, license=license)  # type: ignore[arg-type]

    def fits(self, outputs: int, classes: int) -> bool:
        return outputs == classes


LOOKED_AT = 50
"""Training pictures whose headers say how large an input suits them."""
STRIDE = 32
"""Pixels of the input to one of the last map, of which the sides of an input are multiples."""


def usual_input(data: ImageData[Any], most: int) -> tuple[Side, str]:
    """Return the input that suits the pictures, and why: their median size, its longer side at most ``most`` pixels.

    Raises:
        DataError: of the pictures that are looked at none can be read.
    """
    sizes = _some_sizes(data.train)
    height, width = (float(np.median([size[k] for size in sizes])) for k in (0, 1))
    factor = min(1.0, most / max(height, width))
    sides = [max(2 * STRIDE, STRIDE * round(side * factor / STRIDE)) for side in (height, width)]
    reason = f"pictures have {height:.0f} x {width:.0f} px in the median" + (f", and {most} are enough" * (factor < 1))
    return (sides[0] if sides[0] == sides[1] else (sides[0], sides[1])), reason


def _some_sizes(split: Split) -> list[tuple[int, int]]:
    """Return height and width of up to ``LOOKED_AT`` pictures, of those that can be read; others are told of later."""
    sizes, problem = [], None
    for i in np.unique(np.linspace(0, len(split) - 1, min(LOOKED_AT, len(split))).astype(int)).tolist():
        try:
            sizes.append(encoded_size(split.read(i), split.describe(i)))
        except DataError as error:
            problem = error
    if problem is not None and not sizes:
        raise problem
    return sizes


def batch_for(most: int, images: int) -> int:
    """Return ``most``, or half of so few ``images``; of many processes each gets one picture at least, and all as many."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    return max(2, processes * -(-min(most, images // 2) // processes))


class Length(NamedTuple):
    """How long a task is trained where nobody says."""

    seen: int  # training pictures in a run, each as often as there are epochs
    fewest: int  # epochs
    most: int


def epochs_for(length: Length, images: int, given: Collection[str], source: str) -> Iterator[Choice]:
    """Yield the epochs of a run on so many ``images``, unless what is ``given`` says how long it is."""
    if stands_in_for("epochs").isdisjoint(given):
        epochs = min(length.most, max(length.fewest, round(length.seen / images)))
        bounds = f"{length.fewest} epochs at least and {length.most} at most"
        yield Choice("epochs", epochs, f"about {length.seen:,} pictures seen, {bounds}", source)


def known(config: TrainConfig, choices: Iterable[Choice], given: Collection[str]) -> list[Choice]:
    """Return those of the choices that are of an option of ``config`` and not ``given``."""
    options = values_of(config).keys() - {*given}
    return [choice for choice in choices if choice.option in options]
