"""Mixup against timm's for the same lambda, and lambda against the moments of the Beta distribution."""

import numpy as np
import pytest
import torch
from timm.data import Mixup
from torch import Tensor
from torch.nn import functional as F

from botzoo.errors import ConfigError
from botzoo.tricks.mixup import mixup, mixup_lambda, partners


def batch(n: int = 6) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(n) % 4


def test_it_is_timms_for_the_same_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = batch()
    timms = Mixup(mixup_alpha=0.2, label_smoothing=0.0, num_classes=4)
    monkeypatch.setattr(timms, "_params_per_batch", lambda: (0.3, False))
    order = [0, 1, 2, 5, 4, 3]  # in which ours pairs those that timm pairs; it undoes itself
    mixed, targets = mixup(images[order], F.one_hot(labels[order], 4).float(), 0.3)
    theirs, their_targets = timms(images.clone(), labels)
    torch.testing.assert_close(mixed[order], theirs)
    torch.testing.assert_close(targets[order], their_targets)


@pytest.mark.parametrize("n", [2, 3, 6, 7])
def test_only_mixed_examples_come_back(n: int) -> None:
    images, _ = batch(n)
    mixed, targets = mixup(images, torch.eye(n), 0.6)
    assert mixed.shape == images.shape
    assert not any(torch.allclose(mixed[i], images[j]) for i in range(n) for j in range(n))
    assert bool((targets.max(1).values < 1).all())


@pytest.mark.parametrize("n", [2, 3, 6, 7])
def test_every_example_is_a_partner_once_and_of_another(n: int) -> None:
    order = partners(torch.arange(n)).tolist()
    assert sorted(order) == list(range(n))
    assert all(i != k for i, k in enumerate(order))


def test_one_example_has_no_partner() -> None:
    with pytest.raises(ConfigError, match=r"here it has 1: give a larger --engine.micro-batch or --batch-size"):
        mixup(*batch(1), 0.5)


@pytest.mark.parametrize(("lam", "order"), [(1.0, [0, 1, 2]), (0.0, [1, 2, 0])])
def test_lambda_1_keeps_the_batch_and_0_gives_the_partners(lam: float, order: list[int]) -> None:
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
