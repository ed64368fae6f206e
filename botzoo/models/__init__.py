"""The networks of the paper, registered with timm: function name = model name in ``timm.create_model``."""

from botzoo.models.folder import timm_architecture
from botzoo.models.networks import bot_inception, bot_mobilenet, bot_resnet  # noqa: F401 (registers their models)
from botzoo.models.pretrained import WEIGHTS, KeyReport, Weights, compare_keys

__all__ = ["WEIGHTS", "KeyReport", "Weights", "compare_keys", "timm_architecture"]
