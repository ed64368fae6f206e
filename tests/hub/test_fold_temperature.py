"""A published temperature is in the weights: every program gives the same probabilities, and the claims hold."""

import io
import json
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file, save_file

from botzoo import cli
from botzoo.hub.package import Package, pack
from botzoo.hub.verify import verify
from botzoo.inference.load import load
from botzoo.models.foreign import temperature_in
from botzoo.results.calibration import write_temperature
from botzoo.results.card.card import card
from botzoo.results.card.claim import claim_in_card
from botzoo.results.card.usage import APART, HERE, WITHIN, usage_code
from botzoo.results.record import RunRecord
from botzoo.util.files import sha256_of
from running import write_teacher

pytestmark = pytest.mark.slow  # all of them together


def unpacked(package: Package, folder: Path) -> Path:
    """Write a package as who has downloaded it finds it, but for the address in the card's code; return its folder."""
    folder.mkdir()
    for name, content in package.files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    text = package.card.replace(f"hf-hub:{package.repo}", HERE).replace(f'"{package.repo}"', '"."')
    (folder / "README.md").write_text(text)
    return folder


def teacher(folder: Path, name: str, temperature: float) -> Path:
    write_teacher(folder, name, size=64, classes=5)
    write_temperature(folder, temperature)
    code = usage_code(HERE, 5, ours=False, temperature=temperature)
    (folder / "README.md").write_text(f"---\nlicense: mit\n---\n\n```python\n{code}```\n\n{APART}.\n")
    return folder


@torch.inference_mode()
def logits_of_timm(folder: Path, photo: Path) -> torch.Tensor:
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    return model(transform(Image.open(photo)).unsqueeze(0))[0]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", "PNG")
    return tmp_path / "photo.jpg"


NETS = [
    *(("test_resnet", 0.05), ("test_resnet", 3.21)),
    *(
        pytest.param(f"test_{n}", t, marks=pytest.mark.slow)
        for n, t in (("vit", 0.7), ("nfnet", 0.05), ("convnext", 20.0))
    ),
]


@pytest.mark.parametrize(("name", "temperature"), NETS)
def test_timm_and_botzoo_give_the_probabilities_at_the_temperature(
    name: str, temperature: float, photo: Path, tmp_path: Path
) -> None:
    before = teacher(tmp_path / "before", name, temperature)
    after = unpacked(pack(before, "me/x"), tmp_path / "after")
    expected = (logits_of_timm(before, photo) / temperature).softmax(0)
    torch.testing.assert_close(logits_of_timm(after, photo).softmax(0), expected, rtol=0, atol=1e-5)
    ours = load(after)
    found = ours.predict(photo, top_k=5)
    np.testing.assert_allclose(found.probabilities, expected[list(found.indices)], atol=1e-5)
    assert ours.temperature is None
    assert temperature_in(json.loads((before / "config.json").read_text())) == temperature


@pytest.mark.slow
def test_transformers_gives_them_too(photo: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    before = teacher(tmp_path / "before", "test_resnet", 0.3)
    after = unpacked(pack(before, "me/x"), tmp_path / "after")
    expected = (logits_of_timm(before, photo) / 0.3).softmax(0).tolist()
    answers = transformers.pipeline("image-classification", model=str(after))(str(photo))
    scores = {answer["label"]: answer["score"] for answer in answers}
    assert scores == pytest.approx({f"class{k}": share for k, share in enumerate(expected)}, abs=1e-4)


@pytest.fixture
def calibrated(finished_run: Path, tmp_path: Path) -> Path:
    """The folder of a finished run with a temperature of 0.5 in config.json and card."""
    run = Path(shutil.copytree(finished_run, tmp_path / "run"))
    write_temperature(run / "model", 0.5)
    (run / "model" / "README.md").write_text(card(RunRecord.load(run)))
    return run


def test_the_claim_is_of_the_weights_that_go_up(calibrated: Path, tmp_path: Path) -> None:
    before = sha256_of(calibrated / "model" / "model.safetensors")
    package = pack(calibrated, "me/photos", "mit")
    folder = unpacked(package, tmp_path / "copy")
    claim = claim_in_card(folder / "README.md")
    assert claim is not None
    assert claim.weights_sha256 == sha256_of(folder / "model.safetensors") != before
    assert sha256_of(calibrated / "model" / "model.safetensors") == before
    assert pack(calibrated, "me/photos", "mit").files == package.files  # else the same command would publish twice


def test_the_card_says_where_the_temperature_is(tmp_path: Path) -> None:
    folder = teacher(tmp_path / "model", "test_resnet", 0.5)
    folded, apart = (ModelCard(pack(folder, "me/p", fold_temperature=fold).card).text for fold in (True, False))
    assert [WITHIN in folded, APART in folded, "temperature = " in folded] == [True, False, False]
    assert [WITHIN in apart, APART in apart, "temperature = 0.5 " in apart] == [False, True, True]


def test_what_is_published_is_verified(
    calibrated: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unpacked(pack(calibrated, "me/photos", "mit"), tmp_path / "copy")

    def run_here(code: str, image: bytes, model: Path) -> list[str]:
        (model / "photo.jpg").write_bytes(image)
        with monkeypatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
            patch.chdir(model)
            exec(code, {})
        return printed.getvalue().splitlines()

    monkeypatch.setattr("botzoo.hub.verify.run_code", run_here)  # a process of its own would take long to import
    checks = {check.name: check.outcome for check in verify(str(folder), str(photos))}
    assert checks == dict.fromkeys(("weights", "classes", "images", "code", "accuracy"), "agrees")


def halve(folder: Path) -> None:
    file = folder / "model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(file).items()}, file, {"format": "pt"})


def divide_in_own_code(folder: Path) -> None:
    card = folder / "README.md"
    card.write_text(card.read_text().replace("import torch\n", "import torch, numpy\n"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [(halve, "give other answers, as half precision may"), (divide_in_own_code, "is not what botzoo writes")],
)
def test_what_cannot_be_folded_is_kept_apart_and_said(change: object, reason: str, tmp_path: Path) -> None:
    folder = teacher(tmp_path / "model", "test_resnet", 0.7)
    change(folder)  # type: ignore[operator]
    package = pack(folder, "me/x")
    assert package.temperature is not None
    assert package.temperature.startswith("0.7, in config.json, not in the weights: ")
    assert package.temperature.endswith(reason)
    config = package.files["config.json"]
    assert isinstance(config, bytes)
    assert (temperature_in(json.loads(config)), package.files["model.safetensors"]) == (
        0.7,
        folder / "model.safetensors",
    )
    assert "temperature = 0.7" in package.card


@pytest.mark.parametrize(
    ("flags", "said"), [((), "in the classifier's"), (("--no-fold-temperature",), "in config.json")]
)
def test_the_command_says_where_it_is(
    flags: tuple[str, ...],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = teacher(tmp_path / "model", "test_resnet", 0.7)
    monkeypatch.setattr(sys, "argv", ["botzoo", "publish", str(folder), "--repo", "me/x", "--dry-run", *flags])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert f"calibrated temperature 0.7, {said}" in capsys.readouterr().out
