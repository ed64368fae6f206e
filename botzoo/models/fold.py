"""BatchNorm folded into the convolution before it, and a temperature into the classifier: the same function, less to do."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from botzoo.errors import ModelError
from botzoo.models.layers import head_names

TOLERANCE, ROUNDING = 1e-3, 1e-5  # largest difference of two logits, as a share of the largest one


@torch.no_grad()
def fold_batch_norm(model: nn.Module, image: Tensor) -> tuple[nn.Module, int]:
    """Return a copy with every BatchNorm folded that reads a convolution's output, and how many they are.

    Which ones do is seen in a forward pass. What is folded has to answer as before: where it does not, as when
    something else reads that output too, ``model`` itself is returned.

    Args:
        model: in evaluation mode, float32.
        image: float32 (N, C, H, W).
    """
    folded = copy.deepcopy(model)
    expected, pairs = _watched(folded, image)
    for convolution, norm in pairs:
        first, second = folded.get_submodule(convolution), folded.get_submodule(norm)
        assert isinstance(first, nn.Conv2d)
        assert isinstance(second, nn.BatchNorm2d)
        folded.set_submodule(convolution, fuse_conv_bn_eval(first, second))
        # timm's BatchNorm may have an activation in it
        rest = nn.Sequential(second.drop, second.act) if isinstance(second, BatchNormAct2d) else nn.Identity()
        folded.set_submodule(norm, rest)
    furthest = TOLERANCE * max(float(expected.abs().max()), 1e-3)  # of logits near 0 a share would be too little
    same = pairs and float((folded(image) - expected).abs().max()) <= furthest < float("inf")  # nor is it NaN
    return (folded, len(pairs)) if same else (model, 0)


def _watched(model: nn.Module, image: Tensor) -> tuple[Tensor, list[tuple[str, str]]]:
    """Return the logits of ``image``, and the names of each convolution and its BatchNorm, both called once."""
    made: dict[int, tuple[str, Tensor, int]] = {}  # holding the tensors keeps each id from being used twice
    calls: list[str] = []
    pairs: list[tuple[str, str]] = []

    def convolved(name: str, output: Tensor) -> None:
        calls.append(name)
        made[id(output)] = name, output, output._version

    def to_norm(name: str, inputs: tuple[Any, ...]) -> None:
        calls.append(name)
        maker, output, version = made.get(id(inputs[0]), ("", inputs[0], -1))
        if output._version == version:  # nothing has changed it in place, as an activation may
            pairs.append((maker, name))

    hooks = []
    for name, module in model.named_modules():
        if type(module) in (nn.Conv2d, Conv2dSame):
            hooks.append(module.register_forward_hook(lambda m, i, o, name=name: convolved(name, o)))
        elif type(module) in (nn.BatchNorm2d, BatchNormAct2d) and module.running_mean is not None:
            hooks.append(module.register_forward_pre_hook(lambda m, i, name=name: to_norm(name, i)))
    try:
        logits = model(image)
    finally:
        for hook in hooks:
            hook.remove()
    read = [convolution for convolution, _ in pairs]
    return logits, [(c, n) for c, n in pairs if calls.count(c) == calls.count(n) == read.count(c) == 1]


@torch.no_grad()
def fold_temperature(
    model: nn.Module, tensors: Mapping[str, Tensor], temperature: float, image: Tensor
) -> dict[str, Tensor]:
    """Return the classifier's weights and bias divided by a temperature, so that the logits come out divided by it.

    Args:
        model: of timm, in evaluation mode, float32 on the CPU; it has the divided weights afterwards.
        tensors: its weights by name, as they are in its file; those returned have the same dtype.
        temperature: greater than 0.
        image: float32 (N, C, H, W), on which it is tried out.

    Raises:
        ModelError: the classifier is no linear layer, or the logits come out otherwise; the message says which.
    """
    layer, names = model.get_classifier(), head_names(model)  # type: ignore[operator]
    if not isinstance(layer, nn.Linear | nn.Conv2d) or not names or not tensors.keys() >= set(names):
        raise ModelError("the classifier is no linear layer")
    divided = {name: (tensors[name].double() / temperature).to(tensors[name].dtype) for name in names}
    expected = model(image) / temperature
    model.load_state_dict(divided, strict=False)
    if not float((model(image) - expected).abs().max()) <= ROUNDING * float(expected.abs().max()):
        raise ModelError("weights divided by it give other answers, as half precision may")
    return divided
