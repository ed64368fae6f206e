"""What mixes a step's images: CutMix as timm does it, with timm's boxes, and its turns with mixup."""

import numpy as np
import pytest
import timm.data.mixup
import torch
from timm.data import Mixup
from torch import Tensor
from torch.nn import functional as F

from botzoo.errors import ConfigError
from botzoo.tasks.objective import cutmix, cutmix_box, mix
from botzoo.tricks.mixup import mixup, mixup_lambda

PAIRED_AS_TIMM = [0, 1, 2, 5, 4, 3]
"""Order of six examples in which ours pairs those that timm pairs in the usual one; it undoes itself."""


def batch(n: int = 6, size: int = 8) -> tuple[Tensor, Tensor]:
    images = torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))
    return images, F.one_hot(torch.arange(n) % 4, 4).float()


def test_cutmix_is_timms_for_the_same_box(monkeypatch: pytest.MonkeyPatch) -> None:
    images, targets = batch()
    box, lam = cutmix_box(1.0, 3, 4, 8, 8)
    monkeypatch.setattr(timm.data.mixup, "cutmix_bbox_and_lam", lambda *args, **kwargs: (box, lam))
    theirs = Mixup(mixup_alpha=0.0, cutmix_alpha=1.0, label_smoothing=0.0, num_classes=4)(
        images.clone(), targets.argmax(1)
    )
    ours = cutmix(images[PAIRED_AS_TIMM], targets[PAIRED_AS_TIMM], box, lam)
    for mine, timms in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine[PAIRED_AS_TIMM], timms)


def test_lambda_is_the_share_outside_the_box() -> None:
    for step in range(50):
        (top, bottom, left, right), lam = cutmix_box(1.0, 0, step, 20, 30)
        assert 0 <= top <= bottom <= 20
        assert 0 <= left <= right <= 30
        assert lam == pytest.approx(1 - (bottom - top) * (right - left) / 600)


def test_uncut_boxes_have_the_area_that_the_beta_distribution_says() -> None:
    boxes = [cutmix_box(0.3, 0, step, 1000, 1000)[0] for step in range(1500)]
    whole = np.array([(b - t) / 1000 for t, b, left, r in boxes if t > 0 and b < 1000 and b - t == r - left])
    drawn = np.sqrt(1 - np.random.default_rng(0).beta(0.3, 0.3, 20_000))
    centres = np.random.default_rng(1).random((2, 20_000))
    fits = (np.abs(centres[0] - 0.5) < 0.5 - drawn / 2) & (np.abs(centres[1] - 0.5) < 0.5 - drawn / 2)
    assert np.quantile(whole, [0.25, 0.5, 0.75]) == pytest.approx(np.quantile(drawn[fits], [0.25, 0.5, 0.75]), abs=0.05)


def test_a_box_leaves_numpys_generator_alone() -> None:
    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    cutmix_box(1.0, 0, 0, 8, 8)
    assert np.random.random() == expected


def test_a_box_depends_on_seed_and_step_only() -> None:
    first = cutmix_box(1.0, 1, 2, 64, 64)
    np.random.seed(9)
    assert cutmix_box(1.0, 1, 2, 64, 64) == first
    assert len({cutmix_box(1.0, seed, step, 64, 64) for seed in range(3) for step in range(3)}) == 9


def test_the_images_are_left_alone() -> None:
    images, targets = batch()
    before = images.clone()
    cutmix(images, targets, (0, 4, 0, 4), 0.75)
    assert torch.equal(images, before)


def test_with_neither_nothing_is_mixed() -> None:
    images, targets = batch()
    assert mix(images, targets, 0.0, 0.0, 0, 0) == (images, targets)


def test_each_alone_takes_every_step() -> None:
    images, targets = batch()
    for step in range(8):
        box = cutmix_box(1.0, 5, step, 8, 8)
        assert torch.equal(mix(images, targets, 0.0, 1.0, 5, step)[0], cutmix(images, targets, *box)[0])
        lam = mixup_lambda(0.2, 5, step)
        assert torch.equal(mix(images, targets, 0.2, 0.0, 5, step)[0], mixup(images, targets, lam)[0])


def test_together_each_takes_half_of_the_steps() -> None:
    images, targets = batch(2)
    cut = [
        torch.equal(mix(images, targets, 0.2, 1.0, 0, step)[0], mix(images, targets, 0.0, 1.0, 0, step)[0])
        for step in range(200)
    ]
    mixed = [
        torch.equal(mix(images, targets, 0.2, 1.0, 0, step)[0], mix(images, targets, 0.2, 0.0, 0, step)[0])
        for step in range(200)
    ]
    assert all(a != b for a, b in zip(cut, mixed, strict=True))
    assert 70 < sum(cut) < 130


@pytest.mark.parametrize(("mixup_alpha", "cutmix_alpha"), [(0.2, 0.0), (0.0, 1.0)])
def test_one_image_cannot_be_mixed(mixup_alpha: float, cutmix_alpha: float) -> None:
    with pytest.raises(ConfigError, match=r"here it has 1: give a larger --engine.micro-batch"):
        mix(*batch(1), mixup_alpha, cutmix_alpha, 0, 0)


def test_channels_last_stays_channels_last() -> None:
    images, targets = batch()
    images = images.to(memory_format=torch.channels_last)
    for alphas in ((0.2, 0.0), (0.0, 1.0)):
        assert mix(images, targets, *alphas, 0, 0)[0].is_contiguous(memory_format=torch.channels_last)
