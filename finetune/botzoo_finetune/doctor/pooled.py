"""What a network makes of images before it classifies them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from botzoo.training.data import EvalTransform, Images, eval_batches
from botzoo.training.engine import worker_count

if TYPE_CHECKING:
    from botzoo.training.prepare import Settled


@torch.inference_mode()
def pooled(settled: Settled, role: str) -> NDArray[np.float16]:
    """Return the pooled features (N, D) of the images of a split, as evaluation shows them to the network, in one process.

    A value beyond float16's range becomes infinite.
    """
    images, accelerator = settled.images[role], settled.accelerator
    assert isinstance(images, Images)
    batches = eval_batches(
        images,
        EvalTransform(settled.preprocessing),
        2 * settled.order.micro_batch,
        rank=0,
        world_size=1,
        workers=worker_count(settled.config, accelerator),
        pin=accelerator.device.type == "cuda",
    )
    model: Any = settled.model.eval()
    rows: list[NDArray[np.float16]] = []
    for pixels, *_ in batches:
        with accelerator.autocast():
            shown = settled.trainer.normalise(pixels.to(accelerator.device, non_blocking=True))
            rows.append(model.forward_head(model.forward_features(shown), pre_logits=True).half().cpu().numpy())
    return np.concatenate(rows)
