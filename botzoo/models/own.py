"""A network of a user's own, made by code that botzoo does not know."""

from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from botzoo.errors import ModelError
from botzoo.models.create import Network, Start, preprocessing_of
from botzoo.models.pretrained import KeyReport

SIZE = 224
"""Side of its input in pixels, where nothing says otherwise."""


def adopt(module: nn.Module, num_classes: int, img_size: int | None = None) -> Network:
    """Return a module as the network of a run; what timm's networks know of themselves is added where it is missing.

    Args:
        module: takes normalised images, float32 (N, 3, H, W), and returns logits (N, K); its last linear layer is its
            classifier. One of timm's is taken as it is.
        num_classes: K.
        img_size: side of the input in pixels; by default what the module says, or 224.

    Raises:
        ModelError: it has no linear layer, or another number of outputs.
    """
    if not hasattr(module, "get_classifier"):
        linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        if not linear:
            raise ModelError(f"{type(module).__name__} has no linear layer: its last one has to be the classifier.")
        classifier, size = linear[-1], img_size or SIZE
        facts: dict[str, Any] = {
            "get_classifier": lambda: classifier,
            "num_classes": classifier.out_features,
            "num_features": classifier.in_features,
            "pretrained_cfg": {
                "architecture": type(module).__name__,
                "input_size": (3, size, size),
                "mean": IMAGENET_DEFAULT_MEAN,
                "std": IMAGENET_DEFAULT_STD,
                "crop_pct": 1.0,
                "interpolation": "bicubic",
            },
        }
        for name, value in facts.items():
            setattr(module, name, value)
    if module.num_classes != num_classes:
        raise ModelError(
            f"{type(module).__name__} has {module.num_classes} outputs and the data {num_classes} classes: make it with "
            f"{num_classes}."
        )
    loaded = KeyReport(tuple(module.state_dict()), (), (), ())
    return Network(module, preprocessing_of(module, img_size), Start("a network of the user's own", loaded))
