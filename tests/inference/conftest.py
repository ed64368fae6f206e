"""A detector and a segmenter with random weights, and pictures for them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import botzoo
from botzoo.inference.predict import Model
from dense_models import picture, write


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("detector") / "model", "boxes")


@pytest.fixture(scope="session")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("segmenter") / "model", "masks")


@pytest.fixture(scope="session")
def detector_model(detector: Path) -> Model:
    """The detector, loaded."""
    return botzoo.load(detector)


@pytest.fixture(scope="session")
def segmenter_model(segmenter: Path) -> Model:
    """The segmenter, loaded."""
    return botzoo.load(segmenter)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four pictures of several sizes, one of them grey and one in a folder of its own, and a broken one."""
    folder, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    (folder / "more").mkdir()
    for name, (width, height) in {"wide.png": (128, 80), "tall.jpg": (50, 70), "more/square.png": (64, 64)}.items():
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        small.resize((width, height)).save(folder / name)
    picture(folder / "wide.png").convert("L").save(folder / "grey.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder
