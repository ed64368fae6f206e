"""What is minimised: cross-entropy against targets that label smoothing and mixing may have softened, and a teacher's.

The images of a step are mixed by the paper's mixup, by timm's CutMix, or by either, as a function of (seed, step).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from timm.data.mixup import cutmix_bbox_and_lam
from torch import Tensor
from torch.nn import functional as F

from botzoo.models.preprocessing import Size
from botzoo.tricks.distillation import distillation, distillation_floor
from botzoo.tricks.label_smoothing import label_smoothing
from botzoo.tricks.mixup import mixup, mixup_lambda, partners

Box = tuple[int, int, int, int]  # first row, row after the last, first column, column after the last
SWITCH = 0.5  # share of the steps that CutMix takes where both are on; timm's


@cache  # else every step would wait for a copy to the device
def _on_device(weights: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(weights, device=device)


@dataclass(frozen=True)
class Objective:
    """Targets and loss of one training step, of K >= 2 classes.

    Attributes:
        smoothing, smoothing_over: eps of label smoothing, in [0, 1), and the classes that share it: all but the true
            one, or all.
        mixup_alpha, cutmix_alpha: of the Beta distribution of each, 0 for none.
        temperature, distill_weight: T of distillation and the factor on the teacher's part of the loss, both > 0.
        class_weights: factor on the loss of the images of each class, >= 0; None for none. It belongs to the image, whose
            smoothed and mixed target it scales as a whole, and is not divided out of a batch again: so the loss does not
            depend on how a batch is cut up. The teacher's part of the loss is not weighted.
    """

    num_classes: int
    smoothing: float = 0.0
    mixup_alpha: float = 0.0
    seed: int = 0
    smoothing_over: Literal["others", "all"] = "others"
    cutmix_alpha: float = 0.0
    temperature: float = 20.0
    distill_weight: float = 1.0
    class_weights: tuple[float, ...] | None = None

    def prepare(self, images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return the images to train on, float (N, C, H, W), and their targets, float32 (N, K).

        The targets are probabilities, times the weight of the image's class where classes have one.
        """
        targets = label_smoothing(labels, self.num_classes, self.smoothing, self.smoothing_over)
        if self.class_weights is not None:
            targets = targets * _on_device(self.class_weights, labels.device)[labels, None]
        return mix(images, targets, self.mixup_alpha, self.cutmix_alpha, self.seed, step)

    def loss(self, logits: Tensor, targets: Tensor, teacher_logits: Tensor | None = None) -> Tensor:
        """Return the mean cross-entropy over the batch, a float32 scalar; ``logits`` are (N, K) of any float dtype.

        With a teacher's logits of the same images it is the loss of distillation above its floor, a constant without
        gradient that would hide all the rest: 1,842 nats for 100 classes.
        """
        if teacher_logits is None:
            return F.cross_entropy(logits.float(), targets)
        how = self.temperature, self.distill_weight
        return distillation(logits, teacher_logits, targets, *how) - distillation_floor(teacher_logits, *how)

    def step_loss(
        self, net: Callable[..., Any], images: Tensor, targets: Tensor, teacher_logits: Tensor | None = None
    ) -> Tensor:
        """Return the loss of what ``prepare`` returned, passed through the network, which is in training mode."""
        return self.loss(net(images), targets, teacher_logits)

    def labels_of(self, images: int, size: Size) -> Tensor:
        """Return targets of so many images of this ``size`` that do not exist, to try out a step."""
        return torch.zeros(images, dtype=torch.long)


class MultiLabelObjective(Objective):
    """Binary cross-entropy of each label, where an image may have any number of them.

    It is summed over the labels, so that the gradient of each logit is probability less target, as with cross-entropy, and a
    learning rate means the same; and averaged over the images.
    """

    def prepare(self, images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return the images to train on and their targets, float32 (N, K) in [0, 1]; ``labels`` are 0 or 1, (N, K)."""
        return mix(images, labels.float(), self.mixup_alpha, self.cutmix_alpha, self.seed, step)

    def loss(self, logits: Tensor, targets: Tensor, teacher_logits: Tensor | None = None) -> Tensor:
        """Return the mean over the batch of the summed binary cross-entropy, a float32 scalar; there is no teacher."""
        return F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="sum") / len(logits)

    def labels_of(self, images: int, size: Size) -> Tensor:
        return torch.zeros(images, self.num_classes, dtype=torch.uint8)


class OwnObjective(Objective):
    """A loss of the user's own, of logits and the labels as they are, which are those of the objective ``given``.

    ``own`` returns a scalar of logits, float32 (N, K), and labels: int64 (N,), or float32 (N, K) of 0 and 1 where an
    image may have any number of them.
    """

    def __init__(self, given: Objective, own: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(given.num_classes)
        object.__setattr__(self, "labels_of", given.labels_of)  # past the frozen dataclass
        object.__setattr__(self, "own", own)

    def prepare(self, images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return both as they are; labels of 0 and 1 as float32."""
        return images, labels if labels.dtype == torch.long else labels.float()

    def loss(self, logits: Tensor, targets: Tensor, teacher_logits: Tensor | None = None) -> Tensor:
        loss: Tensor = self.own(logits.float(), targets)  # type: ignore[attr-defined]
        return loss


def mix(
    images: Tensor, targets: Tensor, mixup_alpha: float, cutmix_alpha: float, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """Return the mixed images and targets of a step, or the same where neither is on.

    Args:
        images: floating point, shape (N, C, H, W), in random order.
        targets: probabilities, shape (N, K).
        mixup_alpha, cutmix_alpha: of the Beta distribution of each, 0 for none.
        seed, step: all that lambda, the box and the choice between the two depend on.

    Raises:
        ConfigError: there is one image only, and it is to be mixed.
    """
    if cutmix_alpha and (not mixup_alpha or _rng(seed, step, "switch").random() < SWITCH):
        return cutmix(images, targets, *cutmix_box(cutmix_alpha, seed, step, images.shape[2], images.shape[3]))
    if mixup_alpha:
        return mixup(images, targets, mixup_lambda(mixup_alpha, seed, step))
    return images, targets


def cutmix_box(alpha: float, seed: int, step: int, height: int, width: int) -> tuple[Box, float]:
    """Return timm's box for ``lambda ~ Beta(alpha, alpha)``, and the share of the image outside it, 1 if it is empty.

    Its sides are ``sqrt(1 - lambda)`` of the image's, its centre is uniform; what reaches beyond the image is cut off.
    """
    rng = _rng(seed, step, "cutmix")
    lam = rng.beta(alpha, alpha)
    before = np.random.get_state()  # timm draws from numpy's global generator
    try:
        np.random.seed(int(rng.integers(2**32)))
        box, outside = cutmix_bbox_and_lam((height, width), lam)
    finally:
        np.random.set_state(before)
    top, bottom, left, right = map(int, box)
    return (top, bottom, left, right), float(outside)


def cutmix(images: Tensor, targets: Tensor, box: Box, lam: float) -> tuple[Tensor, Tensor]:
    """Put what each image's partner shows inside ``box`` into a copy of the image (Yun et al., 2019).

    Images, targets and errors are those of ``mix``, the box is in pixels, and ``lam`` is the share of the image outside
    it, in [0, 1], and so the share of its own target.
    """
    top, bottom, left, right = box
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = partners(images[:, :, top:bottom, left:right])
    return mixed, targets.lerp(partners(targets), 1 - lam)


def _rng(seed: int, step: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng((seed, step, *purpose.encode()))
