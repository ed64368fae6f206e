"""Fixtures that every test may use: tiny images in class folders, and the data sets beside the repository."""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes run the tests; read when torch is imported

import numpy as np
import pytest
from PIL import Image

from botzoo.util.private import reset_precision

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def write_photos(folder: Path, classes: int, each: int, size: int = 16, seed: int = 0) -> Path:
    """Write ``each`` noisy PNGs of one colour for each class, named class0, class1, ..."""
    rng = np.random.default_rng(seed)
    for k in range(classes):
        (folder / f"class{k}").mkdir(parents=True)
        colour = np.eye(3)[k % 3] * 160 + 40
        for i in range(each):
            noise = rng.normal(0, 30, (size, size, 3))
            pixels = np.clip(colour + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"class{k}" / f"{i}.png")
    return folder


def write_pictures(folder: Path, count: int = 60, seed: int = 0) -> Path:
    """Write ``count`` images, the red, green and blue of which are each there or not, with a column of labels."""
    import datasets

    rng, cells, images = np.random.default_rng(seed), [], []
    for i in range(count):
        there = [k for k in range(3) if (i >> k) % 2]
        pixels = np.clip(rng.normal(60, 25, (16, 16, 3)) + 120 * np.isin(range(3), there), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        images.append({"bytes": buffer.getvalue(), "path": None})
        cells.append(there)
    names = datasets.List(datasets.ClassLabel(names=["red", "green", "blue"]))
    features = datasets.Features({"image": datasets.Image(), "colours": names})
    datasets.Dataset.from_dict({"image": images, "colours": cells}, features).save_to_disk(str(folder))
    return folder


@pytest.fixture(scope="session", autouse=True)
def decoded_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what is decoded out of the user's own cache, also in the processes that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("botzoo")
        patch.setenv("BOTZOO_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three classes of 20 images each."""
    return write_photos(tmp_path_factory.mktemp("data") / "photos", classes=3, each=20)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images with any number of labels each: red, green and blue."""
    return write_pictures(tmp_path_factory.mktemp("pictures") / "data")


@pytest.fixture(scope="session")
def finished_run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on ``photos``, to be read only."""
    from running import train_one_epoch

    return train_one_epoch(photos, tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="session")
def finished_multi_label_run(pictures: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on ``pictures`` that has learned them well, and was asked about some photos; to be read only."""
    from running import train_briefly

    plain = {"epochs": 8, "lr": 0.2, "ema": None, "mixup": 0.0, "cutmix": 0.0, "predict": (str(photos / "class0"),)}
    return train_briefly(pictures, tmp_path_factory.mktemp("finished-labels") / "run", **plain)


@pytest.fixture(scope="session")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures of a square and a disc, with masks."""
    from drawn import write_masks

    return write_masks(tmp_path_factory.mktemp("masks") / "data")


@pytest.fixture(scope="session")
def finished_masks_run(masks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on ``masks`` that has learned them well; to be read only."""
    from running import DENSE, train_briefly

    return train_briefly(masks, tmp_path_factory.mktemp("finished-masks") / "run", **DENSE, epochs=6)


@pytest.fixture(scope="session")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures of a square and a disc, with boxes."""
    from drawn import write_boxes

    return write_boxes(tmp_path_factory.mktemp("boxes") / "data")


@pytest.fixture(scope="session")
def finished_boxes_run(boxes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on ``boxes`` of an epoch, which has learned next to nothing; to be read only."""
    from running import BOXES, train_briefly

    return train_briefly(boxes, tmp_path_factory.mktemp("finished-boxes") / "run", **BOXES)


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data sets; the test is skipped where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the data sets are not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def _precision_of_its_own() -> None:
    """Let each test choose a precision: accelerate remembers the last one of the process, and tests share processes."""
    if "accelerate.state" in sys.modules:
        reset_precision()
