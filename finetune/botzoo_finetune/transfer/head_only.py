"""Training of the classifier alone on features that were computed once: what a frozen backbone would compute in every epoch.

The steps are those of any run: same batches, same learning rate, same loss; only the network is its last layer. The figures
that a run closes with come from the whole network and the images all the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from botzoo.data.loader import Batch
from botzoo.data.order import Order, share
from botzoo.errors import ConfigError
from botzoo.models.layers import head_names, linear_classifier
from botzoo.options.config import AugmentConfig
from botzoo.options.facts import Need, in_use
from botzoo.training.callbacks import Callback
from botzoo.training.state import Run
from botzoo.training.steps.feed import FITTED, ImageFeed
from botzoo.training.steps.trainer import Trainer
from botzoo.util.text import counted
from botzoo_finetune.transfer.feature_store import Features
from botzoo_finetune.transfer.features import Body, Extractor, View

EVALUATED = 4096  # images in a batch of evaluation: the classifier is small
TOLERANCE = 1e-3  # relative and absolute, of logits that count as the same


class Head(nn.Module):
    """Dropout and classifier of a network, which go on being parts of it."""

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
    """Takes the steps of another trainer with features in the place of images, of the classifier alone.

    It takes over optimizer, objective and schedule of ``whole``, the trainer of the whole network.
    """

    def __init__(self, whole: Trainer, head: Head, ema_decay: float | None) -> None:
        parts = whole.optimizer, whole.objective, whole.preprocessing, whole.schedule
        kept: dict[str, Any] = {"seed": whole.seed, "clip_grad": whole.clip_grad, "ema_decay": ema_decay}
        super().__init__(whole.accelerator, head, *parts, **kept)
        self._whole = whole

    @property
    def whole(self) -> Trainer:
        """The trainer of the whole network, which takes over again at the end."""
        return self._whole

    def normalise(self, images: Tensor, colour: Tensor | None = None) -> Tensor:
        """Return the features, float32 (N, D), as they are."""
        return images.float()


@dataclass
class FeatureFeed:
    """Features of images, computed once, in the place of images.

    Of each training image there are ``views``: epoch e takes view e modulo ``views``, the first is the plain one.
    """

    whole: ImageFeed
    extract: Extractor
    labels: Mapping[str, NDArray[Any]]  # by role
    views: int
    _held: dict[tuple[str, int], Features] = field(default_factory=dict, repr=False)

    def describe(self) -> str:
        """Say what the classifier is trained on, for the plan."""
        others = f", {counted(self.views - 1, 'augmented view')}" if self.views > 1 else ""
        size, fitted = self.whole.preprocessing.shape, FITTED[self.whole.preprocessing.crop_mode]
        return f"features of each image at {size} px{fitted}{others}, computed once and kept (--views)"

    def features(self, role: str, number: int = 0) -> Features:
        """Return the features of a view of a split; held, or each epoch would compute those that the disk does not keep."""
        if (role, number) not in self._held:
            feed, size = self.whole, self.whole.preprocessing.shape
            name = f"{size.side} {feed.crop_min} {feed.hflip} {feed.seed} {feed.augment}"
            view = View(feed.transform(size), number, name) if number else None
            self._held[role, number] = self.extract(role, view)
        return self._held[role, number]

    def train_batches(self, order: Order, first: int, last: int) -> Iterator[list[Batch]]:
        """Yield this process's micro-batches of features, float16 (N, D), and labels of each step of [first, last)."""
        labels = self.labels["train"]
        for step in range(first, last):
            features = self.features("train", step // order.steps_per_epoch % self.views)
            rows = [[key[1] for key in keys] for keys in order.micro_batches(step)]
            yield [(torch.from_numpy(features[row]), torch.from_numpy(labels[row])) for row in rows]

    def eval_batches(self, order: Order, role: str) -> Iterator[Batch]:
        """Yield this process's share of a split in order, as ``train_batches`` does."""
        features, labels = self.features(role), self.labels[role]
        mine = share(len(labels), order.rank, order.world_size)
        for k in range(mine.start, mine.stop, EVALUATED):
            row = slice(k, min(k + EVALUATED, mine.stop))
            yield torch.from_numpy(np.array(features[row])), torch.from_numpy(labels[row])


class FrozenFeatures(Callback):
    """Trains the classifier on features that a frozen network computes once, where images and network allow it.

    ``views`` of each image are kept, 0 for none; by default one, where nothing is asked for that changes the images.
    """

    looks_at_train = True

    def __init__(self, views: int | None = None) -> None:
        self.views = views

    def on_setup(self, run: Run) -> None:
        """Put the classifier and the features in the place of network and images."""
        config, layer = run.config, linear_classifier(run.model)
        images_wanted = in_use(config, Need.IMAGES_EACH_STEP)
        if self.views and images_wanted:
            needs = f"{images_wanted[0]} needs images in every step, not the features that --views keeps"
            raise ConfigError(f"{needs}: leave one of the two out.")
        # A second view is augmented as --augment says, the plain one is not.
        by_default_none = self.views is None and (images_wanted or config.augment != AugmentConfig())
        if self.views == 0 or by_default_none or layer is None or not is_last(run, layer):
            return
        for name, parameter in run.model.named_parameters():  # the optimizer has all of them
            parameter.requires_grad_(name in head_names(run.model))
        labels: dict[str, Any] = {role: getattr(images, "labels", None) for role, images in run.images.items()}
        run.trainer.ema = None  # the averaged weights are the classifier's
        run.trainer = HeadTrainer(run.trainer, Head(layer, config.drop_rate), config.ema)
        run.feed = FeatureFeed(run.feed.whole, Extractor(run), labels, self.views or 1)

    def on_train_end(self, run: Run) -> None:
        """Put the whole network back, with the classifier that was trained."""
        feed, trainer = run.feed, run.trainer
        if not isinstance(feed, FeatureFeed) or not isinstance(trainer, HeadTrainer):
            return
        evaluated = trainer.evaluated
        assert isinstance(evaluated, Head)
        assert isinstance(trainer.model, Head)
        trainer.model.classifier.load_state_dict(evaluated.classifier.state_dict())
        trainer.whole.schedule = trainer.schedule
        run.trainer, run.feed = trainer.whole, feed.whole
        if run.accelerator.device.type == "cuda":  # a batch of the classifier may be too large for the network
            run.order = in_parts(run.order, feed.extract.batch_size)


def in_parts(order: Order, most: int) -> Order:
    """Return the order with micro-batches so small that an evaluation, of twice as many images, has at most ``most``."""
    each = order.batch_size // order.world_size
    return replace(order, accumulate=next(n for n in range(1, each + 1) if each % n == 0 and 2 * each // n <= most))


@torch.no_grad()
def is_last(run: Run, layer: nn.Linear) -> bool:
    """Tell whether the network's answer is its classifier's answer to its pooled features, and nothing comes after."""
    model, size = run.model.eval(), run.preprocessing.shape
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, run.preprocessing.channels, *size), dtype=torch.uint8, generator=generator)
    images = run.trainer.normalise(pixels.to(run.accelerator.device))
    features = Body(model)(images)
    fits: bool = features.shape == (2, layer.in_features)
    return fits and torch.allclose(layer(features), model(images), rtol=TOLERANCE, atol=TOLERANCE)
