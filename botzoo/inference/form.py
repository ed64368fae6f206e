"""The form of a prediction, by the ``problem_type`` of config.json: the one place that asks what a network predicts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

TOP_K = 5
"""Classes that are named where nothing else is said."""


@dataclass(frozen=True)
class Form:
    """How logits become an answer.

    Attributes:
        probabilities: of float32 logits (N, K), of the same shape.
        threshold: all labels with a larger probability are named, however many; None where the likeliest ones are.
    """

    probabilities: Callable[[Tensor], Tensor]
    threshold: float | None = None

    def named(self, probabilities: Tensor, top_k: int | None = None) -> list[list[tuple[int, float]]]:
        """Return index and probability of the classes to name in each row of (N, K), the likeliest first.

        Args:
            probabilities: float32 (N, K).
            top_k: how many; None for ``TOP_K``, or for those over the threshold.
        """
        classes, threshold = probabilities.shape[1], self.threshold if top_k is None else None
        best = probabilities.topk(min(top_k or (TOP_K if self.threshold is None else classes), classes))
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        every = [list(zip(indices, shares, strict=True)) for indices, shares in rows]
        return every if threshold is None else [[named for named in row if named[1] > threshold] for row in every]


SINGLE_LABEL = "single_label_classification"
"""What every config.json means that names no ``problem_type``."""

FORMS = {
    SINGLE_LABEL: Form(lambda logits: logits.softmax(1)),
    "multi_label_classification": Form(torch.sigmoid, threshold=0.5),
}
