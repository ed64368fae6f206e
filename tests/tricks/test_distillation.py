"""Distillation against torch: two cross-entropies, or one of them and T^2 times a Kullback-Leibler divergence."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from botzoo.tricks.distillation import distillation, distillation_floor


def batch(scale: float = 3.0, classes: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of the student and of the teacher, and mixed targets."""
    generator = torch.Generator().manual_seed(0)
    z, r, p = (scale * torch.randn(6, classes, generator=generator) for _ in range(3))
    return z.requires_grad_(), r, p.softmax(1)


def by_hand(z: Tensor, r: Tensor, p: Tensor, t: float = 20.0, weight: float = 1.0) -> Tensor:
    """The paper's formula, logarithm by logarithm, in float64."""
    z, r, p = z.double(), r.double(), p.double()
    label = -(p * z.softmax(1).log()).sum(1)
    teacher = -((r / t).softmax(1) * (z / t).softmax(1).log()).sum(1)
    return (label + weight * t**2 * teacher).mean()


@pytest.mark.parametrize(("t", "weight"), [(20.0, 1.0), (1.0, 1.0), (4.0, 0.5)])
def test_it_is_the_papers_formula(t: float, weight: float) -> None:
    z, r, p = batch()
    loss = distillation(z, r, p, t, weight)
    assert loss.item() == pytest.approx(by_hand(z, r, p, t, weight).item(), rel=1e-6)


def test_the_papers_constants_are_the_defaults() -> None:
    z, r, p = batch()
    assert torch.equal(distillation(z, r, p), distillation(z, r, p, temperature=20.0, weight=1.0))


def divergence(z: Tensor, r: Tensor, t: float) -> Tensor:
    soft, log_soft = (r / t).log_softmax(1), (z / t).log_softmax(1)
    return t**2 * F.kl_div(log_soft, soft, log_target=True, reduction="batchmean")


def test_above_its_floor_it_is_torchs_cross_entropy_and_divergence() -> None:
    z, r, p = batch()
    loss = distillation(z, r, p) - distillation_floor(r)
    torch.testing.assert_close(loss, F.cross_entropy(z, p) + divergence(z, r, 20), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("t", [1.0, 20.0])
def test_its_gradient_is_that_of_the_divergence(t: float) -> None:
    z, r, p = batch()
    (ours,) = torch.autograd.grad(distillation(z, r, p, t), z)
    (theirs,) = torch.autograd.grad(F.cross_entropy(z, p) + divergence(z, r, t), z)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_student_that_answers_as_its_teacher_is_at_the_floor() -> None:
    _, r, p = batch()
    torch.testing.assert_close(distillation(r, r, p) - F.cross_entropy(r, p), distillation_floor(r))


def test_the_floor_of_a_teacher_that_knows_nothing_is_t_squared_ln_k() -> None:
    assert float(distillation_floor(torch.zeros(2, 100))) == pytest.approx(400 * math.log(100))


def test_the_teacher_learns_nothing() -> None:
    z, r, p = batch()
    distillation(z, r.requires_grad_(), p).backward()
    assert r.grad is None


def test_certain_answers_give_a_finite_loss_and_gradient() -> None:
    z, r, p = batch(scale=1000.0)
    loss = distillation(z, r, p, 1.0) - distillation_floor(r, 1.0)
    loss.backward()
    assert bool(loss.isfinite())
    assert bool(z.grad.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_reckoned_in_float32_under_autocast_too(dtype: torch.dtype) -> None:
    z, r, p = (tensor.detach() for tensor in batch())
    z, r = z.to(dtype), r.to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        loss = distillation(z, r, p)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(by_hand(z, r, p)), rel=1e-6)
