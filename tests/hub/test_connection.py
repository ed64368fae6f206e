"""Publishing with the client's own way of sending large files, Xet, and with a Hub that answers late, wrongly or never.

The storage is a folder, which the client's library can be told to use, or an address where none answers.
"""

import logging
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from botzoo.errors import BotzooError, ConfigError, NetworkError
from botzoo.hub.package import Package, pack
from botzoo.hub.publish import check_access, publish
from botzoo.util.hub import Watch
from hub_double import HubDouble, hub_double
from running import write_teacher

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # the client's, of its own HTTP library
]


CARD = "---\nlicense: mit\n---\n# pets\n"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_teacher(tmp_path_factory.mktemp("run") / "model")
    (folder / "README.md").write_text(CARD)
    return folder


@pytest.fixture
def packed(written: Path, tmp_path: Path) -> Package:
    return pack(Path(shutil.copytree(written, tmp_path / "model")), "me/pets")


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubDouble]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("botzoo.hub.connection.WAITS", (0, 0, 0))
    monkeypatch.setenv("BOTZOO_HUB_SECONDS", "1")
    with hub_double() as running:
        running.xet = f"local://{tmp_path / 'storage'}"
        yield running
        huggingface_hub.close_session()


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def api(double: HubDouble) -> HfApi:
    return HfApi(double.endpoint, token="hf_write")


def test_large_files_go_to_the_xet_storage(double: HubDouble, packed: Package) -> None:
    publish(packed, api=api(double))
    assert double.repo("me/pets").files["model.safetensors"] == (packed.folder / "model.safetensors").read_bytes()
    assert double.seen("PUT", "/storage/") == []
    assert double.leaks() == []


@pytest.mark.parametrize("kind", ["dead", "silent"])
def test_a_storage_that_takes_nothing_is_given_up_and_named(
    double: HubDouble, packed: Package, silent: str, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.INFO, "botzoo")
    usable, double.xet = double.xet, silent if kind == "silent" else "http://127.0.0.1:9"
    with pytest.raises(NetworkError, match=rf"large files, {double.xet}, has taken nothing for 1 s.*goes on") as told:
        publish(packed, api=api(double))
    assert told.value.unreachable
    assert len([line for line in caplog.messages if "without progress" in line]) > 2
    double.xet = usable
    publish(packed, api=api(double))
    assert not double.repo("me/pets").private


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "does not know the token"),
        (403, r"refuses me/pets \(no room for you\)"),
        (404, "refuses me/pets"),
        (500, r"cannot serve me/pets now \(status 500\)"),
        (429, r"cannot serve me/pets now \(status 429\)"),
    ],
)
def test_a_storage_that_is_not_for_us_is_told_by_its_cause(
    double: HubDouble, packed: Package, status: int, said: str
) -> None:
    message = "Invalid credentials in Authorization header" if status == 401 else "no room for you"
    double.fail("GET", "xet-write-token", status, times=1000, message=message)
    with pytest.raises(BotzooError, match=said) as told:
        publish(packed, api=api(double))
    assert "\n" not in str(told.value)
    assert double.repo("me/pets").private


@pytest.mark.parametrize("call", [r"whoami", r"models/me/pets$", r"preupload", r"xet-write"])
def test_a_hub_that_never_answers_is_given_up(
    double: HubDouble, packed: Package, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    double.hang = call
    with pytest.raises(NetworkError, match=f"The Hub at {double.endpoint} cannot be reached .*it goes on") as told:
        publish(packed, api=api(double))
    assert told.value.unreachable


def test_a_wait_that_the_hub_asks_for_is_no_silence(double: HubDouble) -> None:
    double.fail("GET", "whoami", 429, headers={"Retry_After": "60"})
    watch = Watch("the Hub")
    with watch.kept(), pytest.raises(HfHubHTTPError):
        api(double).whoami()
    assert watch.quiet < 0


def test_what_was_given_up_once_is_not_given_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTZOO_HUB_SECONDS", "0.01")
    watch = Watch("the Hub")
    with watch.kept(), watch.running():
        while not watch.gave_up:
            time.sleep(0.01)
    with watch.running():
        assert not watch.gave_up


@pytest.mark.parametrize("value", ["", "soon", "0", "-3", "nan", "inf", "1e999"])
def test_a_patience_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("BOTZOO_HUB_SECONDS", value)
    with pytest.raises(ConfigError, match=re.escape(f"BOTZOO_HUB_SECONDS is {value!r}")):
        check_access("me/pets")
