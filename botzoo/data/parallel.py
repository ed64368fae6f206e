"""Work on many images at once: so many pixels in memory, and results in order."""

import math
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

from botzoo.util.environment import number

T = TypeVar("T")

AHEAD_BYTES = 256 << 20
"""Decoded images that may be held before their turn has come, apart from those that are being decoded."""

WAIT_SECONDS = 60.0
"""Longest wait for room: a process that was killed gives none back."""

AGAIN_SECONDS = 0.01
"""Time after which a process asks again for room that it shares with others."""

DEAD_SECONDS = 5.0
"""Time for which the count of shared pixels is held only by a process that was killed."""


def most_pixels() -> int:
    """Return how many pixels an image may have, and all at once: ``$BOTZOO_MAX_MEGAPIXELS`` million, by default 100."""
    return max(1, round(1e6 * number("BOTZOO_MAX_MEGAPIXELS")))


class Room:
    """The pixels that are decoded now, counted for the threads of this process."""

    def __init__(self) -> None:
        self.changed, self.used = threading.Condition(), 0

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for so many pixels, or for as many as there may be, and give it back at the end.

        A thread that has room already waits for no more; one of ``in_order`` waits for the room of its result too.
        """
        if getattr(_THIS_THREAD, "has_room", False):
            yield
            return
        most = most_pixels()
        pixels = min(pixels, most)
        self.take(pixels, most)
        _THIS_THREAD.has_room = True
        try:
            yield
        finally:
            _THIS_THREAD.has_room = False
            self.give(pixels)

    def take(self, pixels: int, most: int) -> None:
        """Count so many pixels, as soon as all are ``most`` or fewer or after the longest wait."""
        may_begin = getattr(_THIS_THREAD, "may_begin", lambda: True)
        with self.changed:
            self.changed.wait_for(lambda: self.used + pixels <= most and may_begin(), WAIT_SECONDS)
            self.used += pixels

    def give(self, pixels: int) -> None:
        """Count so many no longer."""
        with self.changed:
            self.used -= pixels
            self.changed.notify_all()


class SharedRoom(Room):
    """One for all processes that ``context`` starts, of which any may be killed at any moment, even while it counts.

    So nobody waits for another without an end: one asks again after a while, and counts for itself alone once the count
    itself, which takes microseconds, is held for seconds.
    """

    def __init__(self, context: Any) -> None:
        super().__init__()
        self.lock, self.together = context.Lock(), context.Value("q", 0, lock=False)

    def take(self, pixels: int, most: int) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while not self._count(pixels, most if time.monotonic() < end else math.inf):
            time.sleep(AGAIN_SECONDS)

    def give(self, pixels: int) -> None:
        self._count(-pixels, math.inf)

    def _count(self, pixels: int, most: float) -> bool:
        """Count so many pixels unless all would be more than ``most`` then; tell whether they are counted, or need not be."""
        if not self.lock.acquire(timeout=DEAD_SECONDS):
            if _ROOMS[0] is self:
                use_room()
            return True
        try:
            if self.together.value + pixels > most:
                return False
            self.together.value += pixels
            return True
        finally:
            self.lock.release()


_THIS_THREAD = threading.local()
_ROOMS = [Room()]


def use_room(room: Room | None = None) -> None:
    """Count the pixels of this process in ``room``, by default in one of its own."""
    _ROOMS[:] = [room or Room()]


if hasattr(os, "register_at_fork"):  # a thread of the parent may have been at the counter
    os.register_at_fork(after_in_child=use_room)


def room_for(pixels: int) -> AbstractContextManager[None]:
    """Return the wait for room for so many pixels, at whose end they count no longer."""
    return _ROOMS[0].of(pixels)


def in_order(
    work: Callable[[int], T], count: int, size: Callable[[T], int] = lambda result: 0, *, patient: bool = True
) -> Iterator[T]:
    """Yield the result for each image in order, without Pillow's warnings of oddities that can be read all the same.

    Threads work ahead, but not far: what they have ready is held in memory, ``size`` bytes of it for each result. Where the
    results are no longer wanted, the images at work are waited for if ``patient``.
    """
    changed = _ROOMS[0].changed
    held, turn = 0, 0  # bytes of the results that wait, and the image that is yielded next

    def move(size: int, images: int = 0) -> None:
        nonlocal held, turn
        with changed:
            held, turn = held + size, turn + images
            changed.notify_all()

    def chunk(first: int, results: SimpleQueue[tuple[T, None] | tuple[None, BaseException]]) -> None:
        try:
            for i in range(first, min(first + 8, count)):

                def may_begin(i: int = i) -> bool:
                    return held < AHEAD_BYTES or turn >= i  # whose turn it is needs no room: else nothing would move

                with changed:
                    changed.wait_for(may_begin)
                if turn > count:
                    break
                _THIS_THREAD.may_begin = may_begin
                result = work(i)
                move(size(result))
                results.put((result, None))
        except BaseException as error:
            results.put((None, error))

    threads = min(16, cores(shared=False))
    pool = ThreadPoolExecutor(threads)
    ready = deque[SimpleQueue[Any]]()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            for number in range(chunks := math.ceil(count / 8)):
                ready.append(SimpleQueue())
                pool.submit(chunk, 8 * number, ready[-1])
                while len(ready) > 2 * threads or (ready and number == chunks - 1):
                    results = ready.popleft()
                    for _ in range(min(8, count - turn)):
                        result, error = results.get()
                        if error is not None:
                            raise error
                        move(-size(result), 1)
                        yield result
    finally:
        move(0, count + 1)  # none waits or begins any longer
        pool.shutdown(wait=patient, cancel_futures=True)


def cores(*, shared: bool = True) -> int:
    """Return how many processors a training process may use, at least 1; with ``shared`` its share of the machine's."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) if shared else usable
