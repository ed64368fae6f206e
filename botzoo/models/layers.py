"""Which layers a network has: its classifier, and its BatchNorm layers with their statistics."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn


def head_names(model: nn.Module) -> list[str]:
    """Return the names of the classifier's parameters."""
    classifier = model.get_classifier()  # type: ignore[operator]
    parts = classifier if isinstance(classifier, tuple) else (classifier,)
    ours = {id(p) for part in parts if isinstance(part, nn.Module) for p in part.parameters()}
    return [name for name, parameter in model.named_parameters() if id(parameter) in ours]


def linear_classifier(model: nn.Module) -> nn.Linear | None:
    """Return the one linear layer that is the classifier of a network of timm, None where it is something else."""
    found = getattr(model, "get_classifier", lambda: None)()
    return found if isinstance(found, nn.Linear) else None


@contextmanager
def features_seen(model: nn.Module) -> Iterator[list[Tensor]]:
    """Give the list of what the classifier takes in each pass within the block: pooled features, float32 (N, D).

    It stays empty where the classifier is no linear layer, or takes features that are not pooled.
    """
    seen: list[Tensor] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].ndim == 2:
            seen.append(inputs[0].detach().float())

    layer = linear_classifier(model)
    hook = layer.register_forward_pre_hook(note) if layer is not None else None
    try:
        yield seen
    finally:
        if hook is not None:
            hook.remove()


IMAGES = 2048  # so many, or all of an epoch, are enough to measure the statistics on


def keep_statistics(model: nn.Module) -> bool:
    """Let the BatchNorm layers of a network's body keep their statistics in training, too; tell whether it has any.

    Those of a classifier are left out: it may be new, and its statistics of nothing yet.
    """
    classifier = model.get_classifier()  # type: ignore[operator]
    parts = classifier if isinstance(classifier, tuple) else (classifier,)
    new = {id(module) for part in parts if isinstance(part, nn.Module) for module in part.modules()}
    every = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in every if id(norm) not in new]
    for norm in norms:
        norm.keeps_statistics = True  # type: ignore[assignment]
    return bool(norms)


def is_frozen(norm: nn.Module) -> bool:
    """Tell whether a BatchNorm layer keeps its statistics: it was told to, or has parameters and none of them is trained."""
    parameters = list(norm.parameters())
    untrained = bool(parameters) and not any(p.requires_grad for p in parameters)
    return untrained or getattr(norm, "keeps_statistics", False)


def trained_norms(model: nn.Module) -> list[str]:
    """Return the names of the BatchNorm layers whose statistics follow the training images."""
    norms = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return [name for name, norm in norms if norm.running_mean is not None and not is_frozen(norm)]


def measuring_steps(batch_size: int, steps_per_epoch: int) -> int:
    """Return how many training steps have images enough to measure statistics on."""
    return min(steps_per_epoch, -(-IMAGES // batch_size))


@torch.no_grad()
def measure_norms(
    norms: Iterable[nn.Module], network: Callable[[Tensor], object], batches: Iterable[Tensor], accelerator: Accelerator
) -> None:
    """Set the running mean and variance of ``norms`` to the mean of those of all batches, over all processes.

    Everything else of the network answers as in evaluation: other BatchNorm layers keep their statistics, nothing drops
    out. ``torch.optim.swa_utils.update_bn`` would reset all of them, and put the whole network in training mode.

    Args:
        norms: BatchNorm layers of the network.
        network: passes images through the whole of it, which is in evaluation mode.
        batches: this process's images as the network takes them, float32 (N, C, H, W), on its device.
    """
    measured: list[Any] = list(norms)
    momenta = [norm.momentum for norm in measured]
    for norm in measured:
        norm.reset_running_stats()  # and its count of batches, which the plain mean goes by
        norm.momentum = None  # the plain mean of all batches
        norm.train()
    for images in batches if measured else ():
        network(images)
    for norm, momentum in zip(measured, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
        for statistic in (norm.running_mean, norm.running_var):
            statistic.copy_(accelerator.reduce(statistic, "mean"))
