"""Predictions against timm's own pipeline, and the command around them."""

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from botzoo import cli
from botzoo.errors import BotzooError, CheckpointError, ConfigError, ModelError, printable
from botzoo.inference.load import label_names, load, to_fetch
from botzoo.inference.options import TTA
from botzoo.inference.output import FORMATS
from botzoo.inference.predict import Predictor, prepared_for, views
from botzoo.inference.prediction import Prediction
from botzoo.models.preprocessing import Preprocessing, Size
from botzoo.results.calibration import write_temperature
from botzoo.tasks.multi_label import MULTI_LABEL
from botzoo.tricks.mixed_precision import Precision
from conftest import write_photos
from running import write_teacher

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("run")
    write_teacher(folder / "model")
    (folder / "config.yaml").write_text("model: test_resnet\n")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), classes=3, each=3, size=40)


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *argv: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["botzoo", "predict", *map(str, argv)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0), *capsys.readouterr()


@torch.inference_mode()
def timms(address: str, image: Path, flips: bool = False) -> torch.Tensor:
    """What timm's own lines, as its cards print them, say of an image."""
    model = timm.create_model(address, pretrained=True).eval()
    transform = create_transform(**resolve_model_data_config(model))
    pixels = transform(Image.open(image).convert("RGB")).unsqueeze(0)
    shares = [model(view).softmax(1) for view in ([pixels, pixels.flip(-1)] if flips else [pixels])]
    return torch.stack(shares).mean(0)[0]


@pytest.mark.parametrize(
    "name",
    [
        "test_resnet",
        "test_vit",
        *(pytest.param(f"test_{name}", marks=pytest.mark.slow) for name in ("convnext", "efficientnet")),
    ],
)
def test_one_by_one_the_answers_are_those_of_timm_at_the_temperature(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(len(name))
    temperature, folder = float(rng.uniform(0.3, 3)), write_teacher(tmp_path / "model", name, size=64, classes=9)
    write_temperature(folder, temperature)
    for k, mode in enumerate(("RGB", "L", "CMYK")):
        pixels = rng.integers(0, 256, (*rng.integers(20, 150, 2), len(mode)), np.uint8)
        Image.fromarray(pixels.squeeze(), mode).save(image := tmp_path / f"{k}.tif")
        found = load(folder).predict(image, top_k=9)
        expected = (timms(f"local-dir:{folder}", image).log() / temperature).softmax(0)
        np.testing.assert_allclose(found.probabilities, expected[list(found.indices)], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "temperature"), [*(("bf16", t) for t in (100, 30, 1, 0.1, 0.01)), ("fp16", 30), ("fp16", 0.1)]
)
def test_less_than_fp32_is_only_where_many_answers_stay(
    name: Any, temperature: float, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botzoo.inference.predict.mixed_precision", lambda *_: Precision(name, "as if it were faster"))
    images = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model = load(run)
    exact = Predictor(model, CPU, expected=1, temperature=temperature)
    asked = Predictor(model, CPU, requested=name, temperature=temperature)
    auto = model.predictor(100, "cpu", temperature=temperature)
    gap = float((asked.probabilities(images) - exact.probabilities(images)).abs().max())
    assert float((auto.probabilities(images) - exact.probabilities(images)).abs().max()) < 1e-3
    assert [p.precision.name for p in (exact, asked, auto)] == ["fp32", name, name if gap < 1e-3 else "fp32"]


def test_what_is_asked_of_half_precision_leaves_the_network_as_it_is(tmp_path: Path) -> None:
    model = load(write_teacher(tmp_path, "test_vit", size=64))  # without a BatchNorm to fold
    before = {key: tensor.clone() for key, tensor in model.module.state_dict().items()}
    model.predictor(100, "cpu", "bf16")
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.module.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("tta", ["none", "flip"])
@pytest.mark.parametrize("model", ["run", "resnet10d_bot"])
def test_the_probabilities_are_those_of_timm(model: str, tta: str, run: Path, photos: Path) -> None:
    address = f"local-dir:{run / 'model'}" if model == "run" else model
    images = sorted(map(str, photos.rglob("*.png")))
    classifier = load(str(run) if model == "run" else model)
    predictor = Predictor(classifier, CPU, requested="fp32", tta=tta, batch_size=4, temperature=1)
    assert predictor.folded > 5
    for prediction in predictor(images, top_k=3):
        expected = timms(address, Path(prediction.image), tta == "flip")
        np.testing.assert_allclose(prediction.probabilities, expected[list(prediction.indices)], atol=1e-5)
        assert prediction.indices[0] == int(expected.argmax())


def test_bf16_is_autocasts(run: Path, photos: Path) -> None:
    classifier = load(str(run))
    predictor = Predictor(classifier, CPU, requested="bf16")
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    normalised = classifier.preprocessing.normalise(images)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = classifier.module(normalised).float().softmax(1)
    torch.testing.assert_close(predictor.probabilities(images), expected, rtol=0, atol=0.02)


def test_few_images_are_not_worth_a_measurement(run: Path) -> None:
    assert Predictor(load(str(run)), CPU, expected=3).precision.name == "fp32"


@pytest.mark.parametrize("tta", TTA)
def test_the_first_view_is_the_evaluations(tta: str) -> None:
    preprocessing = Preprocessing(56, (0.5,) * 3, (0.5,) * 3, 0.875, "bicubic")
    prepared = prepared_for(tta, preprocessing)
    images = torch.randint(0, 256, (1, 3, prepared.size, prepared.size), dtype=torch.uint8)
    found = views(images, tta, Size.of(56))
    assert len(found) == {"none": 1, "flip": 2, "five-crop": 5, "ten-crop": 10}[tta]
    margin = (prepared.size - 56) // 2
    assert torch.equal(found[0], images[..., margin : margin + 56, margin : margin + 56])
    assert {tuple(view.shape) for view in found} == {(1, 3, 56, 56)}


def test_corners_need_a_margin() -> None:
    with pytest.raises(ConfigError, match="use --tta flip"):
        prepared_for("ten-crop", Preprocessing(56, (0.5,) * 3, (0.5,) * 3, 1.0, "bicubic"))


def test_any_number_of_labels_is_named_over_the_threshold() -> None:
    several, shares = MULTI_LABEL, torch.tensor([[0.4, 0.75, 0.5, 0.875], [0.1, 0.2, 0.3, 0.4]])
    assert several.named(shares) == [[(3, 0.875), (1, 0.75)], []]
    assert [[k for k, _ in row] for row in several.named(shares, top_k=3)] == [[3, 1, 2], [3, 2, 1]]


# The temperature


def calibrated(run: Path, folder: Path, temperature: Any) -> Path:
    shutil.copytree(run, folder)
    file = folder / "model" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"calibration": {"temperature": temperature}}))
    return folder


@pytest.mark.parametrize(
    ("given", "temperature"), [((), 2.5), (("--temperature", "1"), 1), (("--temperature", 0.5), 0.5)]
)
def test_the_logits_are_divided_by_the_temperature(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    run: Path,
    photos: Path,
    tmp_path: Path,
    given: tuple[object, ...],
    temperature: float,
) -> None:
    image, folder = photos / "class0" / "0.png", calibrated(run, tmp_path / "run", 2.5)
    _, out, _ = call(capsys, monkeypatch, image, "--model", folder, "--format", "json", *given)
    answer = json.loads(out)
    expected = (timms(f"local-dir:{run / 'model'}", image).log() / temperature).softmax(0)
    found = {p["index"]: p["probability"] for p in answer["predictions"]}
    assert (found, answer["temperature"]) == (pytest.approx(dict(enumerate(expected.tolist())), abs=2e-4), temperature)


def test_the_packaged_weights_have_a_temperature() -> None:
    assert load("resnet10d_bot").temperature == 0.885


@pytest.mark.parametrize("odd", [0, -1, 0.001, 1e9, "2", True, [1]], ids=repr)
def test_a_foreign_temperature_that_is_none_is_refused(run: Path, tmp_path: Path, odd: object) -> None:
    with pytest.raises(
        CheckpointError, match=r"calibration\.temperature is .*: it must be a number from 0\.01 to 100\.$"
    ):
        load(str(calibrated(run, tmp_path / "run", odd)))


def test_somebody_elses_calibration_is_passed_over(run: Path, tmp_path: Path) -> None:
    folder = calibrated(run, tmp_path / "run", None)
    file = folder / "model" / "config.json"
    assert load(str(folder)).temperature is None
    file.write_text(json.dumps(json.loads(file.read_text()) | {"calibration": "isotonic"}))
    assert load(str(folder)).temperature is None


# Models and labels


@pytest.mark.parametrize("place", ["", "model"])
def test_a_run_and_its_model_folder_are_one(run: Path, place: str) -> None:
    assert load(str(run / place)).label_names == ("class0", "class1", "class2")


def test_imagenets_names_where_the_tag_says_so() -> None:
    assert label_names({"tag": "gluon_in1k"}, 1000)[0] == "tench, Tinca tinca"
    assert label_names({"tag": "bt_food"}, 1000)[0] == "class 0"
    assert label_names({"tag": "augreg_in21k_ft_in1k"}, 1000)[999].startswith("toilet tissue")
    assert label_names({"label_names": ["a", "b"]}, 2) == ("a", "b")
    assert label_names({"label_names": ["a\x1b[2J\nb", "c"]}, 2) == ("a\\x1b[2J\\nb", "c")


def test_names_are_printed_on_one_line() -> None:
    assert printable("a\r\nb\u202ec\ud800d") == "a b c d"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet50a_bot", "no trained weights for resnet50a_bot: train it first"),
        ("timm/resnet50", "give hf-hub:timm/resnet50"),
        ("resnet10dbot", "Did you mean.*'resnet10d_bot'"),
    ],
)
def test_a_wrong_model_is_answered_with_what_to_do(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(name)


def test_a_run_that_has_not_finished_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    with pytest.raises(CheckpointError, match="has not finished"):
        load(str(tmp_path))


# The command


def test_formats_agree(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, run: Path, photos: Path
) -> None:
    image = photos / "class0" / "0.png"
    _, table, _ = call(capsys, monkeypatch, image, "--model", run, "--top-k", 2)
    _, lines, _ = call(capsys, monkeypatch, image, "--model", run, "--top-k", 2, "--format", "json")
    _, text, _ = call(capsys, monkeypatch, image, "--model", run, "--top-k", 2, "--format", "csv")
    predictions = json.loads(lines)["predictions"]
    rows = list(csv.DictReader(text.splitlines()))
    assert [p["label"] for p in predictions] == [row["label"] for row in rows]
    assert [p["probability"] for p in predictions] == [pytest.approx(float(row["probability"])) for row in rows]
    assert [line.split()[-1] for line in table.splitlines()] == [str(image), *(row["label"] for row in rows)]


def test_unreadable_images_are_reported_and_the_rest_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, run: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    good = photos / "class1" / "1.png"
    status, out, err = call(capsys, monkeypatch, tmp_path / "bad.png", good, tmp_path / "no.png", "--model", run)
    assert status == 1
    assert out.splitlines()[0] == str(good)
    assert [line.split(": ")[2] for line in err.splitlines()] == ["it is not an image", "there is no such file"]


def test_what_is_fetched_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, run: Path
) -> None:
    address = "http://127.0.0.1:9/x.png"  # where nobody answers
    _, _, err = call(capsys, monkeypatch, address, f"{address}?2", "--model", run)
    assert err.splitlines()[0] == f"botzoo predict: fetching {address} and 1 more"


@pytest.mark.parametrize(("name", "hub_id"), [("resnet10d_bot", None), ("resnet18b_bot", "timm/resnet18.gluon_in1k")])
def test_weights_to_fetch_are_known(monkeypatch: pytest.MonkeyPatch, name: str, hub_id: str | None) -> None:
    monkeypatch.setattr("botzoo.inference.load.cached_file", lambda *args, **kwargs: None)
    assert to_fetch(name) == hub_id


def test_nothing_readable_is_status_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, run: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    status, out, err = call(capsys, monkeypatch, "x.png", "file:///x.png", "--model", run, "--output", output)
    assert (status, out, output.exists()) == (2, "", False)
    assert err.splitlines()[1].endswith("only http:// and https:// are fetched")
    assert err.splitlines()[2] == "botzoo predict: Of 2 images none can be read: give others."


def test_images_may_stand_behind_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, run: Path, photos: Path
) -> None:
    first, second = photos / "class0" / "0.png", photos / "class1" / "1.png"
    _, out, _ = call(capsys, monkeypatch, first, "--top-k", 1, second, "--model", run)
    assert out.splitlines()[::2] == [str(first), str(second)]


@pytest.mark.parametrize(("name", "first"), [("a.csv", "image,rank"), ("a.JSON", '{"image"'), ("a.txt", "/")])
def test_the_name_of_the_file_chooses_the_format(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    run: Path,
    photos: Path,
    tmp_path: Path,
    name: str,
    first: str,
) -> None:
    call(capsys, monkeypatch, photos / "class0" / "0.png", "--model", run, "--output", tmp_path / name)
    assert (tmp_path / name).read_text().startswith(first)


def test_a_file_is_replaced_only_when_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, run: Path, photos: Path, tmp_path: Path
) -> None:
    argv = [photos / "class1", "--model", run, "--format", "json", "--output", tmp_path / "out"]
    (tmp_path / "out").write_text("mine")
    status, _, err = call(capsys, monkeypatch, *argv)
    assert (status, (tmp_path / "out").read_text()) == (2, "mine")
    assert "is there already" in err
    assert call(capsys, monkeypatch, *argv, "--overwrite")[0] == 0
    assert len((tmp_path / "out").read_text().splitlines()) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_image_is_never_replaced_by_its_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, run: Path, tmp_path: Path
) -> None:
    photo = write_photos(tmp_path / "photos", classes=1, each=1) / "class0" / "0.png"
    before = photo.read_bytes()
    argv = [photo.parent, "--model", run, "--output", photo, "--overwrite"]
    status, _, err = call(capsys, monkeypatch, *argv)
    assert (status, "is one of the images" in err, photo.read_bytes()) == (2, True, before)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "The following arguments are required: IMAGE. See"),
        (("x", "--top-k", "0"), "--top-k is 0: it must be a whole number, 1 or more."),
        (("x", "--top-k", "a"), "--top-k is 'a': it must be a whole number."),
        (("x", "--temperature", "0"), "--temperature is 0.0: it must be a number from 0.01 to 100."),
        (("x", "--temperature", "nan"), "--temperature is nan: it must be a number from 0.01 to 100."),
        (("x", "--temperature", "a"), "--temperature is 'a': it must be a number."),
        (("x", "--formt", "csv"), "There is no option --formt. Did you mean '--format'?"),
        (
            ("x", "--tta", "flp"),
            "--tta is 'flp': it must be one of none, flip, five-crop, ten-crop. Did you mean 'flip'?",
        ),
        (("x", "--device", "cuda"), "--device is 'cuda', and there is none here: use auto or cpu."),
        (("x", "--output", "x.json", "--format", "csv"), "--output x.json ends in .json and --format is csv: leave"),
        (("x", "--output", "/nowhere/x"), "--output /nowhere/x: there is no folder /nowhere; make it first."),
    ],
)
def test_wrong_options_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, out, err = call(capsys, monkeypatch, *argv)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"botzoo predict: {message}")


def test_damaged_weights_are_no_answer(tmp_path: Path, photos: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = write_teacher(tmp_path) / "model.safetensors"
    save_file(load_file(file) | {"fc.bias": torch.full((3,), torch.nan)}, file)
    with pytest.raises(BotzooError, match="not finite"):
        list(Predictor(load(str(tmp_path)), CPU)([str(photos / "class0" / "0.png")]))


def test_who_does_not_know_the_training_images_says_nothing_of_unlike_ones() -> None:
    answer = Prediction("a.png", ("cat",), (0.9,), (0,))
    assert next(iter(FORMATS["classes"]["table"]([answer]))) == "a.png"
    assert json.loads(next(FORMATS["classes"]["json"]([answer])))["unlike"] is None
    assert [*FORMATS["classes"]["csv"]([answer])][1].endswith(",0.900000,")


def test_every_format_tells_an_unlike_image() -> None:
    answer = Prediction("a.png", ("cat",), (0.9,), (0,), unlike=1.25)
    assert next(iter(FORMATS["classes"]["table"]([answer]))) == "a.png  (unlike the training images: 1.2)"
    assert json.loads(next(FORMATS["classes"]["json"]([answer])))["unlike"] == 1.25
    assert [*FORMATS["classes"]["csv"]([answer])][1].endswith(",1.25")
