"""What one network gains over another on the same images, against what must hold of any two."""

import numpy as np
import pytest
import torch

from botzoo.tasks.classification import CLASSIFICATION
from botzoo.tasks.multi_label import MULTI_LABEL
from botzoo.tasks.task import Evaluation, Task

pytestmark = pytest.mark.slow  # all of them together


def two(task: Task, seed: int, images: int) -> tuple[Evaluation, Evaluation]:
    """Return what two networks say of the same random images, the first of which is the better one."""
    rng = np.random.default_rng(seed)
    truth = np.eye(4)[rng.integers(4, size=images)]
    labels = torch.from_numpy(truth.argmax(1) if task.one_label else truth.astype(np.uint8))
    logits = [torch.from_numpy((share * truth + rng.normal(size=(images, 4))).astype(np.float32)) for share in (2, 1)]
    better, worse = (task.evaluation(task.answers(said, labels)) for said in logits)
    return better, worse


@pytest.mark.parametrize("task", [CLASSIFICATION, MULTI_LABEL], ids=lambda task: task.name)
@pytest.mark.parametrize("images", [40, 400])
@pytest.mark.parametrize("seed", range(3))
def test_a_gain_is_a_loss_the_other_way_round(task: Task, images: int, seed: int) -> None:
    better, worse = two(task, seed, images)
    gain, low, high = better.gain(worse)
    assert low < gain < high
    assert gain == pytest.approx(better.score - worse.score)
    assert worse.gain(better) == pytest.approx((-gain, -high, -low))


@pytest.mark.parametrize("task", [CLASSIFICATION, MULTI_LABEL], ids=lambda task: task.name)
def test_pairing_tells_more_than_two_intervals(task: Task) -> None:
    better, worse = two(task, 0, 400)
    _, low, high = better.gain(worse)
    assert high - low < sum(top - bottom for bottom, top in (better.interval(), worse.interval()))


@pytest.mark.parametrize("images", [1, 40, 400])
def test_no_difference_of_few_images_may_be_one_of_many(images: int) -> None:
    same, _ = two(CLASSIFICATION, 0, images)
    gain, low, high = same.gain(same)
    assert gain == 0
    assert high == -low == pytest.approx(100 * 1.96 / (images + 2), rel=1e-3)
