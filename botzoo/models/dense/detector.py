"""Faster R-CNN (Ren et al., 2015) with a feature pyramid (Lin et al., 2017), torchvision's, on a body of timm's."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from botzoo.errors import ModelError
from botzoo.models.dense.anchors import Anchors, anchors_at
from botzoo.models.dense.body import STRIDES, Body
from botzoo.util.text import counted

POOLED = 7  # cells along a side of what is seen of a proposal

Targets = list[dict[str, Tensor]]
"""Of each image: ``boxes``, float32 (n, 4), corners in pixels of the input, and ``labels``, int64 (n,), from 0 on."""


@dataclass(frozen=True)
class DetectorPlan:
    """What a detector is made of; the numbers are far below torchvision's, which suit images of 800 pixels and 80 classes.

    Attributes:
        channels: of the pyramid.
        finest: stride of its finest map, at least: one of the body's.
        anchors: one size for each map of the pyramid, of which it has one more than its body; None for the usual ones.
        proposals, proposals_in_training: boxes of an image that the second stage looks at.
        sampled: of these, how many are trained on.
        hidden: units of each of the two layers that look at them.
        most: boxes that are given of an image.
        least_score: of those.
        overlap: from which intersection over union on the less likely one of two boxes of a class is left out.
    """

    channels: int = 128
    finest: int = STRIDES[0]
    anchors: Anchors | None = None
    proposals: int = 150
    proposals_in_training: int = 300
    sampled: int = 128
    hidden: int = 256
    most: int = 100
    least_score: float = 0.05
    overlap: float = 0.5


class Pyramid(nn.Module):
    """A body with a pyramid on its maps, as torchvision's detectors want it."""

    def __init__(self, body: Body, channels: int) -> None:
        super().__init__()
        self.body, self.out_channels = body, channels
        self.fpn = FeaturePyramidNetwork(body.channels, channels, extra_blocks=LastLevelMaxPool())

    @property
    def strides(self) -> list[int]:
        """Of its maps, the finest first: those of the body and one of twice the last."""
        return [*self.body.strides, 2 * self.body.strides[-1]]

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Return the maps by their names, "0", "1" and so on, the last "pool"."""
        maps = self.fpn(OrderedDict((str(k), each) for k, each in enumerate(self.body(images))))
        # Torchvision's anchors have the maps' type, and bf16 knows places beyond 256 pixels to 2 only.
        return OrderedDict((name, each.float()) for name, each in maps.items())


class _Proposing(RPNHead):
    """Gives float32 in any arithmetic, as places of boxes follow from it."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        scores, moves = super().forward(x)
        return [each.float() for each in scores], [each.float() for each in moves]


class _Deciding(FastRCNNPredictor):
    """The same of the second stage."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, moves = super().forward(x)  # type: ignore[no-untyped-call]
        return scores.float(), moves.float()


class _Batch(GeneralizedRCNNTransform):
    """Makes one tensor of images, padded to a multiple of 32 pixels, and nothing else: torchvision's would normalise and, in
    evaluation whatever it is told, resize them."""

    def normalize(self, image: Tensor) -> Tensor:
        return image

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target


class Detector(FasterRCNN):
    """Faster R-CNN of K classes from 0 on, where torchvision's begin at 1, on images that are normalised and resized already.

    Attributes:
        plan: what it is made of.
        classes: K.
    """

    def __init__(self, body: Body, classes: int, plan: DetectorPlan) -> None:
        pyramid = Pyramid(body, plan.channels)
        anchors = plan.anchors or anchors_at(pyramid.strides)
        if len(anchors.sizes) != len(pyramid.strides):
            sizes = counted(len(anchors.sizes), "size")
            raise ModelError(
                f"The anchors have {sizes}, and {body.architecture} has {len(pyramid.strides)} maps: give one for each."
            )
        squares = tuple((size,) for size in anchors.sizes)
        generator = AnchorGenerator(squares, (anchors.ratios,) * len(squares))  # type: ignore[no-untyped-call]
        super().__init__(  # type: ignore[no-untyped-call]
            pyramid,
            rpn_head=_Proposing(plan.channels, generator.num_anchors_per_location()[0]),
            box_head=TwoMLPHead(plan.channels * POOLED**2, plan.hidden),  # type: ignore[no-untyped-call]
            box_predictor=_Deciding(plan.hidden, 1 + classes),  # type: ignore[no-untyped-call] # the background first
            rpn_anchor_generator=generator,
            rpn_pre_nms_top_n_train=2 * plan.proposals_in_training,
            rpn_post_nms_top_n_train=plan.proposals_in_training,
            rpn_pre_nms_top_n_test=2 * plan.proposals,
            rpn_post_nms_top_n_test=plan.proposals,
            box_roi_pool=MultiScaleRoIAlign([str(k) for k in range(len(body.strides))], POOLED, 2),
            box_batch_size_per_image=plan.sampled,
            box_detections_per_img=plan.most,
            box_score_thresh=plan.least_score,
            box_nms_thresh=plan.overlap,
        )
        self.transform = _Batch(1, 1, [0.0], [1.0])
        self.plan, self.classes = replace(plan, anchors=anchors), classes

    @property
    def body(self) -> Body:
        """What has the classifier's weights."""
        assert isinstance(self.backbone, Pyramid)
        return self.backbone.body

    def get_classifier(self) -> tuple[nn.Module, ...]:
        """Return what is new on the body, as timm's networks do, by which it is told what learns faster and what is frozen."""
        assert isinstance(self.backbone, Pyramid)
        return self.backbone.fpn, self.rpn, self.roi_heads

    def forward(self, images: Tensor | list[Tensor], targets: Targets | None = None) -> Any:
        """Return the losses of a training step, or what is on each image.

        Args:
            images: float32, normalised: (N, C, H, W), or a list of (C, h, w) that may differ in size.
            targets: in training; boxes have an area and lie in their image. Without them, as for images without contents,
                all layers are passed and nothing is chosen, which takes the time and memory of a step.

        Returns:
            In training a dict of scalars, the four losses of the paper, in nats and smooth L1. In evaluation a list with
            ``boxes`` (n, 4), ``labels`` (n,), from 0 on, and ``scores`` (n,) in [0, 1], the likeliest first, of each image.
            Where nothing is chosen, the scores and moves of all boxes that could be.
        """
        if isinstance(images, Tensor) and (images.is_meta or (self.training and targets is None)):
            return self._passed(images)
        if targets is not None:
            targets = [{**target, "labels": target["labels"] + 1} for target in targets]
        found: Any = super().forward(list(images), targets)
        if self.training:
            return found
        return [{**each, "labels": each["labels"] - 1} for each in found]

    def _passed(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return what all layers make of images, with as many empty proposals as there usually are."""
        rpn: Any = self.rpn
        heads: Any = self.roi_heads
        maps = self.backbone(images)
        scores, moves = rpn.head(list(maps.values()))
        each = self.plan.sampled if self.training else self.plan.proposals
        pooled = maps["0"].new_zeros(len(images) * each, self.plan.channels, POOLED, POOLED)
        return (*scores, *moves, *heads.box_predictor(heads.box_head(pooled)))
