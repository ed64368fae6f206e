"""A run that was killed and resumed ends as if nothing had happened."""

import json
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from running import SIGKILLED, TINY, final_weights, finetune, finetune_and_signal, run

STEPS = 3 * 6  # epochs x batches of 8 in the 48 images left for training


@pytest.fixture(scope="module")
def options(photos: Path) -> dict[str, Any]:
    return {**TINY, "dataset": str(photos)}


@pytest.fixture(scope="module")
def uninterrupted(options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert run(finetune, {**options, "output": str(folder)}) == 0
    return folder


def same_weights(a: Path, b: Path) -> bool:
    ours, theirs = final_weights(a), final_weights(b)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("at_step", random.Random(7).sample(range(1, STEPS), 2))
def test_killed_and_resumed_weights_are_identical_to_the_bit(
    workers: int, at_step: int, options: dict[str, Any], uninterrupted: Path, tmp_path: Path
) -> None:
    options = {**options, "output": str(tmp_path / "run"), "engine": {"workers": workers}}
    assert run(finetune_and_signal, options, signal.SIGKILL, at_step) == SIGKILLED
    assert run(finetune, options, options["output"]) == 0
    assert same_weights(tmp_path / "run", uninterrupted)


def test_killed_twice_the_metrics_are_those_of_one_run(
    options: dict[str, Any], uninterrupted: Path, tmp_path: Path
) -> None:
    options = {**options, "output": str(tmp_path / "run")}
    assert run(finetune_and_signal, options, signal.SIGKILL, 1) == SIGKILLED  # before the first checkpoint
    assert run(finetune_and_signal, options, signal.SIGKILL, 13, options["output"]) == SIGKILLED
    assert run(finetune, options, options["output"]) == 0
    assert losses(tmp_path / "run") == losses(uninterrupted)


def losses(folder: Path) -> list[tuple[int, str, float]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(record["step"], record["split"], record["loss"]) for record in records]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_writes_a_checkpoint_and_names_the_command_to_resume(
    number: int, status: int, options: dict[str, Any], uninterrupted: Path, tmp_path: Path
) -> None:
    options = {**options, "output": str(tmp_path / "run")}
    run(finetune_and_signal, options, number, 3)
    message, exit_status = json.loads((tmp_path / "run" / "stopped.json").read_text())
    assert (tmp_path / "run" / "checkpoints" / "step-00000003").is_dir()
    assert exit_status == status
    assert f"botzoo-finetune --resume {tmp_path / 'run'}" in message


def test_resuming_after_a_signal_gives_the_same_weights(
    options: dict[str, Any], uninterrupted: Path, tmp_path: Path
) -> None:
    options = {**options, "output": str(tmp_path / "run")}
    run(finetune_and_signal, options, signal.SIGTERM, 9)
    assert run(finetune, options, options["output"]) == 0
    assert same_weights(tmp_path / "run", uninterrupted)


def test_a_damaged_checkpoint_is_passed_over(options: dict[str, Any], uninterrupted: Path, tmp_path: Path) -> None:
    options = {**options, "output": str(tmp_path / "run")}
    run(finetune_and_signal, options, signal.SIGKILL, 11)
    newest = tmp_path / "run" / "checkpoints" / "step-00000010" / "tensors.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    assert run(finetune, options, options["output"]) == 0
    assert same_weights(tmp_path / "run", uninterrupted)
