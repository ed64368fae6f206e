"""The networks of the paper, registered with timm: function name = model name in ``timm.create_model``."""

from botzoo.models import pretrained
from botzoo.models.folder import timm_architecture
from botzoo.models.networks import bot_inception, bot_mobilenet, bot_resnet
from botzoo.models.pretrained import WEIGHTS, KeyReport, Weights, compare_keys

__all__ = [
    "WEIGHTS",
    "KeyReport",
    "Weights",
    "bot_inception",
    "bot_mobilenet",
    "bot_resnet",
    "compare_keys",
    "pretrained",
    "timm_architecture",
]
