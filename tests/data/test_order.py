"""Which images each process sees at which step, as a pure function."""

import pytest

from botzoo.data.order import Order


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_global_batch_is_the_same_for_any_number_of_processes(world_size: int, accumulate: int) -> None:
    plain = Order(images=37, batch_size=8, seed=5)
    for step in (0, 3, 4, 9):
        shares = [Order(37, 8, 5, rank, world_size, accumulate).micro_batches(step) for rank in range(world_size)]
        sizes = {len(batch) for share in shares for batch in share}
        assert sizes == {8 // world_size // accumulate}
        assert sorted(key for share in shares for batch in share for key in batch) == sorted(plain.global_batch(step))


def test_each_epoch_is_another_permutation() -> None:
    order = Order(images=40, batch_size=8, seed=0)
    epochs = [[key for step in range(5) for key in order.global_batch(5 * epoch + step)] for epoch in range(3)]
    for epoch, keys in enumerate(epochs):
        assert sorted(keys) == [(epoch, i) for i in range(40)]
    assert len({tuple(i for _, i in keys) for keys in epochs}) == 3


def test_the_seed_decides_the_order() -> None:
    batches = {tuple(Order(40, 8, seed).global_batch(0)) for seed in range(5)}
    assert len(batches) == 5


def test_images_that_fill_no_batch_are_left_out_of_that_epoch_only() -> None:
    order = Order(images=10, batch_size=4, seed=0)
    assert order.steps_per_epoch == 2
    seen = {i for step in range(40) for _, i in order.global_batch(step)}
    assert seen == set(range(10))
