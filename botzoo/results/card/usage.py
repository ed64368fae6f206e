"""The code of a card, with which a reader asks the network about an image of their own."""

from collections.abc import Mapping
from typing import Any

from botzoo.tasks.classification import CLASSIFICATION
from botzoo.tasks.task import Task

HERE = "local-dir:."  # address of the model in the card's code; a published copy has hf-hub:owner/name in its place
HERE_FOR_TRANSFORMERS = 'model="."'
HERE_NOTE = (
    f"`{HERE}` is the folder that this card lies in, here the current one; the address of a published copy is "
    "`hf-hub:owner/name`. "
)

APART = (
    "It is kept beside the weights, not in them: the code above and `botzoo predict` divide the logits by it, the pipeline of "
    "transformers does not"
)
WITHIN = (
    "It is in the weights: those of the classifier were divided by it after the figures of this card were taken, so every "
    "program gives these probabilities"
)
"""Where a temperature is; publishing puts the second in the place of the first."""


def usage_code(
    address: str, classes: int, *, ours: bool, task: Task = CLASSIFICATION, temperature: float | None = None
) -> str:
    """Return the Python lines with which a card shows how to ask the network at ``address`` about photo.jpg.

    It has so many ``classes`` and is ``ours`` where timm alone has no such network; its ``task`` says what is printed.
    The logits are divided by a ``temperature``, if there is one.
    """
    first = "import botzoo  # names the network to timm\n" if ours else ""
    kept, logits = "", "model(transform(image).unsqueeze(0))"
    if temperature is not None:
        kept = f"temperature = {temperature:g}  # fitted after training: the shares are as sure as they are right\n"
        logits = f"({logits} / temperature)"
    return f"""{first}import timm
import torch
from PIL import Image, ImageOps

model = timm.create_model("{address}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
label_names = model.pretrained_cfg["label_names"]  # as in config.json
{kept}
image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")  # upright, as in training
with torch.inference_mode():
{task.code(logits, classes)}
"""


def needs_botzoo(config: Mapping[str, Any]) -> bool:
    """Tell whether timm alone has no network of the name in a config.json."""
    return str(config.get("architecture")).endswith("_bot")
