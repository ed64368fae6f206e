"""Mixup against timm's for the same lambda, and lambda against the moments of the Beta distribution."""

import numpy as np
import pytest
import torch
from timm.data import Mixup
from torch import Tensor
from torch.nn import functional as F

from botzoo.tricks.mixup import mixup, mixup_lambda


def batch(n: int = 6) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(n) % 4


def test_it_is_timms_for_the_same_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = batch()
    timms = Mixup(mixup_alpha=0.2, label_smoothing=0.0, num_classes=4)
    monkeypatch.setattr(timms, "_params_per_batch", lambda: (0.3, False))
    mixed, targets = mixup(images, F.one_hot(labels, 4).float(), 0.3)
    theirs, their_targets = timms(images.clone(), labels)
    torch.testing.assert_close(mixed, theirs)
    torch.testing.assert_close(targets, their_targets)


def test_only_mixed_examples_come_back() -> None:
    images, labels = batch()
    mixed, targets = mixup(images, F.one_hot(labels, 4).float(), 0.6)
    assert mixed.shape == images.shape
    assert not any(torch.allclose(mixed[i], images[i]) for i in range(6))
    assert bool((targets.max(1).values < 1).all())


@pytest.mark.parametrize(("lam", "order"), [(1.0, [0, 1, 2]), (0.0, [2, 1, 0])])
def test_lambda_1_keeps_the_batch_and_0_turns_it_round(lam: float, order: list[int]) -> None:
    images, labels = batch(3)
    mixed, _ = mixup(images, F.one_hot(labels, 4).float(), lam)
    torch.testing.assert_close(mixed, images[order])


def test_the_input_is_left_alone() -> None:
    images, labels = batch()
    before = images.clone()
    mixup(images, F.one_hot(labels, 4).float(), 0.5)
    assert torch.equal(images, before)


def test_the_images_dtype_is_kept() -> None:
    images, labels = batch()
    mixed, targets = mixup(images.bfloat16(), F.one_hot(labels, 4).float(), 0.5)
    assert (mixed.dtype, targets.dtype) == (torch.bfloat16, torch.float32)


def test_lambda_depends_on_its_arguments_only() -> None:
    first = mixup_lambda(0.2, seed=1, step=2)
    np.random.seed(5)
    assert mixup_lambda(0.2, seed=1, step=2) == first


def test_lambda_changes_with_seed_and_step() -> None:
    assert len({mixup_lambda(0.2, seed, step) for seed in range(3) for step in range(3)}) == 9


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_lambda_has_the_moments_of_the_beta_distribution(alpha: float) -> None:
    lams = np.array([mixup_lambda(alpha, 0, step) for step in range(4000)])
    assert lams.mean() == pytest.approx(0.5, abs=0.02)
    assert lams.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.01)
