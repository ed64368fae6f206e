"""One optimizer step and one evaluation, the same on one process or many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from numpy.typing import NDArray
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from botzoo.errors import ConfigError
from botzoo.training.batch_norm import is_frozen
from botzoo.training.data import Batch, Preprocessing
from botzoo.training.imbalance import SKEWED, skew
from botzoo.training.objective import Objective
from botzoo.training.optim import Schedule, set_lr
from botzoo.tricks.paper_augment import paper_augment

KEPT = 1 << 28
"""At most so many bytes of log-probabilities are kept by each process: enough for 130,000 images of 1,000 classes."""


class Trainer:
    """Takes optimizer steps; everything random in step k depends on (seed, k, rank) alone.

    Args:
        accelerator: device, precision and processes.
        model: the bare network, already on the accelerator's device.
        optimizer: over the network's parameters; may be prepared by the accelerator only here.
        objective: targets and loss.
        preprocessing: normalises the images on the device.
        schedule: learning rate of each step; may be replaced between steps.
        seed: the run's seed.
        clip_grad: largest norm of the gradient, None for no clipping.
        ema_decay: decay of the averaged weights, None for no average.
        channels_last: memory format of the images.
        teacher: returns a teacher's logits (N, K), without gradients, of the network's input; None without distillation.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        objective: Objective,
        preprocessing: Preprocessing,
        schedule: Schedule,
        *,
        seed: int,
        clip_grad: float | None = None,
        ema_decay: float | None = None,
        channels_last: bool = True,
        teacher: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.accelerator, self.model, self.objective, self.teacher = accelerator, model, objective, teacher
        self.preprocessing, self.schedule, self.seed, self.clip_grad = preprocessing, schedule, seed, clip_grad
        self.ema = ModelEmaV3(model, decay=ema_decay, use_warmup=True, warmup_power=0.75) if ema_decay else None
        self.optimizer = accelerator.prepare_optimizer(optimizer)
        self.net: nn.Module | None = None
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    @property
    def judged(self) -> nn.Module:
        """The network that is evaluated and kept: the averaged one where there is one."""
        return self.ema.module if self.ema is not None else self.model

    def restart_average(self) -> None:
        """Let the averaged weights, where there are any, begin from the network as it is now."""
        if self.ema is not None:
            self.ema.module.load_state_dict(self.model.state_dict())

    def start_epoch(self, set_trainable: Callable[[nn.Module], bool]) -> None:
        """Let ``set_trainable`` freeze and unfreeze parameters, and wrap the network anew if it says that any changed.

        BatchNorm layers whose parameters are all frozen keep their statistics; requires_grad alone does not stop them.
        """
        if set_trainable(self.model) or self.net is None:
            if self.net is not None:
                self.accelerator.unwrap_model(self.net, keep_fp32_wrapper=False)
                self.accelerator._models.clear()  # or the old wrapper's gradient hooks would go on averaging
                vars(self.model).pop("_is_accelerate_prepared", None)  # or it would be left without autocast
            self.net = self.accelerator.prepare_model(self.model)
        self.net.train()
        for module in self.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and is_frozen(module):
                module.eval()

    def step(self, step: int, micro_batches: list[Batch]) -> Tensor:
        """Take optimizer step ``step``, counted from 0, on this process's micro-batches; return their mean loss, detached."""
        assert self.net is not None
        torch.manual_seed(_seed(self.seed, step, self.accelerator.process_index))
        set_lr(self.optimizer, self.schedule.lr(step))
        total = torch.zeros((), device=self.accelerator.device)
        for k, batch in enumerate(micro_batches):
            if k < len(micro_batches) - 1:
                with self.accelerator.no_sync(self.net):
                    total += self._backward(step, batch, len(micro_batches))
            else:
                total += self._backward(step, batch, len(micro_batches))
        if self.clip_grad is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update(self.model, step=step + 1)
        return total

    def _backward(self, step: int, batch: Batch, parts: int) -> Tensor:
        assert self.net is not None
        images, targets = self.inputs(step, batch)
        taught = self.teacher(images) if self.teacher is not None else None
        loss = self.objective.loss(self.net(images), targets, taught) / parts
        self.accelerator.backward(loss)
        return loss.detach()

    def inputs(self, step: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return what the network sees of a micro-batch in optimizer step ``step``, on the device, and its targets (N, K)."""
        device = self.accelerator.device
        images, labels, *colour = (tensor.to(device, non_blocking=True) for tensor in batch)
        return self.objective.prepare(self.normalise(images, *colour), labels, step)

    def normalise(self, images: Tensor, colour: Tensor | None = None) -> Tensor:
        """Return the network's input, float32, of uint8 images (N, 3, H, W) on the device, coloured where ``colour`` says."""
        p = self.preprocessing
        plain = p.normalise(images) if colour is None else paper_augment(images, colour, p.mean, p.std)
        return plain.contiguous(memory_format=self.memory_format)

    def probe(self, micro_batch: Batch) -> None:
        """Run a forward and backward pass of this process alone, leaving no trace, to learn whether the memory suffices.

        Everything is trained in it and room is taken for the optimizer's state, as it may be later in the run.
        """
        assert self.net is not None
        frozen = [p for p in self.model.parameters() if not p.requires_grad]
        with probing(self.model):
            try:
                self.model.requires_grad_(True)
                reserve = [torch.empty_like(p) for p in self.model.parameters() for _ in range(2)]
                images, labels = (tensor.to(self.accelerator.device) for tensor in micro_batch)
                images, targets = self.objective.prepare(self.normalise(images), labels, 0)
                taught = self.teacher(images) if self.teacher is not None else None
                loss = self.objective.loss(self.forward(images), targets, taught)
                torch.autograd.grad(loss, list(self.model.parameters()), allow_unused=True)
                del reserve
            finally:
                for parameter in frozen:
                    parameter.requires_grad_(False)

    def forward(self, images: Tensor, model: nn.Module | None = None) -> Tensor:
        """Return the logits of the bare network or ``model``, in the run's precision, for normalised images on the device."""
        with self.accelerator.autocast():
            logits: Tensor = (self.model if model is None else model)(images)
        return logits

    def state(self) -> dict[str, Any]:
        """Return every tensor that the rest of the run depends on."""
        scaler = self.accelerator.scaler
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what ``state`` returned."""
        self.model.load_state_dict(state["model"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])


@contextmanager
def probing(model: nn.Module) -> Iterator[None]:
    """Put ``model`` in training mode for passes that leave no trace, then back as it was.

    BatchNorm is in evaluation mode, so that it takes a single image and nothing is exchanged between processes.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        model.train()
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])


def fit_micro_batch(
    probe: Callable[[int], None],
    largest: int,
    say: Callable[[str], None],
    everywhere: Callable[[bool], bool] = lambda fits: fits,
) -> int:
    """Return the largest divisor of ``largest``, at each try at most half the last, that ``probe`` has GPU memory for.

    Args:
        probe: runs one pass over so many images; raises torch.OutOfMemoryError when memory does not suffice.
        largest: micro-batch to begin with, >= 1.
        say: is told of each halving.
        everywhere: tells whether it fits on every process, given whether it does on this one.

    Raises:
        ConfigError: not even one image fits.
    """
    size = largest
    while True:
        if everywhere(_fits(probe, size)):
            return size
        if size == 1:
            raise ConfigError("The GPU's memory does not suffice for one image: give a smaller --model or --img-size.")
        size = max(d for d in range(1, size // 2 + 1) if largest % d == 0)
        say(f"out of GPU memory: micro-batch halved to {size} images, the global batch stays the same")


def _fits(probe: Callable[[int], None], size: int) -> bool:
    try:
        probe(size)
    except torch.OutOfMemoryError:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return False
    return True


@dataclass(frozen=True)
class Evaluation:
    """What a network said of each image of a split.

    Attributes:
        labels: int64, shape (N,).
        predicted: int64, shape (N,), the likeliest class.
        in_top5: bool, shape (N,), whether the label is among the five likeliest classes.
        nll: float32, shape (N,), negative log-likelihood of the label, in nats.
        confidence: float32, shape (N,), probability of the likeliest class, in (0, 1].
        log_p: float16, shape (N, K), log-probabilities of all classes; None where they were not kept.
    """

    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    in_top5: NDArray[np.bool_]
    nll: NDArray[np.float32]
    confidence: NDArray[np.float32]
    log_p: NDArray[np.float16] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def correct(self) -> int:
        """Number of images classified right."""
        return int((self.labels == self.predicted).sum())

    @property
    def top1(self) -> float:
        """Accuracy in per cent."""
        return 100 * self.correct / len(self)

    @property
    def top5(self) -> float:
        """Share of images whose label is among the five likeliest, in per cent."""
        return 100 * float(self.in_top5.mean())

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood in nats."""
        return float(self.nll.mean())

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have images here, in per cent, as scikit-learn's ``balanced_accuracy_score``."""
        images, right = np.bincount(self.labels), np.bincount(self.labels, self.labels == self.predicted)
        return 100 * float((right[images > 0] / images[images > 0]).mean())

    @property
    def skewed(self) -> bool:
        """Whether the classes have so unequal numbers of images that top-1 says little of the small ones."""
        return skew(np.bincount(self.labels)) > SKEWED

    @property
    def score(self) -> float:
        """Top-1 accuracy in per cent: the figure that chooses the epoch."""
        return self.top1

    @property
    def figures(self) -> dict[str, float]:
        """What metrics.jsonl has of it: loss in nats, the others in per cent."""
        return {"loss": self.loss, "top1": self.top1, "top5": self.top5}

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the top-1 accuracy, in per cent."""
        return wilson(self.correct, len(self))


def wilson(correct: int, images: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of ``correct / images``, in per cent."""
    from scipy.stats import binomtest

    low, high = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    return 100 * float(low), 100 * float(high)


class Judged(Protocol):
    """What every evaluation has, of whatever task."""

    @property
    def score(self) -> float:
        """The figure that chooses the epoch, in per cent."""

    @property
    def loss(self) -> float:
        """In nats."""

    @property
    def figures(self) -> dict[str, float]:
        """What metrics.jsonl has of it."""

    def __len__(self) -> int: ...


class Task(Protocol):
    """What is asked of a network, and how its answers are judged.

    Attributes:
        problem_type: as transformers names it.
        figure: the one that chooses the epoch, in words.
        key: that figure in metrics.jsonl.
        metric: that figure as the Hub names it.
    """

    problem_type: str
    figure: str
    key: str
    metric: str

    def columns(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what is kept of a batch: float (N, columns), of float32 logits (N, K) and the labels."""

    def evaluation(self, table: NDArray[np.float64], log_p: NDArray[np.float16] | None) -> Any:
        """Return the evaluation, ``Judged``, of a whole split: of its columns and, where they were kept, ``log_p``."""


class SingleLabel:
    """The task of naming the one class of an image."""

    problem_type = "single_label_classification"
    figure = "top-1"
    key = "top1"
    metric = "accuracy"

    def columns(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the first five attributes of ``Evaluation``, float64 on a CPU, (N, 5)."""
        log_p = logits.log_softmax(1)
        top = log_p.topk(min(5, log_p.shape[1]), 1).indices
        hit = (top == labels[:, None]).any(1)
        nll = -log_p.gather(1, labels[:, None])[:, 0]
        figures = (labels, top[:, 0], hit, nll, log_p.amax(1).exp())
        return torch.stack([column.cpu().double() for column in figures], 1)  # MPS lacks float64

    def evaluation(self, table: NDArray[np.float64], log_p: NDArray[np.float16] | None) -> Evaluation:
        """Return the evaluation of a whole split."""
        return Evaluation(
            table[:, 0].astype(np.int64),
            table[:, 1].astype(np.int64),
            table[:, 2] > 0,
            table[:, 3].astype(np.float32),
            table[:, 4].astype(np.float32),
            log_p,
        )


SINGLE_LABEL = SingleLabel()


@torch.inference_mode()
def evaluate(
    accelerator: Accelerator,
    model: nn.Module,
    batches: Iterable[Batch],
    normalise: Callable[[Tensor], Tensor],
    total: int | None,
    keep_log_p: bool = False,
    task: Task = SINGLE_LABEL,
) -> Any:
    """Evaluate ``model`` on this process's ``batches`` and gather the results of all processes.

    Args:
        batches: this process's part of the split, in order, as ``eval_batches`` yields it.
        normalise: makes the network's input of uint8 images on the device.
        total: images in the whole split; the gathered count must be equal to it, unless it is None.
        keep_log_p: also return the log-probabilities of all classes, unless they would take more than ``KEPT`` on a process.
        task: judges the answers.

    Returns:
        The task's evaluation of the whole split in its own order, the same on every process: an ``Evaluation`` where each
        image has one class.
    """
    model.eval()
    if accelerator.num_processes > 1:  # BatchNorm's statistics are those of rank 0, as in the saved weights
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)
    rows: list[NDArray[np.float64]] = []
    kept = _Kept(keep_log_p)
    for images, labels in batches:
        labels = labels.to(accelerator.device)
        with accelerator.autocast():
            logits = model(normalise(images.to(accelerator.device, non_blocking=True)))
        rows.append(task.columns(logits.float(), labels).cpu().double().numpy())
        kept.add(logits)
    table = np.concatenate([row for process in gather_object([rows]) for row in process])
    assert total in (None, len(table)), "each image is evaluated exactly once"
    return task.evaluation(table, kept.gathered())


class _Kept:
    """Log-probabilities in half precision, precise where they count: near 0. Given up where they become too many."""

    def __init__(self, wanted: bool) -> None:
        self.parts: list[NDArray[np.float16]] | None = [] if wanted else None

    def add(self, logits: Tensor) -> None:
        if self.parts is not None:
            log_p = logits.float().log_softmax(1)
            self.parts.append(log_p.clamp_min(-60_000).cpu().numpy().astype(np.float16))
            if sum(part.nbytes for part in self.parts) > KEPT:
                self.parts = None

    def gathered(self) -> NDArray[np.float16] | None:
        """Return those of all processes, in their order, or None where any of them kept none."""
        found = gather_object([self.parts])
        if any(parts is None for parts in found):
            return None
        return np.concatenate([part for parts in found for part in parts])
