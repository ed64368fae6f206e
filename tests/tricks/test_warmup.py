"""Warmup against the paper's formula, eta * i / m for the i-th of m batches."""

import pytest

from botzoo.tricks.warmup import warmup


@pytest.mark.parametrize("m", [1, 2, 7, 500])
def test_the_ith_batch_gets_i_over_m(m: int) -> None:
    assert [warmup(i - 1, m) for i in range(1, m + 1)] == pytest.approx([i / m for i in range(1, m + 1)])


@pytest.mark.parametrize("step", [5, 6, 1000])
def test_it_is_1_from_its_end_on(step: int) -> None:
    assert warmup(step, 5) == 1.0


def test_no_warmup_is_1_from_the_first_step() -> None:
    assert warmup(0, 0) == 1.0
