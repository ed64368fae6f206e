"""The networks of the paper, registered with timm: function name = model name in ``timm.create_model``."""

from botzoo.models import bot_resnet, pretrained
from botzoo.models.bot_resnet import timm_architecture
from botzoo.models.pretrained import WEIGHTS, KeyReport, Weights, compare_keys

__all__ = [
    "WEIGHTS",
    "KeyReport",
    "Weights",
    "bot_resnet",
    "compare_keys",
    "pretrained",
    "timm_architecture",
]
