"""What a run settles by itself before its first step."""

import pytest

from botzoo.options.config import TrainConfig
from botzoo.training.setup import _usual_crop


@pytest.mark.parametrize(
    ("paper", "mirrored", "epochs", "crop"),
    [
        *((True, True, 120, 0.08), (True, False, 3, 0.08)),
        *((False, False, 3, 0.8), (False, False, 30, 0.8)),
        *((False, True, 9, 0.7), (False, True, 10, 0.35)),
    ],
)
def test_crops_suit_the_data_and_the_length_of_the_run(paper: bool, mirrored: bool, epochs: int, crop: float) -> None:
    assert _usual_crop(TrainConfig(paper_augment=paper), mirrored, epochs) == crop
