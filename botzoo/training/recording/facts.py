"""What a run records of itself: run.json and evaluation/, from which card and terminal are made again at any time."""

import os
import platform
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import timm

from botzoo import __version__
from botzoo.data.images import Images
from botzoo.data.loader import LoadedSplit
from botzoo.errors import CheckpointError, ConfigError, DataError
from botzoo.models.cost import count_parameters
from botzoo.models.folder import config_sha256
from botzoo.models.layers import trained_norms
from botzoo.sources.base import ImageData
from botzoo.tasks.answers import write_answers
from botzoo.tasks.task import Evaluation
from botzoo.training.distributed import hardware
from botzoo.training.recording.folder import read_facts, write_facts
from botzoo.training.state import Own, Run
from botzoo.util.environment import user_path
from botzoo.util.files import digests_of, sha256_of
from botzoo.util.outgoing import last_part, without_secrets
from botzoo.util.text import counted


def check_own(folder: Path, own: Own) -> None:
    """Raise ConfigError unless a run goes on with the objects of a user's own that it began with."""
    facts = read_facts(folder, say=False)  # ``record_facts`` says what is damaged
    # A run that was killed before it wrote run.json has nothing to go on from: any objects will do.
    began = facts.get("own", []) if facts is not None else own.names
    if began != own.names:
        raise ConfigError(
            f"{folder} began with objects of one's own ({', '.join(began) or 'none'}) and there are now "
            f"{', '.join(own.names) or 'none'}: go on with it from Python, with resume= and the same objects."
        )


def record_facts(run: Run, command: str, *, resumed: bool) -> dict[str, Any]:
    """Write command, versions, hardware, data and teacher to run.json; when resuming, check data and teacher.

    Raises:
        ConfigError: there are as many processes no longer, and which images each step sees depends on their number.
        DataError: the images are not those that the run began with.
        CheckpointError: the teacher's weights are not.
    """
    images, accelerator, folder = run.images, run.accelerator, run.folder
    fingerprints = {role: split.fingerprint for role, split in images.items()}
    teacher = run.teacher.identity if run.teacher is not None else None
    if resumed and (before := read_facts(folder)) is not None:
        since = f"since {folder} began (their SHA-256 differs): put them back, or begin a new run"
        processes = before.get("processes", accelerator.num_processes)
        if images["train"].order_depends_on_processes and processes != accelerator.num_processes:
            raise ConfigError(
                f"{folder} streams its images and began with {counted(processes, 'process', 'processes')}, which decides what "
                f"each step sees: resume it with as many (accelerate launch --num_processes {processes}), or begin a new run."
            )
        if before["fingerprints"] != fingerprints:
            raise DataError(f"The images have changed {since}.")
        if teacher is not None and before.get("teacher", teacher)["sha256"] != teacher["sha256"]:
            raise CheckpointError(f"The weights of the teacher {teacher['name']} have changed {since}.")
        if (now := hardware(accelerator)) not in before["hardware"]:
            before["hardware"] += f"; resumed on {now}"
        return before
    packages = "torch", "timm", "torchvision", "accelerate", "datasets"
    facts = {
        "command": command,
        "started": time.strftime("%Y-%m-%d"),
        "fingerprints": fingerprints,
        "images": {role: len(split) for role, split in images.items()},
        **({"teacher": teacher} if teacher is not None else {}),
        "processes": accelerator.num_processes,
        "hardware": hardware(accelerator),
        "python": platform.python_version(),
        "precision": {"name": run.precision.name, "reason": run.precision.reason},
        "versions": {"botzoo": __version__}
        | {name: version(name) for name in packages},  # ours also where not installed
        **run.facts,  # of the callbacks, such as a budget
    }
    if run.is_main:
        write_facts(folder, facts)
    return facts


def gain_facts(run: Run, kept: Evaluation) -> dict[str, Any]:
    """Return what run.json says of the gain of the ``kept`` weights over the start; nothing where the start was kept.

    Points and their paired 95 % interval are of the validation split, which chose the epoch; no start sees the test split.
    """
    start, best = run.start, run.progress.best_epoch
    if start is None or not best:
        return {}
    gain, *interval = kept.gain(start)
    scores = {"split": "validation", "start": start.score, "epoch": best, "score": kept.score}
    return {"gain": scores | {"gain": gain, "interval_95": interval, "images": len(kept)}}


def run_facts(run: Run) -> dict[str, Any]:
    """Return what run.json holds at the end: what it has already, and what config.yaml and metrics.jsonl do not say.

    The model folder is written before, so that the weights which were evaluated can be told from others later.
    """
    network, data, order, schedule = run.network, run.data, run.order, run.schedule
    start, prepared, counts = network.start, network.preprocessing, data.train.class_counts(len(data.class_names))
    loaded = len(start.report.loaded) if start.report is not None else None
    weights = run.folder / "model" / "model.safetensors"
    facts: dict[str, Any] = run.facts | {
        "name": run.folder.resolve().name,
        "task": run.task.name,
        "split": "test" if "test" in run.images else "validation",  # that the figures of the card are of
        "steps": run.progress.step,
        "best_epoch": run.progress.best_epoch,
        "data": {
            "name": data.name,
            "title": data_title(data),
            "hub_id": data.hub_id,
            "license": data.license,
            "class_names": list(data.class_names),
            "class_counts": None if counts is None else counts.tolist(),
            "notes": [without_place(note, data) for note in data.notes],
            "set_aside": data.set_aside,
            "hashed": run.images["train"].hashed,
            "split_names": {role: split.name for role, split in data.splits.items()},
            "left_out": len(run.left_out),
            "replaced": replaced_in(run.images["train"]),
            "kinds": kinds_of(run.images),
            "duplicates": duplicates_in(run.images),
        },
        "network": {
            "architecture": network.architecture,
            "known": bool(timm.is_model(network.architecture)),
            "parameters": count_parameters(network.model)[0],
            "source": start.source,
            "loaded": loaded,
            "new": None if loaded is None else len(network.model.state_dict()) - loaded,
            "base_model": start.base_model,
            "license": start.license,
            "trained_norms": len(trained_norms(network.model)),
        },
        "input": {key: value for key, value in asdict(prepared).items() if key != "fixed_size"},
        "precision": {"name": run.precision.name, "reason": run.precision.reason},
        "schedule": {name: getattr(schedule, name) for name in ("peak", "total_steps", "warmup_steps")}
        | {"steps_per_epoch": order.steps_per_epoch, "epochs": run.epochs},
        "public": {  # what a card says instead of the options, which name folders of this machine
            "dataset": run.config.dataset if data.hub_id else data_title(data),
            "model": without_folder(run.config.model),
            "pretrained": without_folder(run.config.pretrained),
            "distillation": without_folder(run.config.distillation),
            "classes": without_folder(run.config.data.classes),
            "labels": table_name(run.config.labels, run.config.dataset),
        },
    }
    if (teacher := run.teacher) is not None:
        parameters, license = count_parameters(teacher.model)[0], teacher.start.license
        facts["teacher"] = teacher.identity | {"parameters": parameters, "license": license, "size": teacher.size.side}
    kept = run.folder / "evaluation"
    written = [*kept.glob("*.parquet"), *kept.glob("*.safetensors"), *run.folder.glob("metrics.jsonl")]
    facts["files"] = digests_of(sorted(written), run.folder)
    if weights.is_file():
        facts |= {"weights_sha256": sha256_of(weights), "config_sha256": config_sha256(weights.parent)}
    return facts


def replaced_in(images: LoadedSplit) -> dict[str, str]:
    """Return what is wrong with training images in whose place others were trained on, by their names."""
    if not isinstance(images, Images):
        return {}
    names = images.names() if images.replaced else []
    return {names[i]: reason for i, reason in sorted(images.replaced.items())}


def kinds_of(images: Mapping[str, LoadedSplit]) -> dict[str, int] | None:
    """Return how many of all images are transparent and so on; None of streams, of which nobody knows."""
    kinds = Counter[str]()
    for decoded in {
        id(split.kinds): split.kinds for split in images.values()
    }.values():  # parts of one were read together
        if decoded is None:
            return None
        kinds.update(decoded)
    return dict(kinds)


def duplicates_in(images: Mapping[str, LoadedSplit]) -> dict[str, int] | None:
    """Return how many images have the same bytes as one before them in their split, and as one in training; None of streams.

    The first are "within", the others, of the other splits, "across".
    """
    digests = {}
    for role, split in images.items():
        if not isinstance(split, Images):
            return None
        digests[role] = split.decoded.index.digests[split.rows].view("S32")[:, 0]
    within = sum(len(each) - len(np.unique(each)) for each in digests.values())
    across = sum(int(np.isin(each, digests["train"]).sum()) for role, each in digests.items() if role != "train")
    return {"within": within, "across": across}


def write_evaluation(run: Run, role: str, evaluation: Evaluation) -> None:
    """Write evaluation/ROLE.parquet into the run's folder: what the network answered for each image of a split."""
    names = names_of(run.images[role], len(evaluation))
    write_answers(run.folder / "evaluation" / f"{role}.parquet", names, evaluation.answers)


def names_of(images: LoadedSplit, answered: int) -> list[str]:
    """Return the names of the images that were answered.

    Nobody knows which images of a stream could not be read: those that could are numbered.
    """
    return images.names() if len(images) == answered else [str(i) for i in range(answered)]


def data_title(data: ImageData[Any]) -> str:
    """Return the data set's name, of a folder the last part only: where it lay stays private."""
    return data.name if data.hub_id or data.name == "digits" else last_part(data.name)


def without_place(note: str, data: ImageData[Any]) -> str:
    """Return a note on a data set without the folders that it lies in."""
    path = str(user_path(data.name))
    return note.replace(path, data_title(data)) if len(Path(path).parts) > 1 else note


def table_name(labels: str | None, dataset: str) -> str | None:
    """Return the path of a table of labels from the data set's folder on, or its last part where it lies elsewhere."""
    if labels is None or not user_path(labels).exists():  # the class folders, or a path from that folder on
        return labels
    path = os.path.relpath(user_path(labels).resolve(), user_path(dataset).resolve())
    return Path(labels).name if path.startswith(os.pardir) else path


def without_folder(value: str | None) -> str | None:
    """Return an option with the last parts of a path only, where it is one; the answer depends on the working folder."""
    if value is None or value.startswith("hf-hub:"):
        return value
    value = without_secrets(value)  # before the scheme goes, by which an address is known
    kind, colon, path = value.rpartition("local-dir:")
    parts = user_path(path).resolve().parts
    return f"{kind}{colon}{'/'.join(parts[-2:])}" if colon or "/" in path or Path(path).exists() else value
