"""One optimizer step, the same on one process or many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from botzoo.data.loader import Batch
from botzoo.models.cost import probing
from botzoo.models.layers import is_frozen
from botzoo.models.preprocessing import Preprocessing
from botzoo.tasks.objective import Objective
from botzoo.training.steps.optimizer import set_lr
from botzoo.training.steps.schedule import Schedule
from botzoo.training.steps.tricks import BatchTrick
from botzoo.tricks.paper_augment import paper_augment
from botzoo.util.private import forget_prepared


class Trainer:
    """Takes optimizer steps; everything random in step k depends on (seed, k, rank) alone.

    Args:
        model: the bare network, already on the accelerator's device.
        optimizer: over the network's parameters; prepared by the accelerator here unless another trainer has done so.
        objective: targets and loss.
        preprocessing: normalises the images on the device.
        schedule: learning rate of each step; may be replaced between steps.
        clip_grad, ema_decay: largest norm of the gradient; decay of the averaged weights; None for neither.
        teacher: returns a teacher's logits (N, K), without gradients, of the network's input; None without distillation.
        tricks: on each micro-batch, after mixing.
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
        tricks: Sequence[BatchTrick] = (),
    ) -> None:
        self.accelerator, self.model, self.objective, self.teacher = accelerator, model, objective, teacher
        self.tricks = tricks
        self.preprocessing, self.schedule, self.seed, self.clip_grad = preprocessing, schedule, seed, clip_grad
        # The decay warms up, so that the average of a short run forgets its first weights.
        self.ema = ModelEmaV3(model, decay=ema_decay, use_warmup=True, warmup_power=0.75) if ema_decay else None
        prepared = isinstance(optimizer, AcceleratedOptimizer)  # of a trainer that this one stands in for
        self.optimizer = optimizer if prepared else accelerator.prepare_optimizer(optimizer)
        self.net: nn.Module | None = None
        self._wrapped: list[bool] = []
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    @property
    def whole(self) -> Trainer:
        """The trainer of the whole network; itself unless only a part of the network is trained."""
        return self

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and kept: the averaged one where there is one."""
        return self.ema.module if self.ema is not None else self.model

    def restart_average(self) -> None:
        """Let the averaged weights, where there are any, begin from the network as it is now."""
        if self.ema is not None:
            self.ema.module.load_state_dict(self.model.state_dict())

    def start_epoch(self, *, anew: bool = False) -> None:
        """Put the network into training mode, wrapped anew where other parameters are trained than before, or if ``anew``.

        BatchNorm layers that keep their statistics, as those do whose parameters are all frozen, stay as in evaluation.
        """
        trained = [parameter.requires_grad for parameter in self.model.parameters()]
        if self.net is None or trained != self._wrapped or anew:
            if self.net is not None:
                self.accelerator.unwrap_model(self.net, keep_fp32_wrapper=False)
                forget_prepared(self.accelerator, self.model)
            self.net, self._wrapped = self.accelerator.prepare_model(self.model), trained
        self.net.train()
        for module in self.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and is_frozen(module):
                module.eval()

    def step(self, step: int, micro_batches: list[Batch]) -> Tensor:
        """Take optimizer step ``step``, counted from 0, on this process's micro-batches; return their mean loss, detached."""
        assert self.net is not None
        words = np.random.SeedSequence((self.seed, step, self.accelerator.process_index)).generate_state(1)
        torch.manual_seed(int(words[0]))
        set_lr(self.optimizer, self.schedule.lr(step))
        total = torch.zeros((), device=self.accelerator.device)
        for k, batch in enumerate(micro_batches, 1):
            # The processes sum their gradients once, with the last micro-batch.
            with nullcontext() if k == len(micro_batches) else self.accelerator.no_sync(self.net):
                loss = self._loss(self.net, *self.inputs(step, batch)) / len(micro_batches)
                self.accelerator.backward(loss)
                total += loss.detach()
        if self.clip_grad is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update(self.model, step=step + 1)
        return total

    def _loss(self, net: Callable[..., Any], images: Tensor, targets: Tensor) -> Tensor:
        taught = self.teacher(images) if self.teacher is not None else None
        return self.objective.step_loss(net, images, targets, taught)

    def inputs(self, step: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return what the network sees of a micro-batch in optimizer step ``step``, on the device, and its targets."""
        device = self.accelerator.device
        images, targets, *colour = (tensor.to(device, non_blocking=True) for tensor in batch)
        images, targets = self.objective.prepare(self.normalise(images, *colour), targets, step)
        for trick in self.tricks:
            images, targets = trick(images, targets, step, self.accelerator.process_index)
        return images, targets

    def normalise(self, images: Tensor, colour: Tensor | None = None) -> Tensor:
        """Return the network's input, float32, of uint8 images (N, C, H, W) on the device, coloured where ``colour`` says."""
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
                # Two tensors to a parameter, as Adam has; SGD with momentum takes one.
                reserve = [torch.empty_like(p) for p in self.model.parameters() for _ in range(2)]
                images, labels = (tensor.to(self.accelerator.device) for tensor in micro_batch)
                images, targets = self.objective.prepare(self.normalise(images), labels, 0)
                loss = self._loss(self.forward, images, targets)
                torch.autograd.grad(loss, list(self.model.parameters()), allow_unused=True)
                del reserve
            finally:
                for parameter in frozen:
                    parameter.requires_grad_(False)

    def forward(self, images: Tensor, *targets: Any, model: nn.Module | None = None) -> Any:
        """Return what the bare network or ``model`` says, in the run's precision, of normalised images on the device.

        ``targets`` are given to networks that want them in training.
        """
        with self.accelerator.autocast():
            return (self.model if model is None else model)(images, *targets)

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
