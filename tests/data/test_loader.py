"""Batches for training and evaluation."""

import numpy as np
import pytest
import torch
from torch import Tensor

from botzoo.data.images import read_images
from botzoo.data.order import Order
from botzoo.data.transforms import EvalTransform, ProgressiveResizing, TrainTransform
from botzoo.models.preprocessing import Preprocessing
from botzoo.sources.base import Encoded
from data.pictures import IMAGENET, images, split_of


def collected(first: int, last: int, workers: int, accumulate: int = 1) -> list[Tensor]:
    transform = TrainTransform(8, "bilinear", 0.3, 0.5, seed=1)
    order = Order(images=10, batch_size=4, seed=1, accumulate=accumulate)
    steps = SOME.train_batches(transform, order, first, last, workers=workers, pin=False)
    return [tensor for step in steps for batch in step for tensor in batch]


SOME = images(10)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine of one core
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("first", [1, 4])
def test_batches_from_a_step_on_equal_those_from_the_start(first: int, workers: int) -> None:
    whole, rest = collected(0, 6, workers=0), collected(first, 6, workers)
    assert len(rest) == 2 * (6 - first)
    assert all(torch.equal(a, b) for a, b in zip(whole[2 * first :], rest, strict=True))


def test_progressive_resizing_changes_the_size_after_its_epochs() -> None:
    small, full = (TrainTransform(size, "bilinear", 0.3, 0.5, seed=1) for size in (8, 16))
    order = Order(images=10, batch_size=4, seed=1)
    steps = SOME.train_batches(ProgressiveResizing(small, 2, full), order, 0, 6, workers=0, pin=False)
    assert [step[0][0].shape[-1] for step in steps] == [8, 8, 8, 8, 16, 16]


def test_micro_batches_together_are_the_whole_batch() -> None:
    whole, halves = collected(0, 1, workers=0), collected(0, 1, workers=0, accumulate=2)
    assert torch.equal(torch.cat(halves[0::2]), whole[0])
    assert torch.equal(torch.cat(halves[1::2]), whole[1])


def test_batches_are_eight_bit_and_channels_last() -> None:
    pixels, labels = collected(0, 1, workers=0)
    assert (pixels.dtype, pixels.shape, labels.dtype) == (torch.uint8, (4, 3, 8, 8), torch.int64)
    assert pixels.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("count", "batch", "world"), [(10, 4, 1), (10, 4, 2), (7, 2, 4), (3, 8, 4), (10, 5, 2)])
def test_evaluation_sees_every_image_exactly_once(count: int, batch: int, world: int) -> None:
    gray: list[Encoded] = [np.full((8, 8), i, np.uint8) for i in range(count)]
    found, _ = read_images(split_of(gray, [i % 3 for i in range(count)]))
    transform = EvalTransform(Preprocessing(8, *IMAGENET, 1.0, "bilinear"))
    shares = [
        found.eval_batches(transform, batch, rank=r, world_size=world, workers=0, pin=False) for r in range(world)
    ]
    seen = [(int(x[0, 0, 0]), int(y)) for share in shares for xs, ys in share for x, y in zip(xs, ys, strict=True)]
    assert sorted(seen) == [(i, i % 3) for i in range(count)]
