"""Tricks that an option names are applied where it is in use."""

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from botzoo.options.config import TrainConfig
from botzoo.options.facts import option
from botzoo.training.steps.tricks import batch_tricks, tricks_in_use


@dataclass(frozen=True)
class Config(TrainConfig):
    dimmed: float = option(0.0, "Trick: darker images.", "Tricks", trick="batch")
    zeroed: bool = option(False, "Trick: start from nothing.", "Tricks", trick="init")


def dimmed(images: Tensor, targets: Tensor, value: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return images * value * torch.rand(1, generator=generator), targets


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botzoo.tricks.dimmed", SimpleNamespace(dimmed=dimmed))
    monkeypatch.setitem(sys.modules, "botzoo.tricks.zeroed", SimpleNamespace(zeroed=print))


def test_only_tricks_in_use_are_found() -> None:
    assert tricks_in_use(Config(), "batch") == {}
    assert tricks_in_use(Config(dimmed=0.5, zeroed=True), "batch") == {"dimmed": (dimmed, 0.5)}
    assert tricks_in_use(Config(zeroed=True), "init") == {"zeroed": (print, True)}


def test_a_trick_on_a_batch_draws_the_same_for_the_same_step() -> None:
    [trick] = batch_tricks(Config(dimmed=0.5))
    images, targets = torch.ones(2, 3, 4, 4), torch.eye(2)
    first, again, other = (trick(images, targets, step, 0)[0] for step in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
