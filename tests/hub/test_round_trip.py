"""A newcomer's round: fine-tune, publish, load elsewhere with an empty cache, fine-tune again. Against a double of the Hub."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import save

from botzoo import cli as botzoo_cli
from botzoo.models.foreign import read_config, temperature_in
from botzoo.util.guard import guarded
from botzoo_finetune import cli
from hub_double import HubDouble, hub_of_clients

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # the client's, of its own HTTP library
]

RUN = ["--img-size", "64", "--epochs", "1", "--batch-size", "16", "--warmup", "0"]
SCRATCH = ["--model", "test_resnet", "--scratch", "--img-size", "32", "--epochs", "1", "--batch-size", "16"]

NEWCOMER = """
import json, sys
import timm, torch
from PIL import Image

photo, photos, output = sys.argv[1:]
found = {}
model = timm.create_model("hf-hub:me/photos", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
with torch.inference_mode():
    logits = model(transform(Image.open(photo).convert("RGB"))[None])[0]
found["logits"], found["names"] = logits.tolist(), model.pretrained_cfg["label_names"]
found["botzoo"] = "botzoo" in sys.modules

from transformers import pipeline
found["pipeline"] = pipeline("image-classification", model="me/photos")(photo)

import botzoo
ours = timm.create_model("resnet50d_bot", pretrained=True).state_dict()
timms = timm.create_model("resnet50d.gluon_in1k", pretrained=True).state_dict()
found["equal"] = all(torch.equal(ours[name], timms[name]) for name in timms) and ours.keys() == timms.keys()

from datasets import load_dataset
found["rows"] = load_dataset("me/pictures")["train"].num_rows

from botzoo.util.guard import guarded
from botzoo_finetune import cli
again = ["--model", "hf-hub:me/photos", "--dataset", photos, "--epochs", "1", "--batch-size", "16", "--output", output]
found["again"] = guarded(cli.PROG, cli._main, again)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubDouble]:
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch, hub_of_clients(patch, cache) as running:
        huggingface_hub.utils.disable_progress_bars()
        yield running


@pytest.fixture(scope="module")
def published(double: HubDouble, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that fine-tuned the packaged weights and was published at its end."""
    folder = tmp_path_factory.mktemp("round") / "run"
    argv = ["--dataset", str(photos), *RUN, "--output", str(folder), "--push-to", "me/photos"]
    assert guarded(cli.PROG, cli._main, argv) == 0
    return folder


@pytest.fixture(scope="module")
def newcomer(
    double: HubDouble, published: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What a fresh process with an empty cache and no token found."""
    torch.manual_seed(0)
    weights = {name: tensor.half() for name, tensor in timm.create_model("resnet50d").state_dict().items()}
    double.add("timm/resnet50d.gluon_in1k", {"model.safetensors": save(weights)})
    pictures = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in sorted(photos.rglob("*1.png"))}
    double.add("me/pictures", pictures, kind="dataset")
    home = tmp_path_factory.mktemp("home")
    photo = str(photos / "class1" / "0.png")
    words = [sys.executable, "-c", NEWCOMER, photo, str(photos), str(home / "run")]
    env = double.env(home / "hf", HF_DATASETS_CACHE=str(home / "datasets"))
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_run_with_push_to_is_published_whole(double: HubDouble, published: Path) -> None:
    files = double.repo("me/photos").files
    assert {path.name for path in (published / "model").iterdir()} - {"published.json"} == set(files) - {
        ".gitattributes"
    }
    assert {"recipe.yaml", "metrics.jsonl", "learning_curve.png"} <= set(files)
    card = ModelCard(files["README.md"].decode())
    assert (card.data.license, card.data.model_name) == ("apache-2.0", "photos")


@pytest.mark.slow
def test_timm_alone_gives_the_same_answers(newcomer: dict[str, Any], published: Path, photos: Path) -> None:
    model = timm.create_model(f"local-dir:{published / 'model'}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with torch.inference_mode(), Image.open(photos / "class1" / "0.png") as image:
        logits = model(transform(image.convert("RGB"))[None])[0]
    temperature = temperature_in(read_config(published / "model" / "config.json")) or 1
    torch.testing.assert_close(torch.tensor(newcomer["logits"]), logits / temperature)
    assert newcomer["names"] == ["class0", "class1", "class2"]
    assert not newcomer["botzoo"]


@pytest.mark.slow
def test_transformers_gives_the_same_answers(newcomer: dict[str, Any]) -> None:
    shares = dict(zip(newcomer["names"], torch.tensor(newcomer["logits"]).softmax(0).tolist(), strict=True))
    assert {found["label"]: found["score"] for found in newcomer["pipeline"]} == pytest.approx(shares, abs=1e-4)


@pytest.mark.slow
def test_our_name_resolves_to_timms_weights(newcomer: dict[str, Any], double: HubDouble) -> None:
    assert newcomer["equal"]
    held = double.repo("timm/resnet50d.gluon_in1k").files["model.safetensors"]
    assert len(double.seen("GET", f"/storage/{double.oid(held)}")) == 1


@pytest.mark.slow
def test_a_data_set_is_read_from_the_hub(newcomer: dict[str, Any]) -> None:
    assert newcomer["rows"] == 6


@pytest.mark.slow
def test_it_can_be_fine_tuned_again(newcomer: dict[str, Any]) -> None:
    assert newcomer["again"] == 0


@pytest.mark.slow
def test_no_token_went_elsewhere(newcomer: dict[str, Any], double: HubDouble) -> None:
    assert double.leaks() == []


def test_hf_downloads_a_private_one_with_the_token_only(double: HubDouble, tmp_path: Path) -> None:
    double.add("me/hidden", {"config.json": b"{}"}, private=True)
    hf = str(Path(sys.executable).with_name("hf"))
    words = [hf, "download", "me/hidden", "config.json", "--local-dir", str(tmp_path / "there")]
    calls = {token: double.env(tmp_path / str(token), token) for token in (None, "hf_write")}
    done = {token: subprocess.run(words, env=env, capture_output=True, check=False) for token, env in calls.items()}
    assert (done[None].returncode != 0, done["hf_write"].returncode) == (True, 0)
    assert (tmp_path / "there" / "config.json").read_text() == "{}"


# --push-to, refused or failing


def pushed(photos: Path, output: Path, *argv: str) -> int:
    return guarded(cli.PROG, cli._main, ["--dataset", str(photos), *SCRATCH, "--output", str(output), *argv])


@pytest.mark.parametrize(
    ("argv", "token", "said"),
    [
        (["--push-to", "me/x"], "hf_write", "--push-to me/x needs a licence: choose one with --license"),
        (["--push-to", "me/x", "--license", "mit"], "hf_read", "The token only reads"),
        (["--push-to", "other/x", "--license", "mit"], "hf_write", "the owner must be me or team"),
        (["--push-to", "nonsense"], "hf_write", "--push-to is 'nonsense': it must be owner/name"),
        (["--private"], "hf_write", "--private counts with --push-to only"),
    ],
)
def test_what_can_be_refused_is_refused_before_training(
    double: HubDouble,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    token: str,
    said: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    double.requests.clear()
    assert pushed(photos, tmp_path / "run", *argv) == 2
    error = capsys.readouterr().err
    assert said in error
    assert (error.count("\n"), token in error) == (1, False)
    assert not (tmp_path / "run").exists()
    assert double.written == []


def test_what_others_have_published_is_refused_before_the_first_step(
    double: HubDouble, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = double.add("me/taken", {"README.md": b"# By hand"}).head
    assert pushed(photos, tmp_path / "run", "--push-to", "me/taken", "--license", "mit") == 2
    assert "holds the card 'By hand', which was not published from this folder" in capsys.readouterr().err
    assert (double.repo("me/taken").head, (tmp_path / "run").exists()) == (head, False)


def test_a_failed_upload_loses_nothing_and_names_the_command(
    double: HubDouble,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    double.fail("POST", "/commit/", times=1000)
    assert pushed(photos, tmp_path / "run", "--push-to", "me/later", "--license", "mit") == 2
    again = capsys.readouterr().err.strip().partition("To publish it: ")[2]
    assert again == f"botzoo publish {tmp_path / 'run'} --repo me/later"
    double.faults.clear()
    monkeypatch.setattr(sys, "argv", again.split())
    with pytest.raises(SystemExit, match="0"):
        botzoo_cli.main()
    assert (
        "chosen by who trained it, since it started from random weights"
        in double.repo("me/later").files["README.md"].decode()
    )
