"""How well streamed images are mixed, whatever the order in which their shards hold them."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botzoo.data.order import Order
from botzoo.data.streaming import stream as module
from botzoo.data.streaming.forms import TarForm
from botzoo.data.streaming.stream import Stream
from data.streaming.made import TRANSFORM, numbers, png, stream, write_numbers, write_tar, write_tars

pytestmark = pytest.mark.slow  # all of them together

CLASSES, EACH = 20, 16


def write_classes(folder: Path, *, by_class: bool) -> Path:
    """As many shards as classes, each of one class, or each of all."""
    labels = np.repeat(np.arange(CLASSES), EACH)
    labels = labels if by_class else np.random.default_rng(0).permutation(labels)
    for i, part in enumerate(np.split(labels, CLASSES)):
        pairs = [((f"{k}.cls", b"%d" % label), (f"{k}.png", png(k, 4))) for k, label in enumerate(part)]
        write_tar(folder / f"train-{i:04}.tar", [member for pair in pairs for member in pair])
    write_tar(folder / "val-0000.tar", [("0.cls", b"0"), ("0.png", png(0))])
    return folder


def first_batches(found: Stream, batch: int = 20) -> None:
    order = Order(len(found), batch, 0)
    list(found.train_batches(TRANSFORM, order, 0, 5, workers=0, pin=False))


@pytest.mark.parametrize(
    ("by_class", "buffer"), [(True, 1), (True, 8), (False, 1), (False, 8), (False, 999), (True, 999)]
)
def test_batches_of_few_classes_are_said_with_the_remedy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, by_class: bool, buffer: int
) -> None:
    first_batches(stream(write_classes(tmp_path, by_class=by_class), buffer))
    assert ("--data.shuffle-buffer" in caplog.text) == (by_class and buffer < 999)


def test_it_is_said_once_and_by_one_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = stream(write_classes(tmp_path, by_class=True), 4)
    for rank in (1, 0, 0):
        order = Order(len(found), 20, 0, rank, 2)
        list(found.train_batches(TRANSFORM, order, 0, 5, workers=0, pin=False))
    assert caplog.text.count("sorted by class") == 1


def test_chance_gives_rare_classes_less(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = [0] * 300 + list(range(10))
    write_numbers(tmp_path, np.random.default_rng(0).permutation(labels).tolist())
    first_batches(stream(tmp_path, 999))
    assert not caplog.text


@pytest.mark.parametrize(("shards", "buffer"), [(1, 5), (3, 1), (3, 5), (3, 40), (300, 40)])
def test_shards_are_read_together_and_each_image_comes_once(tmp_path: Path, shards: int, buffer: int) -> None:
    found = stream(write_tars(tmp_path, (1,) * shards if shards == 300 else (30,) * shards), buffer)
    order = Order(len(found), 15, 0)
    seen = [n for rows in numbers(found, order, 0, len(found) // 15) for n in rows]
    assert sorted(seen) == list(range(len(found)))
    in_turn = Counter(np.diff([n // 30 for n in seen]) != 0)[True]  # how often the shard changes
    assert shards != 3 or (in_turn == 2) == (buffer == 1)


def test_no_more_shards_are_open_than_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, now, most = stream(write_tars(tmp_path, (5,) * 40), 200), [0], [0]
    cells = TarForm.cells

    def counted(*given: Any) -> Any:
        now[0] += 1
        most[0] = max(most[0], now[0])
        yield from cells(*given)
        now[0] -= 1

    monkeypatch.setattr(TarForm, "cells", counted)
    list(found.micro_batches(Order(200, 20, 0), 0, 10))
    assert 1 < most[0] <= module.TOGETHER
