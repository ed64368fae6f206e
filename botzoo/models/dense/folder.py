"""The folder of a network for boxes or masks: model.safetensors and a config.json that says how to make it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file
from torch import nn

from botzoo.errors import CheckpointError
from botzoo.models.cost import on_meta
from botzoo.models.dense.anchors import Anchors
from botzoo.models.dense.body import make_body
from botzoo.models.dense.detector import Detector, DetectorPlan
from botzoo.models.dense.segmenter import Segmenter, needs_pyramid
from botzoo.models.folder import timm_architecture
from botzoo.models.foreign import decoding_in, meta_network, read_config, read_file, read_shapes, shortened
from botzoo.models.preprocessing import Preprocessing, Size
from botzoo.util.files import own_folder, take_mode, write_json, written_whole
from botzoo.util.text import counted, listing

Dense = Detector | Segmenter

HEADS = {"detection": ("faster_rcnn_fpn",), "segmentation": ("fcn", "fpn")}
"""The heads of each task, by the names in config.json."""

LIMITS: dict[str, tuple[float, float]] = {
    "channels": (8, 2048),
    "finest": (4, 32),
    "proposals": (1, 10_000),
    "proposals_in_training": (1, 10_000),
    "sampled": (1, 10_000),
    "hidden": (8, 8192),
    "most": (1, 10_000),
    "least_score": (0, 1),
    "overlap": (0, 1),
    "output_stride": (8, 32),
}
"""The least and the greatest of each number in ``head``; those that begin as whole numbers are whole."""

MOST_CLASSES = {"segmentation": 255, "detection": 20_000}
"""Of each task: a mask has 8 bits."""

MOST_CANDIDATES = 4_000_000
"""Proposals by classes: as many boxes of an image may have to be sorted."""

SIZES = (1.0, 4096.0)
RATIOS = (0.01, 100.0)


class DenseModel(NamedTuple):
    """A network for boxes or masks as its folder has it."""

    module: Dense
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    task: str


def write_dense_folder(
    folder: Path,
    module: Dense,
    preprocessing: Preprocessing,
    class_names: Sequence[str],
    *,
    tag: str,
    license: str | None = None,
) -> None:
    """Write ``model.safetensors`` and ``config.json``, each whole or not at all.

    Args:
        module: with as many classes as there are ``class_names``; saved in fp32.
        preprocessing: how its images are prepared: mean and std, and the size that it was trained at.
        tag: names these weights.
        license: as on the Hub; None leaves the key out.
    """
    own_folder(folder)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
    with written_whole(folder / "model.safetensors") as part:
        save_file(tensors, part, metadata={"format": "pt"})
    body, p = module.body, preprocessing
    architecture, args = timm_architecture(body.architecture) or (body.architecture, {})
    entry = {
        "tag": tag,
        "input_size": [p.channels, *p.shape],
        "interpolation": p.interpolation,
        "crop_mode": p.crop_mode,
        "mean": list(p.mean),
        "std": list(p.std),
        "license": license,
    }
    config: dict[str, Any] = {
        "task": "segmentation" if isinstance(module, Segmenter) else "detection",
        "architecture": architecture,
        "num_classes": len(class_names),
        "label_names": list(class_names),
        "model_args": {key: value for key, value in {**body.model_args, **args}.items() if key != "output_stride"},
        "head": _head(module),
        "pretrained_cfg": {key: value for key, value in entry.items() if value is not None},
    }
    if decoding := p.decoding.as_json():
        config["decoding"] = decoding
    write_json(folder / "config.json", config, exact=True)
    take_mode(folder / "model.safetensors", folder / "config.json")


def _head(module: Dense) -> dict[str, Any]:
    if isinstance(module, Segmenter):
        return {"name": module.kind, "output_stride": module.body.model_args.get("output_stride", 32)}
    plan = module.plan
    assert plan.anchors is not None  # set where it was made
    numbers = {key: getattr(plan, key) for key in LIMITS if key != "output_stride"}
    return {
        "name": "faster_rcnn_fpn",
        **numbers,
        "anchors": {key: list(v) for key, v in plan.anchors._asdict().items()},
    }


def read_dense_folder(folder: Path) -> DenseModel:
    """Return the network that a folder holds, in evaluation mode, whoever wrote it.

    It is made without memory first and compared with the shapes in the file, so that no more is made than is there.

    Raises:
        CheckpointError: a file is missing or damaged, or one does not fit the other; in one line.
    """
    file, where = folder / "model.safetensors", str(folder / "config.json")
    config = _checked(read_config(folder / "config.json"), where)
    # What timm makes of the body is bounded here, and all of it by the file's header before anything takes memory.
    classless = {**config["pretrained_cfg"], "num_classes": None}
    meta_network({**config, "num_classes": None, "pretrained_cfg": classless}, None, where)
    shapes, names = read_shapes(file), config["label_names"]
    with on_meta():
        _compare(_made(config, len(names)), shapes, where)
    module = _made(config, len(names))
    module.load_state_dict(read_file(file, load_file), strict=True)
    return DenseModel(module.eval(), _preprocessing(config), tuple(names), config["task"])


def _checked(config: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a config.json, as ``read_config`` has checked it, with what is needed here sound too."""
    task, entry = config.get("task"), config.get("pretrained_cfg") or {}
    if not isinstance(task, str) or task not in HEADS:
        has = f"{where} is of the task {shortened(config.get('task', 'classification'))}"
        raise CheckpointError(f"{has}: it must be one of {', '.join(HEADS)}.", value=task, accepted=HEADS)
    mean, std, size = (entry.get(key) for key in ("mean", "std", "input_size"))
    if not (mean and std and size and len(mean) == len(std) == size[0]):
        raise CheckpointError(
            f"{where} lacks input_size, mean or std of each channel in pretrained_cfg: copy it again."
        )
    if (takes := (config.get("model_args") or {}).get("in_chans", 3)) != size[0]:
        has = f"{where} has input_size of {counted(size[0], 'channel')} and model_args.in_chans {shortened(takes)}"
        raise CheckpointError(f"{has}: they must be one.")
    names, most = config.get("label_names"), MOST_CLASSES[task]
    if not isinstance(names, list) or not names:
        raise CheckpointError(f"{where} lacks label_names, a list: copy it again.")
    head = _checked_head(config.get("head"), HEADS[task], where)
    if len(names) > most:
        raise CheckpointError(f"{where} has {len(names):,} label_names: a network for {task} has at most {most:,}.")
    if (candidates := head.get("proposals", 0) * len(names)) > MOST_CANDIDATES:
        many = f"{where}: head.proposals is {head['proposals']}, and with {len(names):,} label_names that is"
        raise CheckpointError(f"{many} {candidates:,} boxes an image: at most {MOST_CANDIDATES:,} are sorted.")
    return {**config, "head": head}


def _preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    entry = config["pretrained_cfg"]
    side = Size.of(tuple(entry["input_size"][1:])).side
    interpolation = "bicubic" if entry.get("interpolation") == "bicubic" else "bilinear"
    how = entry.get("crop_mode") or "border"
    mean, std = tuple(entry["mean"]), tuple(entry["std"])
    return Preprocessing(side, mean, std, 1.0, interpolation, how, decoding=decoding_in(dict(config)))


def _made(config: Mapping[str, Any], classes: int) -> Dense:
    """Return the network with random weights."""
    head, architecture, args = config["head"], config["architecture"], config.get("model_args") or {}
    if config["task"] == "segmentation":
        body = make_body(architecture, args, head.get("output_stride", 32), pyramid=needs_pyramid(head["name"]))
        return Segmenter(body, classes, head["name"])
    anchors = Anchors(tuple(head["anchors"]["sizes"]), tuple(head["anchors"]["ratios"]))
    numbers = {key: head[key] for key in LIMITS if key in head and key != "output_stride"}
    plan = DetectorPlan(anchors=anchors, **numbers)
    return Detector(make_body(architecture, args, finest=plan.finest), classes, plan)


def _checked_head(head: Any, names: Sequence[str], where: str) -> dict[str, Any]:
    """Return the object ``head`` of a config.json, with every value sound and one of ``names``."""
    if not isinstance(head, dict):
        raise CheckpointError(f"{where} has no object `head`: fetch or copy it again.")
    if head.get("name") not in names:
        name = shortened(head.get("name"))
        raise CheckpointError(
            f"{where}: head.name is {name}: it must be {' or '.join(names)}.", value=name, accepted=names
        )
    for key, (low, high) in LIMITS.items():
        kind = int if isinstance(low, int) and high > 1 else int | float
        value = head.get(key, low)
        if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
            raise CheckpointError(
                f"{where}: head.{key} is {shortened(value)}: it must be a number from {low} to {high}."
            )
    if head["name"] == "faster_rcnn_fpn":
        anchors = head.get("anchors")
        parts = anchors if isinstance(anchors, dict) else {}
        if not (_numbers(parts.get("sizes"), *SIZES) and _numbers(parts.get("ratios"), *RATIOS)):
            raise CheckpointError(
                f"{where}: head.anchors is {shortened(anchors)}: it must have lists sizes and ratios."
            )
    return head


def _numbers(values: Any, low: float, high: float) -> bool:
    return (
        isinstance(values, list)
        and 0 < len(values) <= 16
        and all(isinstance(v, int | float) and not isinstance(v, bool) and low <= v <= high for v in values)
    )


def _compare(made: nn.Module, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    wrong = [name for name in {**wanted, **shapes} if wanted.get(name) != shapes.get(name)]
    if wrong:
        raise CheckpointError(
            f"{where} does not fit model.safetensors beside it, at {listing(wrong, 3)}: copy both again."
        )
