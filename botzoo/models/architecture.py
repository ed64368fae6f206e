"""Which network of plain timm each of ours is, so that what botzoo writes loads without it."""

from copy import deepcopy
from typing import Any

from botzoo.models import bot_inception, bot_mobilenet, bot_resnet

_IN_TIMM = {**bot_resnet.IN_TIMM, **bot_inception.IN_TIMM, **bot_mobilenet.IN_TIMM}


def timm_architecture(model_name: str) -> tuple[str, dict[str, Any]] | None:
    """Return the name and model_args with which timm alone builds the same network, or None where it cannot.

    The state dict fits as it is, so a checkpoint that names this architecture loads without botzoo. ``model_name`` may
    carry a tag. None for ResNet-A and for names that are not ours.
    """
    return deepcopy(_IN_TIMM.get(model_name.split(".", 1)[0]))
