"""What is read from the Hub: through its storage for large files, Xet, which is the client's own way, and by old names."""

import io
import shutil
import socket
from pathlib import Path

import huggingface_hub
import pytest
from PIL import Image

from botzoo.errors import NetworkError
from botzoo.hub.package import pack
from botzoo.hub.publish import check_place, publish
from botzoo.hub.verify import verify
from botzoo.inference.load import load
from botzoo.models.loading import model_folder
from botzoo.sources.find import find_images
from hub_double import HubDouble
from running import write_teacher

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # the client's, of its own HTTP library
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_teacher(tmp_path_factory.mktemp("run") / "model")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# pets\n")
    return folder


@pytest.fixture
def double(double: HubDouble, written: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HubDouble:
    """The Hub with the model me/pets and its storage for large files, and with data sets."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setattr("datasets.config.HF_ENDPOINT", double.endpoint)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    double.xet = f"local://{tmp_path / 'storage'}"
    double.add("me/pets", {path.name: path.read_bytes() for path in written.iterdir()})
    return double


def test_weights_come_from_the_xet_storage_equal_to_the_byte(double: HubDouble, written: Path) -> None:
    found = model_folder("hf-hub:me/pets")
    assert (found / "model.safetensors").read_bytes() == (written / "model.safetensors").read_bytes()
    assert (len(double.seen("GET", "/xet/xorbs/")), double.seen("GET", "/storage/")) == (1, [])
    assert double.leaks() == []


@pytest.mark.parametrize("kind", ["dead", "silent"])
def test_a_storage_that_sends_nothing_is_given_up(
    double: HubDouble, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    monkeypatch.setenv("BOTZOO_HUB_SECONDS", "1")
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        double.xet_read = f"http://127.0.0.1:{9 if kind == 'dead' else silent.getsockname()[1]}"
        with pytest.raises(
            NetworkError, match=r"^me/pets cannot be downloaded: .* has sent nothing for 1 s: give .*\.$"
        ):
            load("hf-hub:me/pets")
    assert len([line for line in caplog.messages if "without progress" in line]) > 2


def test_a_model_is_read_by_its_old_name(double: HubDouble) -> None:
    double.rename("me/pets", "team/cats")
    assert load("hf-hub:me/pets").label_names == load("hf-hub:team/cats").label_names
    assert "they load" in next(verify("me/pets")).words


def test_a_data_set_is_read_by_its_old_name(double: HubDouble) -> None:
    Image.new("RGB", (8, 8)).save(file := io.BytesIO(), "PNG")
    double.add("me/pictures", {f"{name}/{i}.png": file.getvalue() for name in "ab" for i in range(2)}, kind="dataset")
    double.rename("me/pictures", "me/photos", kind="dataset")
    assert find_images("me/pictures").class_names == ("a", "b")


def test_a_data_set_whose_files_are_gated_is_told(double: HubDouble) -> None:
    double.add("other/pictures", {"a/0.png": b"0", "README.md": b"# a"}, kind="dataset", gated=True)
    with pytest.raises(NetworkError, match="other/pictures is gated: accept its terms on its page"):
        find_images("other/pictures")


def test_publishing_goes_on_by_the_old_name(
    double: HubDouble, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("botzoo.hub.connection.WAITS", ())
    caplog.set_level("INFO", "botzoo")
    folder = Path(shutil.copytree(written, tmp_path / "model"))
    double.fail("PUT", "/settings")
    with pytest.raises(NetworkError, match="again"):
        publish(pack(folder, "me/new"))
    double.rename("me/new", "team/newer")
    (folder / "metrics.jsonl").write_text("{}\n")
    check_place("me/new", folder)
    done, repo = publish(pack(folder, "me/new"), tag="v1"), double.repo("team/newer")
    assert (repo.tags, repo.private, repo.files["metrics.jsonl"]) == ({"v1": done.commit}, False, b"{}\n")
    assert "me/new is called team/newer now" in caplog.text
