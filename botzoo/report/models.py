"""A model folder that no run is beside, with labelled images to evaluate it on: as much of a record as there is."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.data.images import Images, read_images
from botzoo.data.open import find
from botzoo.errors import DataError
from botzoo.inference.load import load
from botzoo.inference.measure import measure
from botzoo.inference.predict import Model
from botzoo.models.cost import count_parameters
from botzoo.models.foreign import read_config
from botzoo.options.config import DataConfig, TrainConfig
from botzoo.report.material import Material, at_hand
from botzoo.results.record import RunRecord
from botzoo.sources.base import ImageData, Split
from botzoo.tasks.find import kind_of, task_of
from botzoo.training.recording.facts import data_title
from botzoo.util.files import sha256_of
from botzoo.util.outgoing import plain
from botzoo.util.text import listing


def evaluated_model(folder: Path, dataset: str) -> tuple[RunRecord, Material]:
    """Evaluate the model in ``folder`` on a data set: on its test split, else its validation split, else all images.

    Raises:
        BotzooError: the model or the images cannot be read.
        DataError: the images are of another task, or have classes that the model does not know.
    """
    model, config = load(folder), TrainConfig(dataset=dataset, skip_corrupt=True)
    data = find(dataset, config.data, kind=kind_of(model.task))
    if task_of(data) != model.task:
        raise DataError(
            f"{data.name} has {task_of(data).labels}, and the network is for {model.task.labels}: give other images."
        )
    role = next(role for role in ("test", "validation", "train") if role in data.splits)
    split = _in_classes_of(model, data, data.splits[role])
    images, bad = read_images(
        split, model.preprocessing.decoding, skip_corrupt=True, cache_bytes=int(DataConfig().cache_gib * 2**30)
    )
    seen = measure(model, images, config, everything=True)
    known = read_config(folder / "config.json")
    facts = _facts(known, folder, model, data, images, len(bad))
    record = RunRecord(folder, asdict(config), facts, [], known, seen, image_names=images.names())
    return record, Material(at_hand(images), model=model)


def _in_classes_of(model: Model, data: ImageData[Split], split: Split) -> Split:
    """Return a split whose labels are numbers of the model's classes."""
    names, theirs = list(model.label_names), [plain(name) for name in data.class_names]
    if len(names) == len(theirs) and names == [f"class {k}" for k in range(len(names))]:
        return split  # the weights name none of their classes
    if unknown := [name for name in theirs if name not in names]:
        knows = f"the network knows {listing(names)}"
        raise DataError(f"{data.name} has images of {listing(unknown)}, and {knows}: give images of its classes.")
    if not model.task.whole_image and names != theirs:  # in masks and boxes they are numbers too
        raise DataError(
            f"{data.name} has its classes in another order than the network: give images with {listing(names)}."
        )
    return replace(split, labels=_mapped(split.labels, [names.index(name) for name in theirs], len(names)))


def _mapped(labels: NDArray[Any], index: Sequence[int], classes: int) -> NDArray[Any]:
    if labels.ndim == 1:
        found: NDArray[Any] = np.array(index)[labels]
        return found
    hot = np.zeros((len(labels), classes), labels.dtype)
    hot[:, list(index)] = labels
    return hot


def _facts(
    known: dict[str, Any], folder: Path, model: Model, data: ImageData[Split], images: Images, bad: int
) -> dict[str, Any]:
    """Return what run.json would say of a model with this config.json; the split counts as one that nothing was chosen on."""
    prepared, weights = model.preprocessing, folder / "model.safetensors"
    return {
        "name": folder.resolve().name,
        "task": model.task.name,
        "split": "test",
        "images": {"test": len(images)},
        "data": {
            "name": data.name,
            "title": data_title(data),
            "class_names": list(model.label_names),
            "class_counts": None,
            "notes": list(data.notes),
            "split_names": {"test": images.split.name},
            "left_out": bad,
        },
        "network": {
            "architecture": str(known["architecture"]),
            "parameters": count_parameters(model.module)[0],
            "source": folder.name,
        },
        "input": {key: value for key, value in asdict(prepared).items() if key != "fixed_size"},
        "weights_sha256": sha256_of(weights) if weights.is_file() else None,
    }
