"""Linear scaling against the paper's rule: 0.1 at a batch of 256, and in proportion."""

import pytest

from botzoo.tricks.linear_scaling import linear_scaling


@pytest.mark.parametrize(("batch_size", "lr"), [(256, 0.1), (1024, 0.4), (64, 0.025), (1, 0.1 / 256)])
def test_the_papers_rule(batch_size: int, lr: float) -> None:
    assert linear_scaling(0.1, batch_size) == pytest.approx(lr)


def test_another_base_batch() -> None:
    assert linear_scaling(0.003, 1024, base_batch_size=512) == pytest.approx(0.006)
