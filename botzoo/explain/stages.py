"""The stages of a network, each a module whose output is a map of features, and a pass that is watched at one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from botzoo.models.preprocessing import Size

CELLS = 7
"""Cells along each side that a map needs to show where: those of a ResNet's last stage at 224 pixels."""


@dataclass(frozen=True)
class Stage:
    """A module of a network and the shape of what it gives for one image: channels, height and width in cells."""

    name: str
    channels: int
    height: int
    width: int

    def maps(self, output: Any) -> Tensor | None:
        """Return the module's output as (N, C, h, w), None where it does not have this stage's shape.

        It may be channels last, as in Swin Transformers, or tokens with some in front that stand for no cell, as the class
        token of a ViT.
        """
        given, cells = tensor_in(output), self.height * self.width
        if given is None:
            return None
        if given.ndim == 4 and given.shape[1:] == (self.channels, self.height, self.width):
            return given
        if given.ndim == 4 and given.shape[1:] == (self.height, self.width, self.channels):
            return given.permute(0, 3, 1, 2)
        if given.ndim == 3 and given.shape[2] == self.channels and given.shape[1] >= cells:
            tokens = given[:, given.shape[1] - cells :]
            return tokens.transpose(1, 2).reshape(-1, self.channels, self.height, self.width)
        return None


def tensor_in(output: Any) -> Tensor | None:
    """Return what a module gives, or the first of several things."""
    first = output[0] if isinstance(output, tuple | list) and output else output
    return first if isinstance(first, Tensor) else None


@contextmanager
def watched(network: nn.Module, name: str, look: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the block, let ``look`` see what the module ``name`` gives, and give what it returns in its place."""

    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        found = tensor_in(output)
        if found is None:
            return None
        seen = look(found)
        return seen if isinstance(output, Tensor) else type(output)((seen, *output[1:]))

    handle = network.get_submodule(name).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def stages(network: nn.Module, image: Tensor) -> list[Stage]:
    """Return the stages of a network of timm in the order in which an image passes them, by their ``feature_info``.

    Their shapes are those of ``forward_intermediates`` where the network has it, and else those of what the modules give.

    Args:
        network: in evaluation mode.
        image: float32 (1, C, H, W).
    """
    info = getattr(network, "feature_info", None) or []
    described = [dict(each) for each in getattr(info, "info", info)]
    names = [_called(network, str(each.get("module"))) for each in described]
    given: dict[str, Tensor] = {}
    with torch.no_grad(), ExitStack() as stack:
        for name in {name for name in names if name is not None}:
            stack.enter_context(watched(network, name, partial(given.setdefault, name)))
        network(image)
    shapes = _shapes(network, image)
    found = []
    for k, (module, each) in enumerate(zip(names, described, strict=True)):
        if module is None or (output := given.get(module)) is None:
            continue
        shape = shapes[k] if len(shapes) == len(described) else _shape(output, int(each["num_chs"]), image)
        if shape is not None and (stage := Stage(module, *shape)).maps(output) is not None:
            found.append(stage)
    return found


def _called(network: nn.Module, name: str) -> str | None:
    """Return the name of the module ``name``, or of the last one in it where it is a list; None where there is none."""
    module = dict(network.named_modules()).get(name)
    while isinstance(module, nn.ModuleList) and len(module):
        name, module = f"{name}.{len(module) - 1}", module[-1]
    return name if module is not None else None


def _shapes(network: nn.Module, image: Tensor) -> list[tuple[int, int, int]]:
    """Return channels, height and width of each of the network's intermediates, none where it does not tell."""
    try:
        with torch.no_grad():
            maps = network.forward_intermediates(image, intermediates_only=True)  # type: ignore[operator]
    except (AttributeError, TypeError, AssertionError, NotImplementedError):
        return []
    return [tuple(each.shape[1:]) for each in maps] if all(each.ndim == 4 for each in maps) else []


def _shape(output: Tensor, channels: int, image: Tensor) -> tuple[int, int, int] | None:
    """Return channels, height and width of what a module gives, by its own shape."""
    if output.ndim == 4:
        height, width = output.shape[2:] if output.shape[1] == channels else output.shape[1:3]
        return channels, int(height), int(width)
    if output.ndim != 3 or output.shape[2] != channels:
        return None
    size = Size(*image.shape[2:])
    side = int((output.shape[1] / size.area) ** 0.5 * size.height)  # the tokens in front are fewer than a row
    width = round(side * size.width / size.height)
    return (channels, side, width) if 0 < side * width <= output.shape[1] else None


def choose(network: nn.Module, found: list[Stage], image: Tensor) -> Stage | None:
    """Return the deepest stage of at least ``CELLS`` x ``CELLS`` cells that the answer depends on, else the largest of such.

    Behind the last block of a ViT that answers by its class token alone, no other token has a say: there all gradients are 0.

    Args:
        found: the stages, in the order in which an image passes them; of none of them none is chosen.
    """
    if not found:
        return None
    read = _read(network, found, image) or found
    large = [stage for stage in read if min(stage.height, stage.width) >= CELLS]
    return large[-1] if large else max(reversed(read), key=lambda stage: stage.height * stage.width)


def _read(network: nn.Module, found: list[Stage], image: Tensor) -> list[Stage]:
    """Return the stages that the network's first logit depends on, by their gradients."""
    outputs: dict[Stage, Tensor] = {}

    def look(stage: Stage, output: Tensor) -> Tensor:
        outputs[stage] = output
        return output.clone()  # what comes after may work in place

    with torch.enable_grad(), ExitStack() as stack:
        for stage in found:
            stack.enter_context(watched(network, stage.name, partial(look, stage)))
        score = network(image.clone().requires_grad_())[0, 0]
        gradients = torch.autograd.grad(score, list(outputs.values()), allow_unused=True)
    maps = {s: s.maps(gradient) for s, gradient in zip(outputs, gradients, strict=True) if gradient is not None}
    return [stage for stage in found if (of := maps.get(stage)) is not None and bool(of.any())]
