"""What a network costs: parameters, multiplications of one image, and the memory of a training step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from botzoo.models.preprocessing import Size

Forward = Callable[[int], Tensor]
"""Runs the network on so many images, as in training."""

MakeOptimizer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
"""Makes an optimizer like the run's over other groups."""


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters there are and how many of them are trained."""
    parameters = list(model.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def count_macs(model: nn.Module, size: Size, channels: int = 3) -> int:
    """Return the multiply-accumulates of one image of this ``size`` and so many channels.

    Convolutions and matrix products only, as papers count. Nothing is computed: the network runs on tensors without
    contents and is left as it was. BatchNorm, which takes half the time on such tensors, is passed by.
    """
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    with modes_kept(model), _NoBatchNorm(), FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()
        torch.func.functional_call(model, empty, (torch.empty(1, channels, *size, device="meta"),))
    return int(counter.get_total_flops()) // 2  # FLOPs count the multiplication and the addition


class _NoBatchNorm(TorchFunctionMode):
    """Gives what BatchNorm is given back, which has the same shape."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func is nn.functional.batch_norm else func(*args, **(kwargs or {}))


class _NoInitialisation(TorchFunctionMode):
    """Leaves tensors as they are where weights would be drawn for them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        drawn = func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", None) == nn.init.__name__
        # the tensor comes first, by its place or by its name
        return (args or [*(kwargs or {}).values()])[0] if drawn else func(*args, **(kwargs or {}))


@contextmanager
def on_meta() -> Iterator[None]:
    """Let networks be made of tensors without contents, in a fraction of the time that drawing none takes torch."""
    with torch.device("meta"), _NoInitialisation():
        yield


@dataclass(frozen=True)
class Memory:
    """Bytes that one process takes at the height of a training step, as an estimate.

    Weights, gradients and the optimizer's state are fp32. What libraries take for themselves, and gradients of
    activations, are not in it.
    """

    weights: int
    averaged_weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        return sum(asdict(self).values())


def estimate_memory(
    model: nn.Module, forward: Forward, make_optimizer: MakeOptimizer, micro_batch: int, *, averaged: bool = False
) -> Memory:
    """Estimate the memory of a training step with ``micro_batch`` images at once, from passes over one and over two.

    Frozen parameters of ``model`` have no gradients; with ``averaged`` an average of the weights is kept beside them.
    """
    weights = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    gradients = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    one, two = (saved_bytes(model, forward, images) for images in (1, 2))
    return Memory(
        weights,
        weights if averaged else 0,
        gradients,
        round(gradients * state_per_weight(make_optimizer, next(model.parameters()).device)),
        one + (micro_batch - 1) * (two - one),  # what does not grow with the batch, such as bf16 weights, counts once
    )


def saved_bytes(model: nn.Module, forward: Forward, images: int) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, the model's own tensors left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}  # holding them keeps each address from being used twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage
        return tensor

    with probing(model), saved_tensors_hooks(keep, lambda tensor: tensor):
        forward(images)
    return sum(storage.nbytes() for address, storage in kept.items() if address not in own)


def state_per_weight(make_optimizer: MakeOptimizer, device: torch.device) -> float:
    """Return the bytes that the optimizer keeps for each byte of weights, found by a step on a small matrix."""
    weight = nn.Parameter(torch.zeros(64, 64, device=device))
    weight.grad = torch.ones_like(weight)
    optimizer = make_optimizer([{"params": [weight], "weight_decay": 0.0, "lr_scale": 1.0}])
    optimizer.step()
    state = [value for of_one in optimizer.state_dict()["state"].values() for value in of_one.values()]
    return sum(value.nbytes for value in state if isinstance(value, Tensor) and value.numel() > 1) / weight.nbytes


@contextmanager
def probing(model: nn.Module) -> Iterator[None]:
    """Put ``model`` in training mode for passes that leave no trace, then back as it was.

    BatchNorm is in evaluation mode, so that it takes a single image and nothing is exchanged between processes.
    """
    with modes_kept(model):
        model.train()
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        yield


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Put every module back into the mode, training or evaluation, that it was in."""
    # of each one, as model.train() would put frozen BatchNorm into training too
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
