"""A network from the inside: which of the paper's tweaks it has and where, its layers, and what each of them costs."""

from dataclasses import dataclass
from typing import Any

import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """One module as one image of a given size passes it."""

    name: str  # path of the module
    kind: str  # such as "Conv2d 3x3 / 2"
    shape: tuple[int, ...]  # of its output without the batch: (C, H, W) or (C,)
    params: int  # its own
    macs: int  # multiply-accumulates of its convolutions and linear maps, by their formulas


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
        if not isinstance(output, Tensor):
            return
        kind, macs, params = type(module).__name__, 0, sum(p.numel() for p in module.parameters(recurse=False))
        if isinstance(module, nn.Conv2d):
            kind += f" {_conv(module)}" + (f", {module.groups} groups" if module.groups > 1 else "")
            macs = module.weight[0].numel() * output.numel()  # a filter is k * k * C_in / g
        elif isinstance(module, nn.Linear):
            macs = module.in_features * output.numel()
        if params or "Pool" in kind:
            found.append(Layer(name, kind, tuple(output.shape[1:]), params, macs))

    hooks = [
        module.register_forward_hook(lambda m, i, o, name=name: look(name, m, o))
        for name, module in model.named_modules()
        if name and ([*module.parameters(recurse=False)] or not [*module.children()])
    ]
    try:
        with torch.no_grad():
            model.eval()(torch.empty(1, 3, size, size, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return found


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
        together.setdefault(".".join(parts[:2]) if len(parts) > 2 else parts[0], []).append(layer)
    every = []
    for name, inside in together.items():
        params = {layer.name: layer.params for layer in inside}  # those of a layer that is passed twice count once
        kinds = [layer.kind for layer in inside if "Norm" not in layer.kind] or [inside[0].kind]
        shape = next((layer.shape for layer in reversed(inside) if "downsample" not in layer.name), inside[-1].shape)
        every.append(Layer(name, ", ".join(kinds), shape, sum(params.values()), sum(layer.macs for layer in inside)))
    return every


LETTERS = {(True, False, False): "A", (False, False, False): "B", (False, True, False): "C", (False, True, True): "D"}
"""The paper's variants: whether the first 1x1 strides, whether the stem is deep, whether the shortcut averages."""


def structure(model: nn.Module) -> list[str]:
    """Return what the paper's sections 4.1 and 4.2 would say of a ResNet, line by line; nothing of other networks.

    It is read from the modules themselves, and not from the name.
    """
    if not isinstance(model, ResNet):
        return []
    stages: list[tuple[str, Any]] = [(n, child) for n, child in model.named_children() if n.startswith("layer")]
    first = [(f"{name}.0", next(iter(stage))) for name, stage in stages]
    down = [(name, block) for name, block in first if max(block.conv1.stride[0], block.conv2.stride[0]) > 1]
    stem = [m for m in model.conv1.modules() if isinstance(m, nn.Conv2d)]
    deep = isinstance(model.conv1, nn.Sequential)
    averaged = {_averages(block) for _, block in down}
    early = {bool(block.conv1.stride[0] > 1) for _, block in down if hasattr(block, "conv3")}
    alike = len(averaged) == 1 and len(early) <= 1
    letter = LETTERS.get((early == {True}, deep, averaged == {True})) if alike else None
    head = f"ResNet-{letter}" if letter else "a ResNet that is none of the paper's four"
    counts, kind = ", ".join(str(len(list(stage))) for _, stage in stages), type(first[0][1]).__name__
    lines = [f"{head}: {counts} {kind.removesuffix('A').lower()}s in {len(stages)} stages"]
    if deep:
        kinds, widths = ", ".join(map(_conv, stem)), ", ".join(str(conv.out_channels) for conv in stem)
        lines.append(f"conv1: {kinds} of {widths} channels in place of one 7x7 / 2 (tweak C, figure 2b)")
    else:
        lines.append(f"conv1: {_conv(stem[0])} of {stem[0].out_channels} channels, the original stem")
    for name, block in down:
        residual = ", ".join(_conv(getattr(block, key)) for key in ("conv1", "conv2", "conv3") if hasattr(block, key))
        if hasattr(block, "conv3"):  # a basic block has no 1x1 that could stride
            skips = " (original: the 1x1 skips three quarters of its input)"
            residual += skips if block.conv1.stride[0] > 1 else " (tweak B)"
        shortcut = "the shortcut is the identity"
        if block.downsample is not None:
            kinds = ", ".join(_conv(m) for m in block.downsample.modules() if isinstance(m, nn.Conv2d))
            tweak_d = f"2x2 average, then {kinds} (tweak D)"
            shortcut = f"shortcut: {tweak_d if _averages(block) else f'{kinds} (original)'}"
        lines.append(f"{name}: {residual}; {shortcut}")
    return lines


def _averages(block: Any) -> bool:
    return block.downsample is not None and any(isinstance(m, nn.AvgPool2d) for m in block.downsample.modules())
