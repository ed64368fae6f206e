"""Training of the classifier alone on features that were computed once: what a frozen backbone would compute in every epoch.

The steps are those of any run: same batches, same learning rate, same loss; only the network is its last layer. The figures
that a run closes with come from the whole network and the images all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from botzoo.data.loader import Batch
from botzoo.data.order import Order, share
from botzoo.options.config import AugmentConfig
from botzoo.training.run import train_transform
from botzoo.training.setup import Settled, SettledT
from botzoo.training.trainer import Trainer
from botzoo_finetune.probing.probe import linear_classifier
from botzoo_finetune.transfer.features import Extractor, Features, View

EVALUATED = 4096
"""Images in a batch of evaluation: the classifier is small."""

TOLERANCE = 1e-3


class Head(nn.Module):
    """Dropout and classifier of a network, which go on being parts of it.

    Args:
        classifier: the layer.
        drop_rate: share of its inputs set to 0 in training.
    """

    def __init__(self, classifier: nn.Linear, drop_rate: float) -> None:
        super().__init__()
        self.drop, self.classifier = nn.Dropout(drop_rate), classifier

    def get_classifier(self) -> nn.Linear:
        """Return the classifier, as timm's networks do."""
        return self.classifier

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (N, K) of features (N, D)."""
        logits: Tensor = self.classifier(self.drop(features))
        return logits


class HeadTrainer(Trainer):
    """Takes steps on features in the place of images."""

    def normalise(self, images: Tensor, colour: Tensor | None = None) -> Tensor:
        """Return the features, float32 (N, D), as they are."""
        return images.float()


@dataclass
class HeadOnly:
    """Features in the place of images, and the classifier in that of the network.

    Attributes:
        settled: the run as it would be through the whole network.
        trainer: of the classifier.
        views: how many views of each training image there are; epoch e takes view e modulo views, the first is the plain one.
    """

    settled: Settled
    trainer: HeadTrainer
    views: int
    _held: dict[tuple[str, int], Features] = field(default_factory=dict, repr=False)

    @property
    def whole(self) -> Trainer:
        """The trainer of the whole network."""
        return self.settled.trainer

    def describe(self) -> str:
        """Say what the classifier is trained on, for the plan."""
        size, others = (
            self.settled.preprocessing.size,
            f", {self.views - 1} augmented view(s)" if self.views > 1 else "",
        )
        return f"features of each image at {size} x {size} px{others}, computed once and kept (--views)"

    @cached_property
    def _extract(self) -> Extractor:
        return Extractor(self.settled)

    def _features(self, role: str, number: int = 0) -> Features:
        """Return the features of a view of a split; held, or each epoch would compute those that the disk does not keep."""
        if (role, number) not in self._held:
            self._held[role, number] = self._extract(role, self._view(number) if number else None)
        return self._held[role, number]

    def _view(self, number: int) -> View:
        settled, size = self.settled, self.settled.preprocessing.size
        name = f"{size} {settled.crop_min} {settled.hflip} {settled.config.seed} {settled.config.augment}"
        return View(train_transform(settled, size), number, name)

    def train_batches(self, order: Order, first: int, last: int) -> Iterator[list[Batch]]:
        """Yield this process's micro-batches of features, float16 (N, D), and labels of each step of [first, last)."""
        labels: Any = self.settled.images["train"].labels
        epoch, features = -1, np.empty((0, 0), np.float16)
        for step in range(first, last):
            if step // order.steps_per_epoch != epoch:
                epoch = step // order.steps_per_epoch
                features = self._features("train", epoch % self.views)
            rows = [[key[1] for key in keys] for keys in order.micro_batches(step)]
            yield [(torch.from_numpy(features[row]), torch.from_numpy(labels[row])) for row in rows]

    def eval_batches(self, order: Order, role: str) -> Iterator[Batch]:
        """Yield this process's share of a split in order, as ``train_batches`` does."""
        features, labels = self._features(role), cast("Any", self.settled.images[role].labels)
        mine = share(len(labels), order.rank, order.world_size)
        for k in range(mine.start, mine.stop, EVALUATED):
            row = slice(k, min(k + EVALUATED, mine.stop))
            yield torch.from_numpy(np.array(features[row])), torch.from_numpy(labels[row])

    def finished(self, job: SettledT) -> SettledT:
        """Return the run with the whole network again, which has the judged classifier now."""
        judged = self.trainer.judged
        assert isinstance(judged, Head)
        self.trainer.model.classifier.load_state_dict(judged.classifier.state_dict())  # type: ignore[union-attr]
        on_gpu = job.accelerator.device.type == "cuda"
        order = in_parts(job.order, self._extract.batch_size) if on_gpu else job.order
        return replace(job, trainer=self.whole, shortcut=None, order=order)


def in_parts(order: Order, most: int) -> Order:
    """Return the order with micro-batches so small that an evaluation, of twice as many images, has at most ``most``."""
    each = order.batch_size // order.world_size
    return replace(order, accumulate=next(n for n in range(1, each + 1) if each % n == 0 and 2 * each // n <= most))


def head_only(settled: Settled, views: int | None) -> HeadOnly | None:
    """Return how to train the classifier alone, or None where the images or the network do not allow it.

    Args:
        settled: the run, whose backbone is frozen.
        views: how many views of each image are kept, 0 for none; by default one, where nothing is asked for that changes
            the images.
    """
    config, layer = settled.config, linear_classifier(settled.model)
    # A second view is augmented as --augment says, the plain one is not.
    by_default_none = views is None and (on_images(settled) or config.augment != AugmentConfig())
    if views == 0 or by_default_none or layer is None or not _is_last(settled, layer):
        return None
    settled.transfer.set_trainable(settled.model, 0)
    whole = settled.trainer
    whole.ema = None  # the averaged weights are the classifier's
    trainer = HeadTrainer(
        settled.accelerator,
        Head(layer, config.drop_rate),
        whole.optimizer,
        whole.objective,
        settled.preprocessing,
        settled.schedule,
        seed=config.seed,
        clip_grad=config.optim.clip_grad,
        ema_decay=config.ema,
    )
    return HeadOnly(settled, trainer, views or 1)


def on_images(settled: Settled) -> list[str]:
    """Return the options of a run, as flags, that need images in every step and cannot do with features."""
    config = settled.config
    given = {
        "--mixup": config.mixup,
        "--cutmix": config.cutmix,
        "--paper-augment": config.paper_augment,
        "--distillation": config.distillation,
        "--data.streaming": config.data.streaming,
        "--data.train-scale": config.data.train_scale != 1,
    }
    return [flag for flag, value in given.items() if value]


@torch.no_grad()
def _is_last(settled: Settled, layer: nn.Linear) -> bool:
    """Tell whether the network's answer is its classifier's answer to its pooled features, and nothing comes after."""
    model, size = settled.model.eval(), settled.preprocessing.size
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=generator)
    images = settled.trainer.normalise(pixels.to(settled.accelerator.device))
    features = model.forward_head(model.forward_features(images), pre_logits=True)  # type: ignore[operator]
    fits: bool = features.shape == (2, layer.in_features)
    return fits and torch.allclose(layer(features), model(images), rtol=TOLERANCE, atol=TOLERANCE)
