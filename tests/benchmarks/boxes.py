"""Speed of detection and segmentation, as ratios within one run: see ``throughput.py`` for how they are taken.

    python tests/benchmarks/boxes.py FOLDER [detect|segment]     # a data set with boxes, or with masks

- loop: our training step, decoding, augmentation and data loading included, against the bare step of the same network on
  tensors that are already there, in the same precision. 1 would be no cost at all.
- metric: the figures of an evaluation, without intervals, against all of the evaluation.
- inference: answers in pixels of the pictures, decoding and resizing included, against the bare forward pass of the network on
  as many tensors that are already there, in fp32.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import time
from collections.abc import Callable

import torch
from throughput import in_turn, show

from botzoo.data.images import Images
from botzoo.inference.dense.predictor import DensePredictor
from botzoo.options.command_line import made
from botzoo.training.autotune.memory import keep_freed_memory
from botzoo.training.run import evaluate_split
from botzoo.training.setup import set_up
from botzoo.training.state import Run
from botzoo.training.steps.evaluation import gathered_answers
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.run import transfer


def ready(folder: str, task: str) -> Run:
    config = made({"dataset": folder, "task": task, "steps": 100_000}, FinetuneConfig)
    return set_up(config, transfer(config), {"dataset", "task", "steps"})


def bare_step(run: Run) -> Callable[[], None]:
    """The step that any loop has to take, on one batch that is normalised and on the device."""
    trainer, (batch, *_) = run.trainer, next(iter(run.feed.train_batches(run.order, 0, 1)))
    images, targets = trainer.inputs(0, batch)
    images = torch.randn_like(images)

    def step() -> None:
        loss = trainer.objective.step_loss(trainer.net, images, targets)  # type: ignore[arg-type]
        trainer.accelerator.backward(loss)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()

    return step


def loop(run: Run, rounds: int, steps: int) -> None:
    run.trainer.start_epoch()  # an evaluation leaves the network in its own mode
    batches, count = run.feed.train_batches(run.order, 0, 10**6), itertools.count()
    ours, least = in_turn((lambda: run.trainer.step(next(count), next(batches)), bare_step(run)), rounds, steps)
    show(f"loop / bare step, images/s, {run.precision.name}", least, ours)


def metric(run: Run) -> None:
    evaluate_split(run, "validation")  # what is loaded and compiled for the first
    began = time.perf_counter()
    batches, images = run.feed.eval_batches(run.order, "validation"), run.images["validation"]
    how = run.accelerator, run.trainer.evaluated, batches, run.trainer.normalise, images.evaluated, run.task
    answers = gathered_answers(*how)
    passed = time.perf_counter()
    figures = run.task.evaluation(answers).figures
    end = time.perf_counter()
    print(f"metric / evaluation {(end - passed) / (end - began):.3f} of {end - began:.1f} s: {figures}", flush=True)


def inference(run: Run, rounds: int) -> None:
    device, p, images = run.accelerator.device, run.preprocessing, run.images["validation"]
    assert isinstance(images, Images)
    net = copy.deepcopy(run.model).eval()
    predictor = DensePredictor("the network", net, run.task, p, run.data.class_names, device)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures, most = [images.split.read(i) for i in range(len(images))], predictor.batch_size
    sizes = [min(most, len(pictures) - first) for first in range(0, len(pictures), most)]
    tensors = [torch.randn(n, p.channels, *p.shape, device=device) for n in sizes]
    batches = [each.contiguous(memory_format=torch.channels_last) for each in tensors]

    @torch.inference_mode()
    def bare() -> None:
        for batch in batches:
            net(batch)

    ours, least = in_turn((lambda: list(predictor(pictures)), bare), rounds, 1)
    show("inference / bare forward, images/s, fp32", least, ours)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("task", nargs="?", default="detect", choices=("detect", "segment"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4, help="steps in a round")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    keep_freed_memory()
    run = ready(options.folder, options.task)
    metric(run)
    inference(run, options.rounds)
    loop(run, options.rounds, options.steps)
