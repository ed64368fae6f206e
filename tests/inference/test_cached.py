"""What is cached on this machine, and what works with it when there is no network."""

import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from botzoo import cli
from botzoo.errors import NetworkError
from botzoo.inference.load import load
from inference.test_catalogue import cached
from running import write_teacher


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hub cache with our weights, timm's, a stranger's for timm, and what is none of ours; and two decoded files."""
    hub, images = tmp_path / "hub", tmp_path / "botzoo" / "decoded"
    cached(hub, "timm/resnet50d.gluon_in1k", {"model.safetensors": bytes(2000)})
    cached(hub, "timm/vit", {"model.safetensors": bytes(3000)}, "b" * 40)
    cached(hub, "someone/net", {"config.json": b'{"architecture": "resnet18"}'}, "c" * 40)
    cached(hub, "someone/text", {"config.json": b'{"architectures": ["Bert"]}'}, "d" * 40)
    images.mkdir(parents=True)
    (images / f"{'0123456789abcdef' * 4}.pixels").write_bytes(bytes(500))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr("huggingface_hub.utils._cache_manager.HF_HUB_CACHE", str(hub), raising=False)
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path / "botzoo"))
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *argv: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["botzoo", "cache", *argv])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0), *capsys.readouterr()


def repositories(cache: Path) -> set[str]:
    return {path.name.removeprefix("models--").replace("--", "/") for path in (cache / "hub").glob("models--*")}


def test_only_what_is_for_timm_is_shown(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, out, _ = call(capsys, monkeypatch)
    names = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert names == ["someone/net", "timm/resnet50d.gluon_in1k", "timm/vit", "0123456789ab"]
    assert "resnet50d_bot.gluon_in1k" in out


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ("resnet50d_bot", {"timm/vit", "someone/net", "someone/text"}),
        ("timm/*", {"someone/net", "someone/text"}),
        ("*", {"someone/text"}),
    ],
)
def test_weights_are_removed_by_name(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, wanted: str, left: set[str]
) -> None:
    assert call(capsys, monkeypatch, "clear", "--weights", wanted, "--yes")[0] == 0
    assert repositories(cache) == left
    assert list((cache / "botzoo" / "decoded").iterdir())


def test_images_are_removed(cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("features", "probes"):
        (cache / "botzoo" / folder).mkdir()
        (cache / "botzoo" / folder / f"{'ab' * 32}.npy").write_bytes(b"x")
    assert "what a probe of such features came to" in call(capsys, monkeypatch)[1]
    assert call(capsys, monkeypatch, "clear", "--images", "--yes")[0] == 0
    assert [file for file in (cache / "botzoo").rglob("*") if file.is_file()] == []
    assert len(repositories(cache)) == 4


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("clear",), "Say what to clear"),
        (("clear", "--images"), "give --yes"),
        (("clear", "--weights", "resnet50d_bottt"), "nothing of that name is cached. Did you mean 'resnet50d_bot"),
        (("--images",), "botzoo cache clear"),
        (("claer",), "'claer': it must be one of show, clear. Did you mean 'clear'?"),
    ],
)
def test_nothing_is_removed_by_mistake(
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str, ...],
    message: str,
) -> None:
    status, _, err = call(capsys, monkeypatch, *argv)
    assert (status, err.count("\n"), len(repositories(cache))) == (2, 1, 4)
    assert message in err


# Without a network


@pytest.fixture(params=["offline", "unreachable"])
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


@pytest.mark.usefixtures("no_network")
def test_what_is_cached_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_teacher(tmp_path / "model")
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    cached(tmp_path / "hub", "someone/net", files)
    assert load("hf-hub:someone/net").label_names == ("class0", "class1", "class2")


@pytest.mark.usefixtures("no_network", "cache")
@pytest.mark.parametrize("name", ["hf-hub:owner/name", "resnet34d_bot"])
def test_what_is_not_cached_says_at_once_what_works(name: str) -> None:
    message = f"{name} is not cached .* there are resnet10d_bot.bot_r64_tin100, resnet50d_bot.gluon_in1k, and any model folder"
    with pytest.raises(NetworkError, match=message):
        load(name)


@pytest.mark.usefixtures("cache")
def test_a_cached_repository_with_a_pickle_only_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = write_teacher(tmp_path / "model")
    files = {"config.json": (folder / "config.json").read_bytes(), "pytorch_model.bin": b"a pickle"}
    cached(tmp_path / "hub", "someone/pickle", files, "e" * 40)
    with pytest.raises(NetworkError, match="hf-hub:someone/pickle is not cached"):
        load("hf-hub:someone/pickle")
