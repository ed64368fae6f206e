"""The body of a classifier: its feature maps at several strides, with its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import timm
from timm.models import group_parameters
from torch import Tensor, nn

from botzoo.errors import CheckpointError, ModelError
from botzoo.models.cost import on_meta
from botzoo.models.create import Network
from botzoo.models.layers import is_frozen
from botzoo.util.text import and_list, brief, listing

STRIDES = (4, 8, 16, 32)
"""Of the maps that a pyramid is made of: a body has one of each, as far as its network does."""

_OF_TRAINING = ("num_classes", "drop_rate", "features_only", "out_indices", "output_stride")
"""Arguments of timm's that say nothing of the weights."""


class Body(nn.Module):
    """Feature maps of images.

    Attributes:
        net: timm's network with ``features_only``.
        strides: pixels of the image to one of each map, the finest first.
        channels: of each map.
        architecture, model_args: timm's name of the network and what it was made with besides.
    """

    def __init__(self, net: Any, architecture: str, model_args: Mapping[str, Any]) -> None:
        super().__init__()
        self.net = net
        self.strides: list[int] = net.feature_info.reduction()
        self.channels: list[int] = net.feature_info.channels()
        self.architecture, self.model_args = architecture, dict(model_args)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps (N, c, h, w) of images (N, C, H, W), normalised; h is H / stride, rounded up."""
        maps: list[Tensor] = self.net(images)
        return maps

    def freeze_norms(self) -> Body:
        """Let BatchNorm keep its statistics, scale and shift, as batches of a few images want it; return self."""
        for norm in self._norms():
            for parameter in norm.parameters():
                parameter.requires_grad_(False)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Body:
        """Set the mode of all layers but of frozen BatchNorm, which stays in evaluation."""
        super().train(mode)
        for norm in self._norms():
            norm.train(mode and not is_frozen(norm))
        return self

    def _norms(self) -> list[nn.Module]:
        return [module for module in self.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def body_of(network: Network, output_stride: int = 32, *, pyramid: bool = True, finest: int = STRIDES[0]) -> Body:
    """Return the body of a classifier, with its weights.

    Args:
        network: the classifier, which stays as it is.
        output_stride: 8 or 16: the last stages keep the size of their maps, and their convolutions are dilated.
        pyramid: whether a map of each of ``STRIDES`` is wanted; else the last one only.
        finest: the least of these strides that a pyramid has.

    Raises:
        ModelError: timm has no maps of it, at one size only, of one stride only, or not with this ``output_stride``.
        CheckpointError: a tensor of the body is not among the network's.
    """
    if network.preprocessing.fixed_size:
        shape = network.preprocessing.shape.px
        raise ModelError(
            f"{network.architecture} takes images of one size, here {shape}: take one that takes any size, such as resnet18d."
        )
    made: Mapping[str, Any] = getattr(network.model, "_model_args", {})
    kept = {key: value for key, value in made.items() if key not in _OF_TRAINING}
    body = make_body(network.architecture, kept, output_stride, pyramid=pyramid, finest=finest)
    copy_weights(network.model, body)
    return body


def make_body(
    architecture: str,
    model_args: Mapping[str, Any],
    output_stride: int = 32,
    *,
    pyramid: bool = True,
    finest: int = STRIDES[0],
) -> Body:
    """Return the body of one of timm's networks with random weights; arguments and errors as of ``body_of``."""
    dilated: dict[str, Any] = {} if output_stride == 32 else {"output_stride": output_stride}
    args = {**model_args, **dilated, "features_only": True}
    try:
        whole = _without_weights(architecture, args)
    except Exception as error:  # timm's networks refuse what they cannot do by any of them
        if dilated:
            cure = "take another --model, such as resnet18d, or an FPN head, which needs no dilation"
            raise ModelError(f"{architecture} has no output stride of {output_stride}: {cure}.") from error
        raise ModelError(
            f"timm has no feature maps of {architecture} ({brief(error)}): take another --model."
        ) from error
    info, strides = whole.feature_info, whole.feature_info.reduction()
    if "NHWC" in str(getattr(whole, "output_fmt", "")):
        raise ModelError(f"The maps of {architecture} have their channels last: take another --model.")
    # of several maps of one stride the last has seen most; with an output stride several have the last one
    last = {stride: place for place, stride in enumerate(strides)}
    places = (
        [last[stride] for stride in STRIDES if stride in last and stride >= finest] if pyramid else [last[max(last)]]
    )
    if pyramid and len(places) < 2:
        has = (
            f"has maps of stride {and_list(sorted(last))} only, and a pyramid needs two or more of {and_list(STRIDES)}"
        )
        raise ModelError(f"{architecture} {has}: take a network of stages, such as resnet18d.")
    if not pyramid and dilated and max(strides) != output_stride:
        raise ModelError(
            f"{architecture} has no output stride of {output_stride}, but {max(strides)}: take another --model."
        )
    own = [info.out_indices[place] for place in places]
    net = timm.create_model(architecture, out_indices=own, **args)
    return Body(net, architecture, {**model_args, **dilated})


def _without_weights(architecture: str, args: dict[str, Any]) -> Any:
    """Return a network to ask for its maps, without contents where it can be made so."""
    try:
        with on_meta():
            return timm.create_model(architecture, **args)
    except NotImplementedError:  # some look at the contents of a tensor while they are made
        return timm.create_model(architecture, **args)


def copy_weights(classifier: nn.Module, body: Body) -> None:
    """Copy to a body all its tensors from its classifier, whatever timm calls them there: stages_0 for stages.0.

    Raises:
        CheckpointError: one is not there, or has another shape.
    """
    there = {_plain(name): tensor for name, tensor in classifier.state_dict().items()}
    wanted = body.net.state_dict()
    missing = [name for name, own in wanted.items() if (t := there.get(_plain(name))) is None or t.shape != own.shape]
    if missing:
        raise CheckpointError(
            f"{body.architecture} lacks {listing(missing, 3)} of its feature maps: take another --model."
        )
    body.net.load_state_dict({name: there[_plain(name)] for name in wanted}, strict=True)


def group_as(classifier: Any, module: Any, place: str) -> None:
    """Give ``module``, a head on a body at ``place`` in it, the layers of its classifier, as timm's networks name them.

    The head is above them. A classifier that names none is left at that.
    """
    if not hasattr(classifier, "group_matcher"):
        return
    layers: dict[bool, dict[str, float]] = {}
    for coarse in (False, True):
        own = group_parameters(classifier, classifier.group_matcher(coarse=coarse), reverse=True)
        layers[coarse] = {_plain(name): float(str(layer)) for name, layer in own.items()}

    def layer_of(coarse: bool, name: str) -> float:
        inside = name.startswith(f"{place}.net.")
        return layers[coarse].get(_plain(name.removeprefix(f"{place}.net.")), math.inf) if inside else math.inf

    module.group_matcher = lambda coarse=False: partial(layer_of, coarse)


def _plain(name: str) -> str:
    return name.removeprefix("model.").replace(".", "_")
