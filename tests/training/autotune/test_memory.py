"""Memory: what is kept, and the most in use."""

import mmap
import platform

import pytest
import torch

from botzoo.training.autotune.memory import CLEAR, keep_freed_memory, peak_memory, reset_peak_memory

CPU = torch.device("cpu")


def touch(megabytes: int) -> None:
    """Take memory from the system, write to all of it, and give it back."""
    with mmap.mmap(-1, megabytes << 20) as taken:
        for page in range(0, len(taken), mmap.PAGESIZE):
            taken[page] = 1


def test_the_peak_holds_what_was_freed_again() -> None:
    reset_peak_memory(CPU)
    before = peak_memory(CPU)
    touch(200)
    assert peak_memory(CPU) - before > 100 << 20


@pytest.mark.skipif(not CLEAR.exists(), reason="this system keeps one peak for the whole process")
def test_counting_can_begin_anew() -> None:
    touch(200)
    high = peak_memory(CPU)
    reset_peak_memory(CPU)
    assert peak_memory(CPU) < high - (100 << 20)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_the_gnu_c_library_takes_the_settings() -> None:
    assert keep_freed_memory()


def test_other_systems_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert not keep_freed_memory()
