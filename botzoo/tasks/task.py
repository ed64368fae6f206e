"""What is asked of a network, as a protocol: all that differs between one class for an image and any number of labels."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from botzoo.data.sources.base import ImageData
from botzoo.options.config import TrainConfig
from botzoo.tasks.objective import Objective

Answers = dict[str, NDArray[Any]]
"""What a network said of images, by name: arrays whose first axis counts the images."""


class Headline(NamedTuple):
    """The figure that chooses the epoch, in per cent.

    Attributes:
        figure: its short name, such as top-1.
        measure: what it measures, such as accuracy.
        key: its name in metrics.jsonl.
        metric: its name on the Hub.
    """

    figure: str
    measure: str
    key: str
    metric: str


class Evaluation(Protocol):
    """What a network said of every image of a split, and the figures that follow from it.

    Attributes:
        answers: as ``Task.answers`` gave them, for the whole split; the evaluation can be made from them again.
        score: the headline figure, in per cent.
        loss: mean over the images, in nats.
        figures: what metrics.jsonl has of it.
        one_answer: how many points the score moves at most where one answer turns over.
    """

    @property
    def answers(self) -> Answers: ...
    @property
    def score(self) -> float: ...
    @property
    def loss(self) -> float: ...
    @property
    def figures(self) -> dict[str, float]: ...
    @property
    def one_answer(self) -> float: ...

    def __len__(self) -> int: ...

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the score, in per cent."""

    def said(self, i: int, class_names: Sequence[str]) -> tuple[str, str, float]:
        """Return what image ``i`` shows, what the network said, and the probability of that, in words."""

    def telling(self) -> int:
        """Return the image that says most about whether other code answers as this evaluation does."""

    def confirmed(self, class_names: Sequence[str], lines: Sequence[str]) -> tuple[bool, str]:
        """Tell whether ``lines``, which ``Task.code`` printed of the telling image, agree; and return what is expected."""


class Task(Protocol):
    """What is asked of a network, and how its answers are evaluated.

    Attributes:
        name: as in run.json.
        problem_type: as transformers names it.
        headline: the figure that chooses the epoch.
        labels: how many labels an image has, in words that end a sentence.
        one_label: whether each image has one label, which sampling by class, folds, probes and comparisons by accuracy need.
        interval_around: whether the interval always holds the score itself; that of a bootstrap may not.
        optional: the answers that are kept only where all images' take little room.
    """

    name: str
    problem_type: str
    headline: Headline
    labels: str
    one_label: bool
    interval_around: bool
    optional: tuple[str, ...]

    def check(self, config: TrainConfig, data: ImageData[Any]) -> None:
        """Raise ConfigError for options that do not go with the task."""

    def objective(self, config: TrainConfig, class_names: Sequence[str], counts: NDArray[np.int64] | None) -> Objective:
        """Return targets and loss of the training steps.

        Args:
            config: the options.
            class_names: K of them.
            counts: training images of each class, shape (K,), None where that is not known.
        """

    def answers(self, logits: Tensor, labels: Tensor, *, everything: bool = True) -> Answers:
        """Return what is kept of a batch.

        Args:
            logits: float32, shape (N, K).
            labels: of the images, as the split has them.
            everything: the ``optional`` ones too.
        """

    def evaluation(self, answers: Answers) -> Any:
        """Return the ``Evaluation`` of a whole split."""

    def fits(self, outputs: int, classes: int) -> bool:
        """Tell whether a network with so many outputs can be evaluated on images of so many classes."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probability of each class, float32 (N, K)."""

    def named(self, probabilities: Tensor, top_k: int | None = None) -> list[list[tuple[int, float]]]:
        """Return class and probability of what is named of each image, the likeliest first.

        Args:
            probabilities: shape (N, K).
            top_k: how many; None for the task's own choice.
        """

    def code(self, logits: str, classes: int) -> str:
        """Return the lines of Python that print what is named of one image.

        Args:
            logits: the expression for them, shape (1, K); the names are in ``label_names``.
            classes: K.
        """
