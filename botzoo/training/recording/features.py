"""What tells images unlike the training images, kept by a run: how their features are distributed, see ``models/unlike``."""

import logging
import math
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from botzoo.data.images import Images
from botzoo.data.loader import collate
from botzoo.data.transforms import EvalTransform
from botzoo.models import unlike
from botzoo.models.layers import features_seen
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import on_main
from botzoo.training.state import Run

log = logging.getLogger("botzoo")

PLACE = Path("evaluation") / unlike.FILE
"""Of the file in a run's folder; a copy of it is beside the weights."""
FEW, MANY, HELD_OUT = 500, 1000, 200
"""Images that are looked at, a small part of what a run looks at anyway: of the training split a third, but no fewer than the
first and no more than the second; of the validation split, which only sets the limit, at most the third."""


class KeepFeatures(Callback):
    """Looks at a few images with the finished network and keeps how their features are distributed.

    It stands behind all callbacks that change the weights. Where there is nothing to keep, it says why.
    """

    def on_train_end(self, run: Run) -> None:
        """Write the file, on the main process alone."""
        on_main(run.accelerator, partial(self.keep, run))

    def keep(self, run: Run) -> None:
        """Write the file, or say why there is none."""
        (run.folder / PLACE).unlink(missing_ok=True)  # of an end that was interrupted
        if not run.task.whole_image:
            return
        found = fitted(run)
        if isinstance(found, unlike.Unlike):
            (run.folder / PLACE).parent.mkdir(exist_ok=True)
            found.write(run.folder / PLACE)
        else:
            log.info("%-10s images unlike the training images will not be told: %s", "unlike", found)


def batches_of(run: Run) -> int:
    """Return how many batches are looked at, of the size of evaluation; 0 where nothing is kept."""
    splits = [run.images["train"], run.images["validation"]]
    if not run.config.unlike or not run.task.whole_image or not all(isinstance(split, Images) for split in splits):
        return 0
    return sum(math.ceil(most / (2 * run.order.micro_batch)) for most in looked_at(*map(len, splits)))


def looked_at(train: int, validation: int) -> tuple[int, int]:
    """Return how many of so many training and validation images are looked at."""
    return min(train, max(FEW, min(MANY, train // 3))), min(validation, HELD_OUT)


def fitted(run: Run) -> unlike.Unlike | str:
    """Return how the features of the training images are distributed, or why that is not known."""
    splits = [run.images["train"], run.images["validation"]]
    known = [split for split in splits if isinstance(split, Images)]
    if len(known) < len(splits):
        return "streamed images are not looked at again"
    if not len(first := features(run, known[1], 1)):
        return f"the classifier of {run.network.architecture} takes no pooled features"
    rows = [features(run, split, most) for split, most in zip(known, looked_at(*map(len, known)), strict=True)]
    found = unlike.fit(*rows) if all(np.isfinite(part).all() for part in rows) else None
    why = f"the features of {len(rows[0]):,} training images, {first.shape[1]:,} of each, are too few or all alike"
    return why if found is None else found


@torch.inference_mode()
def features(run: Run, images: Images, most: int) -> NDArray[np.float32]:
    """Return the features (N, D) of ``most`` random images, or of all, as far as they can be read.

    They are of shape (0, 0) where the network has none.
    """
    chosen = np.random.default_rng(run.config.seed).permutation(len(images))[:most]
    rows = images.readable(np.sort(chosen).tolist(), EvalTransform(run.preprocessing))
    trainer = run.trainer.whole
    with features_seen(trainer.evaluated.eval()) as seen:
        while batch := list(islice(rows, 2 * run.order.micro_batch)):
            pixels, *_ = collate(batch)
            trainer.forward(trainer.normalise(pixels.to(run.accelerator.device)), model=trainer.evaluated)
    return torch.cat(seen).cpu().numpy() if seen else np.empty((0, 0), np.float32)
