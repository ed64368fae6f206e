"""``botzoo.load`` and ``Model.predict``: every way to name a network, every kind of image, and what is refused."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import botzoo
from botzoo.errors import BotzooError, ConfigError, DataError, ModelError
from conftest import write_photos
from running import write_teacher


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("run")
    write_teacher(folder / "model")
    (folder / "config.yaml").write_text("model: test_resnet\n")
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> botzoo.Model:
    return botzoo.load(run)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), classes=1, each=1, size=40) / "class0" / "0.png"


def pixels(photo: Path) -> Any:
    return np.asarray(Image.open(photo))


# Networks


@pytest.mark.parametrize(
    "what",
    [
        lambda run: str(run),
        lambda run: run / "model",
        lambda run: f"local-dir:{run / 'model'}",
        lambda run: SimpleNamespace(model_folder=run / "model"),
    ],
)
def test_a_network_is_found_by_whatever_names_it(run: Path, what: Callable[[Path], Any]) -> None:
    assert botzoo.load(what(run)).label_names == ("class0", "class1", "class2")


def test_a_config_that_was_edited_since_its_run_is_said(
    finished_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run, ignore=shutil.ignore_patterns("checkpoints"))
    for what in (run, run / "model"):
        botzoo.load(what)
    assert not caplog.messages
    file = run / "model" / "config.json"
    for old, new, said in (("class0", "class9", 1), ("class9", "class0", 1)):
        file.write_text(file.read_text().replace(old, new))
        botzoo.load(run)
        assert [m.startswith(f"{file} is not as its run wrote it") for m in caplog.messages] == [True] * said


def test_a_name_loads_the_packaged_weights() -> None:
    model = botzoo.load("resnet10d_bot")
    assert (len(model.label_names), model.preprocessing.size, model.temperature) == (100, 64, 0.885)
    assert not model.module.training


@pytest.mark.parametrize("what", [None, 7, "", SimpleNamespace(model_folder=None)], ids=repr)
def test_what_names_no_network_is_refused(what: Any) -> None:
    with pytest.raises(ModelError, match="is no model: give the folder of a run"):
        botzoo.load(what)


def test_importing_botzoo_imports_neither_torch_nor_timm() -> None:
    code = "import sys, botzoo; assert 'load' in dir(botzoo); assert not {'torch', 'timm', 'numpy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_botzoo_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        botzoo.nonsense  # noqa: B018


# Images

KINDS: dict[str, Callable[[Path], Any]] = {
    "text": str,
    "bytes": Path.read_bytes,
    "opened": Image.open,
    "RGBA": lambda photo: np.dstack([pixels(photo), np.full((40, 40), 9, np.uint8)]),
    "array": pixels,
    "float32": lambda photo: pixels(photo).astype(np.float32) / 255,
    "float16": lambda photo: (pixels(photo) / 255).astype(np.float16),
    "reversed": lambda photo: pixels(photo)[::-1][::-1],
    "tensor": lambda photo: torch.from_numpy(pixels(photo).copy()).permute(2, 0, 1),
    "float tensor": lambda photo: (torch.from_numpy(pixels(photo).copy()).permute(2, 0, 1) / 255).requires_grad_(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_one_image_has_the_same_answer_to_the_bit(kind: str, model: botzoo.Model, photo: Path) -> None:
    expected, found = model.predict(photo), model.predict(KINDS[kind](photo))
    assert (found.labels, found.probabilities) == (expected.labels, expected.probabilities)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [*((mode, ".png") for mode in ("L", "LA", "P", "1", "I;16", "RGBA")), ("CMYK", ".jpg"), ("RGB", ".tif")],
)
def test_an_opened_image_is_what_its_file_is(
    mode: str, suffix: str, model: botzoo.Model, photo: Path, tmp_path: Path
) -> None:
    file, grey, exif = tmp_path / f"photo{suffix}", Image.open(photo).convert("L"), Image.Exif()
    image = Image.fromarray(np.asarray(grey, np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    exif[274] = 6  # to be turned by 90 degrees
    image.save(file, exif=exif)
    opened = Image.open(file)
    assert model.predict(opened).probabilities == model.predict(file).probabilities
    assert model.predict(opened).probabilities == model.predict(file).probabilities  # it stays as it was


@pytest.mark.parametrize("shape", [(40, 40), (40, 40, 1)])
def test_grey_pixels_are_those_of_a_grey_image(shape: tuple[int, ...], model: botzoo.Model, photo: Path) -> None:
    grey = Image.open(photo).convert("L")
    found = model.predict(np.asarray(grey).reshape(shape))
    assert found.probabilities == model.predict(grey).probabilities
    tensor = torch.from_numpy(np.asarray(grey).reshape(shape).copy())
    assert model.predict(tensor if tensor.ndim == 2 else tensor.permute(2, 0, 1)).probabilities == found.probabilities


def test_a_list_is_answered_in_its_order(model: botzoo.Model, photo: Path) -> None:
    images = [photo, Image.new("RGB", (8, 8), "red"), str(photo)]
    found = model.predict(iter(images), batch_size=2)
    assert [answer.image for answer in found] == [str(photo), "image 1", str(photo)]
    assert found[0].labels == found[2].labels
    assert [a.labels for a in model.predict(np.stack([pixels(photo)] * 2))] == [found[0].labels] * 2
    assert model.predict([]) == []


def test_an_image_given_many_times_is_read_by_one_thread_at_a_time(model: botzoo.Model, photo: Path) -> None:
    opened = Image.open(photo)  # whose pixels are read when they are first wanted
    assert len({answer.probabilities for answer in model.predict([opened] * 40, batch_size=40)}) == 1


def test_the_answer_names_the_likeliest_first(model: botzoo.Model, photo: Path) -> None:
    found = model.predict(photo, top_k=2)
    assert found.top == list(zip(found.labels, found.probabilities, strict=True))
    assert (found.label, found.probability) == found.top[0]
    assert found.top[0][1] > found.top[1][1]


def test_one_unreadable_image_raises_and_in_a_list_has_its_problem(
    model: botzoo.Model, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.png cannot be read: it is not an image\."):
        model.predict(tmp_path / "bad.png")
    good, bad, high = model.predict([photo, tmp_path / "bad.png", np.full((4, 4), 2.0)])
    assert (good.problem, bad.problem, bad.label, bad.top) == (None, "it is not an image", None, [])
    assert str(high.problem).startswith("its values go from 2 to 2")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (7, "7 is no image: give a path"),
        ([7], "Image 0 is 7: give a path"),
        (np.zeros((2, 4, 4, 5), np.uint8), r"shape \(4, 4, 5\) and type uint8: give a path"),
        (np.zeros(4, np.uint8), r"shape \(4,\)"),
        (np.zeros((0, 4), np.uint8), r"shape \(0, 4\)"),
        (np.zeros((4, 4), np.int64), "type int64"),
        (torch.zeros(8, 8, 3), r"shape \(8, 8, 3\) and type float32"),
        (np.full((4, 4), np.nan), r"must lie in \[0, 1\]"),
        (".", "it is a folder"),
        (b"", "it is not an image"),
    ],
    ids=range(10),
)
def test_what_is_no_image_is_one_line(model: botzoo.Model, x: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        model.predict(x)
    assert "\n" not in str(caught.value)


# Options


def test_options_are_those_of_the_command(model: botzoo.Model, photo: Path) -> None:
    plain, warm = model.predict(photo, temperature=1), model.predict(photo, temperature=2, tta="flip", device="cpu")
    assert (plain.temperature, warm.temperature) == (1, 2)
    assert sum(warm.probabilities) == pytest.approx(1)
    assert max(warm.probabilities) < max(plain.probabilities)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "--top-k is 0"),
        ({"top_k": 2.5}, "--top-k is 2.5"),
        ({"batch_size": "a"}, "--batch-size is 'a'"),
        ({"temperature": 0}, "--temperature is 0"),
        ({"tta": "flp"}, "--tta is 'flp'"),
        ({"device": "gpu"}, "--device is 'gpu'"),
        ({"mixed_precision": "fp8"}, "--mixed-precision is 'fp8'"),
    ],
)
def test_a_wrong_option_is_refused_as_by_the_command(
    model: botzoo.Model, photo: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        model.predict(photo, **options)


def test_the_network_is_readied_once(model: botzoo.Model) -> None:
    assert model.predictor(1, "cpu") is model.predictor(2, "cpu")
    assert model.predictor(1, "cpu") is not model.predictor(1, "cpu", tta="flip")


def test_errors_are_of_one_tree() -> None:
    with pytest.raises(BotzooError):
        botzoo.load("no-such-network")


@pytest.mark.parametrize("name", ["u:SECRET@x/y", "u:SEC/SECRET@x/y", ":SECRET@", "a/b/c", "a b", ""])
def test_what_is_no_name_of_a_repository_is_quoted_by_nobody(name: str) -> None:
    with pytest.raises(ModelError, match="names no repository: give hf-hub:owner/name") as told:
        botzoo.load(f"hf-hub:{name}")
    assert "SECRET" not in str(told.value)
