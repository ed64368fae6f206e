"""Inception-V3 (Szegedy et al., 2015, arXiv:1512.00567), the second network of the paper's tables 2, 3 and 6.

It is the function that timm calls inception_v3, with the same state dict. It takes images of shape (N, in_chans, H, W),
float, 299 px in the paper and at least 75, and returns logits of shape (N, num_classes). timm's keywords work as in
timm: in_chans, num_classes, features_only, out_indices, global_pool, drop_rate, norm_eps and so on; its convolutions
without padding cannot be dilated, so there is no output_stride.

Szegedy et al. train it with a second classifier amid the network, whose loss regularises. As in timm it is left out
unless ``aux_logits=True`` asks for it; the network then returns the pair (logits, auxiliary logits), which the weights
listed here have no tensors for and which ``botzoo`` does not train.
"""

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models.inception_v3 import InceptionV3

from botzoo.errors import ModelError
from botzoo.models.pretrained import WEIGHTS, build_checked

_NAME = "inception_v3_bot"

default_cfgs = generate_default_cfgs(
    {n: weights.cfg() for n, weights in WEIGHTS.items() if weights.architecture == _NAME}
)


@register_model
def inception_v3_bot(pretrained: bool = False, **kwargs: Any) -> InceptionV3:
    """Inception-V3, timm's inception_v3: 77.32 % in table 2, 78.77 % with mixup in table 6."""
    if kwargs.get("aux_logits") and kwargs.get("features_only"):
        raise ModelError(f"{_NAME} has features_only and aux_logits both: give one of the two.")
    return build_checked(InceptionV3, _NAME, pretrained, **kwargs)
