"""A trained network evaluated on labelled images."""

from typing import Any

from botzoo.data.images import Images
from botzoo.inference.predict import Model
from botzoo.options.config import TrainConfig
from botzoo.training.distributed import make_accelerator, worker_count
from botzoo.training.steps.evaluation import evaluate

BATCH, FEW = 128, 16
"""Images that pass the network together: of a classifier, and of one that gives boxes or masks."""


def measure(model: Model, images: Images, config: TrainConfig, *, everything: bool = False) -> Any:
    """Return the task's ``Evaluation`` of a model on a split, its labels being the model's own classes by number.

    Args:
        config: whose engine and arithmetic are used.
        everything: keep the task's optional answers too, see ``evaluate``.
    """
    accelerator, _ = make_accelerator(config)
    preparation = model.preprocessing
    size = BATCH if model.task.whole_image else FEW
    workers, pin = worker_count(config, accelerator, size, preparation), accelerator.device.type == "cuda"
    transform = model.task.eval_transform(preparation)
    batches = images.eval_batches(transform, size, rank=0, world_size=1, workers=workers, pin=pin)
    network = model.module.to(accelerator.device)
    how = (batches, preparation.normalise, len(images), model.task)
    found = evaluate(accelerator, network, *how, everything=everything)
    network.cpu()  # others may want the GPU's memory
    return found
