"""What the Hub answers is told by its cause, whoever reads, and with the address of the Hub that was asked."""

from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest

from botzoo.errors import BotzooError
from botzoo.hub.reproduce import reproduction
from botzoo.hub.verify import verify
from botzoo.inference.load import load
from botzoo.inference.sheet import sheet
from botzoo.sources.find import find_images
from hub_double import HubDouble, hub_double, point_to

pytestmark = pytest.mark.slow  # all of them together

READERS: dict[str, Callable[[], object]] = {
    "load": lambda: load("hf-hub:me/pets"),
    "info": lambda: list(sheet("hf-hub:me/pets")),
    "verify": lambda: list(verify("me/pets")),
    "reproduce": lambda: reproduction("me/pets"),
    "images": lambda: find_images("me/pets"),
}

ANSWERS = {
    "unknown token": (401, {}, "does not know the token"),
    "gated": (403, {"X_Error_Code": "GatedRepo"}, "accept its terms"),
    "missing": (404, {"X_Error_Code": "RepoNotFound"}, "There is no"),
    "refused": (403, {}, r"refuses me/pets \(|refuses hf-hub:me/pets \("),
    "blocked": (451, {}, r"refuses me/pets \(|refuses hf-hub:me/pets \("),
    "too many": (429, {"Retry_After": "0"}, r"now \(status 429\)"),
    "broken": (500, {}, r"now \(status 500\)"),
    "down": (503, {}, r"now \(status 503\)"),
}


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubDouble]:
    with hub_double() as running:
        point_to(monkeypatch, running.endpoint)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        huggingface_hub.close_session()
        running.add("me/pets", {"config.json": b"{}"})
        yield running
        huggingface_hub.close_session()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("reader", READERS)
def test_an_answer_is_told_by_its_cause(double: HubDouble, reader: str, answer: str) -> None:
    status, headers, said = ANSWERS[answer]
    for method in ("GET", "HEAD"):
        message = "Invalid credentials in Authorization header" if status == 401 else "why"
        double.fail(method, "me/pets", status, times=1000, message=message, headers=headers)
    with pytest.raises(BotzooError, match=said) as told:
        READERS[reader]()
    assert "cannot be reached" not in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_hub_that_is_not_there_is_named(double: HubDouble, monkeypatch: pytest.MonkeyPatch, reader: str) -> None:
    point_to(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(BotzooError, match=r"the Hub at http://127\.0\.0\.1:9 cannot be reached"):
        READERS[reader]()
