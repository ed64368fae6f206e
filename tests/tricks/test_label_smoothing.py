"""Label smoothing against the paper's equation 4, and against torch's, which spreads eps over all K classes."""

from typing import Any

import pytest
import torch
from timm.loss import LabelSmoothingCrossEntropy
from torch.nn import functional as F

from botzoo.tricks.label_smoothing import label_smoothing

LABELS = torch.tensor([2, 0, 1, 2])


@pytest.mark.parametrize("k", [3, 10])
def test_the_papers_formula(k: int) -> None:
    targets = label_smoothing(LABELS, k, 0.1)
    for row, label in zip(targets, LABELS, strict=True):
        expected = [0.9 if i == label else 0.1 / (k - 1) for i in range(k)]
        assert row.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("eps", [0.0, 0.1, 0.5])
def test_torchs_loss_with_eps_k_over_k_minus_1(eps: float) -> None:
    k = 5
    logits = torch.randn(4, k, generator=torch.Generator().manual_seed(0))
    ours = F.cross_entropy(logits, label_smoothing(LABELS, k, eps))
    torch.testing.assert_close(ours, F.cross_entropy(logits, LABELS, label_smoothing=eps * k / (k - 1)))


@pytest.mark.parametrize("eps", [0.0, 0.1, 0.5])
def test_over_all_classes_it_is_torchs_and_timms(eps: float) -> None:
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    ours = F.cross_entropy(logits, label_smoothing(LABELS, 5, eps, "all"))
    torch.testing.assert_close(ours, F.cross_entropy(logits, LABELS, label_smoothing=eps))
    torch.testing.assert_close(ours, LabelSmoothingCrossEntropy(eps)(logits, LABELS))


def test_over_all_classes_it_is_eps_k_minus_1_over_k_over_the_others() -> None:
    torch.testing.assert_close(label_smoothing(LABELS, 5, 0.1, "all"), label_smoothing(LABELS, 5, 0.08, "others"))


def test_eps_0_is_one_hot() -> None:
    assert torch.equal(label_smoothing(LABELS, 4, 0.0), F.one_hot(LABELS, 4).float())


@pytest.mark.parametrize("over", ["others", "all"])
def test_rows_sum_to_1_in_float32(over: Any) -> None:
    targets = label_smoothing(LABELS, 7, 0.3, over)
    assert targets.dtype == torch.float32
    torch.testing.assert_close(targets.sum(1), torch.ones(4))
