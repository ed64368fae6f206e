"""Images with any number of labels each: what is minimised, and how the answers of a network are evaluated.

The main figure is mean average precision, which needs no threshold; F1 is that of all labels with a probability over 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from botzoo.options.config import TrainConfig
from botzoo.options.facts import Need, refuse
from botzoo.sources.base import ImageData, MultiHot
from botzoo.tasks.image import ImageTask
from botzoo.tasks.metrics.of_labels import LABEL_METRICS, WeightedLabels
from botzoo.tasks.metrics.ranking import Ranked
from botzoo.tasks.metrics.resampling import GroupNumbers, Times, percentiles, resamples
from botzoo.tasks.objective import MultiLabelObjective
from botzoo.tasks.task import Answers, Headline, PerImage

RESAMPLES = 500  # of the images, with replacement, for the interval of the mean average precision; seed 0
NEAR_HALF = 0.25  # logits so close to 0 may give a label in one arithmetic and not in another


@dataclass(frozen=True)
class MultiLabelEvaluation:
    """What a network said of each of the N images of a split.

    Attributes:
        labels: uint8, shape (N, K), 1 for each label that an image has.
        logits: float32, shape (N, K).
        nll: float32, shape (N,), binary cross-entropy of all labels of an image, summed over them, in nats.
        groups: of images that belong together; None where nobody named any.
        known: the metrics that were asked for so far, by name.
    """

    labels: MultiHot
    logits: NDArray[np.float32]
    nll: NDArray[np.float32]
    groups: GroupNumbers | None = None
    known: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    has_scores = True

    def weighted(self, times: Times | None = None) -> WeightedLabels:
        return WeightedLabels(self, times)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def loss(self) -> float:
        return float(self.nll.mean())

    @property
    def answers(self) -> Answers:
        every: Answers = {"labels": self.labels, "logits": self.logits, "loss": self.nll}
        return every if self.groups is None else {**every, "group": self.groups}

    @property
    def given(self) -> MultiHot:
        """The labels that the network gives, those with a probability over 0.5: uint8, shape (N, K)."""
        return (self.logits > 0).astype(np.uint8)

    @property
    def score(self) -> float:
        """Mean average precision over the classes that occur, in per cent: the headline figure."""
        return float(np.nanmean(self.average_precisions))

    @cached_property
    def average_precisions(self) -> NDArray[np.float64]:
        """Of each class, in per cent, shape (K,); NaN where no image has it."""
        return np.array([100 * ranked.precision(ranked.sums())[0] for ranked in self._ranked()])

    @property
    def figures(self) -> dict[str, float]:
        return {"loss": self.loss, "map": self.score, "f1_micro": self.f1("micro"), "f1_macro": self.f1("macro")}

    @cached_property
    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """How many images have each label, how many get it, and how many of these have it: shapes (K,)."""
        given = self.given
        images, answers, right = (hot.sum(0, np.int64) for hot in (self.labels, given, self.labels & given))
        return images, answers, right

    def f1(self, average: Literal["micro", "macro"]) -> float:
        """Return F1 of the labels given, in per cent, "micro" or "macro" over the classes that occur, as scikit-learn has it.

        Of its sparse copies a split with many labels would take several times the memory that its answers do.
        """
        images, answers, right = (count[self.counts[0] > 0] for count in self.counts)
        if average == "micro":
            return 100 * float(2 * right.sum() / max(int(images.sum() + answers.sum()), 1))
        return 100 * float((2 * right / (images + answers)).mean())

    @property
    def one_answer(self) -> float:
        """Points that the score moves at most where one answer turns over.

        Over K labels that is 100 / (2 P K), where two images change places at the top of the ranking of the rarest label,
        which P images have: the precision at one of its P places goes from 1 to 1/2.
        """
        images = self.labels.sum(0)
        there = images[images > 0]
        return 50 / (float(there.min()) * len(there))

    def telling(self) -> int:
        return int((self.logits > NEAR_HALF).any(1).argmax())

    def confirmed(self, class_names: Sequence[str], lines: Sequence[str]) -> tuple[bool, str]:
        """Tell whether ``lines``, which are of the telling image, name its labels; those near one half are left open."""
        logits = list(zip(class_names, self.logits[self.telling()], strict=True))
        surely, perhaps = ({name for name, z in logits if z > least} for least in (NEAR_HALF, -NEAR_HALF))
        said = {line.rpartition(": ")[0] for line in lines}
        return surely <= said <= perhaps, ", ".join(sorted(surely)) or "nothing"

    def said(self, i: int, class_names: Sequence[str]) -> tuple[str, str, float]:
        """Return the labels of image ``i``, those given, and the smallest of their probabilities, NaN where none is given."""
        has, given = _joined(np.stack([self.labels[i] > 0, self.logits[i] > 0]), class_names)
        over = self.logits[i][self.logits[i] > 0].astype(np.float64)
        return has, given, float((1 / (1 + np.exp(-over))).min()) if len(over) else float("nan")

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of ``score``, in per cent: percentiles of a bootstrap over images, or their groups."""
        return percentiles(self._resampled)

    def gain(self, before: MultiLabelEvaluation) -> tuple[float, float, float]:
        """Return the gain and its interval: percentiles of a bootstrap, of which each resample has the same images of both."""
        return self.score - before.score, *percentiles(self._resampled - before._resampled)

    @cached_property
    def _resampled(self) -> NDArray[np.float64]:
        """Score of each of ``RESAMPLES`` resamples, the same ones for all evaluations of as many images."""
        means = []
        for times in resamples(len(self), RESAMPLES, self.groups):
            every = np.array([of.precision(of.sums(times)) for of in self._ranked()])  # anew: all take 24 bytes a logit
            occur = (~np.isnan(every)).sum(0)
            means.append(np.nansum(every, 0)[occur > 0] / occur[occur > 0])  # the mean over labels that occur in it
        return 100 * np.concatenate(means)

    def _ranked(self) -> Iterator[Ranked]:
        return (Ranked(self.labels[:, k], self.logits[:, k]) for k in range(self.labels.shape[1]))


def _joined(there: NDArray[np.bool_], class_names: Sequence[str]) -> list[str]:
    """Return the names of the labels that each image has, joined; ``there`` has shape (N, K)."""
    return [", ".join([class_names[k] for k in np.flatnonzero(row).tolist()]) for row in there]


class MultiLabel(ImageTask):
    """The task of giving an image any number of labels; see ``botzoo.tasks.task.Task``."""

    name = "multi_label"
    problem_type = "multi_label_classification"
    headline = Headline("mAP", "mAP", "map", "mean_average_precision")
    labels = "any number of labels to an image"
    one_label = False
    interval_around = False
    metrics = LABEL_METRICS
    optional: tuple[str, ...] = ()
    of_labels: tuple[str, ...] = ("labels", "loss")

    def check(self, config: TrainConfig, data: ImageData[Any]) -> None:
        refuse(config, Need.ONE_LABEL, f"and images of {data.name} may have several")

    def objective(
        self, config: TrainConfig, class_names: Sequence[str], counts: NDArray[np.int64] | None
    ) -> MultiLabelObjective:
        """Return binary cross-entropy with mixing; how frequent the labels are does not matter to it."""
        classes = len(class_names)
        return MultiLabelObjective(classes, mixup_alpha=config.mixup, seed=config.seed, cutmix_alpha=config.cutmix)

    def answers(
        self, said: Tensor, targets: Tensor, sizes: Tensor | None = None, *, everything: bool = True
    ) -> Answers:
        loss = F.binary_cross_entropy_with_logits(said, targets.float(), reduction="none").sum(1)
        found = {"labels": targets, "logits": said, "loss": loss}
        return {name: column.cpu().numpy() for name, column in found.items()}

    def evaluation(self, answers: Answers) -> MultiLabelEvaluation:
        return MultiLabelEvaluation(answers["labels"], answers["logits"], answers["loss"], answers.get("group"))

    def per_image(self, answers: Answers, class_names: Sequence[str]) -> PerImage:
        """Return what the answers say; an answer is right where it has all labels of the image, and no other."""
        labels, logits = answers.get("labels"), answers["logits"].astype(np.float64)
        given, shares = logits > 0, np.exp(-np.logaddexp(0, -logits))
        least = np.where(given, shares, np.inf).min(1)
        return PerImage(
            None if labels is None else _joined(labels > 0, class_names),
            _joined(given, class_names),
            np.where(given.any(1), least, np.nan),
            None if labels is None else answers["loss"].astype(np.float64),
            None if labels is None else (given == (labels > 0)).all(1),
            shares,
        )

    def fits(self, outputs: int, classes: int) -> bool:
        """Tell whether there is an output for each label, and none besides: each is decided on its own."""
        return outputs == classes

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the sigmoid: each label has a probability of its own, and they do not add up to 1."""
        return logits.float().sigmoid()

    def named(self, probabilities: Tensor, top_k: int | None = None) -> list[list[tuple[int, float]]]:
        """Return the ``top_k`` likeliest labels of each image, by default all with a probability over 0.5."""
        least = 0.5 if top_k is None else -1.0  # who asks for so many gets so many
        most = int((probabilities > least).sum(1).max()) if top_k is None else min(top_k, probabilities.shape[1])
        best = probabilities.topk(most)
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [[(k, share) for k, share in zip(*row, strict=True) if share > least] for row in rows]

    def code(self, logits: str, classes: int) -> str:
        return f"""    shares = {logits}.sigmoid()[0]
for share, name in zip(shares.tolist(), label_names):
    if share > 0.5:
        print(f"{{name}}: {{share:.1%}}")"""


MULTI_LABEL = MultiLabel()
