"""What each stage of a network makes of one image: its channels as pictures, and those that say nothing of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from PIL import Image
from torch import Tensor, nn

from botzoo.data.transforms import EvalTransform
from botzoo.errors import CheckpointError, DataError, ModelError
from botzoo.explain.maps import batched
from botzoo.explain.overlays import Unseen, look
from botzoo.explain.stages import Stage, stages, watched
from botzoo.explain.weights import tiled
from botzoo.inference.images import AnyImage, check_kind
from botzoo.inference.predict import Model, only_of_classes

CHANNELS = 64  # of a stage that are pictured, at most
STAGES = 24  # that are pictured, at most
SIDE = 56  # of the picture of a channel, in pixels, at most


@dataclass(frozen=True)
class Activation:
    """What a stage gives for an image."""

    stage: Stage
    picture: Image.Image  # of the channels that vary most, the most varied first; each from black, its least, to white
    shown: int  # channels in the picture
    silent: int  # channels that are the same in all cells
    low: float
    high: float


@dataclass(frozen=True)
class Passage:
    """An image on its way through a network."""

    name: str
    input: Image.Image  # as the network sees it
    answers: tuple[tuple[str, float], ...]  # class and probability of the likeliest
    stages: tuple[Activation, ...]
    left_out: int  # stages without a picture


def passage(model: Model, image: AnyImage) -> Passage:
    """Return what the stages of a network give for an image.

    Raises:
        DataError: the image cannot be read.
        ModelError: the network does not say which modules are its stages.
        CheckpointError: the network answers with NaN or infinite numbers.
    """
    only_of_classes(model, "Stages are shown on the way to a class")
    check_kind(image, 0, model.preprocessing.decoding)
    found = look(EvalTransform(model.preprocessing), image)
    if isinstance(found, Unseen):
        raise DataError(f"{found.name} cannot be read: {found.problem}.")
    images = model.preprocessing.normalise(batched([found.pixels]))
    every = stages(model.module, images)
    if not every:
        raise ModelError(
            f"{model.name} does not say which of its layers are stages, so there is nothing to show of them."
        )
    chosen = [every[k] for k in sorted({round(k * (len(every) - 1) / (STAGES - 1)) for k in range(STAGES)})]
    logits, outputs = _through(model.module, chosen, images)
    if not bool(logits.isfinite().all()):
        raise CheckpointError(f"{model.name} answers with numbers that are not finite: its weights are damaged.")
    probabilities = model.task.probabilities(logits / (model.temperature or 1.0))
    answers = tuple((model.label_names[k], share) for k, share in model.task.named(probabilities, 5)[0])
    shown = Image.fromarray(found.pixels if found.pixels.shape[2] == 3 else found.pixels[..., 0])
    given = tuple(_activation(stage, output) for stage, output in zip(chosen, outputs, strict=True))
    return Passage(found.name, shown, answers, given, len(every) - len(chosen))


@torch.no_grad()
def _through(network: nn.Module, chosen: list[Stage], images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the logits of an image, float32 (1, K), and what each stage gives, float32 (C, h, w)."""
    given: dict[Stage, Tensor] = {}

    def keep(stage: Stage, output: Tensor) -> Tensor:
        if (maps := stage.maps(output)) is not None:
            given.setdefault(stage, maps[0].float().clone())  # what comes after may work in place
        return output

    with ExitStack() as stack:
        for stage in chosen:
            stack.enter_context(watched(network, stage.name, partial(keep, stage)))
        logits: Tensor = network(images)
    return logits.float(), [given[stage] for stage in chosen]


def _activation(stage: Stage, channels: Tensor) -> Activation:
    """Return the figures of a stage's output, (C, h, w)."""
    low, high = channels.amin((1, 2), keepdim=True), channels.amax((1, 2), keepdim=True)
    spread = (high - low)[:, 0, 0]
    order = spread.argsort(descending=True, stable=True)[:CHANNELS]
    shares = ((channels - low) / (high - low).clamp(min=1e-12))[order]
    pixels = (255 * shares).round().to(torch.uint8)[..., None].expand(-1, -1, -1, 3).numpy()
    times = max(1, SIDE // max(stage.height, stage.width))
    if times > 1:
        pixels = pixels.repeat(times, 1).repeat(times, 2)
    step = -(-max(stage.height, stage.width) // SIDE)  # a large map is thinned out
    picture = tiled(pixels[:, ::step, ::step])
    return Activation(stage, picture, len(order), int((spread == 0).sum()), float(low.min()), float(high.max()))
