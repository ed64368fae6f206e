"""Memory: kept from step to step, and the most that was in use."""

import ctypes
import sys
from pathlib import Path

import psutil
import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h of the GNU C library

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may take, version 2."""


def available_memory(cgroup: Path = CGROUP) -> int:
    """Return the bytes of main memory that can still be taken, of the machine or of the container with its own limit."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        taken = int((cgroup / "memory.current").read_text())
        lines = (line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        files = next((int(value) for name, value in lines if name == "inactive_file"), 0)  # given back when needed
    except OSError:
        return free
    return free if limit == "max" else max(0, min(free, int(limit) - taken + files))


def keep_freed_memory() -> bool:
    """Let the GNU C library keep the memory that one step frees for the next; return whether it does.

    By default it gives the large buffers of activations back to the system after every step, which has to fill them with
    zeros for the next. Other systems are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    # Older versions refuse more than 32 MiB; unless one of the two is taken, the others would do harm.
    if not (mallopt(M_MMAP_THRESHOLD, 1 << 30) or mallopt(M_MMAP_THRESHOLD, 32 << 20)):
        return False
    return all([mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1), mallopt(M_ARENA_MAX, 1)])


def reset_peak_memory(device: torch.device) -> None:
    """Begin to count anew, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR.exists():
        try:
            CLEAR.write_text("5")
        except OSError:  # not permitted in some containers: the peak is then that of the whole process
            return


def peak_memory(device: torch.device) -> int:
    """Return the most memory in use since ``reset_peak_memory``, in bytes: allocated on the GPU, or resident."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
