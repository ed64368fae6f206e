"""Cosine decay against torch's scheduler, and at its ends."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from botzoo.tricks.cosine import cosine


@pytest.mark.parametrize("total", [1, 2, 13])
def test_it_is_torchs(total: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = CosineAnnealingLR(optimizer, total)
    theirs = []
    for _ in range(total):
        theirs.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert [cosine(t, total) for t in range(total)] == pytest.approx(theirs)


@pytest.mark.parametrize(("step", "factor"), [(0, 1), (50, 0.5), (100, 0)])
def test_start_middle_and_end(step: int, factor: float) -> None:
    assert cosine(step, 100) == pytest.approx(factor)
