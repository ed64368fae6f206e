"""What a probe came to, kept on the disk, against what can happen to it."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

from botzoo.util.cache import PROBES
from botzoo_finetune.probing.outcomes import OUTLOOK, PROBE, START, Form, keep, recall
from botzoo_finetune.probing.probe import Linear, Outlook, Probe, probe


@pytest.fixture(autouse=True)
def store(cache: Path) -> Path:
    return cache / "probes"


@pytest.fixture(scope="module")
def found() -> Probe:
    rows, labels = load_iris(return_X_y=True)
    return probe(rows[::2], labels[::2], rows[1::2], labels[1::2], 3)


def same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and bool((a == b).all())
    if hasattr(a, "__dict__"):
        return type(a) is type(b) and all(same(value, vars(b)[name]) for name, value in vars(a).items())
    return a == b


def test_a_probe_comes_back_as_it_was(found: Probe) -> None:
    keep(PROBE, "key", found)
    assert same(recall(PROBE, "key"), found)


@pytest.mark.parametrize(
    ("form", "outcome"),
    [
        (OUTLOOK, Outlook(20, 1 / 3, ((3, 0.1), (6, 2 / 3)), 9)),
        (START, Linear(np.eye(2, 3, dtype=np.float32), np.ones(2, np.float32))),
    ],
    ids=["outlook", "start"],
)
def test_so_do_the_others(form: Form[Any], outcome: object) -> None:
    keep(form, "key", outcome)
    assert same(recall(form, "key"), outcome)


def test_what_was_never_kept_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    assert recall(PROBE, "key") is None
    assert not caplog.text


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [cut, lambda content: b"", flip(2), flip(40), flip(-9), lambda content: bytes(len(content))],
    ids=["cut", "emptied", "length flipped", "header flipped", "value flipped", "zeros"],
)
def test_a_damaged_file_is_said_and_removed(
    found: Probe, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    keep(PROBE, "key", found)
    PROBES.path("key").write_bytes(damage(PROBES.path("key").read_bytes()))
    assert recall(PROBE, "key") is None
    assert "they are fitted again" in caplog.text
    assert not PROBES.path("key").exists()


def test_one_of_another_model_under_this_name_is_not_taken(found: Probe, caplog: pytest.LogCaptureFixture) -> None:
    keep(PROBE, "another", found)
    PROBES.path("another").rename(PROBES.path("key"))
    assert recall(PROBE, "key") is None
    assert "its digest differs" in caplog.text


def test_a_full_disk_is_one_line_and_leaves_nothing(
    found: Probe, store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    keep(PROBE, "key", found)
    assert "The results of a probe cannot be kept" in caplog.text
    assert "No space left on device" in caplog.text
    assert not list(store.iterdir())
