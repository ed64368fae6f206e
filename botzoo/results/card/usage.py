"""The code of a card, with which a reader asks the network about an image of their own."""

from collections.abc import Iterator, Mapping
from dataclasses import astuple
from typing import Any, NamedTuple

from botzoo.data.decode import DEEP, OWN, TRANSPARENT
from botzoo.models.preprocessing import PLAIN, Decoding
from botzoo.tasks.classification import CLASSIFICATION
from botzoo.tasks.task import Task
from botzoo.util.text import counted

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


class Reading(NamedTuple):
    """What a card's code has to do to an image that ``convert("RGB")`` does not, by what the images of the run were.

    Attributes:
        decoding: without what none of them needed.
        own: whether no few lines of Pillow's read them as botzoo does.
    """

    decoding: Decoding = PLAIN
    own: bool = False

    def lines(self) -> str:
        """Return the lines that make pixels of the picture ``image``, as ``botzoo.data.decode`` does."""
        written, (channels, background, between, _) = "", astuple(self.decoding)
        if between is not None:
            low, high = (f"{end!r}".removesuffix(".0") for end in between)
            levels = f"(np.asarray(image, float) - {low}) * (255 / ({high} - {low}))".replace("- -", "+ ")
            written += f"""if image.mode[0] in "IF":  # of more than 8 bits: {low} is black and {high} white
    image = Image.fromarray(np.clip({levels}, 0, 255).round().astype(np.uint8))
"""
        if background is not None:
            written += f"""if image.has_transparency_data:  # what is clear is {background}
    image = Image.alpha_composite(Image.new("RGBA", image.size, "{background}"), image.convert("RGBA"))
"""
        return f'{written}image = image.convert("{"L" if channels == 1 else "RGB"}")'

    def remarks(self) -> Iterator[str]:
        """Yield sentences on what programs that prepare images by themselves get wrong."""
        channels, background, between, _ = astuple(self.decoding)
        if self.own:
            yield "Its images are of a kind that botzoo reads and timm and transformers alone do not."
        if between is not None:
            low, high = between
            yield (
                f"Images of more than 8 bits are scaled from {low:g} (black) to {high:g} (white), the same for all: the code "
                "above and `botzoo predict` do it; timm and transformers alone clip them."
            )
        if background is not None:
            yield (
                f"Transparent images lie on {background}: the code above and `botzoo predict` do it; timm and transformers "
                "alone leave the transparency out."
            )
        if channels != 3:
            yield f"It takes images of {counted(channels, 'channel')}: pipelines of transformers make RGB of all images."


def reading_of(decoding: Decoding, kinds: Mapping[str, int] | None) -> Reading:
    """Return what has to be done to images of these ``kinds``, as ``Images`` counts them; None where nobody knows.

    That large images are reduced at first is none of it: answers are those of whole images but for a rounding.
    """
    seen = {TRANSPARENT, DEEP} if kinds is None else {kind for kind, count in kinds.items() if count}
    needed = Decoding(
        decoding.channels,
        decoding.background if TRANSPARENT in seen else None,
        decoding.range if DEEP in seen else None,
    )
    return Reading(needed, own=OWN in seen or decoding.channels not in (1, 3))


def possible_readings(decoding: Decoding) -> list[Reading]:
    """Return all that ``reading_of`` may have said of a network with this decoding."""
    seen = ({TRANSPARENT: clear, DEEP: deep, OWN: own} for clear in (0, 1) for deep in (0, 1) for own in (0, 1))
    return list(dict.fromkeys(reading_of(decoding, kinds) for kinds in seen))


BY_BOTZOO = {
    "classes": """import botzoo  # reads the images as in training

for label, share in botzoo.load("{address}").predict("photo.jpg"{most}).top:
    print(f"{{label}}: {{share:.1%}}")
""",
    "boxes": """import botzoo  # makes the network, and finds places in the image as it is

for box in botzoo.load("{address}").predict("photo.jpg").boxes[:3]:  # the likeliest of those with a score over 0.5
    print(f"{{box.label}}: {{box.score:.1%}} at", *map(round, box.corners))  # left, top, right, bottom in pixels
""",
    "masks": """import botzoo  # makes the network, and gives a mask of the size of the image

found = botzoo.load("{address}").predict("photo.jpg")  # found.mask has the number of the class of each pixel
for label, share in found.top[:3]:
    print(f"{{label}}: {{share:.1%}} of the pixels")
""",
}
"""The code that asks by ``botzoo.load``, by what a network gives, see ``Task.gives``."""


def usage_code(
    address: str,
    classes: int,
    *,
    ours: bool,
    task: Task = CLASSIFICATION,
    temperature: float | None = None,
    threshold: float | None = None,
    reading: Reading = Reading(),  # noqa: B008 (it does not change)
) -> str:
    """Return the Python lines with which a card shows how to ask the network at ``address`` about photo.jpg.

    It has so many ``classes`` and is ``ours`` where timm alone has no such network; its ``task`` says what is printed.
    The logits are divided by a ``temperature``, if there is one, a probability below the ``threshold``, if there is one, is
    no answer, and images are read as ``reading`` says.
    """
    if reading.own or not task.whole_image:
        most = f", {min(3, classes)}" if task.one_label else ""
        return BY_BOTZOO[task.gives].format(address=address, most=most)
    first = "import botzoo  # names the network to timm\n" if ours else ""
    kept, logits = "", "model(transform(image).unsqueeze(0))"
    if temperature is not None:
        kept = f"temperature = {temperature:g}  # fitted after training: the shares are as sure as they are right\n"
        logits = f"({logits} / temperature)"
    rejects = ""
    if threshold is not None:
        rejects = f'if shares.max() < {threshold:g}:  # fitted after training\n    print("rather none of these")\n'
    array = "import numpy as np\n" if reading.decoding.range is not None else ""
    image = 'image = ImageOps.exif_transpose(Image.open("photo.jpg"))'
    prepared = f'{image}.convert("RGB")  # upright, as in training'
    if reading.decoding != PLAIN:
        prepared = f"{image}  # upright, as in training\n{reading.lines()}"
    return f"""{first}{array}import timm
import torch
from PIL import Image, ImageOps

model = timm.create_model("{address}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
label_names = model.pretrained_cfg["label_names"]  # as in config.json
{kept}
{prepared}
with torch.inference_mode():
{task.code(logits, classes)}
{rejects}"""


def needs_botzoo(config: Mapping[str, Any]) -> bool:
    """Tell whether timm alone has no network as a config.json describes it."""
    return "task" in config or str(config.get("architecture")).endswith("_bot")
