"""Classification: one class for each image, also where the classes are of unequal size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from botzoo.errors import ConfigError
from botzoo.options.config import TrainConfig
from botzoo.sources.base import ImageData
from botzoo.tasks.image import ImageTask
from botzoo.tasks.metrics.of_classes import CLASS_METRICS, Weighted
from botzoo.tasks.metrics.resampling import GroupNumbers, Times, mean_interval
from botzoo.tasks.objective import Objective
from botzoo.tasks.task import Answers, Headline, PerImage

TOP_K = 5  # classes that are named where nothing else is said
SKEWED = 1.5  # above this ratio of the largest class to the smallest, accuracy and balanced accuracy are both given
Z95 = 1.959964  # standard deviations that 95 % of a normal distribution lie within
BETA = 0.999  # of the effective number of images: a class counts for at most 1 / (1 - BETA), however many it has


@dataclass(frozen=True)
class Evaluation:
    """What a network said of each of the N images of a split.

    Attributes:
        labels, predicted: int64, shape (N,): the true and the likeliest class.
        in_top5: bool, shape (N,), whether the label is among the five likeliest classes.
        nll: float32, shape (N,), negative log-likelihood of the label, in nats.
        confidence: float32, shape (N,), probability of the likeliest class, in (0, 1].
        log_p: float16, shape (N, K), log-probabilities of all classes; None where they were not kept.
        groups: of images that belong together; None where nobody named any.
        known: the metrics that were asked for so far, by name.
    """

    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    in_top5: NDArray[np.bool_]
    nll: NDArray[np.float32]
    confidence: NDArray[np.float32]
    log_p: NDArray[np.float16] | None = None
    groups: GroupNumbers | None = None
    known: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def answers(self) -> Answers:
        optional = {"log_p": self.log_p, "group": self.groups}
        kept = {name: values for name, values in optional.items() if values is not None}
        found: Answers = {"label": self.labels, "predicted": self.predicted, "in_top5": self.in_top5}
        return found | {"loss": self.nll, "confidence": self.confidence} | kept

    def weighted(self, times: Times | None = None) -> Weighted:
        return Weighted(self, times)

    @property
    def has_scores(self) -> bool:
        return self.log_p is not None

    @property
    def correct(self) -> int:
        """Number of images classified right."""
        return int((self.labels == self.predicted).sum())

    @property
    def top1(self) -> float:
        """Accuracy in per cent: the figure that chooses the epoch."""
        return 100 * self.correct / len(self)

    score = top1

    @property
    def loss(self) -> float:
        return float(self.nll.mean())

    @property
    def skewed(self) -> bool:
        """Whether the classes have so unequal numbers of images that top-1 says little of the small ones."""
        images = np.bincount(self.labels)
        return bool(images.max() / images[images > 0].min() > SKEWED)

    @property
    def figures(self) -> dict[str, float]:
        return {"loss": self.loss, "top1": self.top1, "top5": 100 * float(self.in_top5.mean())}

    @property
    def one_answer(self) -> float:
        return 100 / len(self)

    def interval(self) -> tuple[float, float]:
        return self.share_interval(self.predicted == self.labels)

    def share_interval(self, right: NDArray[np.bool_]) -> tuple[float, float]:
        """Return the 95 % interval, in per cent, of the share of images that are ``right``, shape (N,)."""
        if (
            self.groups is None or right.all() or not right.any()
        ):  # of groups that are all alike a bootstrap says nothing
            return wilson(round(float(right.mean()) * self.units), self.units)
        share, (low, high) = 100 * float(right.mean()), mean_interval(right.astype(np.float64), self.groups)
        return min(low, share), max(high, share)

    @property
    def units(self) -> int:
        """How many images, or groups of them, are independent of each other."""
        return len(self) if self.groups is None else int(self.groups.max()) + 1

    def gain(self, before: Evaluation) -> tuple[float, float, float]:
        """Return the gain and its interval, Wald's of matched proportions with half an image more in each of the four cells.

        So it has a width where no answer differs, too (A. Agresti, Y. Min, *Simple improved confidence intervals for
        comparing matched proportions*, Statistics in Medicine 24, 2005, section 2). Of images in groups it is a bootstrap's.
        """
        right, was = self.predicted == self.labels, before.predicted == before.labels
        if self.groups is not None and (right != was).any():
            return self.top1 - before.top1, *mean_interval(right.astype(np.float64) - was, self.groups)
        gained, lost, images = float((right & ~was).sum()) + 0.5, float((was & ~right).sum()) + 0.5, self.units + 2
        centre = (gained - lost) / images
        half = Z95 * math.sqrt((gained + lost) / images - centre**2) / math.sqrt(images)
        return self.top1 - before.top1, 100 * (centre - half), 100 * (centre + half)

    def telling(self) -> int:
        return int(self.confidence.argmax())  # of one in doubt, another arithmetic may name another class

    def confirmed(self, class_names: Sequence[str], lines: Sequence[str]) -> tuple[bool, str]:
        expected = class_names[int(self.predicted[self.telling()])]
        return bool(lines) and lines[0].startswith(f"{expected}: "), expected

    def said(self, i: int, class_names: Sequence[str]) -> tuple[str, str, float]:
        return class_names[int(self.labels[i])], class_names[int(self.predicted[i])], float(self.confidence[i])


def wilson(correct: int, images: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of ``correct / images``, in per cent."""
    from scipy.stats import binomtest

    low, high = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    return 100 * float(low), 100 * float(high)


def class_weights(
    counts: NDArray[np.int64], weighting: Literal["none", "balanced", "effective"]
) -> tuple[float, ...] | None:
    """Return the factor on the loss of the images of each class, or None for none; their mean over all images is 1.

    So the learning rate means what it means without them, and they do not depend on what a batch happens to hold.

    "balanced" is ``N / (K n_k)``, as scikit-learn's ``compute_class_weight``. "effective" is in proportion to
    ``(1 - beta) / (1 - beta^n_k)``, one over the effective number of images (Y. Cui, M. Jia, T. Lin, Y. Song,
    S. Belongie, *Class-Balanced Loss Based on Effective Number of Samples*, CVPR 2019, arXiv:1901.05555, equation 2),
    beta being ``BETA``. ``counts`` are the training images of each class, n_k, shape (K,); a class without any gets 0
    and is not counted in K.
    """
    if weighting == "none":
        return None
    there = counts > 0
    images = np.where(there, counts, 1).astype(np.float64)
    worth = 1 / images if weighting == "balanced" else (1 - BETA) / (1 - BETA**images)
    worth = np.where(there, worth, 0.0)
    return tuple((worth * counts.sum() / (worth * counts).sum()).tolist())


class Classification(ImageTask):
    """The task of naming the one class of an image; see ``botzoo.tasks.task.Task``."""

    name = "classification"
    problem_type = "single_label_classification"
    headline = Headline("top-1", "accuracy", "top1", "accuracy")
    labels = "one label to an image"
    one_label = True
    interval_around = True
    metrics = CLASS_METRICS
    optional: tuple[str, ...] = ("log_p",)
    of_labels: tuple[str, ...] = ("label", "in_top5", "loss")

    def check(self, config: TrainConfig, data: ImageData[Any]) -> None:
        pass  # every option goes with one label for each image

    def objective(self, config: TrainConfig, class_names: Sequence[str], counts: NDArray[np.int64] | None) -> Objective:
        """Return cross-entropy with what the options add to it.

        Raises:
            ConfigError: class weights are asked for and the number of images of each class is not known.
        """
        if counts is None and config.class_weights != "none":
            raise ConfigError(
                f"--class-weights {config.class_weights} needs the number of images of each class, which these shards do "
                "not tell: leave it out."
            )
        return Objective(
            *(len(class_names), config.label_smoothing, config.mixup, config.seed, config.label_smoothing_over),
            cutmix_alpha=config.cutmix,
            temperature=config.distill.temperature,
            distill_weight=config.distill.weight,
            class_weights=class_weights(counts, config.class_weights) if counts is not None else None,
        )

    def answers(
        self, said: Tensor, targets: Tensor, sizes: Tensor | None = None, *, everything: bool = True
    ) -> Answers:
        log_p, labels = said.log_softmax(1), targets
        top = log_p.topk(min(5, log_p.shape[1]), 1).indices
        found = {
            "label": labels,
            "predicted": top[:, 0],
            "in_top5": (top == labels[:, None]).any(1),
            "loss": -log_p.gather(1, labels[:, None])[:, 0],
            "confidence": log_p.amax(1).exp(),
        }
        answers: Answers = {name: column.cpu().numpy() for name, column in found.items()}
        if everything:  # in half precision, which is precise where it counts: near 0
            answers["log_p"] = log_p.clamp_min(-60_000).cpu().numpy().astype(np.float16)
        return answers

    def evaluation(self, answers: Answers) -> Evaluation:
        names = ("label", "predicted", "in_top5", "loss", "confidence")
        label, predicted, in_top5, loss, confidence = (answers[name] for name in names)
        return Evaluation(label, predicted, in_top5, loss, confidence, answers.get("log_p"), answers.get("group"))

    def per_image(self, answers: Answers, class_names: Sequence[str]) -> PerImage:
        """Return what the answers say; of all classes the answer is the likeliest, also where half precision has two alike."""
        predicted, sure, labels = answers["predicted"], answers["confidence"].astype(np.float64), answers.get("label")
        shares = np.exp(answers["log_p"].astype(np.float64)) if "log_p" in answers else None
        if shares is not None:
            np.minimum(shares, sure[:, None], out=shares)
            shares[np.arange(len(predicted)), predicted] = np.nextafter(sure, 2)
        return PerImage(
            None if labels is None else [class_names[k] for k in labels.tolist()],
            [class_names[k] for k in predicted.tolist()],
            sure,
            None if labels is None else answers["loss"].astype(np.float64),
            None if labels is None else labels == predicted,
            shares,
        )

    def fits(self, outputs: int, classes: int) -> bool:
        return outputs >= classes  # a class without an output could never be right

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the softmax: the probabilities of an image add up to 1."""
        return logits.float().softmax(1)

    def named(self, probabilities: Tensor, top_k: int | None = None) -> list[list[tuple[int, float]]]:
        """Return the ``top_k`` likeliest classes of each image, by default five, with their probabilities."""
        best = probabilities.topk(min(top_k or TOP_K, probabilities.shape[1]))
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [list(zip(*row, strict=True)) for row in rows]

    def code(self, logits: str, classes: int) -> str:
        return f"""    shares, classes = {logits}.softmax(1)[0].topk({min(3, classes)})
for share, k in zip(shares.tolist(), classes.tolist()):
    print(f"{{label_names[k]}}: {{share:.1%}}")"""


CLASSIFICATION = Classification()
