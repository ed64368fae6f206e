"""Boxes around things: what is minimised, and how the boxes that a network has found are evaluated.

The main figure is COCO's mean average precision, over the classes and over ten thresholds of overlap from 0.5 to 0.95.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from botzoo.data.dense.boxes import FILL, PlacedBoxes, boxes_of
from botzoo.models.create import Network
from botzoo.models.dense.detector import Detector, DetectorPlan, Targets
from botzoo.models.preprocessing import Size
from botzoo.options.choices import Choice
from botzoo.options.config import TrainConfig
from botzoo.sources.base import ImageData
from botzoo.sources.targets.boxes import Boxes
from botzoo.sources.targets.checks import Finding, check_boxes
from botzoo.tasks.answers import lists
from botzoo.tasks.dense import DenseTask
from botzoo.tasks.detector_for import check_anchors, check_numbers, detector_on, suiting
from botzoo.tasks.metrics.dense.coco import CocoFigures, coco_figures, library
from botzoo.tasks.metrics.dense.matching import COCO_THRESHOLDS, Detections, match_coco
from botzoo.tasks.metrics.dense.precision import AveragePrecision, area, eleven_points
from botzoo.tasks.metrics.dense.resampling import Bootstrapped
from botzoo.tasks.metrics.resampling import GroupNumbers, Times
from botzoo.tasks.objective import Objective
from botzoo.tasks.task import Answers, Headline, PerImage

GIVEN = 0.5
"""Score from which on a box counts as an answer, where boxes are counted or shown."""

NEAR = 0.01
"""A score so near to that may be over it in one arithmetic and not in another."""

MOST_FOUND = DetectorPlan.most
"""Boxes that are kept of an image."""

SCALES = 1.0, 1.0
"""Sides of a picture in training as shares of those in evaluation."""


@dataclass(frozen=True, eq=False)
class DetectionEvaluation(Bootstrapped):
    """The boxes that a network found on each of the N images of a split, and those that are there.

    Attributes:
        found: ``lists`` of float32 (n, 6), the likeliest first: left, upper, right and lower edge in pixels of the image as
            it is stored, label, score in [0, 1]. Rows whose label is ``FILL`` do not count.
        true: ``lists`` of float32 (m, 8): edges, label, whether it is a crowd, whether it is difficult, area in pixels.
        size: int32, shape (N, 2), height and width of the images as they are stored.
        groups: of images that belong together; None where nobody named any.
        known: the metrics that were asked for so far, by name.
    """

    found: NDArray[Any]
    true: NDArray[Any]
    size: NDArray[np.int32]
    groups: GroupNumbers | None = None
    known: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    has_scores = True
    loss: None = None

    def __len__(self) -> int:
        return len(self.size)

    @property
    def answers(self) -> Answers:
        every: Answers = {"found": self.found, "true": self.true, "size": self.size}
        return every if self.groups is None else {**every, "group": self.groups}

    @property
    def classes(self) -> int:
        """One more than the largest label that is there or was found, 1 at least: of the K classes the last may be neither."""
        return 1 + max([0, *(int(rows[:, 4].max(initial=FILL)) for rows in (*self.found, *self.true))])

    @cached_property
    def boxes(self) -> list[Boxes]:
        """The objects of each image."""
        return [boxes_of(rows) for rows in self.true]

    @cached_property
    def detections(self) -> list[Detections]:
        """What was found on each image."""
        return [_detections(rows) for rows in self.found]

    @cached_property
    def coco(self) -> CocoFigures:
        """COCO's figures, in per cent; those by class have the shape (``classes``,)."""
        return coco_figures(self.detections, self.boxes, self.classes)

    @cached_property
    def precision(self) -> AveragePrecision:
        """The same by what became of each box, which resampling needs."""
        return AveragePrecision.coco(self.detections, self.boxes, self.classes, groups=self.groups)

    @property
    def score(self) -> float:
        """COCO's mean average precision in per cent, NaN where no image has an object: the headline figure."""
        return self.coco.map

    @property
    def figures(self) -> dict[str, float]:
        return {"map_50_95": self.coco.map, "map_50": self.coco.map50, "map_75": self.coco.map75}

    def by_class(self, classes: int) -> NDArray[np.float64]:
        """Return average precision of each class in per cent, shape (classes,); NaN where no image has it."""
        every = np.full(classes, np.nan)
        every[: self.classes] = self.coco.by_class
        return every

    @cached_property
    def voc(self) -> tuple[float, float]:
        """Pascal VOC's mean average precision at 0.5 in per cent: over 11 points, as in Table 8 of the paper, and the area."""
        asked = (
            AveragePrecision.voc(self.detections, self.boxes, self.classes, mean) for mean in (eleven_points, area)
        )
        eleven, whole = (100 * each.score for each in asked)
        return eleven, whole

    @property
    def one_answer(self) -> float:
        """Points that the score moves, about, where one box of the rarest class turns over, at all thresholds."""
        labels = np.concatenate([each.labels for each in self.boxes]) if len(self) else np.empty(0, np.int64)
        counts = np.bincount(labels)
        there = counts[counts > 0]
        return 100 / (float(there.min()) * len(there)) if len(there) else 100.0

    @cached_property
    def _resampled(self) -> NDArray[np.float64]:
        """Score of each resample of the images, the same ones for all evaluations of as many images."""
        return 100 * self.precision.resampled()

    def weighted(self, times: Times | None = None) -> Any:
        """Raise TypeError: the task has no metrics besides the headline figure."""
        raise TypeError("no metric of boxes is resampled")

    @cached_property
    def f1(self) -> NDArray[np.float64]:
        """F1 of the boxes given of each image, with a score of ``GIVEN`` or more, at an overlap of 0.5, shape (N,) in [0, 1].

        It is 1 where nothing is there and nothing is given: one figure of how well an image was understood.
        """
        return np.array([_f1(found, true) for found, true in zip(self.detections, self.boxes, strict=True)])

    def said(self, i: int, class_names: Sequence[str]) -> tuple[str, str, float]:
        """Return what is on image ``i``, what was found with a score of ``GIVEN`` or more, and the least score of that."""
        found = self.detections[i]
        given = found.scores >= GIVEN
        least = float(found.scores[given].min()) if given.any() else float("nan")
        return _counted(self.boxes[i].labels, class_names), _counted(found.labels[given], class_names), least

    def telling(self) -> int:
        return int(np.argmax([rows[:, 5].max(initial=FILL) for rows in self.found]))

    def confirmed(self, class_names: Sequence[str], lines: Sequence[str]) -> tuple[bool, str]:
        """Tell whether ``lines``, which are of the telling image, begin with the class of its likeliest box.

        Where no box of any image is given, there are none; a score near ``GIVEN`` leaves it open whether it is.
        """
        found = self.detections[self.telling()]
        likeliest = max(found.scores[:1].tolist(), default=0.0)
        names = [class_names[k] for k in found.labels[:1].tolist() if likeliest >= GIVEN]
        said = [line.rpartition(": ")[0] for line in lines[:1]]
        return said == names or abs(likeliest - GIVEN) < NEAR, names[0] if names else "nothing"


def _detections(rows: NDArray[np.float32]) -> Detections:
    there = rows[rows[:, 4] != FILL]
    return Detections.of(there[:, :4], there[:, 4], there[:, 5])


def _f1(found: Detections, true: Boxes) -> float:
    given = found.scores >= GIVEN
    right = wrong = there = 0
    for label in np.union1d(found.labels[given], true.labels).tolist():
        own = given & (found.labels == label)
        objects = true.take(true.labels == label)
        matches = match_coco(found.corners[own], found.scores[own], objects, COCO_THRESHOLDS[:1])
        right += int(matches.right.sum())
        wrong += int((~matches.right & ~matches.ignored).sum())
        there += matches.there
    return 2 * right / (right + wrong + there) if right + wrong + there else 1.0


def _counted(labels: NDArray[np.int64], class_names: Sequence[str]) -> str:
    """Return how many boxes there are of each class, in words, the most frequent first."""
    most = Counter(labels.tolist()).most_common()
    return ", ".join(f"{count} {class_names[k]}" for k, count in most) or "nothing"


class DetectionObjective(Objective):
    """The four losses of Faster R-CNN, added up, as torchvision does."""

    def prepare(self, images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return both as they are."""
        return images, labels

    def step_loss(
        self, net: Callable[..., Any], images: Tensor, targets: Tensor, teacher_logits: Tensor | None = None
    ) -> Tensor:
        """Return the loss of a step, a float32 scalar.

        Args:
            net: the detector in training mode.
            targets: float32 (N, M, 8), as ``DetectionEvaluation.true``, in pixels of the input. Crowds are left out.
        """
        losses: dict[str, Tensor] = net(images, trained_on(targets))
        return torch.stack([loss.float() for loss in losses.values()]).sum()

    def labels_of(self, images: int, size: Size) -> Tensor:
        """Return one box on each of so many images that do not exist."""
        box = torch.tensor([0, 0, size.width / 2, size.height / 2, 0, 0, 0, size.area / 4])
        return box.expand(images, 1, -1)


def trained_on(targets: Tensor) -> Targets:
    """Return the boxes of each image that a detector is trained on."""
    kept = [rows[(rows[:, 4] != FILL) & (rows[:, 5] == 0)] for rows in targets]
    return [{"boxes": rows[:, :4], "labels": rows[:, 4].long()} for rows in kept]


class Detection(DenseTask):
    """The task of finding objects with boxes around them; see ``botzoo.tasks.task.Task``."""

    name = "detection"
    gives = "boxes"
    problem_type = "object_detection"
    headline = Headline("mAP", "mean average precision of boxes", "map_50_95", "box_map")
    labels = "any number of boxes"
    metrics: tuple[Any, ...] = ()
    optional: tuple[str, ...] = ()
    of_labels: tuple[str, ...] = ("true",)
    kind = PlacedBoxes()
    usual_scales = SCALES

    def check_targets(self, data: ImageData[Any]) -> list[Finding]:
        return check_boxes(data)

    def check(self, config: TrainConfig, data: ImageData[Any]) -> None:
        super().check(config, data)
        library()  # else its absence would be told of after an epoch
        check_anchors(config, data)
        check_numbers(data)

    def choices(self, config: TrainConfig, data: ImageData[Any], given: Collection[str]) -> list[Choice]:
        return suiting(config, data, given)

    def head(self, network: Network, classes: int, config: TrainConfig) -> Detector:
        return detector_on(network, classes, config)

    def objective(
        self, config: TrainConfig, class_names: Sequence[str], counts: NDArray[np.int64] | None
    ) -> DetectionObjective:
        return DetectionObjective(len(class_names), seed=config.seed)

    def say(self, module: nn.Module, images: Tensor) -> list[dict[str, Tensor]]:
        """Return of each image ``boxes``, ``labels`` and ``scores``, as ``Detector`` does, in pixels of the input."""
        found: list[dict[str, Tensor]] = module(images)
        return found

    def answers(
        self, said: list[dict[str, Tensor]], targets: Tensor, sizes: Tensor | None = None, *, everything: bool = True
    ) -> Answers:
        """Return what was found and what is there, in pixels of the images as they are stored."""
        assert sizes is not None
        found = lists([_rows(each) for each in self.shown(said, sizes)])
        true = lists([rows[rows[:, 4] != FILL] for rows in targets.cpu().numpy()])
        return {"found": found, "true": true, "size": sizes[:, :2].cpu().numpy().astype(np.int32)}

    def shown(self, said: list[dict[str, Tensor]], sizes: Tensor) -> list[Detections]:
        """Return what was found on each picture, in its own pixels; ``sizes`` are as of ``answers``."""
        return [_in_picture(found, size) for found, size in zip(said, sizes.cpu().numpy(), strict=True)]

    def evaluation(self, answers: Answers) -> DetectionEvaluation:
        return DetectionEvaluation(answers["found"], answers["true"], answers["size"], answers.get("group"))

    def per_image(self, answers: Answers, class_names: Sequence[str]) -> PerImage:
        """Return what the answers say; the loss of an image is 1 - F1, and it is right where that is 0."""
        seen = self.evaluation({"true": np.zeros((len(answers["size"]), 0, 8), np.float32), **answers})
        labels, found, least = zip(*(seen.said(i, class_names) for i in range(len(seen))), strict=True)
        labelled = "true" in answers
        return PerImage(
            list(labels) if labelled else None,
            list(found),
            np.array(least),
            1 - seen.f1 if labelled else None,
            seen.f1 == 1 if labelled else None,
            None,
        )

    def probabilities(self, logits: Tensor) -> Tensor:
        """Raise TypeError: a detector has none of an image as a whole."""
        raise TypeError("a detector has no probabilities of an image as a whole")

    def named(self, probabilities: Tensor, top_k: int | None = None) -> list[list[tuple[int, float]]]:
        """Raise TypeError, as ``probabilities``."""
        raise TypeError("a detector has no probabilities of an image as a whole")

    def code(self, logits: str, classes: int) -> str:
        """Return lines that print the boxes that are given; ``logits`` is an expression of what a detector says."""
        return f"""    found = {logits}[0]
for label, score, box in zip(found["labels"].tolist(), found["scores"].tolist(), found["boxes"].tolist()):
    if score >= {GIVEN}:
        print(f"{{label_names[label]}}: {{score:.1%}}", *map(round, box))"""


def _in_picture(found: dict[str, Tensor], size: NDArray[np.floating]) -> Detections:
    """Return what was found in the input in pixels of the picture.

    ``size`` has height and width of that as it is stored, and of the part of the input that it fills.
    """
    height, width, filled_height, filled_width = size
    corners = found["boxes"].float().cpu().numpy() * np.tile([width / filled_width, height / filled_height], 2)
    inside = np.clip(corners, 0, [width, height, width, height])  # the padding is no place in the picture
    return Detections.of(inside, found["labels"].cpu().numpy(), found["scores"].float().cpu().numpy())


def _rows(found: Detections) -> NDArray[np.float32]:
    """Return what was found on an image as rows, see ``DetectionEvaluation.found``.

    Of more boxes than ``MOST_FOUND``, which networks of others may give, the first are kept: the likeliest.
    """
    every = np.concatenate([found.corners, np.stack([found.labels, found.scores], 1)], 1)
    return every[:MOST_FOUND].astype(np.float32)


DETECTION = Detection()
