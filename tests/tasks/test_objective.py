"""The objective: cross-entropy as torch computes it, with the tricks applied to its targets in their order."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from botzoo.tasks.objective import Objective, cutmix, cutmix_box
from botzoo.tricks.distillation import distillation
from botzoo.tricks.label_smoothing import label_smoothing
from botzoo.tricks.mixup import mixup_lambda, partners


def batch() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 2, 2, generator=generator)
    return images, torch.tensor([0, 1, 2, 1]), torch.randn(4, 3, generator=generator)


def test_plain_it_is_torchs_cross_entropy() -> None:
    images, labels, logits = batch()
    objective = Objective(3)
    unchanged, targets = objective.prepare(images, labels, 0)
    assert unchanged is images
    torch.testing.assert_close(objective.loss(logits, targets), F.cross_entropy(logits, labels))


def test_with_label_smoothing_it_is_torchs_with_eps_k_over_k_minus_1() -> None:
    images, labels, logits = batch()
    objective = Objective(3, smoothing=0.1)
    _, targets = objective.prepare(images, labels, 0)
    expected = F.cross_entropy(logits, labels, label_smoothing=0.1 * 3 / 2)
    torch.testing.assert_close(objective.loss(logits, targets), expected)


def test_with_label_smoothing_over_all_classes_it_is_torchs() -> None:
    images, labels, logits = batch()
    objective = Objective(3, smoothing=0.1, smoothing_over="all")
    _, targets = objective.prepare(images, labels, 0)
    expected = F.cross_entropy(logits, labels, label_smoothing=0.1)
    torch.testing.assert_close(objective.loss(logits, targets), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_with_mixup_it_is_the_weighted_sum_of_two_losses(smoothing: float) -> None:
    images, labels, logits = batch()
    objective = Objective(3, smoothing=smoothing, mixup_alpha=0.2, seed=7)
    lam = mixup_lambda(0.2, seed=7, step=5)
    mixed, targets = objective.prepare(images, labels, 5)
    torch.testing.assert_close(mixed, lam * images + (1 - lam) * partners(images))
    losses = [F.cross_entropy(logits, label_smoothing(of, 3, smoothing)) for of in (labels, partners(labels))]
    torch.testing.assert_close(objective.loss(logits, targets), lam * losses[0] + (1 - lam) * losses[1])


def test_with_cutmix_it_is_the_loss_of_targets_mixed_by_area() -> None:
    images, labels, logits = batch()
    mixed, targets = Objective(3, smoothing=0.1, cutmix_alpha=1.0, seed=7).prepare(images, labels, 5)
    box = cutmix_box(1.0, 7, 5, 2, 2)
    expected = cutmix(images, label_smoothing(labels, 3, 0.1), *box)
    assert torch.equal(mixed, expected[0])
    torch.testing.assert_close(Objective(3).loss(logits, targets), F.cross_entropy(logits, expected[1]))


def test_with_a_teacher_it_is_distillation_up_to_a_constant() -> None:
    _, labels, logits = batch()
    objective = Objective(3, temperature=5.0, distill_weight=0.5)
    teacher, targets = 3 * logits.roll(1, 0), label_smoothing(labels, 3, 0.1)
    logits.requires_grad_()
    (ours,) = torch.autograd.grad(loss := objective.loss(logits, targets, teacher), logits)
    (papers,) = torch.autograd.grad(distillation(logits, teacher, targets, 5.0, 0.5), logits)
    torch.testing.assert_close(ours, papers)
    torch.testing.assert_close(objective.loss(teacher, targets, teacher), F.cross_entropy(teacher, targets))
    assert loss > F.cross_entropy(logits, targets)


def test_the_same_step_is_mixed_the_same_way_again() -> None:
    images, labels, _ = batch()
    first = Objective(3, mixup_alpha=0.2).prepare(images, labels, 9)[0]
    assert torch.equal(Objective(3, mixup_alpha=0.2).prepare(images, labels, 9)[0], first)


def test_the_loss_of_half_precision_logits_is_computed_in_float32() -> None:
    images, labels, logits = batch()
    _, targets = Objective(3).prepare(images, labels, 0)
    loss = Objective(3).loss(logits.bfloat16(), targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, F.cross_entropy(logits.bfloat16().float(), labels))
