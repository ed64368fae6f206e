"""MobileNet (Howard et al., 2017, arXiv:1704.04861, table 1), the third network of the paper's tables 2, 3 and 6.

It is the function that timm calls mobilenetv1_100, with the same state dict. It takes images of shape
(N, in_chans, H, W), float, 224 px in the paper, and returns logits of shape (N, num_classes). timm's keywords work as
in timm: in_chans, num_classes, features_only, out_indices, output_stride (8, 16, 32), global_pool, drop_rate,
drop_path_rate, act_layer, norm_layer, bn_eps and so on.

Howard et al. write ReLU after each convolution. timm has ReLU6, as their own TensorFlow code; ``act_layer="relu"``
gives the other.
"""

from functools import partial
from typing import Any

from timm.models import efficientnet, generate_default_cfgs, register_model
from timm.models.efficientnet import EfficientNet, EfficientNetFeatures
from torch import nn

from botzoo.models.pretrained import WEIGHTS, build_checked

_NAME = "mobilenet_v1_bot"

# In timm's notation, of each stage: r depthwise separable blocks, of kernel k, stride s in the first, c channels.
_STAGES = ("dsa_r1_k3_s1_c64", "dsa_r2_k3_s2_c128", "dsa_r2_k3_s2_c256", "dsa_r6_k3_s2_c512", "dsa_r2_k3_s2_c1024")

default_cfgs = generate_default_cfgs(
    {n: weights.cfg() for n, weights in WEIGHTS.items() if weights.architecture == _NAME}
)


@register_model
def mobilenet_v1_bot(pretrained: bool = False, **kwargs: Any) -> EfficientNet | EfficientNetFeatures:
    """MobileNet of full width, timm's mobilenetv1_100: 69.03 % in table 2, 73.28 % with mixup in table 6."""
    features = kwargs.get("features_only") and not kwargs.keys() & {"feature_cls", "feature_cfg"}
    kwargs["norm_layer"] = kwargs.get("norm_layer") or partial(nn.BatchNorm2d, **efficientnet.resolve_bn_args(kwargs))
    layers = {
        "block_args": efficientnet.decode_arch_def([[stage] for stage in _STAGES]),
        "stem_size": 32,
        "num_features": 0,  # no convolution follows the last stage
        "act_layer": efficientnet.resolve_act_layer(kwargs, "relu6"),
    }
    kwargs = layers | kwargs  # what the caller gives goes before
    if not features:
        return build_checked(EfficientNet, _NAME, pretrained, **kwargs)
    # timm has an extractor for this family, whose state dict has the network's own names
    del kwargs["features_only"]
    head = ("num_classes", "num_features", "global_pool")
    model: Any = build_checked(
        EfficientNetFeatures, _NAME, pretrained, headless=True, pretrained_strict=False, kwargs_filter=head, **kwargs
    )
    model.pretrained_cfg = model.default_cfg = efficientnet.pretrained_cfg_for_features(model.pretrained_cfg)
    return model  # type: ignore[no-any-return]
