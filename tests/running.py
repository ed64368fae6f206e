"""Training in processes of their own, forked from one that has imported everything, so that they can be killed cheaply."""

import json
import logging
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from safetensors.torch import load_file
from torch import Tensor

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["botzoo_finetune.run", "sklearn.model_selection", "torchvision.datasets"])

TINY = {
    "model": "test_resnet",
    "scratch": True,
    "img_size": 32,
    "epochs": 3,
    "batch_size": 8,
    "lr": 0.5,
    "checkpoint_every": 2,
    "mixup": 0.2,
    "cutmix": 1.0,
    "ema": 0.9,
    "mixed_precision": "bf16",
    "report": False,
}
"""A run of a few seconds that uses whatever has a state: momentum, averaged weights, mixing, BatchNorm."""

DENSE = {
    **{"task": "segment", "img_size": (32, 64), "batch_size": 4, "mixup": 0.0, "cutmix": 0.0},
    **{"optimizer": "adamw", "lr": 0.5, "ema": 0.3},
}
"""What of ``TINY`` is another for masks."""

BOXES = {**DENSE, "task": "detect", "img_size": (64, 96), "lr": 0.02, "epochs": 1}
"""The same for boxes, which take longer."""

QUICK = (
    *("--model", "test_resnet", "--scratch", "--img-size", "32", "--epochs", "1", "--batch-size", "16"),
    *("--mixed-precision", "fp32", "--optimizer", "sgd", "--lr", "0.2", "--no-report"),
)
"""The words of a command that trains for a moment."""


def command(*words: object) -> int:
    """Do in this process what ``botzoo-finetune`` does with these words; return its exit status."""
    from botzoo_finetune import cli

    argv, handlers = [cli.PROG, *map(str, words)], logging.getLogger("botzoo").handlers
    before = list(handlers)
    try:
        with patch.object(sys, "argv", argv), pytest.raises(SystemExit) as end:
            cli.main()
    finally:
        handlers[:] = before  # that of the terminal writes to a stream that pytest closes
    status = end.value.code
    assert isinstance(status, int)
    return status


def quick_command(*words: object) -> int:
    """Do in this process what ``botzoo-finetune`` does with these words, quickly; return its exit status."""
    return command(*QUICK, *words)


def run(body: Callable[..., None], *args: Any, env: dict[str, str] | None = None) -> int:
    """Run ``body`` in a process of its own; return its exit status, negative for a signal."""
    return run_all([(body, args, env or {})])[0]


def run_all(jobs: list[tuple[Callable[..., None], tuple[Any, ...], dict[str, str]]]) -> list[int]:
    processes = [context.Process(target=_child, args=job) for job in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    return [process.exitcode if process.exitcode is not None else 999 for process in processes]


def run_distributed(world_size: int, body: Callable[..., None], *args: Any) -> list[int]:
    """Run ``body`` in ``world_size`` processes with the environment that torchrun gives them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    return run_all([(body, args, {**common, "RANK": str(r), "LOCAL_RANK": str(r)}) for r in range(world_size)])


def _child(body: Callable[..., None], args: tuple[Any, ...], env: dict[str, str]) -> None:
    import torch

    os.environ.update(env)
    torch.set_num_threads(1)
    body(*args)
    sys.stdout.flush()


def finetune(options: dict[str, Any], resume: str | None = None) -> None:
    """Fine-tune in this process, or go on with the run in the folder ``resume``, as its own config.yaml says."""
    from botzoo.options.command_line import load_config, made
    from botzoo_finetune.config import FinetuneConfig
    from botzoo_finetune.run import execute

    folder = Path(resume) if resume else None
    config = load_config(folder / "config.yaml", FinetuneConfig) if folder else made(options, FinetuneConfig)
    execute(config, command="botzoo-finetune", resume=folder)


def bare(options: dict[str, Any], resume: str | None = None, *callbacks: Any) -> Any:
    """Fine-tune as ``finetune`` does, but for looking at the data before it and for the card after it; return the ``Run``.

    What is given is said to be given by the user.
    """
    from botzoo.api import all_callbacks
    from botzoo.options.command_line import load_config, made
    from botzoo.results.report import Report
    from botzoo.training.run import train
    from botzoo.util.nested import flat
    from botzoo_finetune.config import FinetuneConfig
    from botzoo_finetune.doctor.check import QuickCheck
    from botzoo_finetune.run import transfer

    folder = Path(resume) if resume else None
    config = load_config(folder / "config.yaml", FinetuneConfig) if folder else made(options, FinetuneConfig)
    every = all_callbacks(config, transfer(config), callbacks)
    kept = [callback for callback in every if not isinstance(callback, Report | QuickCheck)]
    return train(config, kept, given=[*flat(options)], command="botzoo-finetune", resume=folder)


def finetune_and_signal(
    options: dict[str, Any], number: int, at_step: int, resume: str | None = None, how: Callable[..., Any] = finetune
) -> None:
    """Fine-tune, and send this process the signal ``number`` right after it took optimizer step ``at_step``."""
    from botzoo.errors import StoppedError

    signal_at_step(number, at_step, total=False)
    try:
        how(options, resume)
    except StoppedError as stopped:
        Path(options["output"], "stopped.json").write_text(json.dumps([str(stopped), stopped.exit_status]))


def signal_at_step(number: int, at_step: int, *, total: bool) -> None:
    """Send this process the signal ``number`` after optimizer step ``at_step``, of a run or, if ``total``, of all together."""
    from botzoo.training.steps.trainer import Trainer

    take, taken = Trainer.step, []

    def step(self: Trainer, k: int, batches: Any) -> Tensor:
        loss = take(self, k, batches)
        taken.append(k)
        if (len(taken) if total else k + 1) == at_step:
            os.kill(os.getpid(), number)
        return loss

    Trainer.step = step  # type: ignore[method-assign]


def train_one_epoch(photos: Path, folder: Path) -> Path:
    """Train for an epoch in this process, on images of which some are set aside; return the folder of the finished run."""
    return train_briefly(photos, folder, epochs=1)


def train_briefly(photos: Path, folder: Path, **changed: Any) -> Path:
    """Train in this process as TINY says, but for what is ``changed``; return the folder of the finished run."""
    from botzoo.api import run_training
    from botzoo.options.command_line import made
    from botzoo.options.config import TrainConfig

    options = {**TINY, "mixed_precision": "fp32", "dataset": str(photos), "output": str(folder), **changed}
    run_training(made(options, TrainConfig), command="botzoo train --scratch")
    return folder


def final_weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model" / "model.safetensors")


SIGKILLED = -signal.SIGKILL


def write_teacher(folder: Path, name: str = "test_resnet", size: int = 32, classes: int = 3) -> Path:
    """Write the model folder of a network with random weights and BatchNorm statistics, for class0, class1, ..."""
    import torch

    from botzoo.models.create import create_model
    from botzoo.models.folder import write_model_folder
    from botzoo.models.preprocessing import Preprocessing

    torch.manual_seed(5)
    model = create_model(name, classes, scratch=True, img_size=size, zero_gamma=False).model
    for _ in range(3):
        model.train()(torch.randn(8, 3, size, size))
    names = tuple(f"class{k}" for k in range(classes))
    preprocessing = Preprocessing(size, (0.45, 0.5, 0.55), (0.25, 0.3, 0.2), 1.0, "bilinear")
    write_model_folder(folder, model, preprocessing, names, tag="teacher", license="mit")
    return folder
