"""The files of a cache, against what can happen to them."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from numpy.typing import NDArray

from botzoo.errors import ConfigError
from botzoo.util import cache as cache_module
from botzoo.util.cache import Store, tree

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


KEY = "0" * 64


def a_tree(folder: Path) -> None:
    (folder / "file").write_bytes(b"whole")


def a_slow_tree(folder: Path) -> None:
    time.sleep(0.3)
    a_tree(folder)


def hold(pipe: Connection, fill: Callable[[Path], None]) -> None:
    pipe.send(tree("trees", KEY, fill))
    pipe.recv()


@pytest.fixture
def others() -> Iterator[Callable[[Callable[[Path], None]], Connection]]:
    """Start other processes that read a tree until they are told to end."""
    started: list[tuple[Connection, BaseProcess]] = []

    def start(fill: Callable[[Path], None]) -> Connection:
        here, there = multiprocessing.Pipe()
        started.append((here, multiprocessing.get_context("fork").Process(target=hold, args=(there, fill))))
        started[-1][1].start()
        return here

    yield start
    for pipe, process in started:
        pipe.send("end")
        process.join(5)
        process.kill()


def test_processes_read_a_tree_together(others: Callable[[Callable[[Path], None]], Connection]) -> None:
    pipes = [others(a_slow_tree) for _ in range(3)]
    assert all(pipe.poll(10) for pipe in pipes)
    found = {pipe.recv() for pipe in pipes}
    assert len(found) == 1
    assert (found.pop() / "file").read_bytes() == b"whole"


def test_a_tree_that_another_process_has_made_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no locks."""
    monkeypatch.setattr(cache_module, "lock", lambda file, shared: True)

    def late(folder: Path) -> None:
        (other := Thread(target=lambda: first.append((tree("trees", KEY, a_tree) / "file").stat().st_ino))).start()
        other.join()
        a_tree(folder)

    first: list[int] = []
    assert (tree("trees", KEY, late) / "file").stat().st_ino == first[0]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users have no numbers")
def test_a_tree_of_another_user_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    os.close(cache_module._IN_USE.pop(tree("trees", KEY, a_tree)))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(OSError, match="another user's"):
        tree("trees", KEY, a_tree)


def test_a_link_is_no_tree(tmp_path: Path) -> None:
    (tmp_path / "trees").mkdir()
    (tmp_path / "trees" / KEY).symlink_to(tmp_path)
    with pytest.raises(OSError, match="link"):
        tree("trees", KEY, a_tree)


def test_without_a_home_folder_the_cache_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTZOO_CACHE", "~no-such-user/cache")
    with pytest.raises(ConfigError, match="set BOTZOO_CACHE"):
        STORE.path("a")
