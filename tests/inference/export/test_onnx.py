"""Networks as ONNX against themselves, run by another program."""

import copy
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from botzoo import cli
from botzoo.errors import ConfigError, ModelError
from botzoo.inference.export import onnx as exporting
from botzoo.inference.export.formats import exporter
from botzoo.inference.predict import Model


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *argv: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["botzoo", "export", *map(str, argv)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0), *capsys.readouterr()


def outputs(file: Path, images: torch.Tensor) -> list[Any]:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    found: list[Any] = session.run(None, {"images": images.numpy()})
    return found


@pytest.mark.slow
def test_a_segmenter_takes_images_of_any_size(segmenter_model: Model, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    lines = list(exporter(".onnx")(segmenter_model, tmp_path / "m.onnx"))
    assert sum(line.startswith("the same") for line in lines) == 3
    for size in ((1, 3, 64, 64), (2, 3, 90, 70), (3, 3, 33, 130)):
        images = torch.randn(size)
        with torch.no_grad():
            np.testing.assert_allclose(
                outputs(tmp_path / "m.onnx", images)[0], segmenter_model.module(images), atol=1e-3
            )
    facts = {fact.key: json.loads(fact.value) for fact in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert facts["label_names"] == list(segmenter_model.label_names)
    assert (facts["mean"], facts["task"]) == (list(segmenter_model.preprocessing.mean), "segmentation")


@pytest.mark.slow
def test_a_detector_takes_one_image_of_any_size(detector_model: Model, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    list(exporter(".onnx")(detector_model, tmp_path / "m.onnx"))
    for size in ((1, 3, 64, 64), (1, 3, 90, 70)):
        images = torch.randn(size)
        with torch.no_grad():
            (said,) = detector_model.module(images)
        for found, name in zip(outputs(tmp_path / "m.onnx", images), ("boxes", "labels", "scores"), strict=True):
            np.testing.assert_allclose(found, said[name], atol=0.01)


@pytest.mark.slow
def test_what_answers_otherwise_is_not_written(
    detector_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")

    def changed(module: torch.nn.Module, *rest: Any) -> None:
        other = copy.deepcopy(module)
        for parameter in other.parameters():
            parameter.data.mul_(0.8)
        write(other, *rest)

    write = exporting._write
    monkeypatch.setattr(exporting, "_write", changed)
    with pytest.raises(ModelError, match="answers otherwise than the network"):
        list(exporter(".onnx")(detector_model, tmp_path / "m.onnx"))
    assert not [*tmp_path.iterdir()]


def test_weights_that_no_file_holds_are_refused(
    segmenter_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(library)
    monkeypatch.setattr(exporting, "MOST_BYTES", 1000)
    with pytest.raises(ModelError, match="GB of weights, and a file of ONNX"):
        list(exporter(".onnx")(segmenter_model, tmp_path / "m.onnx"))
    assert not [*tmp_path.iterdir()]


def test_a_missing_library_is_named(segmenter_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"pip install 'botzoo\[onnx\]'"):
        list(exporter(".onnx")(segmenter_model, tmp_path / "m.onnx"))


def test_a_library_that_is_too_old_for_torch_is_named(
    segmenter_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*parts: Any) -> None:
        raise ModuleNotFoundError(name="onnxscript.new")

    for library in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, library, ModuleType(library))
    monkeypatch.setattr(exporting, "_write", lacking)
    with pytest.raises(ConfigError, match=r"needs onnxscript\.new, .* pip install --upgrade onnxscript"):
        list(exporter(".onnx")(segmenter_model, tmp_path / "m.onnx"))


@pytest.mark.parametrize(
    ("name", "says"), [("m.txt", "ends in .txt: give a name that ends in .onnx"), ("there.onnx", "is there already")]
)
def test_what_cannot_be_written_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, says: str
) -> None:
    (tmp_path / "there.onnx").write_text("mine")
    status, said, told = call(capsys, monkeypatch, tmp_path, "--output", tmp_path / name)
    assert (status, said, len(told.splitlines()), says in told) == (2, "", 1, True)
    assert (tmp_path / "there.onnx").read_text() == "mine"


def test_boxes_that_one_of_two_lacks_are_counted() -> None:
    sure = [np.array([[0, 0, 8, 8], [9, 9, 20, 20]], np.float32), np.array([0, 1]), np.array([0.9, 0.5], np.float32)]
    fewer = [part[:1] for part in sure]
    moved = [sure[0] + 3, *sure[1:]]
    assert exporting.boxes_apart(sure, sure) == ("2 boxes, all alike", True)
    assert not exporting.boxes_apart(sure, moved)[1]
    assert not exporting.boxes_apart(fewer, [part[:0] for part in sure])[1]
