"""Tricks that need no place of their own in the code: an option names them, and they are applied where it is in use.

A file ``botzoo/tricks/cutout.py`` with a function ``cutout``, and a field ``cutout: float = option(0.0, "...", "Tricks",
trick="batch")``, are all that a trick needs: command line, help, recipes, plan, card and ablation know of it by then.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from botzoo.options.config import TrainConfig
from botzoo.options.facts import options_of


def tricks_in_use(config: TrainConfig, when: str) -> dict[str, tuple[Callable[..., Any], Any]]:
    """Return function and value of the tricks of ``when``, "batch" or "init", by the names of their options."""
    found = {}
    for name, own in options_of(type(config)).items():
        value = attrgetter(name)(config)
        if own.trick == when and own.in_use(value):
            found[name] = getattr(import_module(f"botzoo.tricks.{name}"), name), value
    return found


@dataclass(frozen=True)
class BatchTrick:
    """A trick on a batch, whose random numbers depend on (seed, step, rank) and its name alone.

    Attributes:
        name, value: of its option.
        apply: given images, float32 (N, C, H, W) normalised, targets, float32 (N, K), the option's value and a generator on
            the CPU, returns both.
    """

    name: str
    apply: Callable[[Tensor, Tensor, Any, torch.Generator], tuple[Tensor, Tensor]]
    value: Any
    seed: int

    def __call__(self, images: Tensor, targets: Tensor, step: int, rank: int) -> tuple[Tensor, Tensor]:
        """Return images and targets of a micro-batch of optimizer step ``step`` on process ``rank``."""
        words = np.random.SeedSequence((self.seed, step, rank, zlib.crc32(self.name.encode()))).generate_state(1)
        return self.apply(images, targets, self.value, torch.Generator().manual_seed(int(words[0])))


def batch_tricks(config: TrainConfig) -> list[BatchTrick]:
    """Return the tricks on batches that are in use, in the order of their options."""
    return [BatchTrick(name, *found, config.seed) for name, found in tricks_in_use(config, "batch").items()]
