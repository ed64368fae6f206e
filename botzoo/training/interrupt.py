"""Ctrl-C and SIGTERM as a wish that the training loop grants between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator

POLL_STEPS = 10
"""On several GPUs the processes agree on stopping every so many steps, on CPUs at each."""


class StopRequest:
    """While entered, remembers the first SIGINT or SIGTERM instead of dying of it; a second one acts as usual."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def name(self) -> str:
        """The signal's name, or "another process" where a signal came to one."""
        return self.signal.name if self.signal is not None else "another process"

    @property
    def exit_status(self) -> int:
        """128 + the signal's number, as a shell reports it."""
        return 128 + (self.signal or signal.SIGTERM)

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is not threading.main_thread():
            return self  # signals come to the main thread alone, so that a run in another one cannot be asked to stop
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def granted(self, step: int) -> bool:
        """Tell whether to stop after ``step`` steps, the same on every process."""
        if self.accelerator.num_processes == 1:
            return self.signal is not None
        if self.accelerator.device.type != "cpu" and step % POLL_STEPS:
            return False
        wishes = torch.tensor(float(self.signal is not None), device=self.accelerator.device)
        return bool(self.accelerator.reduce(wishes, "sum") > 0)
