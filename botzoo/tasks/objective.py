"""What is minimised: cross-entropy against targets that label smoothing and mixing may have softened, and a teacher's."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from botzoo.tasks.mixing import mix
from botzoo.tricks.distillation import distillation, distillation_floor
from botzoo.tricks.label_smoothing import label_smoothing


@cache  # else every step would wait for a copy to the device
def _on_device(weights: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(weights, device=device)


@dataclass(frozen=True)
class Objective:
    """Targets and loss of one training step.

    Attributes:
        num_classes: K >= 2.
        smoothing: eps of label smoothing, in [0, 1).
        mixup_alpha: alpha of mixup, 0 for none.
        seed: the run's seed.
        smoothing_over: the classes that share eps: all but the true one, or all.
        cutmix_alpha: alpha of CutMix, 0 for none.
        temperature: T of distillation, > 0.
        distill_weight: factor on the teacher's part of the loss, > 0.
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
        """Return the images to train on, float (N, 3, H, W), and their targets, float32 (N, K).

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

    def labels_of(self, images: int) -> Tensor:
        """Return labels of so many images that never were, to try out a step."""
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

    def labels_of(self, images: int) -> Tensor:
        return torch.zeros(images, self.num_classes, dtype=torch.uint8)


class OwnObjective(Objective):
    """A loss of the user's own, of logits and the labels as they are.

    Args:
        given: the task's objective, whose labels these are.
        own: returns a scalar, given logits float32 (N, K) and labels: int64 (N,), or float32 (N, K) of 0 and 1 where an image
            may have any number of them.
    """

    def __init__(self, given: Objective, own: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(given.num_classes)
        object.__setattr__(self, "labels_of", given.labels_of)
        object.__setattr__(self, "own", own)

    def prepare(self, images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return both as they are; labels of 0 and 1 as float32."""
        return images, labels if labels.dtype == torch.long else labels.float()

    def loss(self, logits: Tensor, targets: Tensor, teacher_logits: Tensor | None = None) -> Tensor:
        """Return the loss."""
        loss: Tensor = self.own(logits.float(), targets)  # type: ignore[attr-defined]
        return loss
