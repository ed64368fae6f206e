"""Data sets on the Hub, which answers, refuses, or cannot be reached."""

import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import datasets
import huggingface_hub.constants
import pytest

from botzoo.errors import DataError, NetworkError
from data.pictures import open_images
from sources.made import refusal, table


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """A Hub that gives every request the same answer, to be put into the dictionary."""
    answer: dict[str, object] = {"status": 404, "code": "RepoNotFound"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(str(answer["status"])))
            self.send_header("X-Error-Code", str(answer["code"]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    for settings in (huggingface_hub.constants, datasets.config):
        monkeypatch.setattr(settings, "HF_HUB_OFFLINE", False)
    yield answer
    server.shutdown()
    server.server_close()


def test_a_data_set_that_the_hub_does_not_have_is_refused(hub: dict[str, object]) -> None:
    assert "There is no data set 'someone/cats' on the Hub" in refusal("someone/cats")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [(403, "GatedRepo", "accept its terms"), (503, "", "cannot serve"), (401, "", "hf auth login")],
)
def test_a_refusal_of_the_hub_says_what_to_do(hub: dict[str, object], status: int, code: str, expected: str) -> None:
    hub |= {"status": status, "code": code}
    with pytest.raises((NetworkError, DataError), match=expected):
        open_images("someone/cats")


def test_an_impossible_hub_id_is_refused(hub: dict[str, object]) -> None:
    assert "There is no data set 'a--b/c..d' on the Hub" in refusal("a--b/c..d")


OFFLINE = """
import sys, time
from botzoo.errors import NetworkError
from botzoo.sources.find import find_images
import datasets
began = time.perf_counter()
try:
    find_images("cifar100")
except NetworkError as error:
    print(error)
print(len(find_images("someone/cats").train))
print(time.perf_counter() - began)
"""


@pytest.mark.slow
def test_without_a_network_the_cache_works_and_the_rest_is_refused_at_once(tmp_path: Path) -> None:
    cached = tmp_path / "datasets" / "someone___cats" / "default" / "0.0.0"
    table().to_parquet(tmp_path / "train.parquet")
    datasets.load_dataset("parquet", data_files=str(tmp_path / "train.parquet"), cache_dir=tmp_path / "made")
    cached.mkdir(parents=True)
    made = next((tmp_path / "made").rglob("dataset_info.json")).parent
    shutil.move(made, cached / "0123456789abcdef")
    for file in (cached / "0123456789abcdef").glob("parquet-*.arrow"):
        file.rename(file.with_name(file.name.replace("parquet-", "cats-")))
    env = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_DATASETS_CACHE": ""}
    del env["HF_DATASETS_CACHE"]
    done = subprocess.run([sys.executable, "-c", OFFLINE], env=env, capture_output=True, text=True, check=False)
    message, rows, seconds = done.stdout.splitlines() or [done.stderr, "", "99"]
    assert "uoft-cs/cifar100 is not cached" in message
    assert "--dataset digits, or a folder of images" in message
    assert rows == "10"
    assert float(seconds) < 15
