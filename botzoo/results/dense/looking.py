"""Looking at single images again: what is there, and what the network finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from botzoo.models.preprocessing import Preprocessing
from botzoo.pixels.bands import Picture
from botzoo.tasks.task import Task


@dataclass(frozen=True)
class Network:
    """A trained network that can be asked about single images."""

    task: Task
    module: nn.Module
    preprocessing: Preprocessing

    @torch.inference_mode()
    def found(self, picture: Picture, target: Any) -> Any:
        """Return what it finds on a picture, as ``Task.shown``; the target says how large that is as it is stored."""
        transform = self.task.eval_transform(self.preprocessing)
        pixels, _, numbers = transform.pair(picture, target, (0, 0))
        images = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
        device = next(self.module.parameters()).device
        was, said = self.module.training, None
        try:
            said = self.task.say(self.module.eval(), self.preprocessing.normalise(images.to(device)))
        finally:
            self.module.train(was)
        return self.task.shown(said, torch.tensor([numbers]))[0]


@dataclass(frozen=True)
class Look:
    """An image at hand: its picture, and what else may be asked of it."""

    picture: Picture
    open_target: Callable[[], Any]
    network: Network | None

    @cached_property
    def target(self) -> Any:
        """What is there, as ``Split.target``."""
        return self.open_target()

    @property
    def found(self) -> Any:
        """What the network finds; None without one."""
        return None if self.network is None else self.network.found(self.picture, self.target)
