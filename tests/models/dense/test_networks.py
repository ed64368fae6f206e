"""Detector and segmenter: their answers, their losses, and the folder that they are kept in."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.ops import box_iou

from botzoo.errors import CheckpointError, ModelError
from botzoo.models.create import Network, create_model
from botzoo.models.dense.anchors import Anchors, anchors_at, best_overlaps, fitted, fitting_share
from botzoo.models.dense.body import body_of
from botzoo.models.dense.detector import Detector, DetectorPlan
from botzoo.models.dense.folder import Dense, read_dense_folder, write_dense_folder
from botzoo.models.dense.segmenter import Segmenter
from botzoo.models.layers import head_names

pytestmark = pytest.mark.slow  # all of them together

PLAN = DetectorPlan(channels=16, proposals=20, proposals_in_training=20, sampled=8, least_score=0.0)
IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
TARGETS = [
    {"boxes": torch.tensor([[8.0, 8, 40, 40]]), "labels": torch.tensor([0])},
    {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},  # nothing is on it
]


@pytest.fixture(scope="module")
def network() -> Network:
    return create_model("resnet10d_bot", 5)


def detector(network: Network, classes: int = 2, plan: DetectorPlan = PLAN) -> Detector:
    torch.manual_seed(0)
    return Detector(body_of(network), classes, plan)


def segmenter(network: Network, kind: Any = "fpn", classes: int = 3) -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(body_of(network, 32 if kind == "fpn" else 16, pyramid=kind == "fpn"), classes, kind)


def test_a_detector_has_four_losses_in_training_and_boxes_in_evaluation(network: Network) -> None:
    model = detector(network)
    losses = model.train()(list(IMAGES), TARGETS)
    assert len(losses) == 4
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.body.parameters() if p.requires_grad)
    with torch.no_grad():
        found = model.eval()(list(IMAGES))
    assert {int(k) for each in found for k in each["labels"]} <= {0, 1}
    assert all((each["boxes"] <= torch.tensor([96, 64, 96, 64])).all() for each in found)


def test_labels_begin_at_zero(network: Network) -> None:
    """Torchvision's own network, of the same weights, has one more for each: 0 is its background."""
    model = detector(network).train()
    losses = []
    for forward, labels in ((model.forward, 1), (super(Detector, model).forward, 2)):
        torch.manual_seed(1)
        losses.append(forward(list(IMAGES), [{**TARGETS[0], "labels": torch.tensor([labels])}, TARGETS[1]]))
    assert all(torch.equal(losses[0][name], losses[1][name]) for name in losses[0])
    assert isinstance(model, FasterRCNN)


def test_pictures_of_other_sizes_are_padded_and_found_the_same(network: Network) -> None:
    model = detector(network).eval()
    small = IMAGES[0, :, :32, :64]
    with torch.no_grad():
        alone, together = model([small])[0], model([small, IMAGES[1]])[0]
    assert (together["boxes"] <= torch.tensor([64, 32, 64, 32])).all()
    assert len(alone["boxes"])


@pytest.mark.parametrize("training", [True, False])
def test_the_body_sees_images_as_they_are_but_for_padding(network: Network, training: bool) -> None:
    model = detector(network).train(training)
    seen: list[torch.Tensor] = []
    model.body.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model([IMAGES[0, :, :, :70], IMAGES[1, :, :40]], TARGETS)
    assert torch.equal(seen[0][0, :, :64, :70], IMAGES[0, :, :, :70])
    assert seen[0].shape == IMAGES.shape
    assert not seen[0][1, :, 40:].any()


def test_boxes_are_of_float32_in_any_arithmetic(network: Network) -> None:
    model = detector(network).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = model(IMAGES)
        assert all(each["boxes"].dtype == each["scores"].dtype == torch.float32 for each in found)
        assert all(each.dtype == torch.float32 for each in model.backbone(IMAGES).values())


def test_the_same_seed_trains_to_the_same_bits(network: Network) -> None:
    """Which proposals are trained on is drawn by torch's global generator, which a training step seeds."""
    states = []
    for _ in range(2):
        model = detector(network).train()
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        for step in range(2):
            torch.manual_seed(step)
            sum(model(IMAGES, TARGETS).values()).backward()
            optimizer.step()
        states.append(model.state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_anchors_are_one_for_each_map(network: Network) -> None:
    with pytest.raises(ModelError, match="3 sizes, and resnet10d_bot has 5 maps"):
        detector(network, plan=replace(PLAN, anchors=Anchors((8, 16, 32))))


def test_overlaps_of_anchors_are_those_of_torchvision() -> None:
    anchors = Anchors((16, 40), (0.5, 1, 2))
    sides = np.random.default_rng(0).uniform(4, 80, (20, 2))
    own = [[s / r**0.5, s * r**0.5] for s in anchors.sizes for r in anchors.ratios]
    centred = [torch.tensor(np.concatenate([-np.array(each) / 2, np.array(each) / 2], -1)) for each in (sides, own)]
    np.testing.assert_allclose(best_overlaps(sides, anchors), box_iou(*centred).max(1).values, rtol=1e-6)


def test_anchors_that_fit_no_box_are_told_from_those_that_would() -> None:
    sides, strides = np.full((9, 2), 9.0), (4, 8, 16)
    assert fitting_share(sides, anchors_at(strides)) == 0
    would = fitted(sides, strides)
    assert fitting_share(sides, would) == 1
    assert would.sizes[0] == 8
    assert fitted(np.full((9, 2), 64.0), strides) == anchors_at(strides)


@pytest.mark.parametrize("kind", ["fpn", "fcn"])
def test_a_segmenter_gives_each_pixel_a_class(network: Network, kind: str) -> None:
    model = segmenter(network, kind)
    logits = model(IMAGES[:, :, :50, :70])
    assert logits.shape == (2, 3, 50, 70)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("make", [detector, segmenter])
def test_head_and_body_are_told_apart(network: Network, make: Any) -> None:
    model = make(network)
    head, every = set(head_names(model)), dict(model.named_parameters())
    body = {id(parameter) for parameter in model.body.parameters()}
    assert {name for name, parameter in every.items() if id(parameter) not in body} == head
    assert head < set(every)


@pytest.mark.parametrize("kind", ["faster_rcnn_fpn", "fpn", "fcn"])
def test_a_folder_gives_the_same_answers(network: Network, tmp_path: Path, kind: str) -> None:
    model: Dense = detector(network) if kind == "faster_rcnn_fpn" else segmenter(network, kind, 2)
    model.eval()
    write_dense_folder(tmp_path / "m", model, network.preprocessing, ["cat", "dog"], tag="t", license="mit")
    read = read_dense_folder(tmp_path / "m")
    assert read.class_names == ("cat", "dog")
    assert read.preprocessing.shape == network.preprocessing.shape
    assert (read.preprocessing.mean, read.preprocessing.std) == (network.preprocessing.mean, network.preprocessing.std)
    with torch.no_grad():
        torch.testing.assert_close(read.module(list(IMAGES) if kind == "faster_rcnn_fpn" else IMAGES), model(
            list(IMAGES) if kind == "faster_rcnn_fpn" else IMAGES), rtol=0, atol=0)  # fmt: skip


def test_who_reads_the_config_reads_the_weights(network: Network, tmp_path: Path) -> None:
    write_dense_folder(tmp_path, segmenter(network, "fpn", 2), network.preprocessing, ["cat", "dog"], tag="t")
    assert len({(tmp_path / name).stat().st_mode for name in ("config.json", "model.safetensors")}) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task": None}, "is of the task None"),
        ({"task": ["detection"]}, "is of the task ['detection']"),
        ({"task": "segmentation"}, "head.name is 'faster_rcnn_fpn': it must be fcn or fpn"),
        ({"head": {"name": "fpn"}}, "head.name is 'fpn': it must be faster_rcnn_fpn"),
        ({"head": {"name": [1]}}, "head.name is [1]"),
        ({"label_names": {"a": "b"}}, "lacks label_names"),
        ({"pretrained_cfg": {"mean": [0.5]}}, "lacks input_size, mean or std"),
        (
            {"pretrained_cfg": {"mean": [0.5], "std": [0.5], "input_size": [1, 64, 64]}},
            "input_size of 1 channel and model_args.in_chans 3: they must be one",
        ),
        ({"label_names": [], "num_classes": 0}, "lacks label_names"),
        ({"label_names": ["x"] * 20_001, "num_classes": 20_001}, "a network for detection has at most 20,000"),
        ({"label_names": ["x"] * 500, "num_classes": 500, "head": {"proposals": 10_000}}, "5,000,000 boxes an image"),
        (
            {"task": "segmentation", "head": {"name": "fpn"}, "label_names": ["x"] * 256, "num_classes": 256},
            "a network for segmentation has at most 255",
        ),
        ({"label_names": ["cat"], "num_classes": 1}, "does not fit model.safetensors"),
        ({"architecture": "resnet18"}, "does not fit model.safetensors"),
        ({"architecture": "no_such"}, "timm has no architecture"),
        ({"head": 3}, "no object `head`"),
        ({"head": {"channels": 10**9}}, "head.channels is 1000000000: it must be a number from 8 to 2048"),
        ({"head": {"proposals": True}}, "head.proposals is True"),
        ({"head": {"most": 2.5}}, "head.most is 2.5"),
        ({"head": {"anchors": {"sizes": [1] * 1000, "ratios": [1]}}}, "head.anchors is"),
        ({"model_args": {"pretrained": True}}, "no property of a network"),
    ],
)
def test_a_config_of_others_is_refused_in_a_line(network: Network, tmp_path: Path, change: dict, says: str) -> None:
    write_dense_folder(tmp_path, detector(network), network.preprocessing, ["cat", "dog"], tag="t")
    config = json.loads((tmp_path / "config.json").read_text())
    change = (
        {**change, "head": {**config["head"], **change["head"]}} if isinstance(change.get("head"), dict) else change
    )
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(CheckpointError) as caught:
        read_dense_folder(tmp_path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("channels", [1, 5])
def test_a_network_of_other_channels_comes_back(tmp_path: Path, channels: int) -> None:
    grey = create_model("test_resnet", 5, scratch=True, channels=channels)
    write_dense_folder(tmp_path, segmenter(grey), grey.preprocessing, ["a", "b", "c"], tag="t")
    assert read_dense_folder(tmp_path).preprocessing.channels == channels


def test_damaged_weights_are_refused(network: Network, tmp_path: Path) -> None:
    write_dense_folder(tmp_path, segmenter(network), network.preprocessing, ["a", "b", "c"], tag="t")
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a complete safetensors file"):
        read_dense_folder(tmp_path)
