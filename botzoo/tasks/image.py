"""What the tasks have in common that say something of an image as a whole."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from botzoo.data.transforms import EvalTransform, Prepared, Transform
from botzoo.errors import ConfigError
from botzoo.models.create import Network
from botzoo.models.folder import write_model_folder
from botzoo.models.preprocessing import Preprocessing
from botzoo.options.choices import Choice
from botzoo.options.config import TrainConfig
from botzoo.sources.base import ImageData


class ImageTask:
    """A network with a classifier, whose target stays as it is however an image is cropped; see ``botzoo.tasks.task.Task``."""

    whole_image = True
    problem_type: str

    def choices(self, config: TrainConfig, data: ImageData[Any], given: Collection[str]) -> Sequence[Choice]:
        return ()

    def network(self, network: Network, classes: int, config: TrainConfig) -> Network:
        return network

    def train_transform(self, how: Prepared) -> Transform:
        return how.train_transform

    def eval_transform(self, preprocessing: Preprocessing) -> Transform:
        return EvalTransform(preprocessing)

    def scales(self, config: TrainConfig) -> tuple[float, float] | None:
        """Return None; raise ConfigError where some are asked for."""
        if config.data.scales is not None:
            raise ConfigError(
                "--data.scales counts with --task detect and segment: leave it out, or give --data.crop-min."
            )
        return None

    def say(self, module: nn.Module, images: Tensor) -> Any:
        """Return logits, float32 (N, K)."""
        return module(images).float()

    def shown(self, said: Any, sizes: Tensor) -> list[Any]:
        """Return the logits of each image, float32 (K,)."""
        return list(said)

    def write_folder(
        self,
        folder: Path,
        module: nn.Module,
        preprocessing: Preprocessing,
        class_names: Sequence[str],
        *,
        tag: str,
        license: str | None,
    ) -> None:
        how: dict[str, Any] = {"tag": tag, "license": license, "problem_type": self.problem_type}
        write_model_folder(folder, module, preprocessing, tuple(class_names), **how)
