"""What is asked of a network, as a protocol: all that differs between classes, labels, masks and boxes."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from botzoo.data.transforms import Prepared, Transform
from botzoo.models.create import Network
from botzoo.models.preprocessing import Preprocessing
from botzoo.options.choices import Choice
from botzoo.options.config import TrainConfig
from botzoo.sources.base import ImageData
from botzoo.sources.targets.checks import Finding
from botzoo.tasks.metrics.metric import Metric
from botzoo.tasks.metrics.resampling import GroupNumbers, Times
from botzoo.tasks.objective import Objective

Answers = dict[str, NDArray[Any]]
"""What a network said of images, by name: arrays whose first axis counts the images, or ``botzoo.tasks.answers.lists``."""


class Headline(NamedTuple):
    """The figure that chooses the epoch, in per cent."""

    figure: str  # its short name, such as top-1
    measure: str  # what it measures, such as accuracy
    key: str  # its name in metrics.jsonl
    metric: str  # its name on the Hub


class PerImage(NamedTuple):
    """What a network said of each of n images, in words; label, loss and correct are None where nobody knows their labels.

    Attributes:
        label: the true class of each; where an image may have any number of labels, all of them, joined by ", ".
        answer: what was said, in the same form.
        probability: float64, shape (n,), of the answer; of several labels the smallest, NaN where none is given.
        loss: float64, shape (n,), in nats.
        correct: bool, shape (n,), whether label and answer are the same.
        probabilities: float64, shape (n, K), of all classes; None where they were not kept.
    """

    label: list[str] | None
    answer: list[str]
    probability: NDArray[np.float64]
    loss: NDArray[np.float64] | None
    correct: NDArray[np.bool_] | None
    probabilities: NDArray[np.float64] | None


class Evaluation(Protocol):
    """What a network said of every image of a split, and the figures that follow from it.

    Attributes:
        answers: as ``Task.answers`` gave them, for the whole split; the evaluation can be made from them again.
        score: the headline figure, in per cent.
        loss: mean over the images, in nats; None where an evaluation has none.
        figures: what metrics.jsonl has of it.
        one_answer: how many points the score moves at most where one answer turns over.
        groups: of images that belong together, numbers from 0 on, shape (N,); None where nobody named any.
        known: the metrics that were asked for so far, by name: ranking takes long, and several ask.
        has_scores: whether the probabilities of all classes are known of each image.
    """

    @property
    def answers(self) -> Answers: ...
    @property
    def score(self) -> float: ...
    @property
    def loss(self) -> float | None: ...
    @property
    def figures(self) -> dict[str, float]: ...
    @property
    def one_answer(self) -> float: ...
    @property
    def groups(self) -> GroupNumbers | None: ...
    @property
    def known(self) -> dict[str, float]: ...
    @property
    def has_scores(self) -> bool: ...

    def __len__(self) -> int: ...

    def weighted(self, times: Times | None = None) -> Any:
        """Return what the metrics are functions of: the answers, each counting so often as ``times`` says."""

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the score, in per cent."""

    def gain(self, before: Any) -> tuple[float, float, float]:
        """Return by how many points the score is above that of ``before``, an evaluation of the same images, and between
        which two the true gain lies: the 95 % interval, paired over the images."""

    def said(self, i: int, class_names: Sequence[str]) -> tuple[str, str, float]:
        """Return what image ``i`` shows, what the network said, and the probability of that, in words."""

    def telling(self) -> int:
        """Return the image that says most about whether other code answers as this evaluation does."""

    def confirmed(self, class_names: Sequence[str], lines: Sequence[str]) -> tuple[bool, str]:
        """Tell whether ``lines``, which ``Task.code`` printed of the telling image, agree; and return what is expected."""


class Task(Protocol):
    """What is asked of a network, and how its answers are evaluated; N images, K classes or labels."""

    name: str  # as in run.json
    problem_type: str  # as transformers names it
    headline: Headline
    labels: str  # how many labels an image has, in words that end a sentence
    gives: str  # what is said of an image: "classes", "boxes" or "masks"
    whole_image: bool  # whether what is said is of the image as a whole, and not of places in it
    one_label: bool  # whether each image has one, as sampling by class, folds, probes and comparisons by accuracy need
    interval_around: bool  # whether the interval always holds the score itself; that of a bootstrap may not
    metrics: tuple[Metric, ...]  # that people choose by, besides the headline figure
    optional: tuple[str, ...]  # the answers that are kept only where all images' take little room
    of_labels: tuple[str, ...]  # the answers that follow from the labels, and are not there without them

    def check(self, config: TrainConfig, data: ImageData[Any]) -> None:
        """Raise ConfigError for options that do not go with the task."""

    def check_targets(self, data: ImageData[Any]) -> list[Finding]:
        """Return what is wrong with the boxes or masks of a whole data set, by a look at all of them; nothing of labels."""

    def choices(self, config: TrainConfig, data: ImageData[Any], given: Collection[str]) -> Sequence[Choice]:
        """Return what suits the task in the place of options that are not ``given``, before the network is made."""

    def network(self, network: Network, classes: int, config: TrainConfig) -> Network:
        """Return the network for the task, made of a classifier with its weights, before it is placed on a device."""

    def train_transform(self, how: Prepared) -> Transform:
        """Return what makes an image and its target ready for training."""

    def eval_transform(self, preprocessing: Preprocessing) -> Transform:
        """Return what makes them ready for evaluation."""

    def scales(self, config: TrainConfig) -> tuple[float, float] | None:
        """Return the sides of a picture in training as shares of those in evaluation, the least and the greatest.

        None where images are cropped as --data.crop-min says.
        """

    def objective(self, config: TrainConfig, class_names: Sequence[str], counts: NDArray[np.int64] | None) -> Objective:
        """Return targets and loss of a step; ``counts`` are the training images of each class, (K,), if known."""

    def say(self, module: nn.Module, images: Tensor) -> Any:
        """Return what a network in evaluation mode says of normalised images, such as logits, float32 (N, K)."""

    def shown(self, said: Any, sizes: Tensor) -> list[Any]:
        """Return what is said of each image: where it is of places, in pixels of the picture as it is stored.

        ``sizes`` are as of ``answers``.
        """

    def answers(self, said: Any, targets: Tensor, sizes: Tensor | None = None, *, everything: bool = True) -> Answers:
        """Return what is kept of a batch: with ``everything``, the ``optional`` too.

        Args:
            said: what ``say`` returned.
            targets: of the batch, as the evaluation transform stacks them, on the same device.
            sizes: the numbers that it gives of each image, (N, n), if any.
        """

    def evaluation(self, answers: Answers) -> Any:
        """Return the ``Evaluation`` of a whole split."""

    def per_image(self, answers: Answers, class_names: Sequence[str]) -> PerImage:
        """Return in words what the answers, of a whole split or a part of it, say of each image."""

    def write_folder(
        self,
        folder: Path,
        module: nn.Module,
        preprocessing: Preprocessing,
        class_names: Sequence[str],
        *,
        tag: str,
        license: str | None,
    ) -> None:
        """Write model.safetensors and config.json; arguments as of ``botzoo.models.folder.write_model_folder``."""

    def fits(self, outputs: int, classes: int) -> bool:
        """Tell whether a network with so many outputs can be evaluated on images of so many classes."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probability of each class, float32 (N, K)."""

    def named(self, probabilities: Tensor, top_k: int | None = None) -> list[list[tuple[int, float]]]:
        """Return class and probability of the ``top_k`` likeliest of each image, or of those that the task names.

        The likeliest come first; ``probabilities`` have shape (N, K).
        """

    def code(self, logits: str, classes: int) -> str:
        """Return the lines of Python that print what is named of one image.

        ``logits`` is an expression of shape (1, K); the K names are in the variable ``label_names``.
        """
