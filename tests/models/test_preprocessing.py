"""How pixels become the input of a network, and how large training crops are."""

import pytest
import torch

from botzoo.models.preprocessing import Preprocessing

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_normalising_keeps_channels_last_and_leaves_its_input() -> None:
    batch = torch.randint(0, 256, (2, 5, 5, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    before = batch.clone()
    normalised = Preprocessing(5, *IMAGENET, 1.0, "bilinear").normalise(batch)
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch, before)


def test_normalising_first_in_inference_leaves_nothing_that_training_cannot_use() -> None:
    preprocessing = Preprocessing(5, (0.123, 0.456, 0.406), (0.229, 0.224, 0.225), 1.0, "bilinear")
    batch = torch.zeros(2, 3, 5, 5, dtype=torch.uint8)
    with torch.inference_mode():
        preprocessing.normalise(batch)
    trained = torch.ones(2, 3, 5, 5, requires_grad=True)
    preprocessing.normalise(trained * 1).sum().backward()
    assert trained.grad is not None


@pytest.mark.parametrize(
    ("size", "fixed", "trained"), [(64, False, 48), (224, False, 160), (32, False, 32), (224, True, 224)]
)
def test_training_crops_are_smaller_unless_the_size_is_fixed(size: int, fixed: bool, trained: int) -> None:
    preprocessing = Preprocessing(size, (0.5,) * 3, (0.5,) * 3, 1.0, "bilinear", fixed_size=fixed)
    assert preprocessing.train_size(0.75).side == trained
