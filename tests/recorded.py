"""Finished runs that never took place: records made of plain values, every figure of which is known beforehand."""

import copy
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from botzoo.data.dense.boxes import FILL, PlacedBoxes
from botzoo.models.folder import config_sha256
from botzoo.options.config import TrainConfig
from botzoo.results.record import RunRecord
from botzoo.sources.targets.boxes import Boxes, Placed
from botzoo.tasks.answers import write_answers
from botzoo.tasks.classification import Evaluation
from botzoo.tasks.detection import DetectionEvaluation
from botzoo.tasks.metrics.dense.regions import confusion, counts_of
from botzoo.tasks.segmentation import SegmentationEvaluation
from botzoo.util.files import sealed, sha256_of, write_json, write_text

NAMES = ("ant", "bee", "cat", "dog", "eel", "fox")

FACTS: dict[str, Any] = {
    "command": "botzoo-finetune --dataset pets --model test_resnet",
    "fingerprints": {"train": "aa11", "validation": "bb22", "test": "cc33"},
    "images": {"train": 600, "validation": 120, "test": 120},
    "hardware": "1 x Abacus",
    "versions": {"botzoo": "0.1.0", "torch": "2.15.0"},
    "python": "3.11.7",
    "seconds": 125.0,
    "finished": "2026-01-31",
    "name": "pets-run",
    "task": "classification",
    "split": "validation",
    "steps": 30,
    "best_epoch": 2,
    "weights_sha256": "dd44",
    "data": {
        "name": "/home/me/pets",
        "title": "pets",
        "hub_id": None,
        "license": None,
        "class_counts": [100] * 6,
        "notes": ["no validation split: 120 of 720 training images (20% of each class) are set aside"],
        "set_aside": True,
        "hashed": "its images and labels in order",
        "split_names": {"train": "train", "validation": "20% of train", "test": "test"},
        "left_out": 0,
    },
    "network": {
        "architecture": "test_resnet",
        "known": True,
        "parameters": 1234,
        "source": "random weights",
        "loaded": None,
        "new": None,
        "base_model": None,
        "license": None,
        "trained_norms": 15,
    },
    "input": {"size": 32, "crop_pct": 0.9, "interpolation": "bicubic", "crop_mode": "center"},
    "precision": {"name": "fp32", "reason": "as asked"},
    "schedule": {"peak": 0.1, "total_steps": 30, "warmup_steps": 5, "steps_per_epoch": 10, "epochs": 3},
    "public": {"dataset": "pets", "model": "test_resnet", "pretrained": None, "distillation": None, "classes": None},
}

OPTIONS: dict[str, Any] = {
    **asdict(TrainConfig(dataset="/home/me/pets", scratch=True, batch_size=60, img_size=32, epochs=3)),
    "mixed_precision": "fp32",
}
OPTIONS["data"] |= {"crop_min": 0.35, "hflip": 0.5}

GLUON = {
    "source": "resnet50d.gluon_in1k",
    "loaded": 1,
    "new": 2,
    "base_model": "timm/resnet50d.gluon_in1k",
    "license": "apache-2.0",
}
"""What a network knows of itself that started from published weights."""


def evaluation(labels: Any, predicted: Any) -> Evaluation:
    """Return answers that are 75 % sure, whether right or wrong."""
    hits = np.ones(len(labels), bool)
    nll, confidence = (np.full(len(labels), value, np.float32) for value in (0.25, 0.75))
    return Evaluation(np.asarray(labels), np.asarray(predicted), hits, nll, confidence)


def answers(classes: int = 6, each: int = 20, wrong: int = 4) -> Evaluation:
    """Return ``each`` images a class; of class k, ``wrong`` are taken for the next class."""
    labels = np.repeat(np.arange(classes), each)
    predicted = np.where(np.arange(classes * each) % each < wrong, (labels + 1) % classes, labels)
    return evaluation(labels, predicted)


@cache
def found_boxes(images: int = 8, classes: int = 3, seed: int = 0) -> DetectionEvaluation:
    """Return up to four boxes an image, of 100 x 80 pixels, and what was found: near them, of other classes, and elsewhere."""
    rng, true, found = np.random.default_rng(seed), [], []
    for i in range(images):
        corners = rng.uniform(0, 50, (i % 5, 2))
        boxes = Boxes.of(
            np.hstack([corners, corners + rng.uniform(15, 30, (i % 5, 2))]), rng.integers(0, classes, i % 5)
        )
        moved = boxes.corners + rng.normal(0, 4, boxes.corners.shape)
        labels = np.where(rng.random(len(boxes)) < 0.2, (boxes.labels + 1) % classes, boxes.labels)
        true.append(Placed(boxes, 80, 100))
        every = np.column_stack([np.vstack([moved, [[60, 60, 75, 79]]]), [*labels, 0], rng.random(len(boxes) + 1)])
        found.append(every[np.argsort(-every[:, 5])])
    rows = np.full((images, 6, 6), FILL, np.float32)
    for kept, every in zip(rows, found, strict=True):
        kept[: len(every)] = every
    return DetectionEvaluation(rows, PlacedBoxes().stack(true), np.full((images, 2), (80, 100), np.int32))


@cache
def told_pixels(images: int = 8, classes: int = 4, seed: int = 0) -> SegmentationEvaluation:
    """Return masks of 20 x 30 pixels of which about two thirds are told rightly; the last class is nowhere."""
    rng, matrices = np.random.default_rng(seed), []
    for _ in range(images):
        true = rng.integers(0, classes - 1, (20, 30)).astype(np.uint8)
        said = np.where(rng.random(true.shape) < 0.5, true, rng.integers(0, classes - 1, true.shape))
        matrices.append(confusion(true, said, classes))
    counts = np.stack([counts_of(matrix) for matrix in matrices])
    return SegmentationEvaluation(counts, np.full(images, 0.5, np.float32), np.stack(matrices).astype(np.int32))


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the changes, which may be dictionaries within."""
    found = copy.deepcopy(base)
    for key, value in changes.items():
        found[key] = merged(found[key], value) if isinstance(found.get(key), dict) else value
    return found


def a_record(
    folder: Path = Path("runs/pets-run"),
    names: tuple[str, ...] = NAMES,
    seen: Any = None,
    *,
    options: dict[str, Any] | None = None,
    history: tuple[dict[str, Any], ...] = (),
    config: dict[str, Any] | None = None,
    held_out: Any = None,
    **facts: Any,
) -> RunRecord:
    """Return the record of a run of ``names`` that answered ``seen``; what else is given changes the defaults above."""
    known = merged(FACTS, {"data": {"class_names": list(names)}})
    model_config = {"architecture": "test_resnet", "model_args": {}} | (config or {})
    seen = seen if seen is not None else answers(len(names))
    images = [f"{i}.png" for i in range(len(seen))]
    options = merged(OPTIONS, options or {})
    return RunRecord(folder, options, merged(known, facts), list(history), model_config, seen, held_out, images)


def write_run(record: RunRecord) -> Path:
    """Write the folder that ``record`` would be read from, its file of weights being none."""
    model = record.model_folder
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"weights")
    write_json(model / "config.json", record.model_config)
    facts = record.facts | {"weights_sha256": sha256_of(model / "model.safetensors"), "files": {}}
    facts["config_sha256"] = config_sha256(model)
    write_json(record.folder / "run.json", facts, seal=True)
    write_text(record.folder / "config.yaml", sealed(yaml.safe_dump(record.options, sort_keys=False)))
    write_text(record.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in record.history))
    for role, seen in {record.split: record.evaluation, "validation": record.held_out or record.evaluation}.items():
        write_answers(record.folder / "evaluation" / f"{role}.parquet", record.image_names, seen.answers)
    return record.folder
