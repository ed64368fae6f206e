"""Classification: one class for each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from botzoo.tasks.imbalance import SKEWED, skew


@dataclass(frozen=True)
class Evaluation:
    """What a network said of each image of a split.

    Attributes:
        labels: int64, shape (N,).
        predicted: int64, shape (N,), the likeliest class.
        in_top5: bool, shape (N,), whether the label is among the five likeliest classes.
        nll: float32, shape (N,), negative log-likelihood of the label, in nats.
        confidence: float32, shape (N,), probability of the likeliest class, in (0, 1].
        log_p: float16, shape (N, K), log-probabilities of all classes; None where they were not kept.
    """

    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    in_top5: NDArray[np.bool_]
    nll: NDArray[np.float32]
    confidence: NDArray[np.float32]
    log_p: NDArray[np.float16] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def correct(self) -> int:
        """Number of images classified right."""
        return int((self.labels == self.predicted).sum())

    @property
    def top1(self) -> float:
        """Accuracy in per cent."""
        return 100 * self.correct / len(self)

    @property
    def top5(self) -> float:
        """Share of images whose label is among the five likeliest, in per cent."""
        return 100 * float(self.in_top5.mean())

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood in nats."""
        return float(self.nll.mean())

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have images here, in per cent, as scikit-learn's ``balanced_accuracy_score``."""
        images, right = np.bincount(self.labels), np.bincount(self.labels, self.labels == self.predicted)
        return 100 * float((right[images > 0] / images[images > 0]).mean())

    @property
    def skewed(self) -> bool:
        """Whether the classes have so unequal numbers of images that top-1 says little of the small ones."""
        return skew(np.bincount(self.labels)) > SKEWED

    @property
    def score(self) -> float:
        """Top-1 accuracy in per cent: the figure that chooses the epoch."""
        return self.top1

    @property
    def figures(self) -> dict[str, float]:
        """What metrics.jsonl has of it: loss in nats, the others in per cent."""
        return {"loss": self.loss, "top1": self.top1, "top5": self.top5}

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the top-1 accuracy, in per cent."""
        return wilson(self.correct, len(self))


def wilson(correct: int, images: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of ``correct / images``, in per cent."""
    from scipy.stats import binomtest

    low, high = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    return 100 * float(low), 100 * float(high)


class SingleLabel:
    """The task of naming the one class of an image."""

    problem_type = "single_label_classification"
    figure = "top-1"
    key = "top1"
    metric = "accuracy"

    def check(self, config: Any, data: Any) -> None:
        """All options go with it."""

    def columns(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the first five attributes of ``Evaluation``, float64 on a CPU, (N, 5)."""
        log_p = logits.log_softmax(1)
        top = log_p.topk(min(5, log_p.shape[1]), 1).indices
        hit = (top == labels[:, None]).any(1)
        nll = -log_p.gather(1, labels[:, None])[:, 0]
        figures = (labels, top[:, 0], hit, nll, log_p.amax(1).exp())
        return torch.stack([column.cpu().double() for column in figures], 1)  # MPS lacks float64

    def evaluation(self, table: NDArray[np.float64], log_p: NDArray[np.float16] | None) -> Evaluation:
        """Return the evaluation of a whole split."""
        return Evaluation(
            table[:, 0].astype(np.int64),
            table[:, 1].astype(np.int64),
            table[:, 2] > 0,
            table[:, 3].astype(np.float32),
            table[:, 4].astype(np.float32),
            log_p,
        )


SINGLE_LABEL = SingleLabel()
