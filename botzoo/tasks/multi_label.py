"""Images with any number of labels each: how the answers of a network are judged.

The main figure is mean average precision, which needs no threshold; F1 is that of all labels with a probability over 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from botzoo.data.sources.label_lists import MultiHot
from botzoo.errors import ConfigError

Floats = NDArray[np.floating[Any]]

RESAMPLES = 500
"""Of the images, with replacement, for the interval of the mean average precision; seed 0."""

AT_ONCE = 1 << 21
"""Numbers that a part of the resamples takes for one class."""


@dataclass(frozen=True)
class MultiLabelEvaluation:
    """What a network said of each image of a split.

    Attributes:
        labels: uint8, shape (N, K), 1 for each label that an image has.
        logits: float32, shape (N, K).
        nll: float32, shape (N,), binary cross-entropy of all labels of an image, summed over them, in nats.
    """

    labels: MultiHot
    logits: NDArray[np.float32]
    nll: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def loss(self) -> float:
        """Mean binary cross-entropy of an image, in nats."""
        return float(self.nll.mean())

    @property
    def answers(self) -> MultiHot:
        """The labels that are given, those with a probability over 0.5: uint8, shape (N, K)."""
        return (self.logits > 0).astype(np.uint8)

    @property
    def score(self) -> float:
        """Mean average precision over the classes that occur, in per cent: the figure that chooses the epoch."""
        return float(np.nanmean(self.average_precisions))

    @cached_property
    def average_precisions(self) -> NDArray[np.float64]:
        """Of each class, in per cent, shape (K,); NaN where no image has it."""
        return np.array([100 * ranked.precision()[0] for ranked in self._ranked()])

    @property
    def figures(self) -> dict[str, float]:
        """What metrics.jsonl has of it: loss in nats, the others in per cent."""
        return {"loss": self.loss, "map": self.score, "f1_micro": self.f1("micro"), "f1_macro": self.f1("macro")}

    def f1(self, average: str) -> float:
        """Return scikit-learn's F1 of the labels given, in per cent, "micro" or "macro" over the classes that occur."""
        from sklearn.metrics import f1_score

        there = np.flatnonzero(self.labels.any(0))
        return 100 * float(f1_score(self.labels, self.answers, labels=there, average=average, zero_division=0.0))

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of ``score``, in per cent: percentiles of a bootstrap over images."""
        return self._interval

    @cached_property
    def _interval(self) -> tuple[float, float]:
        n, rng = len(self), np.random.default_rng(0)
        ranked, means = list(self._ranked()), []
        for first in range(0, RESAMPLES, part := max(1, AT_ONCE // n)):
            times = rng.multinomial(n, np.full(n, 1 / n), min(part, RESAMPLES - first))
            every = np.array([of.precision(times) for of in ranked])
            occur = (~np.isnan(every)).sum(0)
            means.append(np.nansum(every, 0)[occur > 0] / occur[occur > 0])
        low, high = np.percentile(100 * np.concatenate(means), (2.5, 97.5))
        return float(low), float(high)

    def _ranked(self) -> Iterator[Ranked]:
        return (Ranked(self.labels[:, k], self.logits[:, k]) for k in range(self.labels.shape[1]))


class Ranked:
    """The images in the order of what a network says of one label, for average precision with and without resampling.

    Args:
        labels: shape (N,), 1 where an image has the label, else 0.
        scores: shape (N,), higher where it is likelier.
    """

    def __init__(self, labels: MultiHot, scores: Floats) -> None:
        self.order = np.argsort(-scores, kind="stable")
        self.truth = labels[self.order].astype(np.float64)
        ranked = scores[self.order]
        places = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # images with one score rank as one
        self.last = places[np.searchsorted(places, np.arange(len(scores)))]

    def precision(self, times: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return average precision, ``sum_n (R_n - R_(n-1)) P_n`` over the thresholds, as scikit-learn has it.

        Args:
            times: how often each image counts, shape (R, N); None for each once.

        Returns:
            In [0, 1], shape (R,), one for each row of ``times``; NaN where no image that counts has the label.
        """
        weights = np.ones((1, len(self.order))) if times is None else times[:, self.order].astype(np.float64)
        gains = weights * self.truth
        seen = np.maximum(weights.cumsum(1), 1)
        precision = (gains.cumsum(1) / seen)[:, self.last]
        total = gains.sum(1)
        summed: NDArray[np.float64] = (gains * precision).sum(1)
        found: NDArray[np.float64] = np.divide(summed, total, out=np.full_like(total, np.nan), where=total > 0)
        return found


class MultiLabel:
    """The task of giving an image any number of labels; see ``botzoo.tasks.task.Task``."""

    problem_type = "multi_label_classification"
    figure = "mAP"
    key = "map"
    metric = "mean_average_precision"

    def check(self, config: Any, data: Any) -> None:
        """Raise ConfigError for an option that presumes one label for each image."""
        given = {
            f"--label-smoothing {config.label_smoothing:g}": config.label_smoothing,
            f"--distillation {config.distillation}": config.distillation,
            f"--class-weights {config.class_weights}": config.class_weights != "none",
            f"--data.sampling {config.data.sampling}": config.data.sampling != "uniform",
            f"--soup {config.soup}": config.soup is not None,
            f"--data.fold {config.data.fold}": config.data.fold is not None,
        }
        if named := [option for option, used in given.items() if used]:
            raise ConfigError(
                f"{' and '.join(named)} need one label for each image, and images of {data.name} may have several: leave "
                f"{'it' if len(named) == 1 else 'them'} out."
            )

    def columns(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return labels, logits and summed cross-entropy of each image, float32 (N, 2 K + 1)."""
        truth = labels.float()
        nll = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(1, keepdim=True)
        return torch.cat([truth, logits, nll], 1)

    def evaluation(self, table: NDArray[np.float64], log_p: NDArray[np.float16] | None) -> MultiLabelEvaluation:
        """Return the evaluation of a split of which ``table`` has the columns; probabilities of classes are not kept."""
        classes = table.shape[1] // 2
        logits = table[:, classes : 2 * classes].astype(np.float32)
        return MultiLabelEvaluation(table[:, :classes].astype(np.uint8), logits, table[:, -1].astype(np.float32))


MULTI_LABEL = MultiLabel()
