"""A network from the inside: which of the paper's tweaks it has and where, its layers, and what each of them costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One module as one image of a given size passes it.

    Attributes:
        name: path of the module.
        kind: such as "Conv2d 3x3 / 2".
        shape: of its output without the batch: (C, H, W) or (C,).
        params: its own parameters.
        macs: multiply-accumulates of its convolutions and linear maps, by their formulas.
    """

    name: str
    kind: str
    shape: Shape
    params: int
    macs: int


def layers(model: nn.Module, size: int) -> list[Layer]:
    """Return the modules with weights of their own and the poolings, in the order in which an image passes them.

    A convolution of k x k from C_in to C_out channels in g groups costs k * k * C_in / g * C_out * H_out * W_out, a linear
    map C_in * C_out at each position. Products without a module of their own, as in attention, are not among them; see
    ``botzoo.models.cost.count_macs`` for all.

    Args:
        model: on the meta device; it is put into evaluation mode.
        size: side of the image in pixels.
    """
    found: list[Layer] = []

    def look(name: str, module: nn.Module, output: Any) -> None:
        if isinstance(output, Tensor):
            found.append(Layer(name, _kind(module), tuple(output.shape[1:]), _params(module), macs_of(module, output)))

    leaves = [(name, m) for name, m in model.named_modules() if name and (_params(m) or not list(m.children()))]
    hooks = [m.register_forward_hook(lambda m, i, o, name=name: look(name, m, o)) for name, m in leaves]
    try:
        with torch.no_grad():
            model.eval()(torch.empty(1, 3, size, size, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return [layer for layer in found if layer.params or "Pool" in layer.kind]


def macs_of(module: nn.Module, output: Tensor) -> int:
    """Return the multiply-accumulates of a convolution or linear map with this output of one image, else 0."""
    if isinstance(module, nn.Conv2d):
        kernel = module.kernel_size[0] * module.kernel_size[1]
        return kernel * module.in_channels // module.groups * output.numel()
    return module.in_features * output.numel() if isinstance(module, nn.Linear) else 0


def _params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters(recurse=False))


def _kind(module: nn.Module) -> str:
    name = type(module).__name__
    if isinstance(module, nn.Conv2d):
        grouped = f", {module.groups} groups" if module.groups > 1 else ""
        return f"{name} {_conv(module)}{grouped}"
    return name


def _conv(conv: nn.Conv2d) -> str:
    stride = f" / {conv.stride[0]}" if conv.stride[0] > 1 else ""
    return f"{conv.kernel_size[0]}x{conv.kernel_size[1]}{stride}"


def blocks(found: list[Layer]) -> list[Layer]:
    """Return the layers put together by the first two parts of their names: a ResNet's stem, blocks and classifier.

    The shape is that of the layer that an image passes last.
    """
    together: dict[str, list[Layer]] = {}
    for layer in found:
        parts = layer.name.split(".")
        name = ".".join(parts[:2]) if len(parts) > 2 else parts[0]
        together.setdefault(name, []).append(layer)
    return [_block(name, inside) for name, inside in together.items()]


def _block(name: str, inside: list[Layer]) -> Layer:
    distinct = {layer.name: layer for layer in inside}
    kinds = [layer.kind for layer in inside if "Norm" not in layer.kind]
    shape = next((layer.shape for layer in reversed(inside) if "downsample" not in layer.name), inside[-1].shape)
    params, macs = sum(layer.params for layer in distinct.values()), sum(layer.macs for layer in inside)
    return Layer(name, ", ".join(kinds) or inside[0].kind, shape, params, macs)


def structure(model: nn.Module) -> list[str]:
    """Return what the paper's sections 4.1 and 4.2 would say of a ResNet, line by line; nothing of other networks.

    It is read from the modules themselves, and not from the name.
    """
    if not isinstance(model, ResNet):
        return []
    stages: list[tuple[str, Any]] = [(n, child) for n, child in model.named_children() if n.startswith("layer")]
    first = [(name, next(iter(stage))) for name, stage in stages]
    downsampling = [(f"{name}.0", block) for name, block in first if _stride(block) > 1]
    letter = _letter(model, downsampling)
    counts = ", ".join(str(len(list(stage))) for _, stage in stages)
    block = type(first[0][1]).__name__.removesuffix("A").lower()
    head = f"ResNet-{letter}" if letter else "a ResNet that is none of the paper's four"
    tweaks = [f"{head}: {counts} {block}s in {len(stages)} stages", *_stem(model)]
    return [*tweaks, *(f"{name}: {_residual(inner)}; {_shortcut(inner)}" for name, inner in downsampling)]


def _letter(model: Any, downsampling: list[tuple[str, Any]]) -> str:
    """Return the paper's name of the variant: A, B, C or D, or nothing."""
    deep = isinstance(model.conv1, nn.Sequential)
    averaged = {_averages(block) for _, block in downsampling}
    early = {_strides_first(block) for _, block in downsampling if hasattr(block, "conv3")}
    if len(averaged) != 1 or len(early) > 1:
        return ""
    key = (early == {True}, deep, averaged == {True})
    return {
        (True, False, False): "A",
        (False, False, False): "B",
        (False, True, False): "C",
        (False, True, True): "D",
    }.get(key, "")


def _stem(model: Any) -> Iterator[str]:
    if isinstance(model.conv1, nn.Sequential):
        convolutions = [m for m in model.conv1 if isinstance(m, nn.Conv2d)]
        widths = ", ".join(str(c.out_channels) for c in convolutions)
        kinds = ", ".join(_conv(c) for c in convolutions)
        yield f"conv1: {kinds} of {widths} channels in place of one 7x7 / 2 (tweak C, figure 2b)"
    else:
        yield f"conv1: {_conv(model.conv1)} of {model.conv1.out_channels} channels, the original stem"


def _stride(block: Any) -> int:
    return max(int(block.conv1.stride[0]), int(block.conv2.stride[0]))


def _strides_first(block: Any) -> bool:
    return bool(block.conv1.stride[0] > 1)


def _averages(block: Any) -> bool:
    return block.downsample is not None and any(isinstance(m, nn.AvgPool2d) for m in block.downsample.modules())


def _residual(block: Any) -> str:
    kinds = ", ".join(
        _conv(conv) for conv in (block.conv1, block.conv2, getattr(block, "conv3", None)) if conv is not None
    )
    if not hasattr(block, "conv3"):
        return kinds
    return (
        f"{kinds} (original: the 1x1 skips three quarters of its input)"
        if _strides_first(block)
        else f"{kinds} (tweak B)"
    )


def _shortcut(block: Any) -> str:
    if block.downsample is None:
        return "the shortcut is the identity"
    kinds = [_conv(m) for m in block.downsample.modules() if isinstance(m, nn.Conv2d)]
    if _averages(block):
        return f"shortcut: 2x2 average, then {', '.join(kinds)} (tweak D)"
    return f"shortcut: {', '.join(kinds)} (original)"
