"""Detectors trained for a moment: resumed to the bit, in two processes, and what their folders hold."""

import json
from pathlib import Path
from signal import SIGTERM
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from botzoo.data.decode import decoding
from botzoo.models.create import create_model
from botzoo.models.dense.detector import Detector
from botzoo.models.dense.folder import read_dense_folder
from botzoo.models.preprocessing import PLAIN, Size
from botzoo.options.config import DetectConfig, TrainConfig
from botzoo.sources.find import find_images
from botzoo.sources.targets.boxes import Boxes, Placed
from botzoo.tasks.answers import read_answers
from botzoo.tasks.detection import DETECTION, DetectionObjective
from botzoo.training.steps.trainer import Trainer
from drawn import HEIGHT, WIDTH
from running import BOXES, TINY, bare, final_weights, finetune_and_signal, run_distributed

QUICK: dict[str, Any] = {**TINY, **BOXES, "unlike": False}


@pytest.mark.slow
def test_a_run_that_is_resumed_ends_with_the_same_bits(
    boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**QUICK, "dataset": str(boxes), "checkpoint_every": 1}
    bare({**options, "output": str(tmp_path / "whole")})
    monkeypatch.setattr(Trainer, "step", Trainer.step)  # put back at the end
    finetune_and_signal({**options, "output": str(tmp_path / "cut")}, SIGTERM, 2, how=bare)
    bare({}, str(tmp_path / "cut"))
    one, other = (final_weights(tmp_path / name) for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_two_processes_evaluate_each_image_once_and_keep_what_one_would(boxes: Path, tmp_path: Path) -> None:
    options = {**QUICK, "dataset": str(boxes), "output": str(tmp_path / "two"), "ema": None}
    assert run_distributed(2, bare, options) == [0, 0]
    names, answers = read_answers(tmp_path / "two" / "evaluation" / "test.parquet")
    assert names == [f"images/test/{i}.png" for i in range(4)]
    assert answers["size"].tolist() == [[HEIGHT, WIDTH]] * 4
    true = DETECTION.evaluation(answers).boxes
    expected = find_images(str(boxes), kind="detect").test.boxes
    assert [each.corners.tolist() for each in true] == [each.corners.tolist() for each in expected]


@pytest.mark.slow
def test_the_folder_gives_the_boxes_that_were_evaluated(finished_boxes_run: Path, boxes: Path) -> None:
    model = read_dense_folder(finished_boxes_run / "model")
    config = json.loads((finished_boxes_run / "model" / "config.json").read_text())
    assert (config["task"], config["label_names"]) == ("detection", ["square", "disc"])
    assert {"anchors", "finest"} <= config["head"].keys()
    with decoding(boxes / "images" / "test" / "0.png", PLAIN) as picture:
        transform = DETECTION.eval_transform(model.preprocessing)
        pixels, _, sizes = transform.pair(picture, Placed(Boxes.of(), HEIGHT, WIDTH), (0, 0))
    images = model.preprocessing.normalise(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])
    with torch.inference_mode():
        (found,) = DETECTION.shown(DETECTION.say(model.module, images), torch.tensor([sizes]))
    kept = DETECTION.evaluation(read_answers(finished_boxes_run / "evaluation" / "test.parquet")[1]).detections[0]
    np.testing.assert_allclose(found.corners, kept.corners, atol=1e-2)
    np.testing.assert_allclose(found.scores, kept.scores, atol=1e-4)


@pytest.mark.parametrize("count", [0, 1000])
def test_pictures_with_any_number_of_boxes_teach_something(count: int) -> None:
    network = create_model("test_resnet", 1, scratch=True, img_size=64)
    torch.manual_seed(0)
    model = DETECTION.head(
        network, 1, TrainConfig(task="detect", scratch=True, detect=DetectConfig(anchors=4, stride=4))
    )
    corners = np.random.default_rng(0).uniform(0, 50, (count, 2)).repeat(2, 0).reshape(count, 4) + np.array(
        [0, 0, 8, 9]
    )
    targets = torch.from_numpy(DETECTION.kind.stack([Placed(Boxes.of(corners, [0] * count), 64, 64)] * 2))
    loss = DetectionObjective(1).step_loss(model.train(), torch.randn(2, 3, 64, 64), targets)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None for p in model.parameters())  # else several processes would wait for each other


def test_a_network_that_nothing_is_chosen_by_passes_images_without_contents() -> None:
    network = create_model("test_resnet", 3, scratch=True, img_size=64)
    model = DETECTION.head(network, 3, TrainConfig(task="detect", scratch=True))
    assert isinstance(model, Detector)
    passed = model.to("meta").eval()(torch.empty(1, 3, 64, 64, device="meta"))
    assert passed[-1].shape == (model.plan.proposals, 4 * (1 + 3))


def test_pictures_of_any_size_and_kind_become_inputs_with_their_boxes(tmp_path: Path) -> None:
    p = create_model("test_resnet", 3, scratch=True, img_size=64).preprocessing
    for size, mode in (((4000, 3000), "RGB"), ((30, 20), "L"), ((33, 99), "RGBA")):
        Image.new(mode, size).save(tmp_path / "picture.png")
        whole = Placed(Boxes.of([[0, 0, *size]], [0]), size[1], size[0])
        with decoding(tmp_path / "picture.png", PLAIN) as picture:
            pixels, placed, sizes = DETECTION.eval_transform(p).pair(picture, whole, (0, 0))
        assert pixels.shape == (64, 64, 3)
        assert max(sizes[2:]) == 64
        assert (placed, Size(*map(int, sizes[:2]))) == (whole, Size(size[1], size[0]))
