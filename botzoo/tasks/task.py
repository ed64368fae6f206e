"""What is asked of a network, as a protocol."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Evaluation(Protocol):
    """What every evaluation has, of whatever task."""

    @property
    def score(self) -> float:
        """The figure that chooses the epoch, in per cent."""

    @property
    def loss(self) -> float:
        """In nats."""

    @property
    def figures(self) -> dict[str, float]:
        """What metrics.jsonl has of it."""

    def __len__(self) -> int: ...


class Task(Protocol):
    """What is asked of a network, and how its answers are judged.

    Attributes:
        problem_type: as transformers names it.
        figure: the one that chooses the epoch, in words.
        key: that figure in metrics.jsonl.
        metric: that figure as the Hub names it.
    """

    problem_type: str
    figure: str
    key: str
    metric: str

    def check(self, config: Any, data: Any) -> None:
        """Raise ConfigError for options that do not go with it."""

    def columns(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what is kept of a batch: float (N, columns), of float32 logits (N, K) and the labels."""

    def evaluation(self, table: NDArray[np.float64], log_p: NDArray[np.float16] | None) -> Any:
        """Return the evaluation, ``Judged``, of a whole split: of its columns and, where they were kept, ``log_p``."""
