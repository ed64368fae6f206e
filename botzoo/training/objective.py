"""What is minimised: cross-entropy against targets that label smoothing and mixup may have softened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from botzoo.tricks.label_smoothing import label_smoothing
from botzoo.tricks.mixup import mixup, mixup_lambda


@dataclass(frozen=True)
class Objective:
    """Targets and loss of one training step.

    Attributes:
        num_classes: K >= 2.
        smoothing: eps of label smoothing, in [0, 1).
        mixup_alpha: alpha of mixup, 0 for none.
        seed: the run's seed.
        smoothing_over: the classes that share eps: all but the true one, or all.
    """

    num_classes: int
    smoothing: float = 0.0
    mixup_alpha: float = 0.0
    seed: int = 0
    smoothing_over: Literal["others", "all"] = "others"

    def prepare(self, images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return the images to train on, float (N, 3, H, W), and their targets, float32 probabilities (N, K)."""
        targets = label_smoothing(labels, self.num_classes, self.smoothing, self.smoothing_over)
        if not self.mixup_alpha:
            return images, targets
        return mixup(images, targets, mixup_lambda(self.mixup_alpha, self.seed, step))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy over the batch, a float32 scalar; ``logits`` are (N, K) of any float dtype."""
        return F.cross_entropy(logits.float(), targets)
