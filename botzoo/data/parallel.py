"""Work on many images at once, with results in order."""

from __future__ import annotations

import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition, Event
from typing import TypeVar

T = TypeVar("T")


AHEAD_BYTES = 512 << 20
"""Decoded images that may be held before their turn has come, apart from the one that each thread is at work on."""


class _Ahead:
    """Room for results that have to wait for their turn; whose turn it is needs none, so that the others move up."""

    def __init__(self, room: int) -> None:
        self.room, self.turn, self._changed = room, 0, Condition()

    def wait(self, chunk: int) -> None:
        """Wait until there is room, or it is the turn of ``chunk``."""
        with self._changed:
            self._changed.wait_for(lambda: self.room > 0 or self.turn >= chunk)

    def move(self, held: int, turn: int = 0) -> None:
        """Note that so many bytes more are held, and whose turn it is, counting on."""
        with self._changed:
            self.room -= held
            self.turn += turn
            self._changed.notify_all()


def in_order(
    work: Callable[[int], T], count: int, size: Callable[[T], int] = lambda result: 0, *, patient: bool = True
) -> Iterator[T]:
    """Yield the result for each image in order, without Pillow's warnings of oddities that can be read all the same.

    Threads work ahead, but not far: what they have ready is held in memory, ``size`` bytes of it for each result. Where the
    results are no longer wanted, the images at work are waited for if ``patient``.
    """
    ahead, ended = _Ahead(AHEAD_BYTES), Event()

    def chunk(number: int) -> list[T]:
        results = []
        for i in range(8 * number, min(8 * number + 8, count)):
            ahead.wait(number)
            if ended.is_set():
                break
            results.append(work(i))
            ahead.move(size(results[-1]))
        return results

    threads = min(16, cores(shared=False))
    pool = ThreadPoolExecutor(threads)
    ready: deque[Future[list[T]]] = deque()

    def next_chunk() -> list[T]:
        results = ready.popleft().result()
        ahead.move(-sum(map(size, results)), turn=1)
        return results

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            for number in range(math.ceil(count / 8)):
                ready.append(pool.submit(chunk, number))
                if len(ready) > 2 * threads:
                    yield from next_chunk()
            while ready:
                yield from next_chunk()
    finally:
        ended.set()
        ahead.move(0, turn=count)  # none waits any longer
        pool.shutdown(wait=patient, cancel_futures=True)


def cores(*, shared: bool = True) -> int:
    """Return how many processors a training process may use, at least 1; with ``shared`` its share of the machine's."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) if shared else usable
