"""Threads that work ahead."""

import threading
import time

import pytest

from botzoo.data import parallel as module


@pytest.mark.parametrize("turns", [0, 30])
def test_threads_that_work_ahead_hold_no_more_than_the_bound(monkeypatch: pytest.MonkeyPatch, turns: int) -> None:
    monkeypatch.setattr(module, "AHEAD_BYTES", 20)
    monkeypatch.setattr(module, "cores", lambda shared: 4)
    done: list[int] = []
    results = module.in_order(lambda i: done.append(i) or i, 400, lambda result: 1)
    assert [next(results) for _ in range(turns)] == list(range(turns))
    first = next(results)
    time.sleep(0.05)
    assert len(done) <= first // 8 * 8 + 8 + 20 + 4 + 8
    assert list(results) == list(range(turns + 1, 400))


def test_who_is_not_patient_does_not_wait_for_an_image_at_work() -> None:
    begun, release, finished = threading.Event(), threading.Event(), []

    def work(i: int) -> None:
        if i == 8:
            begun.set()
            release.wait(20)
            finished.append(i)

    results = module.in_order(work, 9, patient=False)
    next(results)
    begun.wait(20)
    results.close()
    assert not finished
    release.set()
