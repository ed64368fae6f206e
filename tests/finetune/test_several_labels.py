"""Fine-tuning on images with any number of labels: what works as ever, what falls back, and what is refused."""

import io
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest
from accelerate.state import AcceleratorState
from PIL import Image

from botzoo.util.guard import guarded
from botzoo_finetune import cli
from running import write_teacher


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images, the red, green and blue of which are each there or not."""
    cells, images = [[k for k in range(3) if (i >> k) % 2] for i in range(40)], []
    for there in cells:
        buffer = io.BytesIO()
        Image.fromarray(np.tile(np.isin(range(3), there) * np.uint8(180), (16, 16, 1))).save(buffer, "PNG")
        images.append({"bytes": buffer.getvalue(), "path": None})
    names = datasets.List(datasets.ClassLabel(names=["red", "green", "blue"]))
    features = datasets.Features({"image": datasets.Image(), "colours": names})
    folder = tmp_path_factory.mktemp("pictures") / "data"
    datasets.Dataset.from_dict({"image": images, "colours": cells}, features).save_to_disk(str(folder))
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{write_teacher(tmp_path_factory.mktemp('weights') / 'model', classes=5)}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path / "cache"))
    yield
    AcceleratorState._reset_state()


def call(*argv: object) -> int:
    return guarded(cli.PROG, cli._main, [str(word) for word in argv])


@pytest.mark.parametrize("freeze", ["none", "backbone"])
def test_the_classifier_starts_at_random_and_is_trained(
    pictures: Path, pretrained: str, tmp_path: Path, freeze: str
) -> None:
    options = ["--epochs", "2", "--batch-size", "8", "--mixed-precision", "fp32", "--freeze", freeze]
    assert call("--dataset", pictures, "--model", pretrained, *options, "--output", tmp_path / "run") == 0
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "the classifier starts at random" in log
    assert ("computed once and kept" in log) == (freeze == "backbone")
    assert "result     mAP " in log


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--probe"], "A probe names one class of each image"),
        (["--check"], "--check judges one label of each image"),
        (["--compare", "test_resnet,test_vit"], "A probe names one class of each image"),
    ],
)
def test_looks_at_single_labels_are_refused(
    pictures: Path,
    pretrained: str,
    flags: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if "--compare" in flags:
        flags = ["--compare", f"{pretrained},{pretrained.replace('local-dir:', 'local-dir:/.')}"]
    model = [] if "--compare" in flags else ["--model", pretrained]
    assert call("--dataset", pictures, *model, "--mixed-precision", "fp32", *flags) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
