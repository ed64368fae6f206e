"""Boxes and masks of new images against the network itself."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import botzoo
from botzoo.errors import BotzooError, CheckpointError, ConfigError
from botzoo.inference.options import LEAST_SCORE
from botzoo.inference.predict import Model
from botzoo.models.create import create_model
from botzoo.tasks.detection import GIVEN
from dense_models import NAMES, picture

ORIENTATION = 0x0112


@torch.no_grad()
def raw(model: Model, file: Path) -> tuple[Any, list[float]]:
    """Return what the network itself says of a picture, and the factors from its input to the picture, across and down."""
    image = picture(file).convert("RGB")
    transform = model.task.eval_transform(model.preprocessing)
    pixels = torch.from_numpy(np.array(transform(image, (0, 0)))).permute(2, 0, 1)[None]
    f = 64 / max(image.size)
    return model.module(model.preprocessing.normalise(pixels)), [side / round(side * f) for side in image.size]


@pytest.mark.parametrize("name", ["wide.png", "tall.jpg", "more/square.png"])
def test_boxes_are_the_networks_in_pixels_of_the_picture(detector_model: Model, scenes: Path, name: str) -> None:
    model = detector_model
    found = model.predict(scenes / name, least_score=0.0)
    (said,), (across, down) = raw(model, scenes / name)
    width, height = found.size or (0, 0)
    expected = said["boxes"].numpy() * [across, down, across, down]
    expected = expected.clip(0, [width, height, width, height])
    there = (expected[:, 2] > expected[:, 0]) & (expected[:, 3] > expected[:, 1])
    assert len(found.boxes) == there.sum() > 3
    np.testing.assert_allclose([box.corners for box in found.boxes], expected[there], atol=0.01)
    assert [box.label for box in found.boxes] == [model.label_names[k] for k in said["labels"][there].tolist()]
    np.testing.assert_allclose([box.score for box in found.boxes], said["scores"][there], atol=1e-4)


@pytest.mark.parametrize("name", ["wide.png", "tall.jpg", "more/square.png"])
def test_a_mask_has_the_likeliest_class_of_each_pixel_of_the_picture(
    segmenter_model: Model, scenes: Path, name: str
) -> None:
    model = segmenter_model
    found = model.predict(scenes / name)
    logits, _ = raw(model, scenes / name)
    width, height = picture(scenes / name).size
    f = 64 / max(width, height)
    part = logits[:, :, : round(height * f), : round(width * f)]
    large = torch.nn.functional.interpolate(part, (height, width), mode="bilinear", align_corners=False)
    assert found.mask is not None
    assert found.size == (width, height)
    assert (found.mask == large.argmax(1)[0].numpy()).mean() > 0.999
    assert len(np.unique(found.mask)) > 1
    counts = {name: int((found.mask == k).sum()) for k, name in enumerate(model.label_names)}
    assert dict(found.top) == {name: count / found.mask.size for name, count in counts.items() if count}


KINDS: dict[str, Callable[[Path], Any]] = {
    "text": str,
    "bytes": Path.read_bytes,
    "picture": picture,
    "array": lambda path: np.array(picture(path)),
    "tensor": lambda path: torch.from_numpy(np.array(picture(path))).permute(2, 0, 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_of_images_have_one_answer(
    detector_model: Model, segmenter_model: Model, scenes: Path, kind: str
) -> None:
    file = scenes / "wide.png"
    given = KINDS[kind](file)
    assert detector_model.predict(given, least_score=0.0).boxes == detector_model.predict(file, least_score=0.0).boxes
    assert np.array_equal(segmenter_model.predict(given).mask, segmenter_model.predict(file).mask)  # type: ignore[arg-type]


def test_a_picture_on_its_side_is_answered_upright(segmenter_model: Model, scenes: Path, tmp_path: Path) -> None:
    upright, exif = picture(scenes / "wide.png"), Image.Exif()
    exif[ORIENTATION] = 6
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    model = segmenter_model
    for given in (tmp_path / "turned.png", picture(tmp_path / "turned.png")):
        found = model.predict(given)
        assert found.size == (128, 80)
        assert np.array_equal(found.mask, model.predict(upright).mask)  # type: ignore[arg-type]


@pytest.mark.parametrize("opened", [str, picture])
def test_a_picture_that_is_read_reduced_is_answered_in_its_own_pixels(
    detector_model: Model, tmp_path: Path, scenes: Path, opened: Any
) -> None:
    picture(scenes / "wide.png").resize((640, 400)).save(tmp_path / "large.jpg")
    model = detector_model
    reduced = replace(model, preprocessing=replace(model.preprocessing, decoding=replace(
        model.preprocessing.decoding, side=64)))  # fmt: skip
    whole, found = (each.predict(opened(tmp_path / "large.jpg"), least_score=0.0) for each in (model, reduced))
    assert found.size == whole.size == (640, 400)
    assert max(box.right for box in found.boxes) > 320


def test_a_broken_picture_costs_the_others_nothing(detector_model: Model, scenes: Path) -> None:
    model = detector_model
    broken, grey = model.predict([scenes / "broken.jpg", scenes / "grey.png"], least_score=0.0)
    assert broken.problem is not None
    assert not broken.boxes
    assert grey.boxes == model.predict(scenes / "grey.png", least_score=0.0).boxes


def test_boxes_can_be_fewer(detector_model: Model, scenes: Path) -> None:
    model = detector_model
    every = model.predict(scenes / "wide.png", least_score=0.0)
    least = every.boxes[2].score
    assert model.predict(scenes / "wide.png", 2, least_score=0.0).boxes == every.boxes[:2]
    some = model.predict(scenes / "wide.png", least_score=least)
    assert some.boxes == tuple(box for box in every.boxes if box.score >= least) == every.at_least(least).boxes


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("detector_model", {"tta": "flip"}),
        ("detector_model", {"temperature": 2.0}),
        ("segmenter_model", {"reject": False}),
        ("segmenter_model", {"least_score": 0.3}),
    ],
)
def test_options_of_other_tasks_are_refused(
    request: pytest.FixtureRequest, scenes: Path, kind: str, options: dict[str, Any]
) -> None:
    flag = "--" + next(iter(options)).replace("_", "-")
    with pytest.raises(ConfigError, match=rf"^{flag} is for networks that give \w+, and .* gives \w+: leave it out\.$"):
        request.getfixturevalue(kind).predict(scenes / "wide.png", **options)


def test_a_least_score_is_a_share(detector_model: Model, scenes: Path) -> None:
    with pytest.raises(ConfigError, match=r"1\.5.*a number from 0 to 1"):
        detector_model.predict(scenes / "wide.png", least_score=1.5)


def test_damaged_weights_find_nothing_in_silence_no_more(detector: Path, scenes: Path, tmp_path: Path) -> None:
    file = Path(shutil.copytree(detector, tmp_path / "m")) / "model.safetensors"
    tensors = load_file(file)
    tensors[max(tensors)][...] = float("nan")
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="not finite"):
        botzoo.load(tmp_path / "m").predict(scenes / "wide.png")


def test_boxes_are_given_from_the_score_on_from_which_the_card_counts_them() -> None:
    assert LEAST_SCORE == GIVEN


@pytest.mark.parametrize(("kind", "task"), [("detector", "detection"), ("segmenter", "segmentation")])
def test_config_json_says_what_the_network_is_and_what_it_takes(
    request: pytest.FixtureRequest, kind: str, task: str
) -> None:
    config = json.loads((request.getfixturevalue(kind) / "config.json").read_text())
    assert (config["task"], config["architecture"], config["label_names"]) == (task, "test_resnet", [*NAMES])
    assert config["pretrained_cfg"]["input_size"] == [3, 64, 64]
    assert len(config["pretrained_cfg"]["mean"]) == len(config["pretrained_cfg"]["std"]) == 3
    assert kind == "segmenter" or config["head"]["anchors"]["sizes"][:3] == [8, 16, 32]


def test_batchnorm_is_folded(detector_model: Model) -> None:
    assert detector_model.predictor(1).folded > 0  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["detector", "segmenter"])
def test_what_is_of_classes_is_refused_in_a_line(request: pytest.FixtureRequest, scenes: Path, kind: str) -> None:
    folder = request.getfixturevalue(kind)
    with pytest.raises(BotzooError, match=r"gives (boxes|masks): botzoo predict .* draws them\.$"):
        botzoo.load(folder).explain(scenes / "wide.png")
    with pytest.raises(BotzooError, match=r"is a network for \w+, and no classifier"):
        create_model(f"local-dir:{folder}", 3)
