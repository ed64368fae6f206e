"""The code of a card, with which a reader asks the network about an image of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from botzoo.models.foreign import temperature_in

HERE = "local-dir:."
"""Address of the model in the card's code; a published copy has ``hf-hub:owner/name`` in its place."""

HERE_FOR_TRANSFORMERS = 'model="."'

HERE_NOTE = (
    f"`{HERE}` is the folder that this card lies in, here the current one; the address of a published copy is "
    "`hf-hub:owner/name`. "
)


def usage_code(
    address: str, classes: int, *, ours: bool, several: bool = False, temperature: float | None = None
) -> str:
    """Return the Python lines with which a card shows how to ask the network at ``address`` about photo.jpg.

    Args:
        address: of the model, as timm takes it.
        classes: K; the likeliest three of them are printed.
        ours: whether timm alone has no such network.
        several: whether an image may have any number of labels; all over one half are printed.
        temperature: what the logits are divided by; None leaves them as they are.
    """
    first = "import botzoo  # names the network to timm\n" if ours else ""
    kept, logits = "", "model(transform(image).unsqueeze(0))"
    if temperature is not None:
        kept = f"temperature = {temperature:g}  # fitted after training: the shares are as sure as they are right\n"
        logits = f"({logits} / temperature)"
    if several:
        ask = f"""    shares = {logits}.sigmoid()[0]
for share, name in zip(shares.tolist(), label_names):
    if share > 0.5:
        print(f"{{name}}: {{share:.1%}}")"""
    else:
        ask = f"""    shares, classes = {logits}.softmax(1)[0].topk({min(3, classes)})
for share, k in zip(shares.tolist(), classes.tolist()):
    print(f"{{label_names[k]}}: {{share:.1%}}")"""
    return f"""{first}import timm
import torch
from PIL import Image, ImageOps

model = timm.create_model("{address}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
label_names = model.pretrained_cfg["label_names"]  # as in config.json
{kept}
image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")  # upright, as in training
with torch.inference_mode():
{ask}
"""


def folder_config(model_folder: Path) -> dict[str, Any]:
    """Return config.json."""
    config: dict[str, Any] = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    return config


def folder_temperature(model_folder: Path) -> float | None:
    """Return the temperature in config.json, None where it has none."""
    return temperature_in(folder_config(model_folder))


def needs_botzoo(model_folder: Path) -> bool:
    """Tell whether timm alone has no network of the name in config.json."""
    return str(folder_config(model_folder)["architecture"]).endswith("_bot")
