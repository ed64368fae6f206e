"""The class of each pixel: what is minimised, and how the masks that a network gives are evaluated.

The main figure is the mean intersection over union, over the classes that are there or said, of all images together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from botzoo.data.dense.transforms import Masks
from botzoo.models.create import Network
from botzoo.models.dense.body import body_of
from botzoo.models.dense.segmenter import Head, Segmenter, needs_pyramid
from botzoo.models.preprocessing import Size
from botzoo.options.choices import Choice
from botzoo.options.config import TrainConfig
from botzoo.sources.base import ImageData
from botzoo.sources.targets.checks import Finding, check_masks
from botzoo.sources.targets.coding import IGNORED, Mask
from botzoo.tasks.dense import HEAD_LR, DenseTask, Length, batch_for, epochs_for, known, usual_input
from botzoo.tasks.metrics.dense.of_pixels import PIXEL_METRICS, WeightedPixels
from botzoo.tasks.metrics.dense.regions import (
    Counts,
    confusion,
    counts_of,
    intersection_over_union,
    mean_iou,
    resampled_iou,
)
from botzoo.tasks.metrics.dense.resampling import Bootstrapped
from botzoo.tasks.metrics.resampling import GroupNumbers, Times
from botzoo.tasks.objective import Objective
from botzoo.tasks.task import Answers, Headline, PerImage

HEADS: dict[str, tuple[Head, int]] = {"fpn": ("fpn", 32), "fcn16": ("fcn", 16), "fcn8": ("fcn", 8)}
"""What --head names: the head, and the stride of the body's last map."""

AT_ONCE = 1 << 26
"""Logits of one image that are held at once: 256 MiB, and as much again for the loss."""

SCALES = (0.75, 1.5)
LONGEST = 512  # side of the input in pixels that is chosen at most
BATCH = 8
LENGTH = Length(seen=12_000, fewest=10, most=60)
SCRATCH_LR = 0.04
MEASURED = "measured on street scenes with resnet10d_bot"


@dataclass(frozen=True, eq=False)
class SegmentationEvaluation(Bootstrapped):
    """What a network said of each of the N images of a split, K classes.

    Attributes:
        counts: int64, shape (N, 3, K): pixels that are right, there and said, see ``Counts``.
        nll: float32, shape (N,), mean negative log-likelihood of the pixels of each image, in nats.
        matrices: int32, shape (N, K, K), what the pixels of each image are (rows) and were said to be; None where not kept.
        groups: of images that belong together; None where nobody named any.
        known: the metrics that were asked for so far, by name.
    """

    counts: Counts
    nll: NDArray[np.float32]
    matrices: NDArray[np.int32] | None = None
    groups: GroupNumbers | None = None
    known: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    has_scores = True

    def __len__(self) -> int:
        return len(self.counts)

    def weighted(self, times: Times | None = None) -> WeightedPixels:
        return WeightedPixels(self, times)

    @property
    def answers(self) -> Answers:
        every: Answers = {"counts": self.counts, "loss": self.nll}
        kept = {"confusion": self.matrices, "group": self.groups}
        return every | {name: values for name, values in kept.items() if values is not None}

    @property
    def loss(self) -> float:
        """Mean over the images that have any known pixel."""
        return float(np.nanmean(self.nll)) if not np.isnan(self.nll).all() else 0.0

    @cached_property
    def by_class(self) -> NDArray[np.float64]:
        """Intersection over union of each class, in per cent, shape (K,); NaN of classes that are neither there nor said."""
        return 100 * intersection_over_union(self.counts.sum(0))

    @property
    def score(self) -> float:
        return 100 * float(mean_iou(self.counts.sum(0)))

    @property
    def figures(self) -> dict[str, float]:
        accuracy = float(PIXEL_METRICS[0].of(self.weighted())[0])
        return {"loss": self.loss, "miou": self.score, "pixel_accuracy": accuracy}

    @property
    def one_answer(self) -> float:
        """Points that the score moves at most where one pixel gets another class."""
        there = self.counts.sum(0)[1]
        there = there[there > 0]
        return 200 / (float(there.min()) * len(there)) if len(there) else 100.0

    @property
    def confusion(self) -> NDArray[np.int64] | None:
        """What the pixels of all images are (rows) and were said to be, shape (K, K); None where that was not kept."""
        return None if self.matrices is None else self.matrices.sum(0, np.int64)

    @cached_property
    def _resampled(self) -> NDArray[np.float64]:
        return 100 * resampled_iou(self.counts, self.groups)

    def said(self, i: int, class_names: Sequence[str]) -> tuple[str, str, float]:
        """Return the classes that are on image ``i``, those that were said to be, and the share of pixels that are right."""
        right, there, given = self.counts[i]
        share = float(right.sum() / there.sum()) if there.any() else float("nan")
        return _named(there, class_names), _named(given, class_names), share

    def telling(self) -> int:
        """Return the image with the most pixels of classes that the network has right."""
        return int(self.counts[:, 0].sum(1).argmax())

    def confirmed(self, class_names: Sequence[str], lines: Sequence[str]) -> tuple[bool, str]:
        """Tell whether the first of ``lines``, which are of the telling image, names the class of most of its pixels."""
        expected = class_names[int(self.counts[self.telling(), 2].argmax())]
        return bool(lines) and lines[0].rpartition(": ")[0] == expected, expected


def _named(pixels: NDArray[np.int64], class_names: Sequence[str]) -> str:
    """Return the names of the classes that have pixels, shape (K,), those of most first."""
    order = np.argsort(-pixels, kind="stable")[: np.count_nonzero(pixels)]
    return ", ".join(class_names[k] for k in order.tolist()) or "nothing"


class SegmentationObjective(Objective):
    """Cross-entropy of each pixel, averaged over the pixels of a micro-batch whose class is known."""

    def prepare(self, images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return both as they are; ``labels`` are uint8 (N, H, W), classes and ``IGNORED``."""
        return images, labels

    def loss(self, logits: Tensor, targets: Tensor, teacher_logits: Tensor | None = None) -> Tensor:
        """Return a float32 scalar, of logits (N, K, H, W); 0 where no pixel is known. There is no teacher."""
        total = F.cross_entropy(logits.float(), targets.long(), ignore_index=IGNORED, reduction="sum")
        return total / (targets != IGNORED).sum().clamp_min(1)

    def labels_of(self, images: int, size: Size) -> Tensor:
        return torch.zeros(images, *size, dtype=torch.uint8)


class Segmentation(DenseTask):
    """The task of naming the class of each pixel; see ``botzoo.tasks.task.Task``."""

    name = "segmentation"
    gives = "masks"
    problem_type = "image_segmentation"
    headline = Headline("mIoU", "mean intersection over union", "miou", "mean_iou")
    labels = "a class for each pixel"
    metrics = PIXEL_METRICS
    optional: tuple[str, ...] = ("confusion",)
    of_labels: tuple[str, ...] = ("counts", "loss")
    kind = Masks()
    usual_scales = SCALES

    def check_targets(self, data: ImageData[Any]) -> list[Finding]:
        return check_masks(data)

    def choices(self, config: TrainConfig, data: ImageData[Any], given: Collection[str]) -> list[Choice]:
        size, why = usual_input(data, LONGEST)
        images = len(data.train)
        every = [
            Choice("img_size", size, why, "sides are multiples of 32"),
            Choice("batch_size", batch_for(BATCH, images), "each picture has many pixels to learn from", "as is usual"),
            *epochs_for(LENGTH, images, given, "minutes on a processor"),
        ]
        if not config.scratch:
            every.append(Choice("head_lr_scale", HEAD_LR, "the head is new and the body is not", "as is usual"))
        elif config.optimizer == "adamw":  # whose usual rate is for a body that has learned already
            every.append(
                Choice("lr", SCRATCH_LR, "no layer has learned yet: all learn at the rate of a head", MEASURED)
            )
            every.append(Choice("layer_decay", 1.0, "the lower layers have as much to learn as the others", MEASURED))
        return known(config, every, given)

    def head(self, network: Network, classes: int, config: TrainConfig) -> Segmenter:
        kind, stride = HEADS[config.head or "fpn"]
        return Segmenter(body_of(network, stride, pyramid=needs_pyramid(kind)), classes, kind)

    def objective(
        self, config: TrainConfig, class_names: Sequence[str], counts: NDArray[np.int64] | None
    ) -> SegmentationObjective:
        return SegmentationObjective(len(class_names), seed=config.seed)

    def say(self, module: nn.Module, images: Tensor) -> Tensor:
        """Return logits of the input's pixels, float32 (N, K, H, W)."""
        logits: Tensor = module(images).float()
        return logits

    def shown(self, said: Tensor, sizes: Tensor) -> list[Mask]:
        """Return the mask of each picture, in its own pixels: uint8 (h, w); ``sizes`` are as of ``answers``."""
        return [
            np.concatenate([_mask(band) for _, band in _bands(logits, size)])
            for logits, size in zip(said, sizes.tolist(), strict=True)
        ]

    def answers(
        self, said: Tensor, targets: Tensor, sizes: Tensor | None = None, *, everything: bool = True
    ) -> Answers:
        """Return what is kept of a batch, whose ``targets`` are masks of the pictures, uint8 (N, h, w), padded."""
        assert sizes is not None
        classes, losses, matrices = said.shape[1], [], []
        for mask, size, logits in zip(targets, sizes.tolist(), said, strict=True):
            true, total = mask[: int(size[0]), : int(size[1])], torch.zeros((), device=said.device)
            matrix = np.zeros((classes, classes), np.int64)
            for rows, band in _bands(logits, size):
                own = true[rows]
                total += F.cross_entropy(band[None], own[None].long(), ignore_index=IGNORED, reduction="sum")
                matrix += confusion(own.cpu().numpy(), _mask(band), classes)
            losses.append(float(total / (true != IGNORED).sum()))  # NaN where no pixel is known
            matrices.append(matrix)
        counts = np.stack([counts_of(each) for each in matrices])
        answers: Answers = {"counts": counts, "loss": np.array(losses, np.float32)}
        return answers | ({"confusion": np.stack(matrices).astype(np.int32)} if everything else {})

    def evaluation(self, answers: Answers) -> SegmentationEvaluation:
        kept = answers.get("confusion"), answers.get("group")
        return SegmentationEvaluation(answers["counts"], answers["loss"], *kept)

    def per_image(self, answers: Answers, class_names: Sequence[str]) -> PerImage:
        """Return what the answers say; an image is right where all of its pixels are."""
        seen = self.evaluation(answers)
        rows = [seen.said(i, class_names) for i in range(len(seen))]
        labels, found, shares = zip(*rows, strict=True)
        right = seen.counts[:, 0].sum(1) == seen.counts[:, 1].sum(1)
        return PerImage([*labels], [*found], np.array(shares), seen.nll.astype(np.float64), right, None)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the softmax of each pixel, float32 (N, K, H, W)."""
        return logits.float().softmax(1)

    def named(self, probabilities: Tensor, top_k: int | None = None) -> list[list[tuple[int, float]]]:
        """Return the classes of each image and the shares of its pixels that are likeliest of them, the largest first."""
        found = probabilities.argmax(1).flatten(1)
        shares = [torch.bincount(row, minlength=probabilities.shape[1]) / row.numel() for row in found]
        order = [share.argsort(descending=True)[:top_k].tolist() for share in shares]
        return [[(k, float(s[k])) for k in ks if s[k]] for ks, s in zip(order, shares, strict=True)]

    def code(self, logits: str, classes: int) -> str:
        return f"""    mask = {logits}.argmax(1)[0]
for k in mask.unique().tolist():
    print(f"{{label_names[k]}}: {{(mask == k).float().mean():.1%}}")"""


def _bands(logits: Tensor, size: Sequence[float]) -> Iterator[tuple[slice, Tensor]]:
    """Yield the rows of a picture from above, in bands of at most ``AT_ONCE`` logits, with these: float32 (K, rows, w).

    Args:
        logits: of the input, float32 (K, H, W).
        size: height and width of the picture as it is stored, and of the part of the input that it fills.
    """
    height, width, filled_height, filled_width = map(int, size)
    part = logits[None, :, :filled_height, :filled_width]
    if height * width * len(logits) <= AT_ONCE:
        yield slice(None), F.interpolate(part, (height, width), mode="bilinear", align_corners=False)[0]
        return
    # The same, but for rounding, first along the height: the rows of the input above and below those of a band.
    places = ((torch.arange(height, device=part.device) + 0.5) * (filled_height / height) - 0.5).clamp_min(0)
    above = places.long()
    below, share = (above + 1).clamp_max(filled_height - 1), (places - above)[:, None]
    each = max(1, AT_ONCE // (width * len(logits)))
    for rows in (slice(first, first + each) for first in range(0, height, each)):
        band = torch.lerp(part[:, :, above[rows]], part[:, :, below[rows]], share[rows])
        yield rows, F.interpolate(band, (band.shape[2], width), mode="bilinear", align_corners=False)[0]


def _mask(logits: Tensor) -> Mask:
    """Return the likeliest class of each pixel, uint8 (h, w)."""
    found: Mask = logits.max(0).indices.to(torch.uint8).cpu().numpy()  # on a CPU four times as fast as argmax
    return found


SEGMENTATION = Segmentation()
