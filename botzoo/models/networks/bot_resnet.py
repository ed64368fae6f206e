"""ResNet A, B, C and D, depths 10 to 152 (He et al., 2018, arXiv:1812.01187, section 4 and figure 2).

- A: the original: 7x7 stem, and a down-sampling bottleneck strides in its first 1x1 convolution
- B: A, but the stride moves to the 3x3, so that the 1x1 no longer skips three quarters of its input
- C: B, but the stem is three 3x3 convolutions of widths 32, 32, 64
- D: C, but the shortcut of a down-sampling block averages 2x2 before a 1x1 convolution of stride 1

B, C and D are the functions that timm calls resnet50, resnet50c and resnet50d, with the same state dict; timm has no A.
Basic blocks (depths 10, 18, 34) have no 1x1 convolution that could stride: for them A and B are one, listed as B.

Every model takes images of shape (N, in_chans, H, W), float, normalised as its ``pretrained_cfg`` says, and returns
logits of shape (N, num_classes). timm's keywords work as in timm: in_chans, num_classes, features_only, out_indices,
output_stride (8, 16, 32), global_pool, drop_rate, drop_path_rate, zero_init_last and so on. With ``pretrained=True``
the weights are checked; ``botzoo.models.pretrained.build_checked`` names the errors.
"""

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, Bottleneck, ResNet

from botzoo.models.pretrained import WEIGHTS, build_checked, untrained_cfg

_C: dict[str, Any] = {"stem_width": 32, "stem_type": "deep"}
_D: dict[str, Any] = {**_C, "avg_down": True}

_ARCHITECTURES = {
    f"resnet{depth}{variant}_bot": variant
    for depth, variants in {10: "bcd", 18: "bcd", 34: "bcd", 50: "abcd", 101: "abcd", 152: "abcd"}.items()
    for variant in variants
}

_TRAINED = [weights for weights in WEIGHTS.values() if weights.architecture in _ARCHITECTURES]
_UNTRAINED = _ARCHITECTURES.keys() - {weights.architecture for weights in _TRAINED}

default_cfgs = generate_default_cfgs(  # register_model below looks them up under this name
    {
        **{weights.name: weights.cfg() for weights in _TRAINED},
        **{name: untrained_cfg("conv1" if _ARCHITECTURES[name] in "ab" else "conv1.0") for name in _UNTRAINED},
    }
)

# Where plain timm has no network of that name, its nearest one with these arguments (JSON types, for a config.json).
_TIMM_MODEL_ARGS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet10b_bot": ("resnet18", {"layers": [1, 1, 1, 1]}),
    "resnet10c_bot": ("resnet18", {"layers": [1, 1, 1, 1], **_C}),
    "resnet10d_bot": ("resnet18d", {"layers": [1, 1, 1, 1]}),
    "resnet18c_bot": ("resnet18", _C),
    "resnet34c_bot": ("resnet34", _C),
}

IN_TIMM: dict[str, tuple[str, dict[str, Any]]] = {
    name: _TIMM_MODEL_ARGS.get(name, (name.removesuffix("_bot").removesuffix("b"), {}))
    for name, variant in _ARCHITECTURES.items()
    if variant != "a"
}
"""Name and model_args with which plain timm builds the same network; ResNet-A is not among them."""


class BottleneckA(Bottleneck):
    """The bottleneck of the first ResNet: a block that halves the image strides in its first 1x1 convolution.

    Takes (N, inplanes, H, W), returns (N, 4 * planes, H / stride, W / stride); arguments as timm's ``Bottleneck``.
    Section 4.1, figure 1; He et al., 2015, arXiv:1512.03385, figure 5.
    """

    def __init__(self, *args: Any, first_dilation: int | None = None, **kwargs: Any) -> None:
        # Under output_stride timm leaves the first 3x3 of a stage at the previous dilation (first_dilation), as the
        # stride that it lost came with it. Here the stride comes before the 3x3, which has to be dilated at once.
        super().__init__(*args, **kwargs)
        self.conv1.stride, self.conv2.stride = self.conv2.stride, self.conv1.stride


def _create(variant: str, pretrained: bool, kwargs: dict[str, Any], **model_args: Any) -> ResNet:
    return build_checked(ResNet, variant, pretrained, **{**model_args, **kwargs})


@register_model
def resnet10b_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-10 with the original stem: one basic block a stage. Not in the paper."""
    return _create("resnet10b_bot", pretrained, kwargs, block=BasicBlock, layers=(1, 1, 1, 1))


@register_model
def resnet10c_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-10-C: the deep stem (figure 2b)."""
    return _create("resnet10c_bot", pretrained, kwargs, block=BasicBlock, layers=(1, 1, 1, 1), **_C)


@register_model
def resnet10d_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-10-D: the deep stem and the averaging shortcut (figure 2b, 2c). Its weights come with botzoo."""
    return _create("resnet10d_bot", pretrained, kwargs, block=BasicBlock, layers=(1, 1, 1, 1), **_D)


@register_model
def resnet18b_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-18 with the original stem; timm's resnet18."""
    return _create("resnet18b_bot", pretrained, kwargs, block=BasicBlock, layers=(2, 2, 2, 2))


@register_model
def resnet18c_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-18-C: the deep stem (figure 2b)."""
    return _create("resnet18c_bot", pretrained, kwargs, block=BasicBlock, layers=(2, 2, 2, 2), **_C)


@register_model
def resnet18d_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-18-D: the deep stem and the averaging shortcut; timm's resnet18d."""
    return _create("resnet18d_bot", pretrained, kwargs, block=BasicBlock, layers=(2, 2, 2, 2), **_D)


@register_model
def resnet34b_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-34 with the original stem; timm's resnet34."""
    return _create("resnet34b_bot", pretrained, kwargs, block=BasicBlock, layers=(3, 4, 6, 3))


@register_model
def resnet34c_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-34-C: the deep stem (figure 2b)."""
    return _create("resnet34c_bot", pretrained, kwargs, block=BasicBlock, layers=(3, 4, 6, 3), **_C)


@register_model
def resnet34d_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-34-D: the deep stem and the averaging shortcut; timm's resnet34d."""
    return _create("resnet34d_bot", pretrained, kwargs, block=BasicBlock, layers=(3, 4, 6, 3), **_D)


@register_model
def resnet50a_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-50, the paper's baseline (section 4.1, figure 1): 76.21 % in table 5."""
    return _create("resnet50a_bot", pretrained, kwargs, block=BottleneckA, layers=(3, 4, 6, 3))


@register_model
def resnet50b_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-50-B (figure 2a), timm's resnet50: 76.66 % in table 5."""
    return _create("resnet50b_bot", pretrained, kwargs, block=Bottleneck, layers=(3, 4, 6, 3))


@register_model
def resnet50c_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-50-C (figure 2b), timm's resnet50c: 76.87 % in table 5."""
    return _create("resnet50c_bot", pretrained, kwargs, block=Bottleneck, layers=(3, 4, 6, 3), **_C)


@register_model
def resnet50d_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-50-D (figure 2c), timm's resnet50d: 77.16 % in table 5, 79.29 % with every trick of table 6."""
    return _create("resnet50d_bot", pretrained, kwargs, block=Bottleneck, layers=(3, 4, 6, 3), **_D)


@register_model
def resnet101a_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-101, stride in the first 1x1."""
    return _create("resnet101a_bot", pretrained, kwargs, block=BottleneckA, layers=(3, 4, 23, 3))


@register_model
def resnet101b_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-101-B, timm's resnet101."""
    return _create("resnet101b_bot", pretrained, kwargs, block=Bottleneck, layers=(3, 4, 23, 3))


@register_model
def resnet101c_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-101-C, timm's resnet101c."""
    return _create("resnet101c_bot", pretrained, kwargs, block=Bottleneck, layers=(3, 4, 23, 3), **_C)


@register_model
def resnet101d_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-101-D, timm's resnet101d."""
    return _create("resnet101d_bot", pretrained, kwargs, block=Bottleneck, layers=(3, 4, 23, 3), **_D)


@register_model
def resnet152a_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-152, stride in the first 1x1."""
    return _create("resnet152a_bot", pretrained, kwargs, block=BottleneckA, layers=(3, 8, 36, 3))


@register_model
def resnet152b_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-152-B, timm's resnet152."""
    return _create("resnet152b_bot", pretrained, kwargs, block=Bottleneck, layers=(3, 8, 36, 3))


@register_model
def resnet152c_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-152-C, timm's resnet152c."""
    return _create("resnet152c_bot", pretrained, kwargs, block=Bottleneck, layers=(3, 8, 36, 3), **_C)


@register_model
def resnet152d_bot(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-152-D, timm's resnet152d; the paper's teacher for distillation (section 5.3)."""
    return _create("resnet152d_bot", pretrained, kwargs, block=Bottleneck, layers=(3, 8, 36, 3), **_D)
