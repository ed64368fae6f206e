"""A run that was killed and resumed ends as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from running import SIGKILLED, TINY, context, final_weights, finetune, finetune_and_signal, run, write_teacher

STEPS = 3 * 6  # epochs x batches of 8 in the 48 images left for training


@pytest.fixture(scope="module")
def options(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    teacher = write_teacher(tmp_path_factory.mktemp("teacher"))
    new = {"drop_rate": 0.2, "xavier_init": True, "distillation": f"local-dir:{teacher}"}
    new |= {"data": {"train_scale": 1.5, "train_scale_epochs": 1}}
    return {**TINY, **new, "dataset": str(photos)}


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


def test_a_signal_to_the_whole_group_spares_the_workers(options: dict[str, Any], tmp_path: Path) -> None:
    options = {**options, "output": str(tmp_path / "run"), "engine": {"workers": 2}, "epochs": 400}
    process = context.Process(target=own_group, args=(options,))
    process.start()
    while not list((tmp_path / "run").glob("checkpoints/step-*")):
        time.sleep(0.1)
    subprocess.run(["kill", "-TERM", "--", f"-{process.pid}"], check=True)  # not from this process, the workers' parent
    process.join(60)
    assert json.loads((tmp_path / "run" / "stopped.json").read_text())[1] == 143


def own_group(options: dict[str, Any]) -> None:
    os.setsid()
    finetune_and_signal(options, signal.SIGTERM, -1)


def test_damaged_best_weights_are_replaced_by_the_last(options: dict[str, Any], tmp_path: Path) -> None:
    options = {**options, "output": str(tmp_path / "run")}
    run(finetune_and_signal, options, signal.SIGKILL, STEPS - 1)
    best = tmp_path / "run" / "checkpoints" / "best.safetensors"
    best.write_bytes(best.read_bytes()[:-100])
    newest = tmp_path / "run" / "checkpoints" / f"step-{STEPS - 2:08d}"
    progress = json.loads((newest / "state.json").read_text())
    progress["progress"]["best_accuracy"] = 101.0  # so that the last epoch does not write it anew
    (newest / "state.json").write_text(json.dumps(progress))
    assert run(finetune, options, options["output"]) == 0
    assert "best weights in" in (tmp_path / "run" / "log.txt").read_text()
