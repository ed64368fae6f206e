"""Networks that give each pixel a class: FCN on a dilated body, and an FPN whose maps are added up."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.fcn import FCNHead
from torchvision.ops import FeaturePyramidNetwork

from botzoo.models.dense.body import Body

Head = Literal["fcn", "fpn"]

CHANNELS = 128  # of the pyramid
GROUPS = 16  # of the group normalisation on it, which a batch of one image does not hurt
DROPOUT = 0.1


class FpnHead(nn.Module):
    """A pyramid whose maps are brought to the finest stride and added (Kirillov et al., 2019, arXiv:1901.02446)."""

    def __init__(self, body: Body, classes: int, channels: int = CHANNELS) -> None:
        super().__init__()
        self.fpn = FeaturePyramidNetwork(body.channels, channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.GroupNorm(GROUPS, channels), nn.ReLU()
            )
            for _ in body.channels
        )
        self.dropout = nn.Dropout2d(DROPOUT)
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return logits (N, K, h, w) at the finest of the maps' strides."""
        pyramid = self.fpn(OrderedDict((str(k), each) for k, each in enumerate(maps))).values()
        size = maps[0].shape[-2:]
        parts = [block(each) for block, each in zip(self.blocks, pyramid, strict=True)]
        total = sum(_resized(each, size) for each in parts)
        logits: Tensor = self.classifier(self.dropout(total))
        return logits


class FcnHead(nn.Module):
    """The head of a fully convolutional network on the last map, which Table 9 of the paper has: torchvision's."""

    def __init__(self, body: Body, classes: int) -> None:
        super().__init__()
        self.layers = FCNHead(body.channels[-1], classes)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return logits (N, K, h, w) at the stride of the last map."""
        logits: Tensor = self.layers(maps[-1])
        return logits


def _resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


class Segmenter(nn.Module):
    """A network that gives each pixel of an image one of K classes.

    Attributes:
        body: what has the classifier's weights.
        kind: of its head.
        classes: K.
    """

    def __init__(self, body: Body, classes: int, kind: Head = "fpn") -> None:
        super().__init__()
        self.body, self.classes, self.kind = body, classes, kind
        self.head: nn.Module = FpnHead(body, classes) if kind == "fpn" else FcnHead(body, classes)

    def get_classifier(self) -> tuple[nn.Module, ...]:
        """Return what is new on the body, as ``Detector.get_classifier``."""
        return (self.head,)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K, H, W) of images (N, C, H, W), float32 and normalised."""
        return _resized(self.head(self.body(images)), images.shape[-2:])


def needs_pyramid(kind: Head) -> bool:
    """Tell whether a head wants several maps of its body."""
    return kind == "fpn"
