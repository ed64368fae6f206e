"""Where in an image a network found its answer: a map for each image and class, and the picture of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from botzoo.data.transforms import EvalTransform
from botzoo.errors import CheckpointError, ConfigError, ModelError
from botzoo.explain.methods import gradcam, layercam, occlusion, occlusion_cells, scaled
from botzoo.explain.region import Region
from botzoo.explain.stages import CELLS, Stage, choose, stages, watched
from botzoo.inference.predict import Model, only_of_classes
from botzoo.models.fold import fold_batch_norm
from botzoo.training.distributed import choose_device

METHODS = ("layercam", "gradcam", "occlusion")

PIXELS = 32 * 224 * 224  # of a batch

COLOURS = ((40, 60, 170), (30, 180, 220), (110, 215, 80), (250, 200, 40), (200, 25, 20))
"""Of a map, red, green and blue, from what counts little to what counts most."""


class Explainer:
    """A copy of a model's network on a device, ready to be asked why.

    Args:
        method: "layercam", "gradcam" or "occlusion".
        device: "auto", "cpu", "cuda" or "mps".
        batch_size: images in a forward pass; by default as many as suit their size.

    Raises:
        ConfigError: there is no such method or device.
        ModelError: the network does not say which modules give maps of features; occlusion needs none.
    """

    def __init__(
        self, model: Model, method: str = "layercam", *, device: str = "auto", batch_size: int | None = None
    ) -> None:
        if method not in METHODS:
            raise ConfigError(
                f"The method is {method!r}: it must be one of {', '.join(METHODS)}.", value=method, accepted=METHODS
            )
        only_of_classes(model, "Maps show where a class was found")
        self.model, self.method, self.preprocessing = model, method, model.preprocessing
        self.device, self.size = choose_device(device, "--device"), model.preprocessing.shape
        self.batch_size = batch_size or max(1, min(64, PIXELS // self.size.area))
        self.transform = EvalTransform(model.preprocessing)
        image = torch.randn(1, model.preprocessing.channels, *self.size, generator=torch.Generator().manual_seed(0))
        # hundreds of passes are quicker through the folded network; one layer's map needs the layers as they are called
        module = fold_batch_norm(model.module, image)[0] if method == "occlusion" else model.module
        # without gradients of their own, so that only what comes behind the layer looked at is kept for its gradient
        self.network = copy.deepcopy(module).requires_grad_(False)
        self.stage = None if method == "occlusion" else self._stage(image)
        self.network.to(self.device)
        self.layer = self.stage.name if self.stage is not None else "input"

    @property
    def cells(self) -> tuple[int, int]:
        """Those of a map along its height and width."""
        return (self.stage.height, self.stage.width) if self.stage is not None else occlusion_cells(*self.size)

    @property
    def words(self) -> str:
        """Which layer is looked at, and how fine the map of it is."""
        fine = "{} x {} cells".format(*self.cells)
        coarse = (
            f", as no layer of at least {CELLS} x {CELLS} has a say in the answer" if min(self.cells) < CELLS else ""
        )
        return f"{fine} over the input" if self.stage is None else f"the layer {self.layer}, {fine}{coarse}"

    def _stage(self, image: Tensor) -> Stage:
        chosen = choose(self.network, stages(self.network, image), image)
        if chosen is None:
            raise ModelError(
                f"{self.model.name} has no layer whose output is a map of the image: use the method occlusion."
            )
        return chosen

    def probabilities(self, pixels: Tensor) -> Tensor:
        """Return what the network gives every class, float32 (N, K), of prepared images, uint8 (N, C, H, W)."""
        with torch.no_grad():
            logits = self.network(self._input(pixels)).float()
        if not bool(logits.isfinite().all()):
            raise CheckpointError(
                f"{self.model.name} answers with numbers that are not finite: its weights are damaged."
            )
        return self.model.task.probabilities(logits / (self.model.temperature or 1.0)).cpu()

    def heat(self, pixels: Tensor, classes: Sequence[int]) -> NDArray[np.float32]:
        """Return how much each cell counts for a class, for each of the prepared images, uint8 (N, C, H, W), and its class.

        Float32 (N, h, w) in [0, 1]: the largest cell of an image has 1, and all are 0 where nothing counts. A map covers the
        network's input evenly, whatever the number of its cells.
        """
        images, which = self._input(pixels), torch.tensor(classes, device=self.device)
        if self.stage is None:
            found = torch.stack([self._occluded(image, k) for image, k in zip(images, classes, strict=True)])
        else:
            found = {"gradcam": gradcam, "layercam": layercam}[self.method](*self._watched(self.stage, images, which))
        return scaled(found.detach().float()).cpu().numpy()

    def _input(self, pixels: Tensor) -> Tensor:
        return self.preprocessing.normalise(pixels.to(self.device))

    def _watched(self, stage: Stage, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a stage gives for images, and the gradient of the logit of each one's class, both (N, C, h, w)."""
        outputs: list[Tensor] = []

        def look(output: Tensor) -> Tensor:
            if stage.maps(output) is None or outputs:
                return output
            outputs.append(output.detach().requires_grad_())
            return outputs[0].clone()  # what comes after may work in place

        with torch.enable_grad(), watched(self.network, stage.name, look):
            scores = self.network(images).gather(1, classes[:, None]).sum()  # images do not change each other's scores
        (gradient,) = torch.autograd.grad(scores, outputs[0])
        activations, gradients = stage.maps(outputs[0]), stage.maps(gradient)
        assert activations is not None
        assert gradients is not None
        return activations.detach(), gradients

    @torch.no_grad()
    def _occluded(self, image: Tensor, k: int) -> Tensor:
        return occlusion(lambda images: self.network(images)[:, k], image, self.cells, self.batch_size)


def batched(pixels: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return images that were prepared one by one, each (H, W, C), as a batch, uint8 (N, C, H, W)."""
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


def overlay(picture: Image.Image, heat: NDArray[np.float32], seen: Region | None = None) -> Image.Image:
    """Return a picture in shades of grey with a map over it, in ``COLOURS`` where it counts.

    Args:
        picture: to be drawn on.
        heat: (h, w) in [0, 1].
        seen: the part of the picture that the map covers, by default all of it. What lies outside is darkened.
    """
    left, upper, right, lower = seen or (0, 0, *picture.size)
    (h, w), (across, down) = heat.shape, (right - left, lower - upper)
    corners = (
        -left * w / across,
        -upper * h / down,
        (picture.width - left) * w / across,
        (picture.height - upper) * h / down,
    )
    spread = Image.fromarray(np.ascontiguousarray(heat, np.float32) + 1)  # 0 is what lies outside
    large = np.asarray(spread.transform(picture.size, Image.Transform.EXTENT, corners, Image.Resampling.BILINEAR))
    inside, strength = large[..., None] > 0, np.clip(large[..., None] - 1, 0, 1)
    grey = np.asarray(picture.convert("L"), np.float32)[..., None]
    places = np.linspace(0, 1, len(COLOURS))
    colour = np.stack([np.interp(strength[..., 0], places, channel) for channel in zip(*COLOURS, strict=True)], -1)
    share = 0.65 * np.sqrt(strength)
    mixed = np.where(inside, (1 - share) * grey + share * colour, 0.35 * grey)
    return Image.fromarray(mixed.round().astype(np.uint8))
