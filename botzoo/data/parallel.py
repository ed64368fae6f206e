"""Work on many images at once, with results in order."""

import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition
from typing import TypeVar

T = TypeVar("T")

AHEAD_BYTES = 256 << 20
"""Decoded images that may be held before their turn has come, apart from the one that each thread is at work on."""


def in_order(
    work: Callable[[int], T], count: int, size: Callable[[T], int] = lambda result: 0, *, patient: bool = True
) -> Iterator[T]:
    """Yield the result for each image in order, without Pillow's warnings of oddities that can be read all the same.

    Threads work ahead, but not far: what they have ready is held in memory, ``size`` bytes of it for each result. Where the
    results are no longer wanted, the images at work are waited for if ``patient``.
    """
    changed = Condition()
    held, turn = 0, 0  # bytes of the results that wait, and the chunk that is yielded next

    def move(size: int, chunks: int = 0) -> None:
        nonlocal held, turn
        with changed:
            held, turn = held + size, turn + chunks
            changed.notify_all()

    def chunk(number: int) -> list[T]:
        results = []
        for i in range(8 * number, min(8 * number + 8, count)):
            with changed:  # whose turn it is needs no room: else the others would never move up
                changed.wait_for(lambda: held < AHEAD_BYTES or turn >= number)
            if turn > count:
                break
            results.append(work(i))
            move(size(results[-1]))
        return results

    threads = min(16, cores(shared=False))
    pool = ThreadPoolExecutor(threads)
    ready: deque[Future[list[T]]] = deque()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            for number in range(chunks := math.ceil(count / 8)):
                ready.append(pool.submit(chunk, number))
                while len(ready) > 2 * threads or (ready and number == chunks - 1):
                    results = ready.popleft().result()
                    move(-sum(map(size, results)), 1)
                    yield from results
    finally:
        move(0, count + 1)  # none waits or begins any longer
        pool.shutdown(wait=patient, cancel_futures=True)


def cores(*, shared: bool = True) -> int:
    """Return how many processors a training process may use, at least 1; with ``shared`` its share of the machine's."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) if shared else usable
