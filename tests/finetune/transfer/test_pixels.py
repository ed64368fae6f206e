"""Many images at a time against timm's transform of one after the other."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from botzoo.data.images import Images, read_images
from botzoo.data.transforms import EvalTransform
from botzoo.models.preprocessing import Preprocessing, Side
from botzoo.sources.base import Split
from botzoo_finetune.transfer import pixels
from botzoo_finetune.transfer.pixels import ahead, eval_pixels

SHAPES = [(40, 40), (20, 30), (31, 17), (64, 64), (200, 9), (1, 1), (1, 300), (75, 130)]


def read(shapes: list[tuple[int, int]]) -> Images:
    rng = np.random.default_rng(0)
    small = [rng.integers(0, 256, (max(2, h // 4), max(2, w // 4), 3), dtype=np.uint8) for h, w in shapes]
    arrays = [np.asarray(Image.fromarray(a).resize((w, h), 2)) for a, (h, w) in zip(small, shapes, strict=True)]
    return read_images(Split("some", np.zeros(len(arrays), np.int64), lambda i: arrays[i], str))[0]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875])
@pytest.mark.parametrize("shapes", [SHAPES, [(32, 32)] * 5, [(90, 50)] * 5], ids=["mixed", "small", "large"])
@pytest.mark.parametrize("side", [40, (24, 80)])
def test_pixels_are_those_of_timms_transform(
    side: Side, shapes: list[tuple[int, int]], crop_pct: float, interpolation: str
) -> None:
    images, preprocessing = read(shapes), Preprocessing(side, (0.5,) * 3, (0.2,) * 3, crop_pct, interpolation)
    transform = EvalTransform(preprocessing)
    expected = np.stack([transform(images.image(i), (0, i)) for i in range(len(images))]).astype(int)
    found = eval_pixels(images, 0, len(images), preprocessing)
    assert found.is_contiguous(memory_format=torch.channels_last)
    difference = np.abs(found.permute(0, 2, 3, 1).numpy() - expected)
    assert difference.max() <= 2
    assert difference.mean() < 0.2


def test_large_images_are_resized_one_by_one_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    images, preprocessing = read([(90, 50)] * 5), Preprocessing(40, (0.5,) * 3, (0.2,) * 3, 1.0, "bicubic")
    together = eval_pixels(images, 1, 4, preprocessing)
    monkeypatch.setattr(pixels, "TOGETHER", 0)
    assert torch.equal(eval_pixels(images, 1, 4, preprocessing), together)


def test_images_that_are_read_from_files_anew_are_the_same(photos: Path) -> None:
    from botzoo.sources.find import find_images

    split, preprocessing = find_images(str(photos)).train, Preprocessing(32, (0.5,) * 3, (0.2,) * 3, 1.0, "bilinear")
    kept, unkept = read_images(split)[0], read_images(split, cache_bytes=0)[0]
    assert kept.cached
    assert not unkept.cached
    assert torch.equal(eval_pixels(kept, 3, 9, preprocessing), eval_pixels(unkept, 3, 9, preprocessing))


@pytest.mark.parametrize("threads", [1, 3])
def test_work_ahead_comes_in_order(threads: int) -> None:
    assert list(ahead(lambda k: k * k, 20, threads)) == [k * k for k in range(20)]


def test_work_is_not_far_ahead_and_stops_when_nobody_wants_it() -> None:
    begun, lock = [], threading.Lock()

    def work(k: int) -> int:
        with lock:
            begun.append(k)
        return k

    results: Iterator[int] = ahead(work, 100, 2)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 3


def test_an_error_of_the_work_is_raised_where_its_result_is_wanted() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda k: 1 // (3 - k), 10, 2))
