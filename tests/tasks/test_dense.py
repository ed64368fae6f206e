"""Heads on the bodies of classifiers: what is chosen for the pictures, and what the layers are called."""

from pathlib import Path

import pytest
from PIL import Image
from timm.models import group_parameters

from botzoo.errors import DataError
from botzoo.models.create import create_model
from botzoo.options.command_line import made
from botzoo.options.config import TrainConfig
from botzoo.sources.find import find_images
from botzoo.tasks.dense import usual_input
from botzoo.tasks.segmentation import SEGMENTATION
from botzoo_finetune.config import FinetuneConfig


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet"])
@pytest.mark.parametrize("coarse", [True, False])
def test_a_body_has_the_layers_of_its_classifier_and_the_head_is_above(name: str, coarse: bool) -> None:
    classifier = create_model(name, 3, scratch=True)
    own = group_parameters(classifier.model, classifier.model.group_matcher(coarse=coarse), reverse=True)
    layers = {key.replace(".", "_"): layer for key, layer in own.items()}
    module = SEGMENTATION.network(classifier, 3, made({"task": "segment"}, TrainConfig)).model
    found = group_parameters(module, module.group_matcher(coarse=coarse), reverse=True)
    body = {key: layer for key, layer in found.items() if key.startswith("body.")}
    ranks = sorted({layers[key.removeprefix("body.net.").replace(".", "_")] for key in body})
    assert all(ranks[layer] == layers[key.removeprefix("body.net.").replace(".", "_")] for key, layer in body.items())
    assert {layer for key, layer in found.items() if key not in body} == {len(ranks)}


@pytest.mark.parametrize(
    ("picture", "size"),
    [((240, 180), (192, 256)), ((3000, 2000), (352, 512)), ((2000, 2000), 512), ((40, 20), 64), ((90, 300), (288, 96))],
    ids=str,
)
def test_the_input_suits_the_pictures(
    picture: tuple[int, int], size: int | tuple[int, int], masks: Path, tmp_path: Path
) -> None:
    Image.new("L", picture).save(tmp_path / "a.png")
    data = find_images(str(masks), kind="segment")
    object.__setattr__(data.train, "read", lambda i: tmp_path / "a.png")
    assert usual_input(data, 512)[0] == size


def test_what_is_given_is_not_chosen(masks: Path) -> None:
    data = find_images(str(masks), kind="segment")
    every = SEGMENTATION.choices(FinetuneConfig(task="segment"), data, ())
    assert every[-1].value == 10
    given = ("img_size", "steps", "lr", "layer_decay")
    some = SEGMENTATION.choices(FinetuneConfig(task="segment", scratch=True), data, given)
    assert [each.option for each in every] == ["img_size", "batch_size", "epochs", "head_lr_scale"]
    assert [each.option for each in some] == ["batch_size"]


def test_what_learns_from_scratch_learns_at_one_rate(masks: Path) -> None:
    data = find_images(str(masks), kind="segment")
    every = SEGMENTATION.choices(FinetuneConfig(task="segment", scratch=True), data, ())
    chosen = {each.option: each.value for each in every}
    assert (chosen["lr"], chosen["layer_decay"], "head_lr_scale" in chosen) == (0.04, 1.0, False)


def test_pictures_that_cannot_be_read_do_not_say_what_suits(masks: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("broken.png", "a.png")]
    files[0].write_bytes(b"no picture")
    Image.new("L", (240, 180)).save(files[1])
    data = find_images(str(masks), kind="segment")
    object.__setattr__(data.train, "read", lambda i: files[i % 2])
    assert usual_input(data, 512)[0] == (192, 256)
    object.__setattr__(data.train, "read", lambda i: files[0])
    with pytest.raises(DataError, match="cannot be read"):
        usual_input(data, 512)


def test_the_batch_is_shared_evenly_whatever_the_task(masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "5")
    found = SEGMENTATION.choices(FinetuneConfig(task="segment"), find_images(str(masks), kind="segment"), ())
    assert next(each.value for each in found if each.option == "batch_size") == 10
