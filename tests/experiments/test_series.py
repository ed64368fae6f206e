"""A run that is one of several: ended early from outside, and cut short before it began."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from botzoo.experiments.series import half_done
from botzoo.options.command_line import made
from botzoo.options.config import TrainConfig
from botzoo.training.run import train
from running import TINY


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    AcceleratorState._reset_state()


def test_a_run_ends_where_it_is_told_to_and_goes_no_further_when_resumed(photos: Path, tmp_path: Path) -> None:
    options = TINY | {
        "mixed_precision": "fp32",
        "batch_size": 16,
        "dataset": str(photos),
        "output": str(tmp_path / "run"),
    }
    config, asked = made(options, TrainConfig), []

    def carry_on(accuracies: list[float]) -> bool:
        asked.append(len(accuracies))
        return len(accuracies) < 2

    result = train(config, carry_on=carry_on)
    assert (result.steps, result.job.schedule.total_steps) == (6, 9)
    assert (result.model_folder / "model.safetensors").exists()
    assert train(config, resume=tmp_path / "run", carry_on=carry_on).steps == 6
    assert asked == [1, 2]


def test_a_folder_in_which_a_run_has_not_begun_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml.part").write_text("lr: 0.")
    assert not half_done(tmp_path / "run")
    assert not (tmp_path / "run").exists()
