"""Networks for boxes and masks with random weights, in folders of their own."""

from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from botzoo.models.create import create_model
from botzoo.models.dense.anchors import Anchors
from botzoo.models.dense.body import body_of
from botzoo.models.dense.detector import Detector, DetectorPlan
from botzoo.models.dense.folder import Dense, write_dense_folder
from botzoo.models.dense.segmenter import Segmenter

NAMES = ("cat", "=dog", "bird")


def picture(path: Path) -> Image.Image:
    """Return a picture as Pillow decodes it, its file closed."""
    with Image.open(path) as image:
        image.load()
        return image


def write(folder: Path, kind: str) -> Path:
    """Write the folder of a network for pictures of 64 pixels that sees something everywhere."""
    torch.manual_seed(0)
    network = create_model("test_resnet", 5, scratch=True, img_size=64)
    body, plan = body_of(network), DetectorPlan(channels=16, proposals=20, least_score=0.0)
    anchors = Anchors(tuple(8.0 * 2**k for k in range(len(body.strides) + 1)))
    module: Dense = Segmenter(body, 3) if kind == "masks" else Detector(body, 3, replace(plan, anchors=anchors))
    for parameter in module.parameters():  # so that classes differ from place to place
        parameter.data.mul_(2 if parameter.ndim > 1 else 1)
    preprocessing = replace(network.preprocessing, size=64, crop_pct=1.0, crop_mode="border")
    write_dense_folder(folder, module.eval(), preprocessing, NAMES, tag="t", license="mit")
    return folder
