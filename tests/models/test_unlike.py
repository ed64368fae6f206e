"""The score of images unlike the training images, against scikit-learn's covariance, and its file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.decomposition import PCA

from botzoo.errors import CheckpointError
from botzoo.models.layers import features_seen
from botzoo.models.unlike import FILE, Unlike, fit


def drawn(images: int, width: int = 20, seed: int = 0, off: float = 0.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (rng.normal(1, np.linspace(0.1, 1, width), (images, width)) + off * np.eye(width)[0]).astype(np.float32)


@pytest.fixture
def known() -> Unlike:
    found = fit(drawn(200), drawn(100, seed=1))
    assert found is not None
    return found


def test_the_score_is_the_distance_of_scikit_learns_covariance(known: Unlike) -> None:
    images, pca = drawn(50, seed=2), PCA(len(known.components), svd_solver="full").fit(drawn(200))
    off = images - pca.mean_
    distance = np.sqrt(np.einsum("ni,ij,nj->n", off, pca.get_precision(), off))
    ratio = known(images) / distance
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


def test_ninety_nine_of_a_hundred_validation_images_are_within_the_limit() -> None:
    found = fit(drawn(200), drawn(1000, seed=1))
    assert found is not None
    assert (found(drawn(1000, seed=1)) > 1 + 1e-5).sum() == 9


def test_what_lies_elsewhere_is_unlike(known: Unlike) -> None:
    assert (known(drawn(50, seed=3, off=20)) > 1).all()


@pytest.mark.parametrize("features", [drawn(9), np.ones((50, 20), np.float32), np.zeros((50, 20), np.float32)])
def test_too_few_images_and_those_all_alike_tell_nothing(features: NDArray[np.float32]) -> None:
    assert fit(features, drawn(20)) is None


def test_its_file_says_the_same(known: Unlike, tmp_path: Path) -> None:
    known.write(tmp_path / FILE)
    np.testing.assert_array_equal(Unlike.read(tmp_path / FILE, 20)(drawn(5)), known(drawn(5)))


def broken(values: dict[str, Any], how: str) -> dict[str, Any]:
    """Return what a file may hold that nobody has written for the network."""
    if how == "NaN":
        values["mean"][0] = np.nan
    elif how == "not positive":
        values["variances"][-1] = 0
    elif how == "of doubles":
        values["mean"] = values["mean"].astype(np.float64)
    elif how == "no rows":
        values["components"] = np.ones((), np.float32)
    elif how == "too many":
        values |= {"components": np.ones((129, 20), np.float32), "variances": np.ones(130, np.float32)}
    else:
        del values["variances"]
    return values


@pytest.mark.parametrize("how", ["NaN", "not positive", "of doubles", "no rows", "too many", "one missing"])
def test_another_file_is_refused(known: Unlike, how: str, tmp_path: Path) -> None:
    known.write(tmp_path / FILE)
    save_file(broken(load_file(tmp_path / FILE), how), tmp_path / FILE)
    with pytest.raises(CheckpointError, match="put it back as it was, or remove it"):
        Unlike.read(tmp_path / FILE, 20)


def test_a_file_for_another_network_is_refused(known: Unlike, tmp_path: Path) -> None:
    known.write(tmp_path / FILE)
    with pytest.raises(CheckpointError, match=r"features\.safetensors does not tell"):
        Unlike.read(tmp_path / FILE, 21)


def test_a_file_cut_short_is_refused(known: Unlike, tmp_path: Path) -> None:
    known.write(tmp_path / FILE)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="not a complete safetensors file"):
        Unlike.read(tmp_path / FILE, 20)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
@torch.inference_mode()
def test_the_features_are_what_timm_gives_the_classifier(name: str) -> None:
    model = timm.create_model(name, num_classes=3).eval()
    images = torch.rand(2, 3, *model.pretrained_cfg["input_size"][1:])
    with features_seen(model) as seen:
        model(images)
    torch.testing.assert_close(seen[0], model.forward_head(model.forward_features(images), pre_logits=True))


@torch.inference_mode()
def test_a_classifier_that_is_no_linear_layer_shows_none() -> None:
    model = timm.create_model("test_byobnet", num_classes=0).eval()
    with features_seen(model) as seen:
        model(torch.rand(1, 3, 64, 64))
    assert seen == []
