"""What a network for boxes or masks says of images: decoded in threads, in batches, in pixels of the images as stored."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from botzoo.data.decoded import Pixels
from botzoo.data.dense.placement import fitted
from botzoo.data.parallel import in_order
from botzoo.errors import CheckpointError
from botzoo.inference.images import AnyImage, Depths, name_of, read_stored
from botzoo.inference.options import LEAST_SCORE
from botzoo.inference.prediction import FoundBox, Prediction
from botzoo.models.dense.body import Body
from botzoo.models.fold import fold_batch_norm
from botzoo.models.preprocessing import Preprocessing, Size
from botzoo.sources.targets.boxes import box_areas
from botzoo.tasks.metrics.dense.matching import Detections
from botzoo.tasks.task import Task
from botzoo.tricks.mixed_precision import Requested, mixed_precision

PIXELS = 16 * 256 * 256
"""Of a batch on a CPU, where its size is not given; four times as many on a GPU."""


class Prepared(NamedTuple):
    """An image as the network takes it."""

    pixels: Pixels  # uint8 (H, W, C)
    stored: Size  # of the image, upright
    filled: Size  # of the part of the input that it fills, from the upper left corner on


class DensePredictor:
    """A copy of a network for boxes or masks on a device, readied for speed.

    Args:
        name: of the model, for messages.
        module: the network, in evaluation mode, float32; it stays as it is.
        task: says what its outputs are.
        label_names: of the classes.
        device: where to compute.
        requested: arithmetic; "auto" is fp32.
        batch_size: images in a forward pass; by default as many as suit their size.
        least_score: of the boxes that are given; None for the usual one.

    Raises:
        CheckpointError: a weight is NaN or infinite: such a detector would find nothing, and say nothing.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        task: Task,
        preprocessing: Preprocessing,
        label_names: Sequence[str],
        device: torch.device,
        *,
        requested: Requested = "auto",
        batch_size: int | None = None,
        least_score: float | None = None,
    ) -> None:
        if not all(bool(tensor.isfinite().all()) for tensor in module.state_dict().values()):
            raise CheckpointError(f"{name} has weights that are not finite numbers: they are damaged.")
        self.task, self.preprocessing, self.label_names, self.device = task, preprocessing, label_names, device
        self.least_score = LEAST_SCORE if least_score is None else least_score
        self.depths = Depths(preprocessing.decoding)
        pixels = (4 if device.type == "cuda" else 1) * PIXELS
        self.batch_size = batch_size or max(1, min(64, pixels // preprocessing.shape.area))
        self.precision = mixed_precision("fp32" if requested == "auto" else requested, device)
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision.name)
        self.module, self.folded = folded(module, preprocessing)
        self.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, images: Sequence[AnyImage], top_k: int | None = None) -> Iterator[Prediction]:
        """Yield the answer for each image, in their order; threads read ahead. Of boxes the ``top_k`` likeliest are given."""
        self.depths = Depths(self.preprocessing.decoding)
        read = in_order(lambda i: self._read(images[i], i), len(images), patient=False)  # a server may be slow
        rows = zip((name_of(image, i) for i, image in enumerate(images)), read, strict=True)
        while batch := list(itertools.islice(rows, self.batch_size)):
            found = iter(self.found([image for _, image in batch if not isinstance(image, str)]))
            for name, image in batch:
                if isinstance(image, str):
                    yield Prediction(name, problem=image)
                else:
                    yield self._prediction(name, image.stored, next(found), top_k)

    def _read(self, image: AnyImage, place: int) -> Prepared | str:
        """Return the network's input, or what is wrong with the image."""
        p, kinds = self.preprocessing, set[str]()
        try:
            with read_stored(image, p.decoding, kinds.add) as (picture, stored):
                self.depths.note(name_of(image, place), kinds)
                laid = fitted(Size(picture.height, picture.width), p.shape)
                pixels = laid.pixels(picture, Image.Resampling[p.interpolation.upper()], p.fill)
                return Prepared(pixels, stored(), Size(laid.down.until, laid.across.until))
        except (OSError, ValueError, MemoryError) as error:
            return str(error)

    @torch.inference_mode()
    def found(self, images: Sequence[Prepared]) -> list[Detections | NDArray[np.uint8]]:
        """Return what the network finds on prepared images, in pixels of the stored ones."""
        if not images:
            return []
        stacked = torch.from_numpy(np.stack([image.pixels for image in images])).permute(0, 3, 1, 2).to(self.device)
        batch = self.preprocessing.normalise(stacked).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            said = self.task.say(self.module, batch)
        return list(self.task.shown(said, torch.tensor([[*image.stored, *image.filled] for image in images])))

    def _prediction(
        self, name: str, stored: Size, found: Detections | NDArray[np.uint8], top_k: int | None
    ) -> Prediction:
        size = stored.width, stored.height
        if isinstance(found, np.ndarray):
            pixels = np.bincount(found.ravel(), minlength=len(self.label_names))
            order = [k for k in np.argsort(-pixels, kind="stable").tolist() if pixels[k]][:top_k]
            shares = tuple(float(pixels[k]) / found.size for k in order)
            return Prediction(name, self._names(order), shares, tuple(order), mask=found, size=size)
        likely = np.argsort(-found.scores, kind="stable")
        seen = box_areas(found.corners) > 0  # what lies in the padding of the input is no place on the image
        likely = likely[(seen & (found.scores >= self.least_score))[likely]][:top_k]
        rows = zip(*(part[likely].tolist() for part in (found.labels, found.scores, found.corners)), strict=True)
        boxes = tuple(FoundBox(self.label_names[k], score, *_four(corners), k) for k, score, corners in rows)
        scores, indices = tuple(box.score for box in boxes), tuple(box.index for box in boxes)
        return Prediction(name, self._names(indices), scores, indices, boxes=boxes, size=size)

    def _names(self, indices: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.label_names[k] for k in indices)


def _four(corners: list[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = corners
    return left, top, right, bottom


class _Flat(nn.Module):
    """A body whose maps are one tensor, as ``fold_batch_norm`` compares one."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([each.flatten() for each in self.body(images)])


def folded(module: nn.Module, preprocessing: Preprocessing) -> tuple[nn.Module, int]:
    """Return a copy of a network whose body has its BatchNorm folded, and how many layers of it that are."""
    copied = copy.deepcopy(module)
    (name, body), *_ = ((name, each) for name, each in copied.named_modules() if isinstance(each, Body))
    image = torch.rand(1, preprocessing.channels, *preprocessing.shape, generator=torch.Generator().manual_seed(0))
    found, count = fold_batch_norm(_Flat(body).eval(), image)
    assert isinstance(found, _Flat)
    copied.set_submodule(name, found.body)
    return copied.eval(), count
