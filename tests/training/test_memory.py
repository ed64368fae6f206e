"""Memory: what is kept, and the most in use."""

import mmap
import subprocess
import sys

import pytest
import torch

from botzoo.training.memory import CLEAR, keep_freed_memory, peak_memory, reset_peak_memory

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


FAULTS = """
import resource, sys, torch
from botzoo.training.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="another C library")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    def faults(mode: str) -> int:
        run = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True)
        return int(run.stdout)

    assert faults("keep") < faults("leave") / 10
