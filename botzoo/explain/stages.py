"""The stages of a network, each a module whose output is a map of features, and a pass that is watched at one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

CELLS = 7
"""Cells along each side that a map needs to show where: those of a ResNet's last stage at 224 pixels."""


@dataclass(frozen=True)
class Stage:
    """A module of a network and the shape of what it gives for one image: channels, height and width in cells."""

    name: str
    channels: int
    height: int
    width: int

    def maps(self, output: Tensor) -> Tensor | None:
        """Return what the module gives as (N, C, h, w), None where it does not have this stage's shape.

        It may be channels last, as in Swin Transformers, or tokens with some in front that stand for no cell, as the class
        token of a ViT.
        """
        cells = self.height * self.width
        if output.ndim == 4 and output.shape[1:] == (self.channels, self.height, self.width):
            return output
        if output.ndim == 4 and output.shape[1:] == (self.height, self.width, self.channels):
            return output.permute(0, 3, 1, 2)
        if output.ndim == 3 and output.shape[2] == self.channels and output.shape[1] >= cells:
            tokens = output[:, output.shape[1] - cells :]
            return tokens.transpose(1, 2).reshape(-1, self.channels, self.height, self.width)
        return None


@contextmanager
def watched(network: nn.Module, name: str, look: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the block, let ``look`` see each tensor that the module ``name`` gives, and give what it returns in its place."""

    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        if type(output) in (tuple, list):
            return type(output)(look(one) if isinstance(one, Tensor) else one for one in output)
        return look(output) if isinstance(output, Tensor) else None

    handle = network.get_submodule(name).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def stages(network: nn.Module, image: Tensor) -> list[Stage]:
    """Return the stages of a network in the order in which an image passes them.

    Of timm's they are what ``forward_intermediates`` gives. The module that gives the same numbers is the one that
    ``feature_info`` names, or else, where that is never called, the outermost. Of other networks the stages are the last
    modules to give maps of each shape.

    Args:
        network: in evaluation mode, on the CPU, where the same pass gives the same bits.
        image: float32 (1, C, H, W).
    """
    passing = (nn.Identity, nn.Dropout)  # what they give is what came
    names = [name for name, module in network.named_modules() if name and not isinstance(module, passing)]
    named = {each["module"] for each in getattr(network, "feature_info", None) or [] if "module" in each}
    intermediates = _intermediates(network, image)
    same: dict[int, str] = {}
    last: dict[tuple[int, ...], str] = {}

    def look(name: str, output: Tensor) -> Tensor:
        if output.ndim == 4 and min(output.shape[2:]) > 1:
            last.pop(shape := tuple(output.shape[1:]), None)
            last[shape] = name
        for k, maps in enumerate(intermediates):
            if same.get(k) not in named and _alike(maps, name, output):
                same[k] = name
        return output

    with torch.no_grad(), ExitStack() as stack:
        for name in names:
            stack.enter_context(watched(network, name, partial(look, name)))
        network(image)
    if same:
        return [Stage(same[k], *intermediates[k].shape[1:]) for k in sorted(same)]
    return [Stage(name, *shape) for shape, name in last.items()]


def _alike(maps: Tensor, name: str, output: Tensor) -> bool:
    """Tell whether the module ``name`` gives these maps, (1, C, h, w), in whatever form."""
    found = Stage(name, *maps.shape[1:]).maps(output)
    return found is not None and torch.equal(found, maps)


def _intermediates(network: nn.Module, image: Tensor) -> list[Tensor]:
    """Return the intermediates of a network of timm, each (1, C, h, w), and of others none."""
    try:  # a network of one's own has no such method, and timm's refuse in these ways what they cannot give
        with torch.no_grad():
            maps = network.forward_intermediates(image, intermediates_only=True)  # type: ignore[operator]
    except (AttributeError, TypeError, AssertionError, NotImplementedError):
        return []
    return [each for each in maps if each.ndim == 4]


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
        if stage.maps(output) is None or stage in outputs:
            return output
        outputs[stage] = output
        return output.clone()  # what comes after may work in place

    with torch.enable_grad(), ExitStack() as stack:
        for stage in found:
            stack.enter_context(watched(network, stage.name, partial(look, stage)))
        score = network(image.clone().requires_grad_())[0, 0]
        gradients = torch.autograd.grad(score, list(outputs.values()), allow_unused=True)
    maps = {s: s.maps(gradient) for s, gradient in zip(outputs, gradients, strict=True) if gradient is not None}
    return [stage for stage in found if (of := maps.get(stage)) is not None and bool(of.any())]
