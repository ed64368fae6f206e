"""How many times as fast as fp32 bf16 is on this CPU: measured once and kept, so that all runs on a machine take the same."""

from __future__ import annotations

import hashlib
import json
import logging
import platform

import torch

from botzoo.tricks import mixed_precision
from botzoo.util.cache import SPEEDS

VERSION = 2  # of what is measured and how; what was kept of another version is not looked at


def cpu_name() -> str:
    """Return the model of this CPU."""
    return str(_able().get("cpu_name") or platform.processor() or platform.machine())


def kept_speedup() -> float:
    """Return ``bf16_speedup`` as it was kept for this CPU and torch, or measure and keep it."""
    what = VERSION, cpu_name(), sorted(_able().items()), torch.__version__
    key = hashlib.sha256(repr(what).encode()).hexdigest()
    if (found := SPEEDS.open(key, lambda content: float(json.loads(content.tobytes())))) is None:
        found = mixed_precision.bf16_speedup()
        SPEEDS.keep(key, json.dumps(found).encode(), logging.DEBUG)
    return found


def _able() -> dict[str, object]:
    return dict(torch.cpu.get_capabilities()) if hasattr(torch.cpu, "get_capabilities") else {}
