"""Maps against captum and against timm's own parts, and what tells a map from a pretty picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor, nn

from botzoo.errors import CheckpointError, ConfigError, ModelError
from botzoo.explain.maps import Explainer, batched, overlay
from botzoo.explain.methods import gradcam, layercam, occlusion, scaled
from botzoo.inference.load import load
from botzoo.inference.predict import Model
from botzoo.models.create import create_model
from botzoo.models.preprocessing import Preprocessing
from running import write_teacher


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(write_teacher(tmp_path_factory.mktemp("model"), size=64))


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def close(found: np.ndarray, expected: Tensor) -> None:
    np.testing.assert_allclose(found, scaled(expected.detach()).numpy(), atol=1e-5)


def test_grad_cam_is_captums(model: Model, pixels: Tensor) -> None:
    from captum.attr import LayerGradCam

    explainer = Explainer(model, "gradcam", device="cpu")
    layer = model.module.get_submodule(explainer.layer)
    images = model.preprocessing.normalise(pixels)
    expected = LayerGradCam(model.module, layer).attribute(images, target=[2, 0, 1], relu_attributions=True)
    close(explainer.heat(pixels, [2, 0, 1]), expected[:, 0])


def test_occlusion_is_captums(model: Model, pixels: Tensor) -> None:
    from captum.attr import Occlusion

    network, image = model.module, model.preprocessing.normalise(pixels[:1])[..., :56, :56]
    with torch.no_grad():
        found = occlusion(lambda images: network(images)[:, 1], image[0], (7, 7), batch_size=20)
        windows = {"sliding_window_shapes": (3, 16, 16), "strides": (3, 8, 8), "perturbations_per_eval": 36}
        every = Occlusion(network).attribute(image, target=1, **windows)
    torch.testing.assert_close(found, every[0, 0, ::8, ::8].float(), atol=1e-5, rtol=0)


def test_maps_of_tokens_are_those_of_timms_own_parts(tmp_path: Path) -> None:
    vit = load(write_teacher(tmp_path, "test_vit", size=128))
    pixels = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    explainer, network = Explainer(vit, "layercam", device="cpu"), vit.module
    k = int(explainer.layer.removeprefix("blocks."))
    assert k == len(network.blocks) - 2  # only the class token of the last block is read
    how = {"indices": [k], "intermediates_only": True, "output_fmt": "NLC", "return_prefix_tokens": True}
    ((patches, prefix),) = network.forward_intermediates(vit.preprocessing.normalise(pixels), **how)
    tokens = torch.cat([prefix, patches], 1).detach().requires_grad_()
    logits = network.forward_head(network.norm(network.blocks[k + 1 :](tokens)))
    (gradients,) = torch.autograd.grad(logits[0, 0] + logits[1, 2], tokens)
    maps = [t[:, 1:].transpose(1, 2).unflatten(2, (8, 8)) for t in (tokens, gradients)]
    close(explainer.heat(pixels, [0, 2]), layercam(*maps))


def test_layer_cam_weighs_each_cell_by_its_own_gradient() -> None:
    activations = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    gradients = torch.tensor([[[[1.0, -1.0]], [[-1.0, 2.0]]]])
    assert layercam(activations, gradients).tolist() == [[[1.0, 8.0]]]
    assert gradcam(activations, gradients).tolist() == [[[1.5, 2.0]]]


@pytest.mark.parametrize(
    ("method", "cells"), [("layercam", 8), ("gradcam", 8), pytest.param("occlusion", 14, marks=pytest.mark.slow)]
)
def test_the_likeliest_class_is_explained_from_0_to_1(method: str, cells: int, model: Model, photos: Path) -> None:
    image, explainer = photos / "class1" / "1.png", Explainer(model, method, device="cpu")
    answer, pixels = model.predict(image, device="cpu"), batched([explainer.transform(Image.open(image), (0, 0))])
    assert explainer.probabilities(pixels)[0].max() == pytest.approx(answer.probability, abs=1e-5)
    heat = explainer.heat(pixels, answer.indices[:1])
    assert (heat.shape, heat.dtype) == ((1, cells, cells), np.float32)
    assert (heat.min() >= 0, heat.max()) == (True, 1)


def test_images_in_one_batch_do_not_change_each_others_maps(model: Model, pixels: Tensor) -> None:
    explainer = Explainer(model, device="cpu")
    alone = np.concatenate([explainer.heat(pixels[i : i + 1], [i]) for i in range(3)])
    np.testing.assert_allclose(explainer.heat(pixels, [0, 1, 2]), alone, atol=1e-5)


def test_the_model_stays_as_it_is(model: Model, pixels: Tensor) -> None:
    before = {key: tensor.clone() for key, tensor in model.module.state_dict().items()}
    Explainer(model, device="cpu").heat(pixels, [0, 0, 0])
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.module.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.module.parameters())
    assert not any(module._forward_hooks for module in model.module.modules())


def test_a_method_that_is_none_is_refused(model: Model) -> None:
    with pytest.raises(ConfigError, match=r"it must be one of layercam, gradcam, occlusion\. Did you mean 'gradcam'"):
        Explainer(model, "grad-cam")


def made(network: nn.Module, size: int = 64) -> Model:
    return Model("made", network.eval(), Preprocessing(size, (0.5,) * 3, (0.25,) * 3, 1.0, "bilinear"), ("no", "yes"))


def test_a_network_without_stages_can_be_occluded_only() -> None:
    network = made(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 2)))
    with pytest.raises(ModelError, match="use the method occlusion"):
        Explainer(network, device="cpu")
    assert Explainer(network, "occlusion", device="cpu").layer == "input"


def test_numbers_that_are_not_finite_are_no_answer(pixels: Tensor) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 2))
    nn.init.constant_(network[1].bias, torch.nan)
    with pytest.raises(CheckpointError, match="not finite"):
        Explainer(made(network), "occlusion", device="cpu").probabilities(pixels)


# Maps against sense


def striped(count: int, seed: int) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
    """Return noise, uint8 (N, 3, 64, 64), with stripes planted into each second image, the labels, and the places."""
    rng = np.random.default_rng(seed)
    images = rng.normal(128, 20, (count, 3, 64, 64))
    places = [tuple(rng.integers(0, 48, 2).tolist()) for _ in range(count)]
    for i in range(1, count, 2):
        y, x = places[i]
        images[i, :, y : y + 16, x : x + 16] += 90 * np.sign(np.arange(16) % 4 - 1.5)[:, None]
    return torch.from_numpy(images.clip(0, 255).astype(np.uint8)), torch.arange(count) % 2, places


@pytest.fixture(scope="module")
def trained() -> Model:
    """A network that has learned to find the stripes."""
    torch.manual_seed(0)
    model = made(create_model("test_resnet", 2, scratch=True, img_size=64).model)
    optimizer = torch.optim.AdamW(model.module.parameters(), 2e-3)
    for step in range(30):
        pixels, labels, _ = striped(16, step)
        loss = nn.functional.cross_entropy(model.module.train()(model.preprocessing.normalise(pixels)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.module.eval()
    return model


@pytest.mark.slow
@pytest.mark.parametrize("method", ["layercam", "gradcam", "occlusion"])
def test_a_planted_patch_is_found(method: str, trained: Model) -> None:
    count = 8 if method == "occlusion" else 32
    pixels, _, places = striped(count, 1000)
    maps = Explainer(trained, method, device="cpu").heat(pixels[1::2], [1] * (count // 2))
    cells = [np.unravel_index(heat.argmax(), heat.shape) for heat in maps]
    side = 64 / maps.shape[1]
    found = [
        y - side <= (row + 0.5) * side <= y + 16 + side and x - side <= (column + 0.5) * side <= x + 16 + side
        for (row, column), (y, x) in zip(cells, places[1::2], strict=True)
    ]
    assert sum(found) >= 0.9 * len(found)  # at random a sixth of them


@pytest.mark.slow
@pytest.mark.parametrize("method", ["layercam", "gradcam"])
def test_random_weights_give_other_maps(method: str, trained: Model) -> None:
    """Adebayo et al., 2018, "Sanity Checks for Saliency Maps", arXiv:1810.03292."""
    pixels = striped(32, 1000)[0][1::2]
    torch.manual_seed(1)
    random = made(create_model("test_resnet", 2, scratch=True, img_size=64).model)
    one, other = (Explainer(m, method, device="cpu").heat(pixels, [1] * 16) for m in (trained, random))
    alike = [spearmanr(a.ravel(), b.ravel()).statistic if b.any() else 0 for a, b in zip(one, other, strict=True)]
    assert abs(np.mean(alike)) < 0.5


# Pictures


def test_a_map_is_drawn_where_it_belongs() -> None:
    heat = np.zeros((2, 2), np.float32)
    heat[0, 1] = 1
    drawn = np.asarray(overlay(Image.new("RGB", (40, 40), "grey"), heat, (0, 10, 20, 30))).astype(int)
    colour, red = drawn.max(2) - drawn.min(2), drawn[..., 0] - drawn[..., 2]
    assert red[11:14, 16:20].min() > 100
    assert red[22:30, :10].max() <= 0
    assert not colour[:10].any()
    assert not colour[:, 20:].any()
    assert drawn[0, 0, 0] < drawn[25, 2, 0]  # outside of what the network saw it is darker


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (640, 480)])
def test_pictures_keep_their_size(size: tuple[int, int]) -> None:
    assert overlay(Image.new("RGB", size), np.ones((7, 7), np.float32)).size == size
