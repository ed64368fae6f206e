"""The files of a cache, against what can happen to them."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from botzoo.util.cache import Store

STORE = Store("things", ".json", "things", "made")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path))
    return tmp_path / "things"


def read(content: NDArray[np.uint8]) -> object:
    return json.loads(content.tobytes())


def write(key: str, content: bytes) -> None:
    with STORE.writing(key) as draft:
        draft.write(content)


def test_what_was_written_is_found_by_its_key(caplog: pytest.LogCaptureFixture) -> None:
    assert STORE.open("a", read) is None
    write("a", b"[1]")
    assert STORE.open("a", read) == [1]
    assert not caplog.text


def test_a_damaged_file_is_removed_and_said(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    write("a", b"[1")
    assert STORE.open("a", read) is None
    assert "are damaged" in caplog.text
    assert not list(cache.iterdir())


def test_a_draft_may_get_another_key() -> None:
    with STORE.writing("a") as draft:
        draft.write(b"[2]")
        draft.key = "b"
    assert (STORE.open("a", read), STORE.open("b", read)) == (None, [2])


def test_what_is_whole_is_not_replaced() -> None:
    write("a", b"[1]")
    with STORE.writing("a", lambda key: STORE.open(key, read) is not None) as draft:
        draft.write(b"[2]")
    assert STORE.open("a", read) == [1]


def test_nothing_is_left_of_what_failed(cache: Path) -> None:
    with pytest.raises(ZeroDivisionError), STORE.writing("a") as draft:
        draft.write(bytes(1 // 0))
    assert not list(cache.iterdir())


def test_the_oldest_go_when_the_limit_is_passed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTZOO_CACHE_GIB", "0")
    write("a" * 64, b"[1]")
    write("b" * 64, b"[2]")
    assert [path.name for path in cache.iterdir()] == [f"{'b' * 64}.json"]


STRANGE = ["notes.txt", "a.json", f"{'a' * 63}.json", f"{'A' * 64}.json", f"{'a' * 64}", ".x.part", "sub/a.json"]


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_not_ours_is_not_removed(cache: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("BOTZOO_CACHE_GIB", "0")
    (cache / name).parent.mkdir(parents=True)
    (cache / name).write_text("mine")
    os.utime(cache / name, (0, 0))
    write("b" * 64, b"[2]")
    assert (cache / name).read_text() == "mine"


@pytest.mark.parametrize("content", ["[1]", "[1"])
def test_a_link_in_the_cache_is_left_alone_with_what_it_leads_to(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setenv("BOTZOO_CACHE_GIB", "0")
    (target := tmp_path / "mine.json").write_text(content)
    os.utime(target, (0, 0))
    cache.mkdir()
    STORE.path("a" * 64).symlink_to(target)
    STORE.open("a" * 64, read)
    write("a" * 64, b"[2]")
    write("b" * 64, b"[3]")
    assert (target.read_text(), target.stat().st_mtime) == (content, 0)
    assert STORE.path("a" * 64).is_symlink()
