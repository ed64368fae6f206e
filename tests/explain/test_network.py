"""Weights and activations against what torch says of them, and the page of both."""

import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from botzoo.commands.info import run
from botzoo.errors import BotzooError, ConfigError, DataError
from botzoo.explain.activations import passage
from botzoo.explain.maps import Explainer
from botzoo.explain.network import Network, bars
from botzoo.explain.overlays import write_overlays
from botzoo.explain.weights import first_filters, norms_of, weights_of
from botzoo.inference.load import load
from botzoo.inference.predict import Model
from botzoo.models.preprocessing import Decoding, Preprocessing, Side
from running import write_teacher


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("model"), size=64)


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder)


def test_every_convolution_and_linear_map_is_there_once(model: Model) -> None:
    expected = [n for n, m in model.module.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [one.name for one in weights_of(model.module)] == expected


def test_the_figures_are_torchs(model: Model) -> None:
    for one in weights_of(model.module):
        weight = model.module.get_submodule(one.name).weight.detach()
        found = (one.norm, one.rms, one.mean, one.low, one.high)
        expected = (weight.norm(), weight.square().mean().sqrt(), weight.mean(), weight.min(), weight.max())
        assert found == pytest.approx([float(value) for value in expected], rel=1e-4)
        counts = np.histogram(weight.numpy(), 40, (one.low, one.high))[0]
        np.testing.assert_allclose(one.histogram, counts / counts.max(), atol=2 / counts.max())


def broken() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight[[2, 5]] = 1e-6
        network[2].weight[0, 0] = torch.nan
        network[1].weight[3] = 1e-5
        network[1].running_var[:2] = 0
        network[3].weight.zero_()
    return network.eval()


def test_dead_channels_and_broken_weights_are_counted() -> None:
    assert [(one.dead, one.broken) for one in weights_of(broken())] == [(2, 0), (0, 1), (2, 0)]


def test_batch_norm_is_told_from_what_it_has_measured() -> None:
    (one,) = norms_of(broken())
    assert (one.channels, one.near_zero, one.constant, one.gamma[1], one.mean) == (8, 1, 2, 1.0, (0.0, 0.0))


def test_norms_without_statistics_or_weights_are_no_error() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.BatchNorm2d(3, affine=False))
    assert [(one.name, one.gamma) for one in norms_of(network)] == [("1", (1.0, 1.0))]


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_filters_are_grey_where_they_are_0(channels: int) -> None:
    conv = nn.Conv2d(channels, 5, 3)
    with torch.no_grad():
        conv.weight[:] = 0
        conv.weight[1, :, 0, 0] = 2
        conv.weight[2, :, 0, 0] = -1
    found = first_filters(nn.Sequential(nn.Identity(), conv))
    assert found is not None
    pixels = np.asarray(found[1])
    assert (found[0], pixels.shape) == ("1", (3, 5 * 4 - 1, 3))
    assert [pixels[0, x].tolist() for x in (0, 4, 8)] == [[128] * 3, [255] * 3, [0] * 3]


def test_a_network_without_convolutions_has_no_filters() -> None:
    assert first_filters(nn.Linear(2, 2)) is None


def test_the_stages_give_what_forward_intermediates_gives(model: Model, photos: Path) -> None:
    image = photos / "class0" / "0.png"
    found = passage(model, image)
    pixels = torch.from_numpy(np.array(found.input)).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = model.module.forward_intermediates(model.preprocessing.normalise(pixels), intermediates_only=True)
    assert [(one.stage.channels, one.low, one.high) for one in found.stages] == [
        (maps.shape[1], pytest.approx(float(maps.min()), abs=1e-5), pytest.approx(float(maps.max()), abs=1e-5))
        for maps in expected
    ]
    assert [one.silent for one in found.stages] == [int((m.amax((2, 3)) == m.amin((2, 3))).sum()) for m in expected]
    assert found.answers[0][0] == model.predict(image, device="cpu").label


def test_the_page_has_every_layer_and_stage(model: Model, photos: Path) -> None:
    network = Network(model, weights=True, passage=passage(model, photos / "class0" / "0.png"))
    page = network.page()
    for one in (*network.layers, *network.norms):
        assert f">{one.name}<" in page
    assert page.count('class="pixels"') == 1 + 5
    assert "script-src &#39;none&#39;" in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_histograms_are_drawn_upwards() -> None:
    assert bars([0.5, 0.0, 1.0], 10) == "M0 10v-5.0h2V10zM4 10v-10.0h2V10z"


def test_the_terminal_says_what_is_worth_knowing(model: Model) -> None:
    weights, norms = Network(model, weights=True).lines()
    assert re.fullmatch(r"weights +\d+ layers of [\d,]+ weights, 0 dead channels", weights)
    assert re.fullmatch(r"BatchNorm +\d+ layers; gamma is near 0 in 0 of [\d,]+ channels", norms)


def test_an_image_that_cannot_be_read_is_named(model: Model) -> None:
    with pytest.raises(DataError, match=r"gone\.png cannot be read: there is no such file"):
        passage(model, "gone.png")


# The command


def test_the_command_writes_one_page(
    folder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run([str(folder), "--weights", "--activations", str(photos / "class0" / "0.png")])
    assert capsys.readouterr().out.splitlines()[-1].split() == ["page", "network.html"]
    assert [path.name for path in tmp_path.iterdir()] == ["network.html"]
    with pytest.raises(
        ConfigError, match=r"network\.html is there already: give another name by --output, or --overwrite"
    ):
        run([str(folder), "--weights"])
    run([str(folder), "--weights", "--overwrite"])
    assert "An image on its way" not in (tmp_path / "network.html").read_text()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--output", "x.html"], "give --weights or --activations IMAGE too"),
        (["--weights", "--layers"], "--layers is for the terminal"),
        (["--weights", "--output", "gone/x.html"], "there is no folder gone; make it first"),
        (["--activations", "x.png", "--output", "x.png"], "would be lost"),
        (["--activations", ""], "is ''"),
        (["--activations", "."], "--activations . is a folder: give one image"),
        (["--activations", "gone.png"], "gone.png cannot be read"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_nothing_is_written(
    argv: list[str], message: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BotzooError, match=message):
        run([str(folder), *argv])
    assert not list(tmp_path.iterdir())


# In a notebook


def test_a_model_draws_an_explanation(model: Model, photos: Path) -> None:
    image = Image.open(photos / "class0" / "0.png")
    figure = model.explain(image, "class1", device="cpu")
    assert [axes.get_title().split(",")[0] for axes in figure.axes] == ["class1", "layercam: the layer layer2"]
    assert [axes.images[0].get_array().shape for axes in figure.axes] == [(16, 16, 3)] * 2


@pytest.mark.parametrize(("channels", "size"), [(5, (32, 64)), (1, 48)])
def test_other_channels_and_shapes_are_shown_as_well(channels: int, size: Side, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=2, in_chans=channels).eval()
    how = Decoding(channels=channels)
    prepared = Preprocessing(size, (0.5,) * channels, (0.25,) * channels, 1.0, "bilinear", "border", decoding=how)
    model = Model("bands", network, prepared, ("a", "b"))
    image = np.random.default_rng(0).integers(0, 255, (20, 90, channels), np.uint8)
    assert write_overlays(Explainer(model, device="cpu"), [image], tmp_path) == []
    assert model.explain(image, device="cpu").axes[1].images[0].get_array().shape == (20, 90, 3)
    assert "An image on its way" in Network(model, weights=True, passage=passage(model, image)).page()
